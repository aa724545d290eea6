"""Working areas that this database does not know: it is an older copy, or another database was used with them before.

Once areas are taken over, nothing is submitted until they have been compared with the database, and every attempt that
was begun there has been adopted. Those of jobs that this database does not have yet are kept as strays until their runs
come.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from caf.domain.comparing import Conclusion, Finding
from caf.domain.jobs import FINAL, IDLE, State
from caf.store.audit import note
from caf.store.database import recall, transaction
from caf.store.jobs import move

TAKE_OVER = "take-over"
DUE, GENERATION = "compare_due", "generation"
Attempts = tuple[int, str, list[int]]  # run, job, numbers of its areas; negative: the newest that was removed


@dataclass(frozen=True, slots=True)
class Standing:
    """What a database says of itself. `newest` is when it was last changed; `knows` whether it gave that token out."""

    generation: int
    newest: float | None
    used: bool
    knows: bool


def standing(conn: sqlite3.Connection, token: str | None) -> Standing:
    """Give what a start compares with the mark of the working areas."""
    known = conn.execute("SELECT 1 FROM attempt WHERE token = ?", (token,)).fetchone()
    newest = conn.execute("SELECT at FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    used = conn.execute("SELECT 1 FROM attempt LIMIT 1").fetchone() is not None
    generation = int(recall(conn, GENERATION) or 0)
    return Standing(generation, newest[0] if newest else None, used, token is None or known is not None)


def begin(conn: sqlite3.Connection, at_least: int, *, compare: bool) -> int:
    """Begin a new generation, above all that worked here, and have areas compared first if they are taken over."""
    with transaction(conn):
        generation = max(int(recall(conn, GENERATION) or 0), at_least) + 1
        values = [(GENERATION, str(generation)), *([(DUE, "1")] if compare else [])]
        conn.executemany(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", values
        )
    return generation


def compare_due(conn: sqlite3.Connection) -> bool:
    """Tell whether all areas must be compared before anything is submitted."""
    return recall(conn, DUE) is not None


def compared(conn: sqlite3.Connection, now: float, why: str) -> None:
    """Note that all areas have been compared."""
    with transaction(conn):
        conn.execute("DELETE FROM meta WHERE name = ?", (DUE,))
        note(conn, now, TAKE_OVER, why=why)


def unknown(conn: sqlite3.Connection, listed: Sequence[Attempts]) -> list[Attempts]:
    """Give those of the listed areas that belong to no attempt of this database."""
    found = []
    for run, job, numbers in listed:
        known = conn.execute(
            "SELECT attempt.attempt FROM job JOIN attempt ON attempt.job_id = job.id WHERE run = ? AND job = ?",
            (run, job),
        )
        if left := sorted(set(numbers) - {row[0] for row in known}):
            found.append((run, job, left))
    return found


def behind(conn: sqlite3.Connection, removed: Sequence[tuple[int, str, int]]) -> list[tuple[int, str, int]]:
    """Give those of the attempts whose areas were removed of which this database does not know that they are over."""
    found = []
    for run, job, number in removed:
        row = conn.execute("SELECT state, attempt FROM job WHERE run = ? AND job = ?", (run, job)).fetchone()
        if row is None or (row["attempt"] <= number and row["state"] not in FINAL):
            found.append((run, job, number))
    return found


def job_of(conn: sqlite3.Connection, run: int, job: str) -> sqlite3.Row | None:
    """Give a job's row; None if there is no such job."""
    row: sqlite3.Row | None = conn.execute("SELECT * FROM job WHERE run = ? AND job = ?", (run, job)).fetchone()
    return row


def strays(conn: sqlite3.Connection) -> list[Attempts]:
    """Give the areas of jobs that were not known when they were found."""
    rows = conn.execute("SELECT run, job, folders FROM stray ORDER BY run, job").fetchall()
    return [(row["run"], row["job"], json.loads(row["folders"])) for row in rows]


def strays_to_see(conn: sqlite3.Connection) -> list[Attempts]:
    """Give those of them of which something may be new: the job has come, or an area may be gone."""
    rows = conn.execute(
        "SELECT stray.run, stray.job, stray.folders, job.id FROM stray LEFT JOIN job "
        "ON job.run = stray.run AND job.job = stray.job ORDER BY stray.run, stray.job"
    ).fetchall()
    found = [(row["run"], row["job"], json.loads(row["folders"]), row["id"]) for row in rows]
    return [(run, job, numbers) for run, job, numbers, known in found if known is not None or max(numbers) > 0]


def keep_strays(conn: sqlite3.Connection, found: Sequence[Attempts], now: float) -> None:
    """Keep areas whose job is not known, until it comes or they are gone."""
    with transaction(conn):
        conn.executemany(
            "INSERT OR REPLACE INTO stray VALUES (?, ?, ?, ?)",
            [(run, job, json.dumps(numbers), now) for run, job, numbers in found],
        )


def forget_strays(conn: sqlite3.Connection, gone: Sequence[tuple[int, str]]) -> None:
    """Forget areas that are settled, or that somebody has moved away."""
    with transaction(conn):
        conn.executemany("DELETE FROM stray WHERE run = ? AND job = ?", gone)


def settle(
    conn: sqlite3.Connection, seen: sqlite3.Row, done: Conclusion, tokens: Mapping[int, str], now: float
) -> bool:
    """Carry out what was concluded about a job's areas; False if the job has changed since it was `seen`.

    `tokens` are those of its attempts that this database does not know, by number: they are on record from now on.
    """
    with transaction(conn):
        row = conn.execute("SELECT * FROM job WHERE id = ?", (seen["id"],)).fetchone()
        if tuple(row) != tuple(seen):
            return False
        if done.token is not None and standing(conn, done.token).knows:  # copied by hand, or forged
            why = f"{done.why} with a token that is not its own"
            done = replace(done, finding=Finding.HOLD, number=done.number + 1, why=why)
        if done.finding is Finding.ADOPT:
            _adopt(conn, row, done, now)
        elif done.finding in {Finding.HOLD, Finding.RAISE}:
            _hold(conn, row, done, now)
        for number, token in tokens.items():
            conn.execute(
                "INSERT OR IGNORE INTO attempt (job_id, attempt, token, asked, reason) VALUES (?, ?, ?, ?, ?)",
                (row["id"], number, token, now, None if number == done.number else "found in its working area"),
            )
    return True


def _adopt(conn: sqlite3.Connection, row: sqlite3.Row, done: Conclusion, now: float) -> None:
    """Take a job to SUBMITTING with the token that was found: the witnesses then say how far it is."""
    row = _begin_again(conn, row, done.why, now)
    if row["state"] == State.WAITING:
        row = _moved(conn, row, State.NEW, done.why, now)
    row = _raise(conn, row, done.number)
    if row["state"] != State.PREPARED:
        row = _moved(conn, row, State.PREPARED, done.why, now)
    why = f"{done.why}: it is not begun again, but followed"
    move(conn, row, State.SUBMITTING, now, TAKE_OVER, why, sets={"token": done.token})


def _hold(conn: sqlite3.Connection, row: sqlite3.Row, done: Conclusion, now: float) -> None:
    """Have the next attempt above all areas; a person decides whether there is to be one."""
    row = _raise(conn, _begin_again(conn, row, done.why, now), done.number)
    if done.finding is Finding.HOLD:
        why = f"{done.why}: look into its areas; to start it begins attempt {done.number}"
        _moved(conn, row, State.WAITING, why, now)


def _begin_again(conn: sqlite3.Connection, row: sqlite3.Row, why: str, now: float) -> sqlite3.Row:
    """Leave a state in which an attempt was used: a later one proves that it is over."""
    if row["state"] in IDLE:
        return row
    target = State.PREPARED if row["state"] == State.SUBMITTING else State.NEW
    return _moved(conn, row, target, f"{why}: attempt {row['attempt']} was over", now)


def _moved(conn: sqlite3.Connection, row: sqlite3.Row, target: State, why: str, now: float) -> sqlite3.Row:
    move(conn, row, target, now, TAKE_OVER, why)
    again: sqlite3.Row = conn.execute("SELECT * FROM job WHERE id = ?", (row["id"],)).fetchone()
    return again


def _raise(conn: sqlite3.Connection, row: sqlite3.Row, number: int) -> sqlite3.Row:
    """Count a job's attempts up, one by one as the database demands."""
    for attempt in range(row["attempt"] + 1, number + 1):
        conn.execute("UPDATE job SET attempt = ? WHERE id = ?", (attempt, row["id"]))
    again: sqlite3.Row = conn.execute("SELECT * FROM job WHERE id = ?", (row["id"],)).fetchone()
    return again
