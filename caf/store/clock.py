"""What a clock that is set would do to the times that open jobs hold: they are moved along with it."""

import sqlite3

from caf.store.database import transaction

_OPEN = "state NOT IN ('DONE', 'FAILED', 'REJECTED', 'CANCELLED')"


def shift(conn: sqlite3.Connection, by: float, mark: str) -> None:
    """Move the times of open jobs by so many seconds, and remember by `mark` that this was done: both or nothing."""
    with transaction(conn):
        conn.execute(
            "UPDATE job SET since = since + :by, not_before = not_before + :by, unknown_since = unknown_since + :by "
            f"WHERE {_OPEN}",
            {"by": by},
        )
        conn.execute(
            "UPDATE attempt SET asked = asked + ? WHERE (job_id, attempt) IN "
            f"(SELECT id, attempt FROM job WHERE {_OPEN})",
            (by,),
        )
        conn.execute(
            "INSERT INTO meta VALUES ('clock', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (mark,)
        )


def none_ahead(conn: sqlite3.Connection, now: float, furthest: float, slack: float) -> bool:
    """Bring back what lies in the future: moments that are past, and waits that would end after `furthest`.

    Tells whether there was anything more than `slack` seconds ahead.
    """
    bounds = {"now": now, "ahead": now + slack, "furthest": furthest, "beyond": furthest + slack}
    ahead = conn.execute(
        f"SELECT 1 FROM job WHERE {_OPEN} AND (since > :ahead OR unknown_since > :ahead OR not_before > :beyond) "
        "UNION ALL SELECT 1 FROM job JOIN attempt ON attempt.job_id = job.id AND attempt.attempt = job.attempt "
        f"WHERE {_OPEN} AND asked > :ahead LIMIT 1",
        bounds,
    ).fetchone()
    if ahead is None:
        return False
    with transaction(conn):
        conn.execute(
            "UPDATE job SET since = min(since, :now), unknown_since = min(unknown_since, :now), "
            f"not_before = min(not_before, :furthest) WHERE {_OPEN}",
            bounds,
        )
        conn.execute(
            "UPDATE attempt SET asked = :now WHERE asked > :now AND (job_id, attempt) IN "
            f"(SELECT id, attempt FROM job WHERE {_OPEN})",
            bounds,
        )
    return True
