"""What follows from judging one run: its standing, its former verdict, the jobs that are due, the audit row."""

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from caf.domain.discovery import Moments, Rules, Seen, Standing, reconsider, standing_after
from caf.domain.matching import Status, Verdict
from caf.domain.runs import SECOND
from caf.store.audit import note
from caf.store.rows import SEEN_COLUMNS, columns_of, quoted

DUTY = "discover"
CHANGED = "its record changed after its verdict"


@dataclass(slots=True)
class Page:
    """What one page did; `last` is the last run that it held, None when there are no more."""

    last: int | None = None
    new: int = 0
    changed: int = 0
    became: Counter[str] = field(default_factory=Counter)
    notable: list[tuple[int, str, str | None]] = field(default_factory=list)


def settle_on(
    conn: sqlite3.Connection,
    row: sqlite3.Row,
    seen: Seen,
    rules: Rules,
    now: float,
    replica_time: int,
    page: Page,
    *,
    changed: bool,
    why: str = CHANGED,
    who: str = DUTY,
) -> None:
    """Judge one run and write what follows; `changed`: its record is not what it was."""
    now_ns = int(now * SECOND)
    known = row["known"] is not None
    last_change = now_ns if changed else row["last_change"]
    first_seen = int(row["first_seen"] * SECOND) if known else now_ns
    record, verdict = reconsider(seen, rules, Moments(now_ns, replica_time, first_seen, last_change))
    verdict_id = intern(conn, rules.configuration_id, verdict)
    if known and not changed and verdict_id == row["verdict_id"] and record.settled == bool(row["settled"]):
        return
    before = Standing(Status(row["status"]), row["listener"], row["decided_by"] is not None) if known else None
    after = standing_after(before, verdict)
    run = row["run"]
    values = columns_of(seen)
    needs_validation = verdict.needs_validation if after.status is Status.ACCEPTED else None
    if after.by_person and after.status is Status.ACCEPTED:
        needs_validation = bool(conn.execute("SELECT needs_validation FROM run WHERE run = ?", (run,)).fetchone()[0])
    standing = (after.status, after.listener, needs_validation, verdict_id, record.settled, now, last_change)
    if before is None:
        _insert(conn, run, values, standing, now)
        page.new += 1
    else:
        if before.status is not Status.OPEN:
            _keep_former(conn, row, now, why)
        _update(conn, run, values, standing)
        page.changed += changed
    if before is None or (before.status, before.listener) != (after.status, after.listener):
        page.became[after.status] += 1
        page.notable.append((run, after.status, after.listener))
        _consequences(conn, run, before, after, now, why, who)
    elif needs_validation and not row["needs_validation"] and before.status is Status.ACCEPTED:
        _now_too_few(conn, run, now, who, why)


def _insert(conn: sqlite3.Connection, run: int, values: Sequence[Any], standing: Sequence[Any], now: float) -> None:
    columns = ("run", *SEEN_COLUMNS, *_STANDING, "first_seen")
    marks = ", ".join("?" * len(columns))
    conn.execute(f"INSERT INTO run ({quoted(columns)}) VALUES ({marks})", (run, *values, *standing, now))


def _update(conn: sqlite3.Connection, run: int, values: Sequence[Any], standing: Sequence[Any]) -> None:
    sets = ", ".join(f'"{column}" = ?' for column in (*SEEN_COLUMNS, *_STANDING))
    clear_due = ", jobs_due = 0" if standing[0] is not Status.ACCEPTED else ""
    conn.execute(f"UPDATE run SET {sets}{clear_due} WHERE run = ?", (*values, *standing, run))


_STANDING = ("status", "listener", "needs_validation", "verdict_id", "settled", "judged", "last_change")


def _keep_former(conn: sqlite3.Connection, row: sqlite3.Row, now: float, why: str) -> None:
    """Keep the verdict that a run had, with what had been seen then."""
    seen = {column: row[column] for column in SEEN_COLUMNS}
    conn.execute(
        "INSERT INTO former_verdict (run, judged, replaced, verdict_id, settled, seen, why) VALUES (?,?,?,?,?,?,?)",
        (row["run"], row["judged"], now, row["verdict_id"], row["settled"], json.dumps(seen), why),
    )


def _consequences(
    conn: sqlite3.Connection, run: int, before: Standing | None, after: Standing, now: float, why: str, who: str
) -> None:
    """Ask for jobs of a newly accepted run; show one whose jobs no longer agree with its verdict."""
    listeners = {row[0] for row in conn.execute("SELECT listener FROM job WHERE run = ?", (run,))}
    if after.status is Status.ACCEPTED and not listeners:
        conn.execute("UPDATE run SET jobs_due = 1 WHERE run = ?", (run,))
    disputed = bool(listeners) and after.status is not Status.OPEN and listeners != {after.listener}
    conn.execute("UPDATE run SET disputed = ? WHERE run = ?", (disputed, run))
    if before is not None and before.status is not Status.OPEN:
        if disputed:
            why += "; the jobs that it has are left as they are: a person decides"
        note(conn, now, who, run=run, was=before.status, became=after.status, why=why)


def _now_too_few(conn: sqlite3.Connection, run: int, now: float, who: str, why: str) -> None:
    """Show a run whose jobs went ahead, and that a person would have had to validate as it is now."""
    if conn.execute("SELECT 1 FROM job WHERE run = ?", (run,)).fetchone() is not None:
        conn.execute("UPDATE run SET disputed = 1 WHERE run = ?", (run,))
        why += ": it needs validation now; the jobs that it has are left as they are: a person decides"
        note(conn, now, who, run=run, was=Status.ACCEPTED, became=Status.ACCEPTED, why=why)


def intern(conn: sqlite3.Connection, configuration_id: int, verdict: Verdict) -> int:
    """Give the id of a verdict's one row."""
    key = (configuration_id, verdict.answers)
    select = "SELECT id FROM verdict WHERE configuration_id = ? AND answers = ?"
    row = conn.execute(select, key).fetchone()
    if row is None:
        conn.execute(
            "INSERT INTO verdict (configuration_id, status, listener, needs_validation, answers) VALUES (?,?,?,?,?)",
            (configuration_id, verdict.status, verdict.listener, verdict.needs_validation, verdict.answers),
        )
        row = conn.execute(select, key).fetchone()
    return int(row[0])
