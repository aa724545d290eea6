"""What was absorbed last: a source's last snapshot, kept so that the next reading need only bring what differs.

It lies beside the database and is a cache that nobody need believe: it is used only with the token that the database
got in the very round that absorbed it, so that a restored database never meets a newer one; only until the next start
of the machine, since it is written without fsync; and not for longer than a day, so that whatever might be wrong with
it mends itself.
"""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from caf.domain.errors import SourceError
from caf.sources.snapshot import NAMES

LONGEST = 24 * 3600.0  # s
_COLUMNS = ", ".join(f'"{name}"' for name in NAMES)
_READ = ", ".join(f'read."{name}"' for name in NAMES)
_UNLIKE = " OR ".join(f'read."{name}" IS NOT known."{name}"' for name in NAMES[1:])


def boot() -> str:
    """Give what is another one after each start of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "?"


def lay_beside(connection: sqlite3.Connection, path: str, token: str, now: float) -> bool:
    """Attach the last snapshot as `absorbed` if it is the one that the token names and can be believed."""
    if not os.path.exists(path):
        return False
    try:
        connection.execute("ATTACH ? AS absorbed", (f"file:{quote(os.path.abspath(path))}?mode=ro",))
    except sqlite3.Error:
        return False
    with suppress(sqlite3.Error, ValueError):
        known = dict(connection.execute("SELECT name, value FROM absorbed.label").fetchall())
        age = now - float(known.get("since", "-inf"))
        if (known.get("token"), known.get("boot")) == (token, boot()) and 0 <= age <= LONGEST:
            return True
    with suppress(sqlite3.Error):
        connection.execute("DETACH absorbed")
    return False


def differing(select: str) -> str:
    """Give the query of those rows of `select`, a snapshot's columns, that are not in `absorbed` as they are."""
    return (
        f"WITH read ({_COLUMNS}) AS ({select}) SELECT {_READ} FROM read "
        f"LEFT JOIN absorbed.run known ON known.run = read.run WHERE known.run IS NULL OR {_UNLIKE}"
    )


def keep(snapshot: str, path: str, token: str | None, fresh: str, now: float) -> None:
    """Make of a snapshot that has been absorbed the last one, under a `fresh` token.

    With `token` the snapshot holds only what differs from the last one, which bears that token; else it is whole.
    SourceError if it cannot be done: then the next reading is a whole one.
    """
    try:
        if token is None:
            _name(snapshot, fresh, now)
            with suppress(FileNotFoundError):
                os.unlink(f"{path}-journal")  # of a process that was killed: it would be played back into this one
            os.replace(snapshot, path)
        else:
            _lay_over(snapshot, path, token, fresh)
            os.unlink(snapshot)
    except (OSError, sqlite3.Error) as error:
        raise SourceError(f"{path} could not be kept, so that the next reading is a whole one: {error}") from error


def _name(path: str, token: str, now: float) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE IF NOT EXISTS label (name TEXT PRIMARY KEY, value TEXT)")
        rows = [("token", token), ("boot", boot()), ("since", repr(now))]
        connection.executemany("INSERT OR REPLACE INTO label VALUES (?, ?)", rows)
        connection.execute("COMMIT")


def _lay_over(snapshot: str, path: str, token: str, fresh: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("ATTACH ? AS snapshot", (snapshot,))
        connection.execute("BEGIN IMMEDIATE")
        change = "UPDATE label SET value = ? WHERE name = 'token' AND value = ?"
        if connection.execute(change, (fresh, token)).rowcount == 1:
            connection.execute(f"INSERT OR REPLACE INTO main.run ({_COLUMNS}) SELECT {_COLUMNS} FROM snapshot.run")
        connection.execute("COMMIT")
