"""Copying what an attempt has to show beside the status page: plots, texts, the ends of its logs.

The area is the payload's, and the page is read by browsers. So no link is followed, each folder on the way is opened
in the one above it, and only what cannot be active is copied: pictures and PDF that begin as such, and text, under a
name that ends with .txt, whatever it was called.
"""

import fnmatch
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

from caf.domain.errors import StorageError
from caf.storage.failures import storage_error
from caf.storage.publish import SHOWN, make_folder, replace
from caf.storage.work import marker_of

MOST = 50  # files of one attempt
ENTRIES = 10_000  # of a folder that are looked through for a pattern
LOG_TAIL = 64 * 1024  # bytes of a log
HEAD = 2000  # bytes of a text that the page itself shows
_PLOTS = {"png": b"\x89PNG\r\n\x1a\n", "jpg": b"\xff\xd8\xff", "webp": b"RIFF"}
_ENDINGS = {"jpeg": "jpg", **{ending: ending for ending in _PLOTS}}
_WILD = re.compile(r"[*?[]")
_SAFE = re.compile(r"[^A-Za-z0-9_-]+")


def copy_shown(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Copy an attempt's files into the page's folder, and say of each what became of it.

    The request has work, database_id, area, folder (the page's), place (below it), show (patterns in the area), log,
    and largest (bytes of one file). Each answer has name and kind (plot, pdf, text, log, none), and where it was copied
    file (below the page's folder), size and, of a text, head; else note: why not. StorageError, transient, where the
    area cannot be used just now.
    """
    area = request["area"]
    try:
        top = os.open(area, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        if marker_of(request["work"]) != request["database_id"]:
            failure = StorageError(f"{request['work']} is not this database's: is its file system mounted?")
            failure.transient = True
            raise failure from None
        return [_none(name, "its working area is not there any more") for name in request["show"]]
    except OSError as error:
        raise storage_error("read", area, error) from error
    target = os.path.join(request["folder"], SHOWN, request["place"])
    try:
        make_folder(target)
        return [*_shown(top, request, target), *_logs(top, request, target)]
    except OSError as error:
        raise storage_error("copy files of", area, error) from error
    finally:
        os.close(top)


def remove_shown(folder: str, places: list[str]) -> None:
    """Remove what was copied of attempts, for its age."""
    for place in places:
        path = os.path.join(folder, SHOWN, place)
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise storage_error("remove", path, error) from error
        with suppress(OSError):  # another attempt's are there
            os.rmdir(os.path.dirname(path))


def _shown(top: int, request: dict[str, Any], target: str) -> Iterator[dict[str, Any]]:
    found = 0
    for pattern in request["show"]:
        names = list(islice(_matching(top, pattern.split("/")), MOST + 1))
        if not names:
            yield _none(pattern, "is not there")
        for name in names:
            found += 1
            if found > MOST:
                yield _none(pattern, f"more than {MOST} files: the others are not shown")
                return
            yield _copied(top, name, request, target, found)


def _matching(top: int, parts: list[str], way: str = "") -> Iterator[str]:
    """Give the names in the area that a pattern fits, without following links."""
    part, rest = parts[0], parts[1:]
    if part in {"", "."}:
        yield from _matching(top, rest, way) if rest else ()
        return
    if part == "..":
        return
    names = [part]
    if _WILD.search(part):
        with _Opened(top, way, os.O_DIRECTORY) as folder:
            if folder is None:
                return
            with os.scandir(folder) as entries:
                some = [entry.name for entry, _ in zip(entries, range(ENTRIES), strict=False)]
        names = sorted(name for name in some if fnmatch.fnmatchcase(name, part) and not name.startswith("."))
    for name in names:
        here = f"{way}/{name}" if way else name
        if rest:
            yield from _matching(top, rest, here)
        else:
            with suppress(OSError), _Opened(top, way, os.O_DIRECTORY) as folder:
                if folder is not None:
                    os.lstat(name, dir_fd=folder)
                    yield here


class _Opened:
    """Opens a name below a folder, each part of its way in the one before, following no link; None if that fails."""

    def __init__(self, top: int, way: str, flags: int) -> None:
        self._top, self._parts, self._flags = top, [part for part in way.split("/") if part], flags
        self._opened: list[int] = []

    def __enter__(self) -> int | None:
        here = self._top
        plain = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        if not self._parts:
            self._opened.append(os.open(".", plain | os.O_DIRECTORY, dir_fd=here))
            return self._opened[-1]
        for place, part in enumerate(self._parts):
            last = place == len(self._parts) - 1
            try:
                here = os.open(part, plain | (self._flags if last else os.O_DIRECTORY), dir_fd=here)
            except OSError:
                self.__exit__()
                return None
            self._opened.append(here)
        return here

    def __exit__(self, *_: object) -> None:
        while self._opened:
            os.close(self._opened.pop())


def _copied(top: int, name: str, request: dict[str, Any], target: str, number: int) -> dict[str, Any]:
    with _Opened(top, name, 0) as descriptor:
        if descriptor is None:
            return _none(name, "is a link, or cannot be read: it is not shown")
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return _none(name, "is not a regular file: it is not shown")
        if status.st_size > request["largest"]:
            return _none(name, f"is larger ({status.st_size} bytes) than [report] largest: it is not shown")
        data = _read(descriptor, request["largest"])
    kind, ending = _kind(name, data)
    if kind is None:
        return _none(name, "is neither a picture (png, jpg, webp), nor PDF, nor text: it is not shown")
    given = name.rpartition("/")[2].rpartition(".")[0] or name.rpartition("/")[2]
    whole = name.rpartition("/")[2] if kind == "text" else given
    file = f"{number}-{_SAFE.sub('_', whole)[:60]}.{ending}"
    return _kept(target, request, file, {"name": name, "kind": kind}, data)


def _kept(target: str, request: dict[str, Any], file: str, told: dict[str, Any], data: bytes) -> dict[str, Any]:
    replace(os.path.join(target, file), data)
    told |= {"file": f"{SHOWN}/{request['place']}/{file}", "size": len(data)}
    if told["kind"] == "text":
        told["head"] = data[:HEAD].decode("utf-8", "ignore")
    return told


def _kind(name: str, data: bytes) -> tuple[str | None, str]:
    """Give what a file is by its name and its beginning, and the ending that its copy gets."""
    given = name.rpartition(".")[2].lower()
    ending = _ENDINGS.get(given)
    if ending is not None and data.startswith(_PLOTS[ending]):
        return "plot", ending
    if given == "pdf" and data.startswith(b"%PDF-"):
        return "pdf", "pdf"
    if b"\0" in data[:65536]:
        return None, ""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return None, ""
    return "text", "txt"


def _logs(top: int, request: dict[str, Any], target: str) -> Iterator[dict[str, Any]]:
    """Copy the ends of the job's log and of the standard error."""
    for place, name in enumerate(dict.fromkeys((request["log"], "log/stderr"))):
        with _Opened(top, name, 0) as descriptor:
            if descriptor is None or not stat.S_ISREG(os.fstat(descriptor).st_mode):
                continue
            size = os.fstat(descriptor).st_size
            if size == 0:
                continue
            os.lseek(descriptor, max(0, size - LOG_TAIL), os.SEEK_SET)
            data = _read(descriptor, LOG_TAIL)
        told: dict[str, Any] = {"name": name, "kind": "log"}
        if size > LOG_TAIL:
            told["note"] = f"the last {LOG_TAIL // 1024} kB of {size} bytes"
        yield _kept(target, request, ("log.txt", "stderr.txt")[place], told, data)


def _read(descriptor: int, longest: int) -> bytes:
    data = b""
    while len(data) < longest and (piece := os.read(descriptor, longest - len(data))):
        data += piece
    return data


def _none(name: str, why: str) -> dict[str, Any]:
    return {"name": name, "kind": "none", "note": why}
