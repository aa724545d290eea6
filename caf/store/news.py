"""What has happened since somebody was last told, found in the audit trail; only what still stands is news.

Every answer goes by a range of audit rows, so its cost depends on what is new, not on history. After a first look at
a large run database there may be very many: each answer is a number and the first few.
"""

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from caf.store.making import DISCOVER
from caf.store.queries import UNDECIDED

FEW_REASONS = 5
MOST_ASKING = 1000  # runs and jobs that are told apart one by one; beyond it a person has other worries


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of the audit trail, after its row `told` up to its row `last`; only of these jobs, if any are named."""

    told: int
    last: int
    jobs: tuple[str, ...] | None = None

    def where(self) -> tuple[str, list[Any]]:
        """Give it as a condition on audit, with its arguments."""
        clause, arguments = "audit.id > ? AND audit.id <= ?", [self.told, self.last]
        if self.jobs is None:
            return clause, arguments
        return f"{clause} AND audit.job IN ({', '.join('?' * len(self.jobs))})", [*arguments, *self.jobs]


@dataclass(frozen=True, slots=True)
class Found:
    """So many, and the first few of them."""

    count: int
    rows: list[sqlite3.Row]


# CROSS JOIN: the trail's stretch is looked through first, whatever SQLite thinks of it.
_JOBS = "FROM audit CROSS JOIN job ON job.run = audit.run AND job.job = audit.job WHERE"
_STANDING = {
    "WAITING": "audit.became = 'WAITING' AND job.state = 'WAITING'",
    "FAILED": "audit.became = 'FAILED' AND job.state = 'FAILED' AND job.acknowledged = 0",
    "DONE": "audit.became = 'DONE' AND job.state = 'DONE'",
}


def last(conn: sqlite3.Connection) -> int:
    """Give the newest row of the audit trail."""
    return int(conn.execute("SELECT coalesce(max(id), 0) FROM audit").fetchone()[0])


def accepted(conn: sqlite3.Connection, stretch: Stretch, few: int) -> Found:
    """Give the runs whose jobs were made: run, listener, and the jobs' names in one text."""
    made = f"audit.who = '{DISCOVER}' AND audit.was IS NULL"
    what = "job.run AS run, job.listener AS listener, group_concat(DISTINCT job.job) AS jobs"
    return _newest(conn, stretch, made, "audit.run", what, "GROUP BY job.run ORDER BY job.run DESC", few)


def jobs(conn: sqlite3.Connection, stretch: Stretch, state: str, few: int) -> Found:
    """Give the jobs that came into WAITING, FAILED or DONE, and are there still: run, job, result, reason."""
    what = "DISTINCT job.run AS run, job.job AS job, job.result AS result, job.reason AS reason"
    return _newest(conn, stretch, _STANDING[state], "job.id", what, "ORDER BY job.run DESC, job.id DESC", few)


def _newest(
    conn: sqlite3.Connection, stretch: Stretch, which: str, counted: str, what: str, order: str, few: int
) -> Found:
    """Count all, and give the newest few, the oldest of them first."""
    clause, arguments = stretch.where()
    rest = f"{_JOBS} {clause} AND {which}"
    count = conn.execute(f"SELECT count(DISTINCT {counted}) {rest}", arguments).fetchone()[0]
    rows = conn.execute(f"SELECT {what} {rest} {order} LIMIT ?", [*arguments, few]).fetchall()
    return Found(int(count), rows[::-1])


def reasons(conn: sqlite3.Connection, stretch: Stretch, state: str) -> list[sqlite3.Row]:
    """Give the most frequent reasons of such jobs, with how many have each: reason, jobs, and one of them."""
    clause, arguments = stretch.where()
    return conn.execute(
        "SELECT job.reason AS reason, count(DISTINCT job.id) AS jobs, max(job.run) AS run, job.job AS job "
        f"{_JOBS} {clause} AND {_STANDING[state]} GROUP BY job.reason ORDER BY 2 DESC LIMIT {FEW_REASONS}",
        arguments,
    ).fetchall()


def in_doubt(conn: sqlite3.Connection, before: float, names: Collection[str] | None = None) -> list[sqlite3.Row]:
    """Give the jobs of which nothing has been known since a time: run, job, attempt, unknown_since, reason."""
    rows = conn.execute(
        "SELECT run, job, attempt, unknown_since, reason FROM job WHERE state NOT IN ('DONE', 'FAILED', 'REJECTED', "
        f"'CANCELLED') AND state IN ({UNDECIDED}) AND unknown_since <= ? ORDER BY run, id",
        (before,),
    ).fetchall()
    return [row for row in rows if names is None or row["job"] in names][:MOST_ASKING]


def asking_runs(conn: sqlite3.Connection) -> list[tuple[str, int]]:
    """Give the runs that two listeners take, and those whose jobs no longer agree with their verdict."""
    rows = conn.execute(
        "SELECT CASE WHEN disputed = 1 THEN 'disputed' ELSE 'conflict' END, run FROM run "
        f"WHERE status = 'CONFLICT' OR disputed = 1 ORDER BY run DESC LIMIT {MOST_ASKING}"
    )
    return [(str(row[0]), int(row[1])) for row in rows]
