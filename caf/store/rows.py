"""Rows of `run` and of a source's snapshot, to and from what the domain knows."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from caf.domain.discovery import Seen
from caf.domain.runs import RECORDED_ATTRIBUTES, Correction, Kind, Note, Record, Value, complete

SEEN_COLUMNS = (*(name for name in RECORDED_ATTRIBUTES if name != "run"), "last_lb_end", "extra", "notes")
"""The columns that a source's snapshot and the run table share, besides `run`."""

_MASKS = tuple(name for name, kind in RECORDED_ATTRIBUTES.items() if kind is Kind.MASK)
_FLAGS = tuple(name for name, kind in RECORDED_ATTRIBUTES.items() if kind is Kind.FLAG)


def quoted(columns: tuple[str, ...]) -> str:
    """Give column names for SQL: "end" is a keyword."""
    return ", ".join(f'"{column}"' for column in columns)


def seen_from(row: Mapping[str, Any] | sqlite3.Row, prefix: str = "") -> Seen:
    """Read a row's columns (their names after `prefix`) as what the run database says."""
    values: dict[str, Value] = {name: row[prefix + name] for name in RECORDED_ATTRIBUTES if name != "run"}
    values = {"run": row["run"], **values}
    for name in _MASKS:
        if (mask := values[name]) is not None:
            values[name] = int(str(mask), 16)
    for name in _FLAGS:
        if (flag := values[name]) is not None:
            values[name] = bool(flag)
    if extra := row[prefix + "extra"]:
        values.update(json.loads(extra))
    notes: dict[str, Note] = {}
    if text := row[prefix + "notes"]:
        for name, note in json.loads(text).items():
            notes[name] = Note(note.get("from"), bool(note.get("final", True)))
    return Seen(values, notes, row[prefix + "last_lb_end"])


def columns_of(seen: Seen) -> tuple[Any, ...]:
    """Give SEEN_COLUMNS of what the run database says."""
    values = seen.values
    row: list[Any] = []
    for name, kind in RECORDED_ATTRIBUTES.items():
        if name == "run":
            continue
        value = values.get(name)
        if kind is Kind.MASK and isinstance(value, int):
            value = f"{value:032x}"
        row.append(int(value) if isinstance(value, bool) else value)
    extra = {name: value for name, value in values.items() if name not in RECORDED_ATTRIBUTES}
    notes: dict[str, dict[str, Any]] = {}
    for name, note in seen.notes.items():
        notes[name] = {"final": note.final}
        if note.inherited_from is not None:
            notes[name]["from"] = note.inherited_from
    return (*row, seen.last_lb_end, _canonical(extra), _canonical(notes))


def _canonical(value: Mapping[str, Any]) -> str | None:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")) if value else None


def record_from(row: sqlite3.Row, corrections: Any = ()) -> Record:
    """Give a stored run as it was judged: settled or not as it was then."""
    seen = seen_from(row)
    return complete(
        seen.values, seen.notes, last_lb_end=seen.last_lb_end, settled=bool(row["settled"]), corrections=corrections
    )


def records_of(
    conn: sqlite3.Connection, wanted: Iterable[tuple[int, int]], corrections: Mapping[int, Sequence[Correction]]
) -> dict[tuple[int, int], Record]:
    """Give known runs as they are judged and shown: each run by the corrections of the configuration named with it."""
    found = {}
    for run, configuration_id in set(wanted):
        row = conn.execute("SELECT * FROM run WHERE run = ?", (run,)).fetchone()
        found[run, configuration_id] = record_from(row, corrections[configuration_id])
    return found
