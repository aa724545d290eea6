"""index.html: the page's frame, with a plain table in it for browsers that run no script."""

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from caf.attention import Need
from caf.report.lists import VERSION
from caf.wording import NO_BREAK, harmless, iso

PAGE = Path(__file__).with_name("page")
STATIC = ("page.js", "page.css")
NEWEST = 100  # jobs stand in it


def static() -> dict[str, str]:
    """Give the files of the page that are the same everywhere, by name."""
    return {name: (PAGE / name).read_text(encoding="utf-8") for name in STATIC}


def frame(files: Mapping[str, str]) -> str:
    """Give index.html but for its table; what the files' names are asked for with changes when they do."""
    text = (PAGE / "index.html").read_text(encoding="utf-8")
    for name, content in files.items():
        text = text.replace(f'"{name}"', f'"{name}?{hashlib.sha256(content.encode()).hexdigest()[:8]}"')
    return text.replace("{version}", str(VERSION))


def filled(page: str, needed: Sequence[Need], jobs: Iterable[sqlite3.Row], counts: str) -> str:
    """Put the tables into the frame; all that comes from outside is escaped."""
    asks = [(need.text.replace(NO_BREAK, " "), need.command) for need in needed]
    rows = [
        (row["run"], row["job"], row["state"], row["result"] or "", _minute(row["updated"]), row["reason"])
        for row in jobs
    ]
    parts = [
        f"<p>{_text(counts)}</p>",
        "<h2>Needs a person</h2>",
        _table(("What", "Type"), asks, code=1) if asks else "<p>Nothing needs a person.</p>",
        f"<h2>The newest {NEWEST} jobs</h2>",
        _table(("Run", "Job", "State", "Result", "Changed (UTC)", "Reason"), rows),
    ]
    return page.replace("{plain}", "\n".join(parts))


def _minute(moment: float) -> str:
    return str(iso(moment))[:16].replace("T", " ")


def _table(headings: Sequence[str], rows: Iterable[Sequence[Any]], code: int | None = None) -> str:
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    lines = []
    for row in rows:
        cells = (f"<code>{_text(value)}</code>" if place == code else _text(value) for place, value in enumerate(row))
        lines.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{chr(10).join(lines)}\n</tbody></table>"


def _text(value: object) -> str:
    return escape(harmless(value))
