"""When the organise duty has something to do that nobody announces."""

import sqlite3
from dataclasses import dataclass

from caf.domain.jobs import FOLLOWED, State

_BEFORE = (State.NEW, State.STAGING)


@dataclass(frozen=True, slots=True)
class Due:
    """Times in s since 1970, each the earliest; None: there is none. `waiting` jobs could be prepared at once."""

    not_before: float | None
    doubted: float | None
    cancelling: bool
    waiting: bool


def to_prepare(conn: sqlite3.Connection, now: float, limit: int) -> list[sqlite3.Row]:
    """Give the first jobs that are not prepared yet and not in back-off: the highest priority, then the oldest runs."""
    first: list[tuple[int, int, int]] = []
    for state in _BEFORE:  # each by itself, as the index has them in order: there may be very many
        found = conn.execute(
            "SELECT -priority, run, id FROM job WHERE state NOT IN ('DONE', 'FAILED', 'REJECTED', 'CANCELLED') "
            "AND state = ? AND (not_before IS NULL OR not_before <= ?) ORDER BY priority DESC, run, id LIMIT ?",
            (state, now, limit),
        )
        first += [tuple(row) for row in found]
    ids = [job_id for *_, job_id in sorted(first)[:limit]]
    return [conn.execute("SELECT * FROM job WHERE id = ?", (job_id,)).fetchone() for job_id in ids]


def due(conn: sqlite3.Connection, now: float) -> Due:
    """Give when the next back-off runs out, since when an attempt is in doubt, whether any is asked to end."""
    not_before = conn.execute("SELECT min(not_before) FROM job WHERE not_before IS NOT NULL").fetchone()[0]
    # As the partial index job_open has it.
    doubted, cancelling = conn.execute(
        "SELECT min(unknown_since), max(state = ?) FROM job "
        "WHERE state NOT IN ('DONE', 'FAILED', 'REJECTED', 'CANCELLED') "
        f"AND state IN ({', '.join('?' * len(FOLLOWED))})",
        (State.CANCELLING, *FOLLOWED),
    ).fetchone()
    waiting = conn.execute(
        "SELECT 1 FROM job WHERE state NOT IN ('DONE', 'FAILED', 'REJECTED', 'CANCELLED') "
        "AND state IN (?, ?) AND (not_before IS NULL OR not_before <= ?) LIMIT 1",
        (*_BEFORE, now),
    ).fetchone()
    return Due(not_before, doubted, bool(cancelling), waiting is not None)
