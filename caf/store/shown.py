"""What is copied beside the status page: which attempts' files are due, and what became of it."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from caf.store.database import transaction


def due(conn: sqlite3.Connection, now: float, limit: int) -> list[sqlite3.Row]:
    """Give attempts whose files are to be copied now, with run, job, listener and configuration_id.

    One whose after-scripts are not over is left for later: they may make what is shown.
    """
    return conn.execute(
        "SELECT shown.job_id, shown.attempt, shown.tries, job.run, job.job, job.listener, job.configuration_id "
        "FROM shown JOIN job ON job.id = shown.job_id WHERE shown.due IS NOT NULL AND shown.due <= ? "
        "AND NOT EXISTS (SELECT 1 FROM afterwards WHERE afterwards.job_id = shown.job_id "
        "AND afterwards.attempt = shown.attempt AND afterwards.ended IS NULL) "
        "ORDER BY shown.due, shown.job_id, shown.attempt LIMIT ?",
        (now, limit),
    ).fetchall()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt's files: what was copied and what could not be, or why nothing was.

    `again` is when that is tried again; None: never.
    """

    job_id: int
    attempt: int
    files: Sequence[dict[str, Any]] | None = None
    error: str | None = None
    again: float | None = None


def note(conn: sqlite3.Connection, outcomes: Iterable[Outcome], now: float) -> None:
    """Note what became of attempts' files."""
    with transaction(conn):
        for one in outcomes:
            if one.files is not None:
                conn.execute(
                    "UPDATE shown SET due = NULL, error = NULL, files = ?, copied = ? WHERE job_id = ? AND attempt = ?",
                    (json.dumps(one.files), now, one.job_id, one.attempt),
                )
            else:
                conn.execute(
                    "UPDATE shown SET due = ?, error = ?, tries = tries + 1 WHERE job_id = ? AND attempt = ?",
                    (one.again, one.error, one.job_id, one.attempt),
                )


def old(conn: sqlite3.Connection, before: float, limit: int) -> list[sqlite3.Row]:
    """Give attempts whose copies are older than that: job_id, attempt, run, job."""
    return conn.execute(
        "SELECT shown.job_id, shown.attempt, job.run, job.job FROM shown JOIN job ON job.id = shown.job_id "
        "WHERE shown.copied IS NOT NULL AND shown.removed IS NULL AND shown.copied < ? ORDER BY shown.copied LIMIT ?",
        (before, limit),
    ).fetchall()


def removed(conn: sqlite3.Connection, rows: Sequence[sqlite3.Row], now: float) -> None:
    """Note that the copies of attempts are gone."""
    with transaction(conn):
        conn.executemany(
            "UPDATE shown SET removed = ? WHERE job_id = ? AND attempt = ?",
            [(now, row["job_id"], row["attempt"]) for row in rows],
        )
