"""What a person remarks about a job that has ended: its failure was seen, its result is good or bad."""

import sqlite3

from caf.domain.errors import Refused
from caf.domain.jobs import State
from caf.store.answers import refuse
from caf.store.audit import note
from caf.store.database import transaction
from caf.store.jobs import find

MARKS = ("good", "bad")


def acknowledge(
    conn: sqlite3.Connection,
    run: int,
    job: str,
    now: float,
    who: str,
    reason: str | None = None,
    *,
    seen: State | None = None,
) -> sqlite3.Row:
    """Say that a failure was seen: it asks for nobody any more, until the job fails again.

    With `seen`, the state in which the person saw it, a job that has moved on since is left alone.
    """
    with transaction(conn):
        row = find(conn, run, job)
        if seen is not None and row["state"] != seen:
            raise Refused(f"job {job} of run {run} was {seen} and is {row['state']} now: look again")
        if row["state"] != State.FAILED:
            raise refuse(row, "only a failure is acknowledged")
        if row["acknowledged"] and seen is not None:  # one of many, and what is wanted is so already
            return row
        if row["acknowledged"]:
            raise refuse(row, "its failure was acknowledged already")
        conn.execute("UPDATE job SET acknowledged = 1 WHERE id = ?", (row["id"],))
        _note(conn, row, now, who, f"ack by {who}" + (f": {reason}" if reason else ""))
        return find(conn, run, job)


def mark(conn: sqlite3.Connection, run: int, job: str, how: str, now: float, who: str, reason: str) -> sqlite3.Row:
    """Say that a DONE result is good or bad; it is kept and shown, and a later word replaces it."""
    with transaction(conn):
        row = find(conn, run, job)
        if row["state"] != State.DONE:
            raise refuse(row, "only a DONE result is marked good or bad")
        conn.execute("UPDATE job SET mark = ?, marked = ? WHERE id = ?", (how, f"{who}: {reason}", row["id"]))
        _note(conn, row, now, who, f"marked {how} by {who}: {reason}")
        return find(conn, run, job)


def _note(conn: sqlite3.Connection, row: sqlite3.Row, now: float, who: str, why: str) -> None:
    state = row["state"]
    note(conn, now, who, run=row["run"], job=row["job"], attempt=row["attempt"], was=state, became=state, why=why)
