"""Archiving: an attempt's area copied to where it is kept, every file compared by size and adler32.

A file gets its name in the archive only when its copy was found to be the same; the manifest, written last, says that
all of them were. So whatever is interrupted is taken up again where it was: what is there and the same is not copied
again. The work is done in steps of a second or so, and the file child that does it can be killed at any time.
"""

import json
import os
import time
from collections.abc import Generator, Sequence
from typing import Any

from caf.domain.errors import StorageError
from caf.storage.archive_place import Place, Steps, adler32
from caf.storage.archive_posix import Folder
from caf.storage.archive_survey import Survey, changed, opened, survey
from caf.storage.archive_xrootd import Remote
from caf.storage.xrootd import is_remote

MANIFEST = "archive.json"
NAMED = 100  # of what was left out are told, and logged; the manifest names all

Counted = Generator[int, None, dict[str, Any]]
"""Steps that tell how many files are left."""

_under_way: dict[str, Counted] = {}


def archive_step(request: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Do some seconds of the archiving of one attempt; called again with the same request it goes on.

    The request has: area, url (the attempt's folder in the archive, a path or root://), root (the part of a path that
    is the same for all attempts and must be there), exclude (patterns), owner (whose attempt: an object that
    the manifest keeps). Gives done and left (files), and at the end files, bytes and left_out, [[name, why]] of the
    first few. StorageError, transient where it is worth while to try again.
    """
    key = json.dumps(request, sort_keys=True)
    if key not in _under_way:
        for other in _under_way.values():
            other.close()
        _under_way.clear()
        _under_way[key] = _archive(request)
    end = time.monotonic() + seconds
    steps = _under_way[key]
    try:
        while True:
            left = next(steps)
            if time.monotonic() >= end:
                return {"done": False, "left": left}
    except StopIteration as over:
        del _under_way[key]
        result: dict[str, Any] = over.value
        return result
    except BaseException:
        del _under_way[key]
        raise


def _archive(request: dict[str, Any]) -> Counted:
    """Archive one area."""
    area, owner = request["area"], request["owner"]
    place = place_of(request)
    found = survey(area, request["exclude"])
    _no_clash(found)
    left = len(found.files)
    yield from _counted(left, place.begin())
    known = yield from _counted(left, place.read(MANIFEST))
    before = manifest_of(known, place, owner)
    if before is not None and same(before, area, found):
        return _result(before)
    entries = []
    for name in found.files:
        entries.append((yield from _counted(left, _file(place, area, name))))
        left -= 1
    manifest = {
        "owner": owner,
        "files": entries,
        "folders": found.folders,
        "links": found.links,
        "left_out": found.left_out,
        "excluded": list(request["exclude"]),
    }
    if survey(area, request["exclude"]) != found or not same(manifest, area, found):
        changed(area)
    yield from _counted(left, place.write(MANIFEST, json.dumps(manifest, indent=1).encode() + b"\n"))
    return _result(manifest)


def _counted(left: int, steps: Steps[Any]) -> Generator[int, None, Any]:
    """Do the steps of a part, telling how many files are left."""
    try:
        while True:
            next(steps)
            yield left
    except StopIteration as over:
        return over.value
    finally:
        steps.close()


def place_of(request: dict[str, Any]) -> Place:
    """Give the place that an area is archived into; StorageError if that is inside the area."""
    if is_remote(request["url"]):
        return Remote(request["url"])
    inside = os.path.realpath(request["area"])
    if os.path.commonpath([os.path.realpath(request["url"]), inside]) == inside:
        raise StorageError(f"archive {request['url']} is inside the working area: name another place")
    return Folder(request["url"], request["root"])


def _no_clash(found: Survey) -> None:
    if MANIFEST in found.files:
        raise StorageError(f"{MANIFEST} of the working area has the manifest's name: leave it out by archive_exclude")


def _file(place: Place, area: str, name: str) -> Steps[dict[str, Any]]:
    """See to it that one file is in the archive, the same as in the area."""
    stored = place.stored(name)
    with opened(area, name) as (source, status):
        value = None
        if (yield from place.size(stored)) == status.st_size:
            value = yield from adler32(source)
            os.lseek(source, 0, os.SEEK_SET)
        if value is None or (yield from place.checksum(stored)) != value:
            partial, value = yield from place.put(source, stored, status)
            there = yield from place.checksum(partial)
            after = os.fstat(source)
            if (after.st_size, after.st_mtime_ns) != (status.st_size, status.st_mtime_ns) or there != value:
                yield from place.remove(partial)
                if there != value:
                    _differs(place, stored, there, value)
                changed(os.path.join(area, name))
            yield from place.rename(partial, stored)
    entry = {"name": name, "size": status.st_size, "adler32": f"{value:08x}", "mtime": status.st_mtime_ns / 1e9}
    return entry if stored == name else {**entry, "as": stored}


def _differs(place: Place, stored: str, there: int, value: int) -> None:
    error = StorageError(
        f"the copy {place}/{stored} has adler32 {there:08x}, what was read {value:08x}: it is removed and tried again"
    )
    error.transient = True
    raise error


def manifest_of(data: bytes | None, place: Place, owner: dict[str, Any]) -> dict[str, Any] | None:
    """Read the manifest of an earlier archiving; StorageError if another attempt's archive is there."""
    if data is None:
        return None
    try:
        known: dict[str, Any] = json.loads(data)
        theirs = known["owner"]
    except (ValueError, KeyError, TypeError):
        raise StorageError(f"{place}/{MANIFEST} is none of caf's: move the folder away, or change `archive`") from None
    if theirs != owner:
        whose = ", ".join(f"{name} {value}" for name, value in dict(theirs).items())
        raise StorageError(f"{place} is the archive of {whose}: move it away, or change `archive`")
    return known


def same(known: dict[str, Any], area: str, found: Survey) -> bool:
    """Tell whether a manifest speaks of just what is in the area now."""
    kept = [(one["name"], one["size"], one["mtime"]) for one in known["files"]]
    now = []
    for name in found.files:
        status = os.stat(os.path.join(area, name))
        now.append((name, status.st_size, status.st_mtime_ns / 1e9))
    return kept == now


def _result(manifest: dict[str, Any]) -> dict[str, Any]:
    files: Sequence[dict[str, Any]] = manifest["files"]
    size = sum(one["size"] for one in files)
    return {"done": True, "left": 0, "files": len(files), "bytes": size, "left_out": manifest["left_out"][:NAMED]}
