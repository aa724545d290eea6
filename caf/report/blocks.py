"""From blocks that have changed to the files that hold them."""

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from caf.report import details, lists
from caf.report.kept import Kept
from caf.report.lists import VERSION, encoded
from caf.store import pages
from caf.store.pages import BLOCKS, Block, Due, Written

Area = Callable[[sqlite3.Row, int], str]


def named(kind: str, text: str) -> str:
    """Give the name of a file of data, which says what is in it."""
    return f"{kind}-{hashlib.sha256(text.encode('ascii')).hexdigest()[:16]}"


def render(
    conn: sqlite3.Connection, kept: Kept, area: Area, wanted: Sequence[Due], oldest: int
) -> list[tuple[Written, str]]:
    """Give for some blocks what is to be noted of each, and the text of its file; the text is empty if it has none."""
    return [_rendered(conn, kept, area, block) for block in pages.blocks(conn, wanted, oldest)]


def _rendered(conn: sqlite3.Connection, kept: Kept, area: Area, block: Block) -> tuple[Written, str]:
    kind, number = block.due.kind, block.due.number
    document, about = _document(conn, kept, area, block)
    if document is None:
        return Written(block.due, None, None), ""
    text = encoded(document)
    return Written(block.due, named(f"{kind}-{number}", text), encoded(about)), text


def _document(
    conn: sqlite3.Connection, kept: Kept, area: Area, block: Block
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    match block.due.kind:
        case "configurations":
            return details.configuration(conn, kept, block.due.number), {}
        case "jobs":
            return lists.jobs(block) if block.jobs else (None, {})
        case "runs":
            return lists.runs(block, kept) if block.runs else (None, {})
        case _:
            return (details.details(block, kept, area), {}) if block.runs else (None, {})


def index(rows: Sequence[sqlite3.Row], others: dict[str, str]) -> str:
    """Give the index: which files there are, and of lists what is in each. `others` are single files by kind."""
    listed: dict[str, list[str]] = {"jobs": [], "runs": []}
    sums: dict[str, dict[str, str]] = {"details": {}, "configurations": {}}
    for row in rows:
        kind, number, name = row["kind"], row["number"], row["name"]
        if kind in sums:  # there may be thousands of them
            sums[kind][str(number)] = name.rpartition("-")[2]
        else:
            listed[kind].append(f'{{"name":"{name}",{row["about"][1:-1]}}}')
    parts = [f'"{kind}":[{",".join(entries)}]' for kind, entries in listed.items()]
    parts += [f'"{kind}":{encoded(found)}' for kind, found in sums.items()]
    return f'{{"version":{VERSION},"block":{BLOCKS["details"]},{",".join(parts)},"others":{encoded(others)}}}'
