"""What trees of files weigh: their sizes, their blocks on the disk, how many they are.

Links are counted, not followed; a file with several names in one tree counts once; what is mounted within does not
count. What goes away meanwhile is passed over; what cannot be read is said.
"""

import errno
import gc
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Any

from caf.domain.errors import StorageError
from caf.storage.below import FOLDER, entered, opened_folder, room_for_depth
from caf.storage.failures import storage_error
from caf.storage.work import check_mark

_FOLDER_KIND, _KIND = 0o040000, 0o170000
_MODE, _LINKS, _SIZE, _BLOCKS = itemgetter(0), itemgetter(3), itemgetter(6), attrgetter("st_blocks")
AT_ONCE = 1000  # entries
BLOCK = 512  # bytes of st_blocks, whatever the file system's own are
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}  # replaced while it was looked at


def weigh_areas(work: str, database_id: str, areas: Sequence[tuple[int, str, int]]) -> list[dict[str, Any]]:
    """Weigh attempts' areas (run, job, attempt) in the folder of working areas.

    Each answer has found, sizes, disk, files, and error: a text where it could not be weighed. StorageError if the
    folder is not that database's, as one that is not mounted: what is missing there is not gone.
    """
    with opened_folder(work) as top:
        check_mark(top, work, database_id)
        with _undisturbed(), room_for_depth():
            return [_area(top, work, run, job, attempt) for run, job, attempt in areas]


def _area(top: int, work: str, run: int, job: str, attempt: int) -> dict[str, Any]:
    path = f"{work}/{run}_{job}"
    try:
        with entered(top, f"{run}_{job}", path) as folder:
            if folder is None:
                return _answer(None)
            with entered(folder, str(attempt), f"{path}/{attempt}") as area:
                return _answer(None if area is None else _weigh(area, f"{path}/{attempt}"))
    except StorageError as error:
        if error.transient:
            raise
        return {**_answer((0, 0, 0)), "error": str(error)}


def weigh_tree(path: str) -> dict[str, Any]:
    """Weigh everything below a folder; gives sizes, disk, files, and took (s)."""
    began = time.monotonic()
    with opened_folder(path) as top, _undisturbed(), room_for_depth():
        answer = _answer(_weigh(top, path))
    return {**answer, "took": time.monotonic() - began}


def _answer(found: tuple[int, int, int] | None) -> dict[str, Any]:
    sizes, disk, files = found or (0, 0, 0)
    return {"found": found is not None, "sizes": sizes, "disk": disk, "files": files, "error": None}


def _weigh(top: int, path: str) -> tuple[int, int, int]:
    """Give sizes, bytes on disk and number of all below an open folder, itself included."""
    status = os.fstat(top)
    found = _Found(status.st_dev, status.st_blocks)
    # As many folders are open at a time as are nested.
    open_ones: list[tuple[int, list[str]]] = []
    inside: list[str] = []
    try:
        try:
            open_ones.append((top, found.look(top)))
            while open_ones:
                descriptor, names = open_ones[-1]
                if not names:
                    open_ones.pop()
                    if descriptor != top:
                        os.close(descriptor)
                        inside.pop()
                    continue
                if (below := _open(descriptor, name := names.pop())) is not None:
                    open_ones.append((below, []))
                    inside.append(name)
                    open_ones[-1] = (below, found.look(below))
        except OSError as error:
            raise storage_error("weigh", "/".join((path, *inside)), error) from error
    finally:
        for descriptor, _ in open_ones:
            if descriptor != top:
                os.close(descriptor)
    return found.sizes, found.blocks * BLOCK, found.files


class _Found:
    """What has been found so far of a tree on one device."""

    __slots__ = ("_device", "_linked", "blocks", "files", "sizes")

    def __init__(self, device: int, blocks: int) -> None:
        self._device = device
        self._linked: set[int] = set()
        self.sizes, self.blocks, self.files = 0, blocks, 1

    def look(self, folder: int) -> list[str]:
        """Count the entries of one folder, and give the names of the folders among them.

        What most folders hold, plain files with one name each, is added up without a step of Python for each.
        """
        below: list[str] = []
        with os.scandir(folder) as entries:
            while listed := list(islice(entries, AT_ONCE)):
                try:
                    found = [entry.stat(follow_symlinks=False) for entry in listed]
                except FileNotFoundError:  # something went meanwhile: one by one, then
                    listed, found = _there(listed)
                if max(map(_LINKS, found), default=1) > 1 or any(map(_is_folder, set(map(_MODE, found)))):
                    below += self._one_by_one(listed, found)
                else:
                    self.sizes += sum(map(_SIZE, found))
                    self.blocks += sum(map(_BLOCKS, found))
                    self.files += len(found)
        return below

    def _one_by_one(self, listed: list["os.DirEntry[str]"], found: list[os.stat_result]) -> list[str]:
        below = []
        for entry, status in zip(listed, found, strict=True):
            if _is_folder(status.st_mode):
                if status.st_dev != self._device:
                    continue
                below.append(entry.name)
            else:
                if status.st_nlink > 1:
                    if status.st_ino in self._linked:
                        continue
                    self._linked.add(status.st_ino)
                self.sizes += status.st_size
            self.blocks += status.st_blocks
            self.files += 1
        return below


def _is_folder(mode: int) -> bool:
    return mode & _KIND == _FOLDER_KIND


def _there(listed: list["os.DirEntry[str]"]) -> tuple[list["os.DirEntry[str]"], list[os.stat_result]]:
    found = []
    for entry in listed:
        with suppress(FileNotFoundError):
            found.append((entry, entry.stat(follow_symlinks=False)))
    return [entry for entry, _ in found], [status for _, status in found]


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Have no garbage looked for: nothing here makes any, and looking takes longer than weighing."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _open(parent: int, name: str) -> int | None:
    try:
        return os.open(name, FOLDER, dir_fd=parent)
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise
