"""Runs that are seen for the first time, judged and taken over in bulk.

A first look may bring a million runs. SQL computes the key of each (see keys.py), the domain judges one run of each
key, and SQL writes them all. What a key does not decide is left for the careful way.
"""

import sqlite3
from collections import Counter
from dataclasses import dataclass, field

from caf.domain.discovery import Rules
from caf.domain.matching import Status
from caf.store.keys import Decide, Decision, Key, corrected, key_expressions, settled_before
from caf.store.pages import changed
from caf.store.rows import SEEN_COLUMNS, quoted


@dataclass(slots=True)
class Bulk:
    """What one round knows already: the verdict of each key."""

    memo: dict[Key, Decision] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a page of newcomers came to; `notable` are those that lead to something."""

    new: int
    became: Counter[str]
    notable: list[tuple[int, str, str | None]]


def forget(conn: sqlite3.Connection) -> None:
    """Begin a page: nobody has been taken over."""
    conn.execute("CREATE TABLE IF NOT EXISTS temp.taken (run INTEGER PRIMARY KEY, verdict_id INTEGER, settled INTEGER)")
    conn.execute("DELETE FROM temp.taken")


def take_over(
    conn: sqlite3.Connection,
    bulk: Bulk,
    rules: Rules,
    bounds: tuple[int, int],
    now: float,
    horizon: int,
    decide: Decide,
) -> Taken:
    """Take over the page's new runs whose record is final, inside the caller's transaction.

    `bounds` are the runs after the first and up to the second. A run has settled if all its times are before `horizon`
    (ns). `temp.taken` names the runs that were taken.
    """
    settled = settled_before(horizon)
    rows = conn.cursor()
    rows.row_factory = None
    selected = rows.execute(
        f"SELECT s.run, {settled}, {', '.join(key_expressions(rules)) or '0'} FROM snapshot.run s "
        'WHERE s.run > ? AND s.run <= ? AND s."end" IS NOT NULL '
        f"AND (s.notes IS NULL OR {settled}) AND NOT ({corrected(rules)}) "
        "AND NOT EXISTS (SELECT 1 FROM main.run r WHERE r.run = s.run)",
        bounds,
    ).fetchall()
    became: Counter[str] = Counter()
    notable: list[tuple[int, str, str | None]] = []
    taken = []
    for row in selected:
        run, key = row[0], row[1:]
        known = bulk.memo.get(key)
        if known is None:
            known = bulk.memo[key] = decide(run)
        verdict_id, status, listener = known
        became[status] += 1
        if status is not Status.UNCLAIMED:
            notable.append((run, status, listener))
        taken.append((run, verdict_id, row[1]))
    conn.executemany("INSERT INTO temp.taken VALUES (?, ?, ?)", taken)
    conn.execute("INSERT INTO meta VALUES ('counting_in_bulk', '')")
    _insert(conn, now)
    conn.execute("DELETE FROM meta WHERE name = 'counting_in_bulk'")
    conn.executemany(
        "INSERT INTO run_count VALUES (?, ?) ON CONFLICT (status) DO UPDATE SET runs = runs + excluded.runs",
        sorted(became.items()),
    )
    changed(conn, "temp.taken")
    return Taken(len(taken), became, notable)


def _insert(conn: sqlite3.Connection, now: float) -> None:
    columns = quoted(("run", *SEEN_COLUMNS))
    conn.execute(
        f"INSERT INTO main.run ({columns}, status, listener, needs_validation, verdict_id, settled, judged, "
        f"first_seen, jobs_due) SELECT {', '.join(f's.{name}' for name in columns.split(', '))}, v.status, v.listener, "
        "v.needs_validation, v.id, t.settled, ?, ?, v.status = 'ACCEPTED' FROM temp.taken t "
        "CROSS JOIN snapshot.run s ON s.run = t.run CROSS JOIN main.verdict v ON v.id = t.verdict_id",
        (now, now),
    )
