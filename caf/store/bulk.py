"""Many jobs at a person's word: some hundreds in a transaction, each of them done or refused by itself.

A transaction for each would wait for the disk each time; one for all would lock the supervisor out for as long.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from caf.domain.errors import Refused
from caf.domain.jobs import State
from caf.store.database import together

GROUP = 200  # jobs in a transaction: tens of milliseconds


@dataclass(frozen=True, slots=True)
class Meant:
    """A job that a filter found, in the state in which it was seen."""

    run: int
    job: str
    state: State


def do_group(
    conn: sqlite3.Connection, meant: Sequence[Meant], do: Callable[[sqlite3.Connection, Meant], sqlite3.Row]
) -> list[sqlite3.Row | Refused]:
    """Do the same to some jobs, all in one transaction; gives what each is now, or why it was refused."""
    outcomes: list[sqlite3.Row | Refused] = []
    with together(conn):
        for one in meant:
            try:
                outcomes.append(do(conn, one))
            except Refused as refusal:
                outcomes.append(refusal)
    return outcomes
