"""How each duty has been doing, as the supervisor records it and `caf status` shows it."""

import sqlite3
from typing import Any

from caf.store.database import transaction


def begun(conn: sqlite3.Connection, name: str, now: float) -> None:
    """Record that a round of a duty begins."""
    with transaction(conn):
        conn.execute(
            "INSERT INTO duty (name, started) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET started = excluded.started",
            (name, now),
        )


def ended(
    conn: sqlite3.Connection, name: str, now: float, next_at: float, *, summary: str | None, error: str | None
) -> None:
    """Record how a round ended and when the next one is due."""
    with transaction(conn):
        if error is None:
            conn.execute(
                "UPDATE duty SET succeeded = ?, error = NULL, failures = 0, next = ?, progress = NULL, "
                "summary = coalesce(?, summary) WHERE name = ?",
                (now, next_at, summary, name),
            )
        else:
            conn.execute(
                "UPDATE duty SET failed = ?, error = ?, failures = failures + 1, next = ?, progress = NULL "
                "WHERE name = ?",
                (now, error, next_at, name),
            )


def progressed(conn: sqlite3.Connection, name: str, progress: str) -> None:
    """Record how far a long round of a duty is."""
    with transaction(conn):
        conn.execute("UPDATE duty SET progress = ? WHERE name = ?", (progress, name))


def all_duties(conn: sqlite3.Connection) -> list[dict[str, Any]]:
    """Give every duty's row."""
    return [dict(row) for row in conn.execute("SELECT * FROM duty ORDER BY name")]
