"""Making the jobs of accepted runs: never a second one for the same run and job."""

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from caf.domain.jobs import State
from caf.store.audit import note
from caf.store.database import transaction
from caf.store.queue import live_now

DISCOVER = "discover"


@dataclass(frozen=True, slots=True)
class NewJob:
    """What is made of an accepted run. `waits` is why a person must validate it; None: it may run."""

    run: int
    job: str
    listener: str
    priority: int = 0
    waits: str | None = None


def due_runs(conn: sqlite3.Connection) -> list[sqlite3.Row]:
    """Give the accepted runs whose jobs have not been made, each with the configuration that it was `judged_by`."""
    return conn.execute(
        "SELECT run.*, verdict.configuration_id AS judged_by FROM run JOIN verdict ON verdict.id = run.verdict_id "
        "WHERE run.jobs_due = 1 ORDER BY run.run"
    ).fetchall()


def make(
    conn: sqlite3.Connection, configuration_id: int, jobs: Sequence[NewJob], runs: Iterable[int], now: float
) -> int:
    """Make the jobs of `runs` under one configuration: see `make_all`."""
    return make_all(conn, {configuration_id: jobs}, runs, now)


def make_all(conn: sqlite3.Connection, jobs: Mapping[int, Sequence[NewJob]], runs: Iterable[int], now: float) -> int:
    """Make the jobs of `runs`, by the number of their configuration; a job that there is already stays as it is.

    All in one transaction: whether there are too many of them is decided for all at once, and what was left for
    another day would be too few. Gives how many were made.
    """
    made = 0
    with transaction(conn):
        due = _still_due(conn, {new.run: new.listener for some in jobs.values() for new in some}, runs)
        fresh = {run: live_now(conn, run, now) for run in due}
        for configuration_id, some in jobs.items():
            made += sum(_make(conn, configuration_id, new, fresh[new.run], now) for new in some if new.run in due)
        conn.executemany("UPDATE run SET jobs_due = 0 WHERE run = ?", [(run,) for run in due])
    return made


def _still_due(conn: sqlite3.Connection, listeners: Mapping[int, str], runs: Iterable[int]) -> Collection[int]:
    """Give those of the runs that nobody was quicker with."""
    due = set()
    for run in runs:
        jobs_due, listener = conn.execute("SELECT jobs_due, listener FROM run WHERE run = ?", (run,)).fetchone()
        # A person may have assigned it to another listener since it was looked at: then it stays due.
        if jobs_due and listeners.get(run, listener) == listener:
            due.add(run)
    return due


def _make(conn: sqlite3.Connection, configuration_id: int, new: NewJob, live: bool, now: float) -> bool:
    """Make one job inside the caller's transaction; False if there is one already."""
    state = State.NEW if new.waits is None else State.WAITING
    reason = new.waits or "just made"
    cursor = conn.execute(
        "INSERT OR IGNORE INTO job (run, job, listener, configuration_id, priority, live, state, reason, created, "
        "since, updated) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (new.run, new.job, new.listener, configuration_id, new.priority, live, state, reason, now, now, now),
    )
    if cursor.rowcount == 1:
        note(conn, now, DISCOVER, run=new.run, job=new.job, attempt=1, became=state, why=reason)
    return cursor.rowcount == 1
