"""Attempts that are over and to be archived: which are due, and what came of it."""

import sqlite3
from collections.abc import Sequence

from caf.store.database import transaction


def due(conn: sqlite3.Connection, now: float, limit: int) -> list[sqlite3.Row]:
    """Give attempts whose archiving is due, the longest due first, with token, run, job, listener, configuration_id."""
    return conn.execute(
        "SELECT attempt.job_id, attempt.attempt, attempt.token, attempt.archive_tries, job.run, job.job, job.listener, "
        "job.configuration_id FROM attempt JOIN job ON job.id = attempt.job_id "
        "WHERE attempt.archive_due IS NOT NULL AND attempt.archive_due <= ? "
        "ORDER BY attempt.archive_due, attempt.job_id, attempt.attempt LIMIT ?",
        (now, limit),
    ).fetchall()


def next_due(conn: sqlite3.Connection) -> float | None:
    """Give when the next archiving is due."""
    row = conn.execute("SELECT min(archive_due) FROM attempt WHERE archive_due IS NOT NULL").fetchone()
    return None if row[0] is None else float(row[0])


def troubled(conn: sqlite3.Connection) -> tuple[int, sqlite3.Row | None]:
    """Count the attempts whose archiving failed and will be tried again; gives the one that waits longest, too."""
    rows = conn.execute(
        "SELECT attempt.attempt, attempt.archive_error, job.run, job.job FROM attempt JOIN job "
        "ON job.id = attempt.job_id WHERE attempt.archive_due IS NOT NULL AND attempt.archive_error IS NOT NULL "
        "ORDER BY attempt.archive_tries DESC, attempt.job_id"
    ).fetchall()
    return len(rows), rows[0] if rows else None


def kept(conn: sqlite3.Connection, job_id: int, attempt: int) -> tuple[str | None, str]:
    """Give where an attempt is archived, if it is, and its token."""
    row = conn.execute(
        "SELECT archive, token FROM attempt WHERE job_id = ? AND attempt = ?", (job_id, attempt)
    ).fetchone()
    return row["archive"], row["token"]


def not_wanted(conn: sqlite3.Connection, attempts: Sequence[tuple[int, int]]) -> None:
    """Note of attempts (job's id, number) that their job's configuration wants no archive."""
    with transaction(conn):
        conn.executemany("UPDATE attempt SET archive_due = NULL WHERE job_id = ? AND attempt = ?", attempts)


def archived(conn: sqlite3.Connection, job_id: int, attempt: int, place: str, now: float) -> None:
    """Note that an attempt's area is in the archive, every file compared."""
    with transaction(conn):
        conn.execute(
            "UPDATE attempt SET archived = ?, archive = ?, archive_due = NULL, archive_error = NULL "
            "WHERE job_id = ? AND attempt = ?",
            (now, place, job_id, attempt),
        )


def put_off(conn: sqlite3.Connection, job_id: int, attempt: int, again: float) -> None:
    """Have an attempt wait for its archive to be there again."""
    with transaction(conn):
        conn.execute("UPDATE attempt SET archive_due = ? WHERE job_id = ? AND attempt = ?", (again, job_id, attempt))


def failed(conn: sqlite3.Connection, job_id: int, attempt: int, error: str, again: float) -> None:
    """Note why an attempt could not be archived this time, and when that is tried again."""
    with transaction(conn):
        conn.execute(
            "UPDATE attempt SET archive_error = ?, archive_due = ?, archive_tries = archive_tries + 1 "
            "WHERE job_id = ? AND attempt = ?",
            (error, again, job_id, attempt),
        )
