"""Pauses: what people have stopped the submitting of, with who, when and why. Everything else goes on meanwhile."""

import sqlite3
from dataclasses import dataclass

from caf.domain.errors import Refused
from caf.store.audit import note
from caf.store.database import transaction

ALL = ""  # stands in the table for every job
PAUSED, RESUMED = "PAUSED", "RESUMED"
"""What the audit trail says."""


@dataclass(frozen=True, slots=True)
class Pause:
    """One pause: of the jobs of one name, or, with None, of all."""

    job: str | None
    since: float
    who: str
    reason: str

    @property
    def what(self) -> str:
        """Say what is not submitted."""
        return "all submitting" if self.job is None else f"submitting of {self.job}"

    @property
    def way_out(self) -> str:
        """Give the command that ends it."""
        return resume_command(self.job)


def resume_command(job: str | None) -> str:
    """Give the command that ends a pause."""
    return "caf resume" if job is None else f"caf resume --job {job}"


def pauses(conn: sqlite3.Connection) -> list[Pause]:
    """Give all pauses: that of everything first, then by name."""
    rows = conn.execute("SELECT job, since, who, reason FROM pause ORDER BY job").fetchall()
    return [Pause(row["job"] or None, row["since"], row["who"], row["reason"]) for row in rows]


def pause_of(conn: sqlite3.Connection, job: str) -> Pause | None:
    """Give the pause that holds up the jobs of a name: their own before that of everything; None if there is none."""
    mine = [one for one in pauses(conn) if one.job in (None, job)]
    return mine[-1] if mine else None


def pause(conn: sqlite3.Connection, job: str | None, now: float, who: str, reason: str) -> Pause:
    """Stop submitting the jobs of a name, or (None) all. Refused if that is paused already."""
    with transaction(conn):
        for one in pauses(conn):
            if one.job == job:
                raise Refused(
                    f"{one.what} is paused already, by {one.who}: {one.reason}: `{one.way_out}` ends that, then pause "
                    "it anew to give another reason"
                )
        conn.execute("INSERT INTO pause VALUES (?, ?, ?, ?)", (job or ALL, now, who, reason))
        made = Pause(job, now, who, reason)
        note(conn, now, who, job=job, became=PAUSED, why=f"{made.what} paused by {who}: {reason}")
    return made


def resume(conn: sqlite3.Connection, job: str | None, now: float, who: str, reason: str | None = None) -> list[Pause]:
    """End a pause and give those that are left. Refused if there is no such pause; it says which there are."""
    with transaction(conn):
        there = pauses(conn)
        ended = [one for one in there if one.job == job]
        if not ended:
            raise Refused(_none_such(job, there))
        conn.execute("DELETE FROM pause WHERE job = ?", (job or ALL,))
        why = f"{ended[0].what} resumed by {who}" + (f": {reason}" if reason else "")
        note(conn, now, who, job=job, was=PAUSED, became=RESUMED, why=why)
    return [one for one in there if one.job != job]


def _none_such(job: str | None, there: list[Pause]) -> str:
    what = "submitting as a whole" if job is None else f"submitting of {job}"
    if not there:
        return f"{what} is not paused, and nothing else is: `caf status` shows what jobs wait for"
    others = ", ".join(one.what for one in there)
    return f"{what} is not paused by itself, but {others} is: {' or '.join(f'`{one.way_out}`' for one in there)}"


def held_up(conn: sqlite3.Connection, job: str | None) -> int:
    """Count the PREPARED jobs of a name, or (None) all: so many would be submitted, were there no pause."""
    counted = "SELECT coalesce(sum(jobs), 0) FROM job_count WHERE state = 'PREPARED' AND (? IS NULL OR job = ?)"
    return int(conn.execute(counted, (job, job)).fetchone()[0])


def known_jobs(conn: sqlite3.Connection) -> set[str]:
    """Give the names of all jobs that there ever were."""
    return {row[0] for row in conn.execute("SELECT DISTINCT job FROM job_count")}
