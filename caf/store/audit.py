"""The audit trail: what was changed, when, by whom, and why. Written in the transaction of the change itself."""

import sqlite3
from typing import Any


def note(
    conn: sqlite3.Connection,
    now: float,
    who: str,
    *,
    why: str,
    run: int | None = None,
    job: str | None = None,
    attempt: int | None = None,
    was: str | None = None,
    became: str | None = None,
) -> None:
    """Write one row, inside the caller's transaction."""
    conn.execute(
        "INSERT INTO audit (at, who, run, job, attempt, was, became, why) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (now, who, run, job, attempt, was, became, why),
    )


def history(
    conn: sqlite3.Connection,
    *,
    run: int | None = None,
    job: str | None = None,
    who: str | None = None,
    since: float | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Give audit rows, oldest first (the newest `limit` of them); `since` is in seconds since 1970."""
    clauses: list[str] = []
    arguments: list[Any] = []
    for clause, value in (("run = ?", run), ("job = ?", job), ("who = ?", who), ("at >= ?", since)):
        if value is not None:
            clauses.append(clause)
            arguments.append(value)
    where = f"WHERE {' AND '.join(clauses)}" if clauses else ""
    rows = conn.execute(
        f"SELECT at, who, run, job, attempt, was, became, why FROM audit {where} ORDER BY id DESC LIMIT ?",
        (*arguments, -1 if limit is None else limit),
    ).fetchall()
    return [dict(row) for row in reversed(rows)]
