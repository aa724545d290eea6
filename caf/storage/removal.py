"""Removing an attempt's area: by folders' descriptors, so that nothing outside of it can ever be touched.

Before anything goes it is looked at whose the folder of working areas is, and whose the area. Then the area gets
another name in one step: from there on nobody takes what is left of it for an area. Its job.json goes last, so that
whatever interrupts this, the next call knows what it has before it. The work is done in steps of seconds.
"""

import errno
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from caf.domain.errors import StorageError
from caf.storage.area import FACTS
from caf.storage.below import FOLDER, entered, mount_of, mounted, opened_folder, read_small, room_for_depth
from caf.storage.failures import storage_error
from caf.storage.work import REMOVED, check_mark, note_removed

GOING = ".removing."
"""How an area is called while it is removed: this, and the attempt's number."""
LONGEST_FACTS = 64 * 1024 * 1024  # bytes
AT_ONCE = 50_000  # entries of one folder
_REPLACED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}  # while it was looked at


def remove_area(request: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Remove one attempt's area, or go on with it, for some seconds.

    The request has: work, database_id, generation, run, job, attempt, job_id. Gives done; found: whether there was
    anything left of the area; and entries: how many names went in this step. StorageError if the folder is not this
    supervisor's, if what stands there is not this attempt's area, or where the file system refuses.
    """
    end = time.monotonic() + seconds
    work, folder = request["work"], f"{request['run']}_{request['job']}"
    path, number = f"{work}/{folder}", str(request["attempt"])
    going = f"{GOING}{number}"
    with opened_folder(work) as top, room_for_depth():
        check_mark(top, work, request["database_id"], request["generation"])
        with entered(top, folder, path) as parent:
            if parent is None:
                return {"done": True, "found": False, "entries": 0}
            _set_aside(parent, number, going, path, request)
            with entered(parent, going, f"{path}/{going}") as area:
                if area is None:
                    return {"done": True, "found": False, "entries": 0}
                _check_area(area, f"{path}/{going}", request, begun=True)
                sweep = _Sweep(area, f"{path}/{going}", end)
                if sweep.below(area, keep=FACTS) and len(os.listdir(area)) <= 1:
                    _note(top, work, request)
                    sweep.last(parent, area, going)
                    with suppress(OSError):  # other attempts may be there
                        os.rmdir(folder, dir_fd=top)
                    return {"done": True, "found": True, "entries": sweep.entries}
                return {"done": False, "found": True, "entries": sweep.entries}


def _note(top: int, work: str, request: dict[str, Any]) -> None:
    """Have it known of the attempt that it is over, once nothing else says so; by now the disk has room for that."""
    try:
        note_removed(top, request["run"], request["job"], request["attempt"])
    except OSError as error:
        raise storage_error("write", f"{work}/{REMOVED}", error) from error


def _set_aside(parent: int, number: str, going: str, path: str, request: dict[str, Any]) -> None:
    """Give an area that is proved to be the right one the name that says it is being removed."""
    with entered(parent, number, f"{path}/{number}") as area:
        if area is None:
            return
        _check_area(area, f"{path}/{number}", request)
        if _there(parent, going):
            raise StorageError(f"{path}/{going} is there beside {number}: nothing is removed; look who made it")
        try:
            os.rename(number, going, src_dir_fd=parent, dst_dir_fd=parent)
        except OSError as error:
            raise storage_error("remove", f"{path}/{number}", error) from error


def _there(parent: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _check_area(area: int, path: str, request: dict[str, Any], *, begun: bool = False) -> None:
    """Refuse an area that does not say itself that it is this attempt's. Of one that is `begun` nothing may be left."""
    try:
        data = read_small(area, FACTS, LONGEST_FACTS)
        if data is None and begun and not os.listdir(area):
            return
        facts = json.loads(data) if data is not None else None
    except (ValueError, RecursionError):
        facts = None
    except OSError as error:
        raise storage_error("read", f"{path}/{FACTS}", error) from error
    wanted = {name: request[name] for name in ("database_id", "job_id", "run", "job", "attempt")}
    found = {name: facts.get(name) for name in wanted} if isinstance(facts, dict) else None
    if found != wanted:
        whose = "holds no job.json" if found is None else f"has a job.json of {_whose(found)}"
        raise StorageError(f"{path} {whose}: it is not what was to be removed, and stays; look who made it")


def _whose(found: dict[str, Any]) -> str:
    return f"attempt {found['attempt']} of {found['job']} of run {found['run']}, database {found['database_id']}"


@dataclass(slots=True)
class _Level:
    """An open folder that is being emptied: its name in the one above, and what of it is still to go."""

    descriptor: int
    name: str
    entries: list["os.DirEntry[str]"]
    more: bool  # there were too many to list at once


class _Sweep:
    """Removes all below an open folder until its time is over; counts what went."""

    def __init__(self, area: int, path: str, end: float) -> None:
        self._mount = mount_of(area)
        self._path = path
        self._end = end
        self._levels: list[_Level] = []
        self.entries = 0

    def below(self, area: int, keep: str) -> bool:
        """Empty a folder, but for one name; False if the time is over before."""
        try:
            self._levels = [_Level(area, "", *_listed(area))]
            while True:
                level = self._levels[-1]
                if not self._files(level, keep):
                    return False
                if self._levels[-1] is not level:
                    continue
                if level.more:
                    level.entries, level.more = _listed(level.descriptor)
                elif len(self._levels) == 1:
                    return True
                else:
                    self._up()
                    if time.monotonic() >= self._end:  # never before something went: every step gets on
                        return False
        except OSError as error:
            raise self._refused(error) from error
        finally:
            for level in self._levels[1:]:
                os.close(level.descriptor)
            self._levels = []

    def _files(self, level: _Level, keep: str) -> bool:
        """Remove a folder's files until it has none left, or a folder in it must be gone into first."""
        unlink, descriptor, entries = os.unlink, level.descriptor, level.entries
        top = len(self._levels) == 1
        while entries:
            entry = entries.pop()
            name = entry.name
            if entry.is_dir(follow_symlinks=False):
                return self._down(level, name)
            if top and name == keep:
                continue
            try:
                unlink(name, dir_fd=descriptor)
            except PermissionError:
                _make_writable(descriptor)
                unlink(name, dir_fd=descriptor)
            except FileNotFoundError:
                continue
            self.entries += 1
            if not self.entries % 256 and time.monotonic() >= self._end:
                return False
        return True

    def _down(self, level: _Level, name: str) -> bool:
        """Go into a folder; one that is something else by now is left to the next step."""
        try:
            descriptor = _open(level.descriptor, name)
        except OSError as error:
            if error.errno in _REPLACED:
                return error.errno == errno.ENOENT
            raise
        self._levels.append(_Level(descriptor, name, [], False))
        if mount_of(descriptor) != self._mount:
            raise mounted(self._where())
        self._levels[-1].entries, self._levels[-1].more = _listed(descriptor)
        return True

    def _up(self) -> None:
        """Remove the folder that was emptied last; if something came into it meanwhile, that goes too."""
        level, parent = self._levels[-1], self._levels[-2]
        try:
            self.folder(parent.descriptor, level.name)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY or time.monotonic() >= self._end:
                raise
            level.entries, level.more = _listed(level.descriptor)
            return
        os.close(level.descriptor)
        self._levels.pop()

    def folder(self, parent: int, name: str) -> None:
        """Remove an empty folder."""
        try:
            os.rmdir(name, dir_fd=parent)
        except PermissionError:
            _make_writable(parent)
            os.rmdir(name, dir_fd=parent)
        except FileNotFoundError:
            return
        self.entries += 1

    def last(self, parent: int, area: int, going: str) -> None:
        """Remove what says whose the area was, and the area."""
        try:
            with suppress(FileNotFoundError):
                os.unlink(FACTS, dir_fd=area)
                self.entries += 1
            self.folder(parent, going)
        except OSError as error:
            raise self._refused(error) from error

    def _where(self) -> str:
        return "/".join((self._path, *(level.name for level in self._levels[1:])))

    def _refused(self, error: OSError) -> StorageError:
        failure = storage_error("remove", self._where(), error)
        failure.transient |= error.errno == errno.ENOTEMPTY  # somebody has just put something there
        return failure


def _listed(folder: int) -> tuple[list["os.DirEntry[str]"], bool]:
    """Give a folder's entries, and whether there are more; never so many that memory would not do."""
    with os.scandir(folder) as found:
        entries = list(islice(found, AT_ONCE))
    return entries, len(entries) == AT_ONCE


def _open(parent: int, name: str) -> int:
    """Open a folder to empty it; one that its owner may not read is made readable, where it is ours."""
    try:
        return os.open(name, FOLDER, dir_fd=parent)
    except PermissionError:
        handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            os.chmod(f"/proc/self/fd/{handle}", 0o700)
        finally:
            os.close(handle)
        return os.open(name, FOLDER, dir_fd=parent)


def _make_writable(folder: int) -> None:
    os.fchmod(folder, 0o700)
