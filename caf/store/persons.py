"""What people decide about runs: to whom one belongs, or that it is nobody's. No duty overrules it."""

import sqlite3

from caf.domain.errors import NotFound, Refused
from caf.domain.matching import Status
from caf.store.audit import note
from caf.store.database import transaction
from caf.store.meant import no_run


def assign(
    conn: sqlite3.Connection, run: int, listener: str, now: float, who: str, reason: str, *, needs_validation: bool
) -> None:
    """Give a run to a listener; its jobs are made in the next round. Refused if it has another listener's already."""
    with transaction(conn):
        row = _run(conn, run)
        others = {each[0] for each in conn.execute("SELECT listener FROM job WHERE run = ?", (run,))} - {listener}
        if others:
            raise Refused(
                f"run {run} has jobs of {', '.join(sorted(others))} already, which stay: `caf jobs list --runs {run}` "
                "shows them; leave it, or `caf runs ignore` it"
            )
        due = conn.execute("SELECT 1 FROM job WHERE run = ?", (run,)).fetchone() is None
        conn.execute(
            "UPDATE run SET status = 'ACCEPTED', listener = ?, needs_validation = ?, decided_by = ?, reason = ?, "
            "disputed = 0, jobs_due = ? WHERE run = ?",
            (listener, needs_validation, who, reason, due, run),
        )
        became = f"{Status.ACCEPTED} by {listener}"
        note(conn, now, who, run=run, was=row["status"], became=became, why=f"assigned: {reason}")


def ignore(conn: sqlite3.Connection, run: int, now: float, who: str, reason: str) -> None:
    """Leave a run to nobody; jobs that it has are not touched."""
    with transaction(conn):
        row = _run(conn, run)
        conn.execute(
            "UPDATE run SET status = 'IGNORED', listener = NULL, needs_validation = NULL, decided_by = ?, reason = ?, "
            "disputed = 0, jobs_due = 0 WHERE run = ?",
            (who, reason, run),
        )
        note(conn, now, who, run=run, was=row["status"], became=Status.IGNORED, why=f"ignored: {reason}")


def _run(conn: sqlite3.Connection, run: int) -> sqlite3.Row:
    row: sqlite3.Row | None = conn.execute("SELECT status, listener FROM run WHERE run = ?", (run,)).fetchone()
    if row is None:
        raise NotFound(no_run(conn, run))
    return row
