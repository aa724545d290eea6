"""After-scripts: what an attempt's outcome still has to set off on the supervisor's host, and what came of it."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from caf.domain.jobs import State
from caf.store.audit import note
from caf.store.database import transaction

AFTERWARDS = "afterwards"
_OPEN = "SELECT 1 FROM afterwards WHERE job_id = ? AND attempt = ? AND ended IS NULL"
_WITH_JOB = (
    "SELECT afterwards.*, job.run, job.job, attempt.result FROM afterwards JOIN job ON job.id = afterwards.job_id "
    "JOIN attempt ON attempt.job_id = afterwards.job_id AND attempt.attempt = afterwards.attempt "
    "WHERE afterwards.ended IS NULL"
)


@dataclass(frozen=True, slots=True)
class Script:
    """One light command: program and arguments as they are, and how long (s) it may take."""

    command: tuple[str, ...]
    timeout: float


def plan(
    conn: sqlite3.Connection, job_id: int, attempt: int, outcome: State, scripts: Sequence[Script], now: float
) -> None:
    """Note what is to be run after an attempt, inside the transaction of its outcome. Its archive waits for that."""
    rows = [
        (job_id, attempt, step, outcome, json.dumps(script.command), script.timeout, now)
        for step, script in enumerate(scripts, 1)
    ]
    conn.executemany(
        "INSERT INTO afterwards (job_id, attempt, step, outcome, command, timeout, made) VALUES (?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    conn.execute("UPDATE attempt SET archive_due = NULL WHERE job_id = ? AND attempt = ?", (job_id, attempt))


def next_in_line(conn: sqlite3.Connection, now: float, longest: float) -> sqlite3.Row | None:
    """Give the script whose turn it is, with its job's run and name and the attempt's result; None if none is due.

    None waits for more than `longest` (s): what seems to was put off before the clock was set back.
    """
    row: sqlite3.Row | None = conn.execute(
        f"{_WITH_JOB} AND (afterwards.not_before IS NULL OR afterwards.not_before <= ? OR afterwards.not_before > ?) "
        "ORDER BY afterwards.made, afterwards.job_id, afterwards.attempt, afterwards.step LIMIT 1",
        (now, now + longest),
    ).fetchone()
    return row


def next_due(conn: sqlite3.Connection) -> float | None:
    """Give when the next back-off runs out."""
    row = conn.execute("SELECT min(coalesce(not_before, 0)) FROM afterwards WHERE ended IS NULL").fetchone()
    return None if row[0] is None else float(row[0])


def interrupted(conn: sqlite3.Connection) -> list[sqlite3.Row]:
    """Give the scripts that have begun and not ended: asked between two of them, these were interrupted."""
    return conn.execute(f"{_WITH_JOB} AND afterwards.begun IS NOT NULL").fetchall()


def begin(conn: sqlite3.Connection, row: sqlite3.Row, now: float) -> None:
    """Note that a script is about to be started."""
    with transaction(conn):
        _set(conn, row, "begun = ?, tries = tries + 1", now)


def put_off(conn: sqlite3.Connection, row: sqlite3.Row, again: float, error: str) -> None:
    """Have all that is left to be run after an attempt wait: its area cannot be used just now."""
    with transaction(conn):
        conn.execute(
            "UPDATE afterwards SET not_before = ?, looks = looks + 1, error = ? "
            "WHERE job_id = ? AND attempt = ? AND ended IS NULL",
            (again, error, row["job_id"], row["attempt"]),
        )


def let_begin_again(conn: sqlite3.Connection, row: sqlite3.Row) -> None:
    """Have a script that was interrupted take its turn once more."""
    with transaction(conn):
        _set(conn, row, "begun = NULL, error = ?", "interrupted by the end of the supervisor")


def end(conn: sqlite3.Connection, row: sqlite3.Row, now: float, error: str | None) -> None:
    """Note how a script ended; a failure stands in the audit trail. After the last one the attempt can be archived."""
    with transaction(conn):
        _set(conn, row, "ended = ?, error = ?, not_before = NULL", now, error)
        which = (row["job_id"], row["attempt"])
        if conn.execute(_OPEN, which).fetchone() is None:
            conn.execute(
                "UPDATE attempt SET archive_due = ? WHERE job_id = ? AND attempt = ? AND archived IS NULL",
                (now, *which),
            )
        if error is not None:
            why = f"after-script {named(row)} of attempt {row['attempt']} failed: {error}"
            note(conn, now, AFTERWARDS, run=row["run"], job=row["job"], attempt=row["attempt"], why=why)


def _set(conn: sqlite3.Connection, row: sqlite3.Row, assignments: str, *values: object) -> None:
    conn.execute(
        f"UPDATE afterwards SET {assignments} WHERE job_id = ? AND attempt = ? AND step = ?",
        (*values, row["job_id"], row["attempt"], row["step"]),
    )


def of_job(conn: sqlite3.Connection, job_id: int) -> list[sqlite3.Row]:
    """Give all scripts of a job's attempts, in their order."""
    return conn.execute(
        "SELECT * FROM afterwards WHERE job_id = ? ORDER BY attempt, step",
        (job_id,),
    ).fetchall()


def told(row: sqlite3.Row) -> str:
    """Give a script's command as people would type it."""
    import shlex  # the command line starts faster without

    return shlex.join(json.loads(row["command"]))


def named(row: sqlite3.Row) -> str:
    """Give what tells it from the others in few words: its place among them and its program."""
    return f"{row['step']} ({json.loads(row['command'])[0]})"


def state_of(row: sqlite3.Row) -> str:
    """Say where a script stands: due, running, done or failed."""
    if row["ended"] is None:
        return "due" if row["begun"] is None else "running"
    return "done" if row["error"] is None else "failed"
