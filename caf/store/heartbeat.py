"""The heartbeat file: written on the database's thread, so a fresh one proves event loop and database alive."""

import os
import sqlite3
from pathlib import Path


def beat(conn: sqlite3.Connection, path: Path, lines: str, mode: int) -> None:
    """Have the database read its own head, then put the file in place by a rename. OSError if that cannot be.

    It is not synced: what a reader sees is all that counts.
    """
    conn.execute("PRAGMA data_version").fetchone()
    fresh = path.with_name(f"{path.name}.new")
    # A pipe of that name must not hold up the database's thread.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(fresh, flags, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, mode)
        file.write(lines)
    os.rename(fresh, path)
