"""What grows without end, and what is removed of it. Runs, jobs, verdicts and the audit trail are the record, and stay.

A million finished jobs are some gigabytes. Nothing here vacuums: freed pages are used again, and rewriting the file
would hold everybody up.
"""

import sqlite3

from caf.store.database import transaction
from caf.store.outbox import KEPT as MAIL_KEPT

GROWTH = {
    "meta": "bounded: a few names",
    "configuration": "record: a row for each listeners.toml that was ever in force",
    "verdict": "record: a row for each distinct set of answers",
    "run": "record: a row a run",
    "former_verdict": "record: a row for each verdict that was replaced",
    "run_count": "bounded: a row a status",
    "transition": "bounded: a row for each legal change",
    "job": "record: a row a job",
    "job_count": "bounded: a row for each name and state",
    "pause": "bounded: a row a name",
    "attempt": "record: a row an attempt",
    "afterwards": "record: a row a script of an attempt",
    "area": "record: a row an attempt: what its files weighed, and when and why they were removed",
    "pin": "bounded: a row for each job that somebody has pinned",
    "measurement": "pruned: by its age, by the clean duty as it measures",
    "page": "bounded: a row for some hundred runs or jobs",
    "shown": "record: a row for each attempt that has something to show",
    "tally": "record: some rows a day",
    "stray": "bounded: by the folders in the work folder",
    "audit": "record: a row a change",
    "addressee": "bounded: a row an address",
    "outbox": "pruned: mail that was sent a week ago",
    "duty": "bounded: a row a duty",
    "source": "bounded: one row",
}
"""Each table of schema.sql: whether it is bounded by what there is, part of the record, or pruned."""


def prune(conn: sqlite3.Connection, now: float) -> int:
    """Remove what is old, and give how many rows that were. A look costs nothing where there is nothing to remove."""
    old = "FROM outbox WHERE sent IS NOT NULL AND sent < ?"
    if conn.execute(f"SELECT 1 {old} LIMIT 1", (now - MAIL_KEPT,)).fetchone() is None:
        return 0
    with transaction(conn):
        return conn.execute(f"DELETE {old}", (now - MAIL_KEPT,)).rowcount
