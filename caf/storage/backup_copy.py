"""A copy of a backup in a second place, such as EOS: compared when it is there, and only then named."""

import os
import secrets
import zlib
from contextlib import suppress
from typing import Any

from caf.domain.errors import StorageError
from caf.storage.failures import storage_error

CHUNK = 1 << 20  # bytes
PART = ".caf-backup-"


def copy_backup(source: str, folder: str, keep: int) -> dict[str, Any]:
    """Copy a backup, whole or not at all, and then remove all but the newest `keep` of its database. Gives path, bytes.

    Backups of one database have names that differ in their time only, and so sort by age. Several may have their
    copies in one folder: what one that was killed left behind is removed by its own next copy, and by no other's.
    """
    name = os.path.basename(source)
    same = name[: name.rindex("-")]  # caf-<database id>
    target, part = os.path.join(folder, name), os.path.join(folder, f"{PART}{same}-{secrets.token_hex(4)}.part")
    try:
        with suppress(FileExistsError):
            os.mkdir(folder, 0o770)  # not those above it: what is not there may not be mounted
        for left in os.listdir(folder):
            if left.startswith(f"{PART}{same}-"):
                os.unlink(os.path.join(folder, left))
        size, checksum = _copy(source, part)
        if (os.path.getsize(part), _checksum(part)) != (size, checksum):
            raise StorageError(f"{target}: what lies there is not what was written: is the file system in order?")
        os.rename(part, target)
        kept = [one for one in os.listdir(folder) if one.startswith(f"{same}-") and len(one) == len(name)]
        # A name that is later is of a clock that was wrong: what was made last is never the one to go.
        for old in sorted(kept, key=lambda one: (one <= name, one))[:-keep]:
            os.unlink(os.path.join(folder, old))
    except OSError as error:
        raise storage_error("copy the backup to", str(error.filename or target), error) from error
    finally:
        with suppress(OSError):
            os.unlink(part)
    return {"path": target, "bytes": size}


def _copy(source: str, part: str) -> tuple[int, int]:
    """Copy a file; gives size and adler32 of what was read."""
    checksum, size = 1, 0
    with open(source, "rb") as read, open(part, "xb") as written:
        while piece := read.read(CHUNK):
            checksum, size = zlib.adler32(piece, checksum), size + len(piece)
            written.write(piece)
        written.flush()
        os.fsync(written.fileno())
    return size, checksum


def _checksum(path: str) -> int:
    checksum = 1
    with open(path, "rb") as file:
        while piece := file.read(CHUNK):
            checksum = zlib.adler32(piece, checksum)
    return checksum
