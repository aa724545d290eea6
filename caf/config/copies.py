"""The `copy` table of a job: what is brought back from where the payload ran, and what it is called in the area."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import AfterValidator

from caf.config.fields import Faults, InsidePattern

_MAGIC = re.compile(r"[*?[]")
_BRACES = re.compile(r"\{(run|job)[^{}]*\}")
_STANDS_FOR = {"run": "[0-9]+", "job": "[A-Za-z][A-Za-z0-9_]*"}
RECORDS = ("claim", "start", "exit", "job.json", "caf.sh", "log/stdout", "log/stderr", "log/after.log")
"""What caf itself keeps in an attempt's area: nothing is brought over it."""
FOLDERS = ("config", "log", "root", "pool", "post")


def _copies(given: Mapping[str, str]) -> Mapping[str, str]:
    faults: list[tuple[tuple[str | int, ...], str]] = []
    named: dict[str, str] = {}
    for source, target in given.items():
        faults += [((source,), fault) for fault in _faults(source, target)]
        name = _name(source, target).format(run=1, job="J")
        if name in named and not _MAGIC.search(source):
            faults.append(((source,), f"goes to '{target}', and so does '{named[name]}'"))
        named.setdefault(name, source)
    if faults:
        raise Faults(faults)
    return given


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def _name(source: str, target: str) -> str:
    """Give what the file is called in the area, in one way of writing it."""
    inside = _parts(target) + (_parts(source)[-1:] if target.endswith("/") else [])
    return "/".join(inside)


def _faults(source: str, target: str) -> Iterator[str]:
    if not _parts(source) or source.endswith(("/", "/.")):
        yield "is a folder: files are copied; a pattern such as 'plots/*.pdf' means several"
        return
    if _MAGIC.search(target):
        yield f"goes to '{target}', but only what is copied may be a pattern"
        return
    if pattern := _MAGIC.search(source):
        if _MAGIC.search(source.rpartition("/")[0]) or "\\" in source:
            yield "is a pattern: only its last part may be one, and without a backslash"
        if not target.endswith("/") or not _parts(target):
            yield f"is a pattern: write a folder such as 'root/' instead of '{target}'"
    name = _name(source, target)
    if not name or target.endswith("/.") or name in FOLDERS:
        yield f"goes to '{target}', which is a folder: write a name, or '{(name or '.').rstrip('/')}/'"
    ways = _parts(target) if pattern else _parts(name)
    if any(_may_be("/".join(ways[:deep]), record) for deep in range(1, len(ways) + 1) for record in RECORDS):
        yield f"goes to '{target}', but caf keeps a record of that name in the working area: give it another"


def _may_be(name: str, record: str) -> bool:
    """Tell whether a name can be a record's once its braces are filled in."""
    words = _BRACES.split(name)
    known = [_STANDS_FOR[word] if number % 2 else re.escape(word) for number, word in enumerate(words)]
    return re.fullmatch("".join(known), record) is not None


Copies = Annotated[dict[InsidePattern, InsidePattern], AfterValidator(_copies)]


def filled_in(copies: Mapping[str, str], run: int, job: str) -> dict[str, str]:
    """Give the names with those of one run and one job in the places of their braces."""
    return {source.format(run=run, job=job): target.format(run=run, job=job) for source, target in copies.items()}
