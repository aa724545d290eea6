"""Bringing a database of an older caf up to date, when the supervisor starts.

A migration is a function on the connection that takes the schema from one version to the next; it runs inside the one
transaction of all that are needed, so that a database is of the old version or of the new one, never between. A copy
of the old one is kept first: an older caf, which refuses the new one, can go on with that. There is no migration yet:
version 1 is the first. A change of the schema adds one here, and the same change to schema.sql.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

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


def copy_of(path: Path, version: int) -> Path:
    """Give where the copy of a database is kept as it was at this version."""
    return path.with_name(f"{path.name}.schema-{version}")


def keep_copy(path: Path, version: int) -> None:
    """Keep the database as it is, whole and durable. The caller has begun to write, so that nobody else does.

    Only SQLite may open the file: closing it would let go of all locks that this process has on it.
    """
    target = copy_of(path, version)
    fresh = Path(f"{target}.part")
    with suppress(FileNotFoundError):
        fresh.unlink()
    try:
        os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o660))
        with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(fresh)) as new:
            old.backup(new)
        os.rename(fresh, target)  # SQLite has synced what it wrote
    except OSError as error:
        raise sqlite3.OperationalError(f"{error.strerror}: {target}") from error
    finally:
        with suppress(FileNotFoundError):
            fresh.unlink()
