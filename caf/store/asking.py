"""The runs and jobs that need a person, one by one, as the status page lists them; and how things stand for metrics."""

import sqlite3
from collections.abc import Iterable

from caf.domain.jobs import FINAL, State
from caf.domain.runs import SECOND
from caf.store.queries import UNDECIDED

MANY = 100  # of a kind are listed; beyond that a person has other worries
_OPEN = "state NOT IN ({})".format(", ".join(f"'{state}'" for state in State if state in FINAL))  # as job_open has it


def waiting(conn: sqlite3.Connection) -> list[sqlite3.Row]:
    """Give the first of the jobs that a person must validate."""
    clause = f"{_OPEN} AND state = 'WAITING' ORDER BY priority DESC, run LIMIT {MANY}"
    return conn.execute(f"SELECT * FROM job WHERE {clause}").fetchall()


def failed(conn: sqlite3.Connection) -> list[sqlite3.Row]:
    """Give the newest of the failures that nobody has acknowledged."""
    clause = f"state = 'FAILED' AND acknowledged = 0 ORDER BY id DESC LIMIT {MANY}"
    return conn.execute(f"SELECT * FROM job WHERE {clause}").fetchall()


def unknown(conn: sqlite3.Connection, before: float) -> list[sqlite3.Row]:
    """Give the first of the jobs that have been in doubt since before a time, and of those that are there twice."""
    found: dict[int, sqlite3.Row] = {}
    for clause, arguments in (
        (f"state IN ({UNDECIDED}) AND unknown_since <= ?", (before,)),
        ("twins IS NOT NULL AND adopted IS NOT batch_id", ()),
    ):
        # INDEXED BY, or SQLite would rather go through all jobs than sort the few that are open.
        some = f"SELECT * FROM job INDEXED BY job_open WHERE {_OPEN} AND {clause} ORDER BY run, id LIMIT {MANY}"
        found |= {row["id"]: row for row in conn.execute(some, arguments)}
    return list(found.values())


def conflicts(conn: sqlite3.Connection) -> list[sqlite3.Row]:
    """Give the newest of the runs that two listeners take, and of those whose jobs disagree with their verdict."""
    clause = f"status = 'CONFLICT' OR disputed = 1 ORDER BY run DESC LIMIT {MANY}"
    return conn.execute(
        "SELECT run.run, run.status, run.listener, run.disputed, run.verdict_id, verdict.answers, "
        f"verdict.configuration_id FROM run JOIN verdict ON verdict.id = run.verdict_id WHERE run.{clause}"
    ).fetchall()


def last_good(conn: sqlite3.Connection, listener: str) -> tuple[int, float] | None:
    """Give the newest run of a listener with a job that is DONE and not marked bad, and when it began (s since 1970).

    A run whose start is not known counts as of caf's first look at it.
    """
    row = conn.execute(
        "SELECT run FROM job WHERE listener = ? AND state = 'DONE' AND mark IS NOT 'bad' ORDER BY run DESC LIMIT 1",
        (listener,),
    ).fetchone()
    if row is None:
        return None
    began = conn.execute(
        f'SELECT coalesce("start" * 1.0 / {SECOND}, first_seen) FROM run WHERE run = ?', (row[0],)
    ).fetchone()
    return int(row[0]), float(began[0])


def beginning(conn: sqlite3.Connection) -> float | None:
    """Give when the first configuration came into force."""
    row = conn.execute("SELECT min(first_used) FROM configuration").fetchone()
    return None if row[0] is None else float(row[0])


def late(
    conn: sqlite3.Connection, expected: Iterable[tuple[str, float]], now: float
) -> list[tuple[str, float, int | None, float]]:
    """Give the listeners without a good calibration for longer than is expected of them (s).

    Each with what is expected, its last good run (None: there never was one), and how long ago (s) that began.
    """
    found = []
    for name, every in expected:
        run, since = last_good(conn, name) or (None, beginning(conn))
        if since is not None and now - since > every:
            found.append((name, every, run, now - since))
    return found


def job_states(conn: sqlite3.Connection) -> list[tuple[str, str, int]]:
    """Give how many jobs of each name are in each state."""
    return [tuple(row) for row in conn.execute("SELECT job, state, jobs FROM job_count ORDER BY job, state")]


def backing_off(conn: sqlite3.Connection, now: float) -> int:
    """Count the jobs that are left alone until a later time."""
    return int(conn.execute("SELECT count(*) FROM job WHERE not_before > ?", (now,)).fetchone()[0])


def in_doubt(conn: sqlite3.Connection) -> int:
    """Count the jobs of which it is not known just now what became of their attempt."""
    clause = f"{_OPEN} AND state IN ({UNDECIDED}) AND unknown_since IS NOT NULL"
    return int(conn.execute(f"SELECT count(*) FROM job WHERE {clause}").fetchone()[0])


def newest_trail(conn: sqlite3.Connection, limit: int) -> list[sqlite3.Row]:
    """Give the newest rows of the audit trail, the newest first."""
    return conn.execute("SELECT * FROM audit ORDER BY id DESC LIMIT ?", (limit,)).fetchall()


def newest_jobs(conn: sqlite3.Connection, limit: int) -> list[sqlite3.Row]:
    """Give the newest jobs."""
    return conn.execute("SELECT * FROM job ORDER BY id DESC LIMIT ?", (limit,)).fetchall()
