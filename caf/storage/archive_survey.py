"""What of a working area is archived: its regular files, by name; all else is named with the reason."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import NoReturn

from caf.domain.errors import StorageError
from caf.storage.failures import storage_error


@dataclass(slots=True)
class Survey:
    """An area's content, by names relative to it. `links` give where they lead."""

    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def sort(self) -> None:
        for names in (self.files, self.folders, self.links, self.left_out):
            names.sort()


def survey(area: str, exclude: Sequence[str]) -> Survey:
    """Look through an area. StorageError if some of it cannot be looked at.

    A pattern without a slash leaves out whatever has such a name, anywhere, and all that is below it; one with a
    slash is meant from the area's top. A link to a file within the area counts as that file; no other is followed.
    """
    found = Survey()
    top = os.path.realpath(area)
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(os.path.join(area, folder)) as entries:
                for entry in entries:
                    name = os.path.join(folder, entry.name)
                    if not _excluded(name, exclude) and _note(found, name, entry, top):
                        pending.append(name)
        except OSError as error:
            raise storage_error("archive", os.path.join(area, folder), error) from error
    found.sort()
    return found


def _note(found: Survey, name: str, entry: "os.DirEntry[str]", top: str) -> bool:
    """Put one entry where it belongs; True for a folder that must be looked through."""
    if entry.is_symlink():
        _note_link(found, name, entry.path, top)
        return False
    if entry.is_dir(follow_symlinks=False):
        found.folders.append(name)
        return True
    if entry.is_file(follow_symlinks=False):
        found.files.append(name)
    else:
        found.left_out.append((name, f"is {_kind(entry.stat(follow_symlinks=False).st_mode)}"))
    return False


def _note_link(found: Survey, name: str, path: str, top: str) -> None:
    target = os.readlink(path)
    try:
        real = os.path.realpath(path, strict=True)
        mode = os.stat(real).st_mode
    except (FileNotFoundError, NotADirectoryError):
        found.links.append((name, target))
        return
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        found.links.append((name, target))
        return
    if os.path.commonpath([real, top]) != top:
        found.left_out.append((name, f"is a link that leads out of the area, to {target}"))
    elif stat.S_ISREG(mode):
        found.files.append(name)
    else:
        found.links.append((name, target))


def _excluded(name: str, patterns: Sequence[str]) -> bool:
    last = os.path.basename(name)
    for pattern in patterns:
        wanted = pattern.removesuffix("/")
        if fnmatchcase(name if "/" in wanted else last, wanted.removeprefix("./")):
            return True
    return False


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


@contextmanager
def opened(area: str, name: str) -> Iterator[tuple[int, os.stat_result]]:
    """Open a regular file of an area for reading, and give its descriptor and what it is like.

    StorageError if it is not there any more, is none, or if any link on the way leads out of the area.
    """
    path = os.path.join(area, name)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        failure = storage_error("read", path, error)
        failure.transient = failure.transient or error.errno in {errno.ENOENT, errno.ENXIO}
        raise failure from error
    try:
        status = os.fstat(descriptor)
        real = os.readlink(f"/proc/self/fd/{descriptor}")  # where it truly is, whatever was renamed meanwhile
        top = os.path.realpath(area)
        if not stat.S_ISREG(status.st_mode) or os.path.commonpath([real, top]) != top:
            changed(path)
        yield descriptor, status
    finally:
        os.close(descriptor)


def changed(path: str) -> NoReturn:
    """Say that something writes in the area still."""
    error = StorageError(f"{path} changed while it was archived: what still writes there? it is tried again")
    error.transient = True
    raise error
