"""Looking at what an ended attempt has left: its log, which may be huge, and its outputs."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, BinaryIO

from caf.domain.errors import StorageError
from caf.storage.failures import open_regular, storage_error
from caf.storage.records import read_records
from caf.storage.telling import telling

CHUNK = 1 << 20  # bytes


def inspect(request: dict[str, Any]) -> dict[str, Any]:
    """Judge an ended attempt's area by what its job calls success.

    The request has area, log (None: log/stdout), log_has and log_lacks (texts), outputs (names in the area), and
    well_so_far (True: all else that is known of the attempt is good), and copies (True: the wrapper was to bring some
    back; then the answer has copy: which it could not). Gives missing_log, log_lacks (wanted texts that
    are not there), log_holds (forbidden ones that are), missing and empty outputs, and tail and out_of_memory: what the
    log and log/stderr tell, as caf/storage/telling.py has it; nothing where nothing is wrong.
    StorageError if a name leads out of the area, or something cannot be read.
    """
    area = request["area"]
    name = request["log"] or "log/stdout"
    log = _inside(area, name)
    wanted, forbidden = list(request["log_has"]), list(request["log_lacks"])
    found: set[str] = set()
    with _reading(log) as file:
        missing_log = file is None
        if file:
            found = _search(file, {*wanted, *forbidden})
    sizes = {output: _size(_inside(area, output)) for output in request["outputs"]}
    wrong: dict[str, Any] = {
        "log_lacks": [text for text in wanted if text not in found],
        "log_holds": [text for text in forbidden if text in found],
        "missing": [output for output, size in sizes.items() if size is None],
        "empty": [output for output, size in sizes.items() if size == 0],
    }
    if request.get("copies"):
        wrong["copy"] = _copies_missed(area)
    well = request.get("well_so_far", False) and not any(wrong.values())
    told = {"tail": "", "out_of_memory": ""} if well else telling([log, _inside(area, "log/stderr")])
    return {**wrong, "missing_log": missing_log, **told}


def _copies_missed(area: str) -> str:
    """Give what the exit record says of copies that failed; nothing if it says nothing."""
    (found,) = read_records([area])
    if found["error"]:
        failure = StorageError(found["error"])
        failure.transient = True  # it was there, and proves nothing while it cannot be read
        raise failure
    return str((found["exit"] or {}).get("copy") or "")


@contextmanager
def _reading(path: str) -> Iterator[BinaryIO | None]:
    """Open a regular file; None if there is none. StorageError if it cannot be read."""
    try:
        file = open_regular(path)
        with file or nullcontext():
            yield file
    except OSError as error:
        raise storage_error("read", path, error) from error


def _inside(area: str, name: str) -> str:
    """Give a name's path; StorageError if it, or a link on the way, leads out of the area."""
    if _without_links(area, name):
        return f"{area}/{name}"
    path = os.path.realpath(os.path.join(area, name))
    if os.path.commonpath([path, os.path.realpath(area)]) != os.path.realpath(area):
        raise StorageError(f"{name} leads out of the working area {area}, to {path}: it is not looked at")
    return path


def _without_links(area: str, name: str) -> bool:
    """Tell whether the way from the area to a name is plain: then it cannot lead out of it, wherever the area is."""
    path = area
    for part in name.split("/"):
        if part in {"", ".", ".."}:
            return False
        path = f"{path}/{part}"
        try:
            if stat.S_ISLNK(os.lstat(path).st_mode):
                return False
        except OSError:
            return False
    return True


def _search(file: BinaryIO, texts: set[str]) -> set[str]:
    """Find which texts a file holds, reading it once in pieces."""
    needles = {text: text.encode() for text in texts}
    overlap = max((len(needle) for needle in needles.values()), default=1) - 1
    found: set[str] = set()
    kept = b""
    while len(found) < len(needles):
        piece = file.read(CHUNK)
        window = kept + piece
        found.update(text for text, needle in needles.items() if text not in found and needle in window)
        if not piece:
            break
        kept = window[-overlap:] if overlap > 0 else b""
    return found


def _size(path: str) -> int | None:
    """Give a file's size in bytes, or a folder's number of entries; None if there is neither."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            return len(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise storage_error("look at", path, error) from error
    return status.st_size if stat.S_ISREG(status.st_mode) else None
