"""Bringing a database of an older caf up to date, when the supervisor starts.

A migration is a function on the connection that takes the schema from one version to the next; it runs inside the one
transaction of all that are needed, so that a database is of the old version or of the new one, never between. There
is none yet: version 1 is the first. A change of the schema adds one here, and the same change to schema.sql.
"""

import sqlite3
from collections.abc import Callable

from caf.domain.jobs import LEGAL

Migration = Callable[[sqlite3.Connection], None]

MIGRATIONS: dict[int, Migration] = {}
"""By the version that they start from."""


def fill_transitions(conn: sqlite3.Connection) -> None:
    """Have the database enforce the table of transitions that this version has."""
    conn.execute("DELETE FROM transition")
    conn.executemany("INSERT INTO transition VALUES (?, ?)", sorted(LEGAL))


def migrate(conn: sqlite3.Connection, version: int, wanted: int) -> None:
    """Take the schema from `version` to `wanted`, inside the caller's transaction."""
    for step in range(version, wanted):
        MIGRATIONS[step](conn)
    fill_transitions(conn)
    conn.execute(f"PRAGMA user_version = {wanted}")
