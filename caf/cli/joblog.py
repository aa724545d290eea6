"""Printing a job's log: text from outside, in a folder that the payload can write."""

import io
import json
import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO

from caf.cli.text import harmless, warn
from caf.domain.errors import NotFound, Refused

BLOCK = 64 * 1024
_LONGEST_JOB_JSON = 16 * 1024 * 1024
STDOUT, STDERR = "log/stdout", "log/stderr"


def show(area: Path, *, stderr: bool, lines: int | None, note: str | None = None) -> None:
    """Print the log that the job's configuration names, else what it wrote to standard output.

    The note goes to standard error, if there is a log at all; NotFound if not.
    """
    wanted = STDERR if stderr else _configured(area)
    for name in dict.fromkeys((wanted, STDERR if stderr else STDOUT)):
        file = _open(area, name)
        if file is None:
            continue
        with file:
            if note is not None:
                warn(note)
            if name != wanted:
                warn(f"there is no {area / wanted}; this is {name}")
            _print(file, lines)
        return
    raise NotFound(f"there is no {area / wanted} (yet); the folder holds what the payload wrote: ls {area}")


def _configured(area: Path) -> str:
    """Give the log's name from the attempt's own job.json."""
    file = _open(area, "job.json")
    if file is None:
        return STDOUT
    with file:
        try:
            log = json.loads(file.read(_LONGEST_JOB_JSON))["log"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return STDOUT
    return log if isinstance(log, str) and log and "\0" not in log else STDOUT


def _open(area: Path, name: str) -> BinaryIO | None:
    """Open a file of the area; None if it is not there. Refused where the name, or a link, leads out of the area."""
    try:
        inside = area.resolve(strict=True)
        path = (inside / name).resolve(strict=True)
        if not path.is_relative_to(inside):
            raise Refused(f"{area / name}: leads out of the working area, to {path}: it is not shown")
        # A pipe in its place must not hang the command, nor a link that appeared since be followed.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except RuntimeError:  # a loop of links, before Python 3.13
        raise Refused(f"{area / name}: is a link to itself: it is not shown") from None
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise Refused(f"{area / name}: is not a regular file: it is not shown")
    return file


def _print(file: BinaryIO, lines: int | None) -> None:
    if lines is not None:
        file.seek(_last(file, lines))
    text = io.TextIOWrapper(file, encoding="utf-8", errors="replace")
    while block := text.read(BLOCK):
        sys.stdout.write("".join(c if c in "\n\t" else harmless(c) for c in block))
    text.detach()


def _last(file: BinaryIO, lines: int) -> int:
    """Find where the last lines begin, reading from the end."""
    at = file.seek(0, os.SEEK_END)
    missing = lines + 1  # the newline before the first of them is looked for
    last = True
    while at > 0:
        size = min(BLOCK, at)
        at -= size
        file.seek(at)
        block = file.read(size)
        end = len(block)
        if last and not block.endswith(b"\n"):
            missing -= 1
        last = False
        while (place := block.rfind(b"\n", 0, end)) >= 0:
            missing -= 1
            if missing == 0:
                return at + place + 1
            end = place
    return 0
