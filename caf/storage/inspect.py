"""Looking at what an ended attempt has left: its log, which may be huge, and its outputs."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, BinaryIO

from caf.domain.errors import StorageError
from caf.storage.failures import open_regular, storage_error

CHUNK = 1 << 20  # bytes
TAIL = 256 * 1024  # bytes of a log's end in which telling lines are looked for
TAIL_LINES = 3
TAIL_LENGTH = 500  # characters

TELLING = re.compile(r"ERROR|FATAL|Traceback|Exception|error")
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def inspect(request: dict[str, Any]) -> dict[str, Any]:
    """Judge an ended attempt's area by what its job calls success.

    The request has area, log (None: log/stdout), log_has and log_lacks (texts), outputs (names in the area). Gives
    missing_log, log_lacks (wanted texts that are not there), log_holds (forbidden ones that are), missing and empty
    outputs, and tail: up to three telling lines of the log, else of log/stderr, at most 500 characters.
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
    return {
        "missing_log": missing_log,
        "log_lacks": [text for text in wanted if text not in found],
        "log_holds": [text for text in forbidden if text in found],
        "missing": [output for output, size in sizes.items() if size is None],
        "empty": [output for output, size in sizes.items() if size == 0],
        "tail": _tail(log) or _tail(_inside(area, "log/stderr")),
    }


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
    path = os.path.realpath(os.path.join(area, name))
    if os.path.commonpath([path, os.path.realpath(area)]) != os.path.realpath(area):
        raise StorageError(f"{name} leads out of the working area {area}, to {path}: it is not looked at")
    return path


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


def _tail(path: str) -> str:
    """Give a log's last lines that tell of an error, else its last ones, cleaned for a terminal and a mail."""
    with _reading(path) as file:
        if not file:
            return ""
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - TAIL))
        lines = list(_lines(file.read(TAIL)))
    telling = [line for line in lines if TELLING.search(line)] or lines
    width = (TAIL_LENGTH - TAIL_LINES + 1) // TAIL_LINES
    shown = [line if len(line) <= width else f"{line[: width - 1]}…" for line in telling[-TAIL_LINES:]]
    return "\n".join(shown)


def _lines(data: bytes) -> Iterator[str]:
    for line in data.decode("utf-8", "replace").splitlines():
        plain = ESCAPE.sub("", line).replace("\t", " ")
        if text := "".join(character for character in plain if character.isprintable()).strip():
            yield text
