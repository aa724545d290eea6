"""What a quick round does in one go: ends with the tokens of what takes their slots, the rest with a look ahead."""

import sqlite3
from collections.abc import Sequence

from caf.domain.slots import HOLDING
from caf.store import jobs
from caf.store.database import together
from caf.store.due import Due, due
from caf.store.jobs import Change


def frees_slot(change: Change) -> bool:
    """Tell whether a job that held a slot holds none after the change."""
    return change.seen in HOLDING and change.target not in HOLDING


def refill(
    conn: sqlite3.Connection, changes: Sequence[Change], since: Sequence[float], job_ids: Sequence[int], now: float
) -> tuple[list[bool], dict[int, str]]:
    """Carry out changes, then give tokens to PREPARED jobs: to one less for each slot that was not freed after all."""
    with together(conn):
        done = jobs.apply(conn, changes, now, since)
        held = sum(frees_slot(change) and not took for change, took in zip(changes, done, strict=True))
        return done, jobs.claim_tokens(conn, job_ids[: max(0, len(job_ids) - held)], now)


def settle(
    conn: sqlite3.Connection, changes: Sequence[Change], since: Sequence[float], now: float
) -> tuple[list[bool], Due]:
    """Carry out changes, if there are any, and see what is due next."""
    return jobs.apply(conn, changes, now, since) if changes else [], due(conn, now)
