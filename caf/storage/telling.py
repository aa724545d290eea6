"""The few lines of a log that tell what went wrong."""

import os
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from caf.storage.failures import open_regular, storage_error

TAIL = 256 * 1024  # bytes of a log's end in which telling lines are looked for
TAIL_LINES = 3
TAIL_LENGTH = 500  # characters

_TELLING = re.compile(
    r"error|exception|fatal|critical|bad_alloc|segmentation|core dumped|aborted|killed|cannot |not found|"
    r"no such file|no space left|permission denied",
    re.IGNORECASE,
)
_HARMLESS = re.compile(r"\b(?:0|no|without)\s+(?:\w+\s+)?(?:errors?|exceptions?)\b", re.IGNORECASE)
_MEMORY = re.compile(r"MemoryError|bad_alloc|cannot allocate memory|out of memory|oom-kill", re.IGNORECASE)
_TRACEBACK = "Traceback (most recent call last)"
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def telling(paths: Sequence[str]) -> dict[str, str]:
    """Give `tail`: up to three lines, at most 500 characters, and `out_of_memory`: the last line that speaks of that.

    The lines are the last ones of the first of these files that speak of an error; of a Python traceback its last line,
    which names the exception. If no file has any they are the last lines of the first that is not empty.
    """
    logs = [list(_lines(path)) for path in paths]
    chosen = next((lines for lines in map(_errors, logs) if lines), None)
    if chosen is None:
        chosen = next(([text for _, text in lines] for lines in logs if lines), [])
    memory = [text for lines in logs for _, text in lines if _MEMORY.search(text)]
    return {"tail": "\n".join(_short(text) for text in chosen[-TAIL_LINES:]), "out_of_memory": _short(*memory[-1:])}


def _short(text: str = "") -> str:
    width = (TAIL_LENGTH - TAIL_LINES + 1) // TAIL_LINES
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _errors(lines: Sequence[tuple[bool, str]]) -> list[str]:
    """Give the lines that speak of an error, one of each."""
    found: dict[str, None] = {}
    in_traceback = False
    for indented, text in lines:
        if _TRACEBACK in text:
            in_traceback = True
        elif in_traceback:
            in_traceback = indented
            if not indented:
                found[text] = found.pop(text, None)
        elif _TELLING.search(_HARMLESS.sub("", text)):
            found[text] = found.pop(text, None)
    return list(found)


def _lines(path: str) -> Iterator[tuple[bool, str]]:
    """Give the last lines of a file, cleaned for a terminal and a mail, and whether they are indented."""
    try:
        file = open_regular(path)
        if file is None:
            return
        with file:
            data = _end(file)
    except OSError as error:
        raise storage_error("read", path, error) from error
    for line in data.decode("utf-8", "replace").splitlines():
        plain = _ESCAPE.sub("", line).replace("\t", " ")
        if text := "".join(character for character in plain if character.isprintable()).strip():
            yield plain.startswith(" "), text


def _end(file: BinaryIO) -> bytes:
    file.seek(0, os.SEEK_END)
    file.seek(max(0, file.tell() - TAIL))
    return file.read(TAIL)
