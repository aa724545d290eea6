"""The folder of all working areas, and the mark that says whose it is.

The mark names the database, its *generation*, which grows with each start of a supervisor, and the newest token that
was given out. A database whose generation is lower, or that does not know this token, is an older copy of the one that
worked here last; and a supervisor whose generation is not the mark's any more is not the last that was started.
"""

import os
import secrets
import stat
from pathlib import Path
from typing import Any

from caf.domain.errors import StorageError
from caf.storage.below import read_small
from caf.storage.failures import storage_error

MARKER = ".caf-database"
REMOVED = ".caf-removed"
"""Which attempts' areas were removed, a line each: an older copy of the database must not begin these anew."""
LONGEST = 1000  # bytes
ROOM = 200  # of them for the newest token, which is written in place: a rename that loses power may leave nothing


def marker_of(work: str) -> str | None:
    """Give the id of the database that the folder belongs to; None if it, or its mark, is not there."""
    return _owner(_lines(work))


def mark_of(work: str) -> dict[str, Any]:
    """Give what the mark says: owner and newest (or None), generation; and whether a folder without one is filled."""
    mark = mark_in(_lines(work))
    return {**mark, "filled": mark["owner"] is None and _filled(work)}


def mark_in(lines: list[str]) -> dict[str, Any]:
    """Give owner, generation and newest token that a mark's lines say."""
    values = {name: value.strip() for name, _, value in (line.partition("=") for line in lines[1:])}
    generation = values.get("generation", "")
    return {
        "owner": _owner(lines),
        "generation": int(generation) if generation.isdecimal() else 0,
        "newest": values.get("newest") or None,
    }


def check_mark(top: int, work: str, database_id: str, generation: int | None = None) -> None:
    """Refuse an open folder of working areas that is another database's, not mounted, or a later supervisor's."""
    try:
        text = read_small(top, MARKER, LONGEST)
    except OSError as error:
        raise storage_error("read", f"{work}/{MARKER}", error) from error
    mark = mark_in((text or b"").decode("utf-8", "replace").splitlines())
    if mark["owner"] != database_id:
        whose = f"is of database {mark['owner']}, not of {database_id}" if mark["owner"] else "has lost its mark"
        raise StorageError(f"{work} {whose}: nothing is removed there; is its file system mounted?")
    if generation is not None and mark["generation"] != generation:
        raise StorageError(
            f"{work} is not of this supervisor any more: another one was started since: nothing is removed; "
            "end one of the two"
        )


def _owner(lines: list[str]) -> str | None:
    return lines[0].strip() or None if lines else None


def _lines(work: str) -> list[str]:
    path = os.path.join(work, MARKER)
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(LONGEST).splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise storage_error("read", path, error) from error


def _filled(work: str) -> bool:
    try:
        with os.scandir(work) as entries:
            return any(entry.name != MARKER for entry in entries)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise storage_error("read", work, error) from error


def mark_work(work: str, database_id: str, generation: int) -> None:
    """Make the folder, for the group to use, and mark it as this database's of this generation."""
    path = os.path.join(work, MARKER)
    fresh = f"{path}.{secrets.token_hex(4)}"
    try:
        if not os.path.isdir(work):
            os.makedirs(work, mode=0o770)
            if not os.stat(work).st_mode & stat.S_ISGID:  # handed down by the folder above, as a rule; a unit's
                Path(work).chmod(0o2770)  # sandbox (RestrictSUIDSGID) does not let it be set
        with open(fresh, "x", encoding="utf-8") as file:
            file.write(f"{database_id}\ngeneration={generation}\n{_newest('')}")
            file.flush()
            os.fsync(file.fileno())
        os.rename(fresh, path)
    except OSError as error:
        raise storage_error("write", path, error) from error


def _newest(token: str) -> str:
    return f"newest={token}".ljust(ROOM) + "\n"


def note_newest(work: str, database_id: str, generation: int, token: str) -> None:
    """Note the newest token, before any is handed over. StorageError if another supervisor was started since."""
    path = os.path.join(work, MARKER)
    head = f"{database_id}\ngeneration={generation}\n"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if os.pread(descriptor, len(head), 0) != head.encode():
                raise StorageError(
                    f"{path} is not of this supervisor any more: another one was started with a copy of its database:"
                    " nothing is submitted; end one of the two"
                )
            os.pwrite(descriptor, _newest(token).encode(), len(head))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise storage_error("write", path, error) from error


def note_removed(top: int, run: int, job: str, attempt: int) -> None:
    """Note in an open folder of working areas that one was removed. OSError if that cannot be.

    The empty line before it keeps it from what an interrupted writer may have left.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(REMOVED, flags, 0o660, dir_fd=top)
    try:
        os.write(descriptor, f"\n{run} {job} {attempt}\n".encode("ascii"))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def stamp(path: str) -> list[int] | None:
    """Say what tells one state of a file from another: device, inode, size, time (ns). None if it is not there."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error("look at", path, error) from error
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns]


def read_text(path: str) -> str:
    """Read a small text file in UTF-8, with or without a byte-order mark."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise StorageError(f"{path}: is not text in UTF-8: {error.reason}: save it as UTF-8") from error
    except OSError as error:
        raise storage_error("read", path, error) from error
