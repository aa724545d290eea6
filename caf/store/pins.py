"""Pins: jobs whose working areas a person wants to stay, until when, and why."""

import sqlite3
import time
from dataclasses import dataclass

from caf.domain.errors import Refused
from caf.store.audit import note
from caf.store.database import transaction
from caf.store.jobs import find

PINNED, UNPINNED = "PINNED", "UNPINNED"
"""What the audit trail says."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One pin; `until` and `since` in s since 1970."""

    run: int
    job: str
    until: float
    since: float
    who: str
    reason: str


def pins(conn: sqlite3.Connection, now: float) -> list[Pin]:
    """Give the pins that hold now, those that end first at first."""
    return [
        Pin(*row)
        for row in conn.execute(
            "SELECT job.run, job.job, pin.until, pin.since, pin.who, pin.reason FROM pin JOIN job "
            "ON job.id = pin.job_id WHERE pin.until > ? ORDER BY pin.until, job.run, job.job",
            (now,),
        ).fetchall()
    ]


def pin_of(conn: sqlite3.Connection, job_id: int, now: float) -> Pin | None:
    """Give the pin that holds a job's areas now; None if none does."""
    row = conn.execute(
        "SELECT job.run, job.job, pin.until, pin.since, pin.who, pin.reason FROM pin JOIN job "
        "ON job.id = pin.job_id WHERE pin.job_id = ? AND pin.until > ?",
        (job_id, now),
    ).fetchone()
    return None if row is None else Pin(*row)


def pin(conn: sqlite3.Connection, run: int, job: str, until: float, now: float, who: str, reason: str) -> list[int]:
    """Keep the areas of a job until then, instead of an earlier pin; gives the attempts whose areas are gone already.

    NotFound if there is no such job; Refused if nothing of it is left that could be kept.
    """
    with transaction(conn):
        row = find(conn, run, job)
        rows = conn.execute(
            "SELECT attempt, removed, begun FROM area WHERE job_id = ? ORDER BY attempt", (row["id"],)
        ).fetchall()
        gone = [one["attempt"] for one in rows if one["removed"] is not None or one["begun"] is not None]
        if gone and len(gone) == len(rows) and row["attempt"] in gone:
            raise Refused(
                f"no working area of job {job} of run {run} is left to be kept: `caf jobs show {run} {job}` says when "
                "it was removed, and where its archive is"
            )
        before = conn.execute("SELECT 1 FROM pin WHERE job_id = ? AND until > ?", (row["id"], now)).fetchone()
        conn.execute("INSERT OR REPLACE INTO pin VALUES (?, ?, ?, ?, ?)", (row["id"], until, now, who, reason))
        was = PINNED if before else None
        note(
            conn,
            now,
            who,
            run=run,
            job=job,
            attempt=row["attempt"],
            was=was,
            became=PINNED,
            why=_why(until, who, reason),
        )
    return gone


def _why(until: float, who: str, reason: str) -> str:
    day = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(until))
    return f"its working areas stay until {day}, pinned by {who}: {reason}"


def unpin(conn: sqlite3.Connection, run: int, job: str, now: float, who: str, reason: str | None) -> None:
    """End a pin. Refused if there is none; NotFound if there is no such job."""
    with transaction(conn):
        row = find(conn, run, job)
        if pin_of(conn, row["id"], now) is None:
            raise Refused(f"job {job} of run {run} is not pinned: `caf quota` lists the pins that there are")
        conn.execute("DELETE FROM pin WHERE job_id = ?", (row["id"],))
        why = f"its working areas may be removed again, says {who}" + (f": {reason}" if reason else "")
        note(conn, now, who, run=run, job=job, attempt=row["attempt"], was=PINNED, became=UNPINNED, why=why)
