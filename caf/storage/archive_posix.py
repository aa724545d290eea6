"""An archive on a mounted file system."""

import errno
import os
import secrets
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from caf.domain.errors import StorageError
from caf.storage.archive_place import PARTIAL, Steps, adler32, partial_name, piece_of
from caf.storage.failures import PASSING

SYNCED = 64  # pieces, after which what was written goes to the disk: all at once at the end might take too long
ADVICE = {
    errno.ENOSPC: "free some there",
    errno.EDQUOT: "free some there, or have the quota raised",
    errno.EACCES: "give this account the right to write there",
    errno.EPERM: "give this account the right to write there",
    errno.EROFS: "name another place in `archive`",
}


class Folder:
    """A folder that one attempt is archived into. `root`, the part of it that is the same for all, must be there."""

    def __init__(self, path: str, root: str) -> None:
        self._path = path
        self._root = root

    def __str__(self) -> str:
        return self._path

    def stored(self, name: str) -> str:
        return name

    def begin(self) -> Steps[None]:
        """Look whether the archive is there at all, and remove what an interrupted copy has left."""
        with self._explained(self._root):
            if not os.path.isdir(self._root):
                error = StorageError(
                    f"archive {self._root} is not there: is its file system mounted? if it is new, make the folder"
                )
                error.transient = True
                raise error
            os.makedirs(self._path, exist_ok=True)
            for folder, _, names in os.walk(self._path):
                for name in names:
                    if PARTIAL.fullmatch(name):
                        os.unlink(os.path.join(folder, name))
                yield

    def size(self, name: str) -> Steps[int | None]:
        yield
        with self._explained(self._at(name)):
            try:
                status = os.lstat(self._at(name))
            except FileNotFoundError:
                return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def checksum(self, name: str) -> Steps[int]:
        """Read a file back, as far as possible from where it truly lies."""
        with self._explained(self._at(name)), open(self._at(name), "rb", buffering=0) as file:
            with suppress(OSError):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            value = yield from adler32(file.fileno())
        return value

    def put(self, source: int, name: str, status: os.stat_result) -> Steps[tuple[str, int]]:
        """Copy an open file under a name of its own, and give that and the sum of what was read."""
        partial = os.path.join(os.path.dirname(name), partial_name())
        path = self._at(partial)
        with self._explained(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "xb", buffering=0) as file:
                value, pieces = 1, 0
                while piece := piece_of(source):
                    value = zlib.adler32(piece, value)
                    _write(file.fileno(), piece)
                    pieces += 1
                    if pieces % SYNCED == 0:
                        os.fdatasync(file.fileno())
                    yield
                with suppress(OSError):  # not every file system can
                    os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode) & 0o770)
                    os.utime(file.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
                os.fsync(file.fileno())
        return partial, value

    def rename(self, partial: str, name: str) -> Steps[None]:
        yield
        with self._explained(self._at(name)):
            os.replace(self._at(partial), self._at(name))

    def remove(self, name: str) -> Steps[None]:
        yield
        with suppress(OSError):
            os.unlink(self._at(name))

    def read(self, name: str) -> Steps[bytes | None]:
        """Give a small file's content; None if it is not there."""
        yield
        with self._explained(self._at(name)):
            try:
                with open(self._at(name), "rb") as file:
                    return file.read()
            except FileNotFoundError:
                return None

    def write(self, name: str, data: bytes) -> Steps[None]:
        """Put a small file there in one step, and see that it will outlast a loss of power."""
        yield
        path = self._at(f".caf-{secrets.token_hex(4)}.part")
        with self._explained(self._at(name)):
            with open(path, "xb", buffering=0) as file:
                _write(file.fileno(), data)
                os.fsync(file.fileno())
            os.replace(path, self._at(name))
            folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                with suppress(OSError):
                    os.fsync(folder)
            finally:
                os.close(folder)

    def _at(self, name: str) -> str:
        return os.path.join(self._path, name)

    @contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        """Say what to do about what the file system refuses."""
        try:
            yield
        except OSError as error:
            advice = ADVICE.get(error.errno or 0)
            failure = StorageError(f"cannot archive to {path}: {error.strerror}" + (f": {advice}" if advice else ""))
            failure.transient = error.errno in PASSING
            raise failure from error


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
