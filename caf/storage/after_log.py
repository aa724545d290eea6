"""The log of an attempt's after-scripts, in its area. That it can be written shows that the area can be used."""

import os

from caf.domain.errors import StorageError
from caf.storage.failures import open_regular, storage_error
from caf.storage.work import marker_of

LOG = "log/after.log"
KEPT = 4096  # bytes of what a script has written last


def begin_entry(work: str, database_id: str, area: str, line: str) -> int:
    """Write a line into the log; gives the log's length (bytes) after it.

    StorageError if that cannot be done; transient where it may be possible later, as with a `work` that is not mounted.
    """
    path = f"{area}/{LOG}"
    try:
        if not os.path.isdir(area):
            raise _no_area(work, database_id, area)
        if not os.path.isdir(os.path.dirname(path)):
            os.mkdir(os.path.dirname(path))
        # Not blocking: a payload may have left a pipe of this name.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o660)
        try:
            os.write(descriptor, f"{line}\n".encode("utf-8", "backslashreplace"))
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
    except OSError as error:
        raise storage_error("write", path, error) from error


def _no_area(work: str, database_id: str, area: str) -> StorageError:
    if marker_of(work) == database_id:
        return StorageError(f"{area} is not there any more")
    failure = StorageError(f"{work} is not this database's: is its file system mounted?")
    failure.transient = True
    return failure


def last_words(area: str, start: int) -> str:
    """Give the last line that says something of what was written into the log from `start` (bytes) on."""
    path = f"{area}/{LOG}"
    try:
        file = open_regular(path)
        if file is None:
            return ""
        with file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(start, size - KEPT))
            written = file.read(KEPT)
    except OSError as error:
        raise storage_error("read", path, error) from error
    for line in reversed(written.decode("utf-8", "replace").splitlines()):
        if text := "".join(c if c.isprintable() else " " for c in line).strip():
            return text[:300]
    return ""
