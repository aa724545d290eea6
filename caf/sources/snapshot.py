"""The snapshot: what a source says about all its runs at one moment, as one table in an SQLite file of its own.

Sources write it, and the store compares it with what it knows, in SQL. Times are ns since the Unix epoch (UTC), flags
0 or 1, detector_mask 32 lower-case hexadecimal digits, unknown values NULL. `extra` and `notes` are JSON objects with
sorted keys, or NULL: extra holds the configured attributes, notes which values may still change or are another run's
({"tier0_tag": {"final": false, "from": 490001}, "lumi_blocks": {"final": false}}).
"""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any
from urllib.parse import quote

COLUMNS: tuple[tuple[str, str], ...] = (
    ("run", "INTEGER PRIMARY KEY"),
    ("run_type", "TEXT"),
    ("partition", "TEXT"),
    ("daq_configuration", "TEXT"),
    ("detector_mask", "TEXT"),
    ("project_tag", "TEXT"),
    ("recorded", "INTEGER"),
    ("start", "INTEGER"),
    ("end", "INTEGER"),
    ("duration", "INTEGER"),
    ("clean_stop", "INTEGER"),
    ("lumi_blocks", "INTEGER"),
    ("l1_events", "INTEGER"),
    ("l2_events", "INTEGER"),
    ("ef_events", "INTEGER"),
    ("recorded_events", "INTEGER"),
    ("stored_events", "INTEGER"),
    ("tier0_tag", "TEXT"),
    ("gain_strategy", "TEXT"),
    ("data_source", "TEXT"),
    ("error_bits", "INTEGER"),
    ("last_lb_end", "INTEGER"),
    ("extra", "TEXT"),
    ("notes", "TEXT"),
)
NAMES = tuple(name for name, _ in COLUMNS)

_CHUNK = 4096  # runs joined into one text when looking for bytes that are not UTF-8


def create(path: str) -> sqlite3.Connection:
    """Make a fresh snapshot file, replacing one that is there; other files may be attached to it by URI."""
    for left in (path, f"{path}-journal"):  # a journal that was left would be played back into the fresh file
        with suppress(FileNotFoundError):
            os.unlink(left)
    uri = f"file:{quote(os.path.abspath(path))}?mode=rwc"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    # A snapshot is thrown away when anything goes wrong, so it needs neither journal nor fsync.
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    columns = ", ".join(f'"{name}" {kind}' for name, kind in COLUMNS)
    connection.execute(f"CREATE TABLE run ({columns})")
    return connection


def summary(connection: sqlite3.Connection, table: str = "run") -> dict[str, int | None]:
    """Return {"runs": how many, "first": lowest run, "last": highest run} (None without runs)."""
    runs, first, last = connection.execute(f"SELECT count(*), min(run), max(run) FROM {table}").fetchone()
    return {"runs": runs, "first": first, "last": last}


def finish(connection: sqlite3.Connection, stamp: str | None, result: dict[str, Any]) -> None:
    """Note in a snapshot that it is all there, what it was read for (`stamp`) and what the reading gave."""
    if stamp is not None:
        # In a transaction of its own: without a journal the order of pages is all there is to go by.
        connection.execute("CREATE TABLE finished (stamp TEXT, result TEXT)")
        connection.execute("INSERT INTO finished VALUES (?, ?)", (stamp, json.dumps(result)))


def finished(path: str, stamp: str | None) -> dict[str, Any] | None:
    """Give the result of a reading that was done already for the same stamp, by a supervisor that was interrupted."""
    if stamp is None or not os.path.exists(path):
        return None
    with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as connection:
        for found, result in connection.execute("SELECT stamp, result FROM finished"):
            if found == stamp:
                return dict(json.loads(result))
    return None


def replace_bad_text(connection: sqlite3.Connection) -> int:
    """Put U+FFFD for bytes that are not UTF-8, and return how many rows had any: old online data promise nothing.

    Whole chunks of rows are joined in SQL and decoded at once, which costs next to nothing when all is well.
    """
    names = [name for name, kind in COLUMNS if kind == "TEXT" and name != "detector_mask"]
    texts = ", ".join(f"CAST(group_concat({name}) AS BLOB)" for name in names)
    bad_chunks = []
    for ends in _chunks(connection):
        joined = connection.execute(f"SELECT {texts} FROM run WHERE run BETWEEN ? AND ?", ends).fetchone()
        if not all(text is None or _is_utf8(text) for text in joined):
            bad_chunks.append(ends)
    replaced = 0
    blobs = ", ".join(f"CAST({name} AS BLOB)" for name in names)
    change = ", ".join(f"{name} = ?" for name in names)
    for ends in bad_chunks:
        rows = connection.execute(f"SELECT run, {blobs} FROM run WHERE run BETWEEN ? AND ?", ends).fetchall()
        for run, *texts in rows:
            if all(text is None or _is_utf8(text) for text in texts):
                continue
            clean = [None if text is None else text.decode("utf-8", errors="replace") for text in texts]
            connection.execute(f"UPDATE run SET {change} WHERE run = ?", (*clean, run))
            replaced += 1
    return replaced


def _chunks(connection: sqlite3.Connection) -> Iterator[tuple[int, int]]:
    """Yield the first and last run of each chunk of runs."""
    last = connection.execute("SELECT max(run) FROM run").fetchone()[0]
    first = connection.execute("SELECT min(run) FROM run").fetchone()[0]
    step = f"SELECT run FROM run WHERE run >= ? ORDER BY run LIMIT 1 OFFSET {_CHUNK}"
    while first is not None:
        following = connection.execute(step, (first,)).fetchone()
        yield first, following[0] - 1 if following else last
        first = following[0] if following else None


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
