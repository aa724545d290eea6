"""Each listeners.toml that was ever in force."""

import json
import sqlite3

from caf.store.audit import note
from caf.store.database import together, transaction

SUPERVISOR = "supervisor"


def keep(conn: sqlite3.Connection, text: str, sha256: str, path: str, now: float) -> int:
    """Keep a configuration that is coming into force and give its id; one that was in force before has its old id."""
    with transaction(conn):
        conn.execute(
            "INSERT INTO configuration (sha256, text, path, first_used, last_used) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (sha256) DO UPDATE SET last_used = excluded.last_used, path = excluded.path",
            (sha256, text, path, now, now),
        )
        return int(conn.execute("SELECT id FROM configuration WHERE sha256 = ?", (sha256,)).fetchone()[0])


def enforce(conn: sqlite3.Connection, text: str, sha256: str, path: str, now: float) -> int:
    """Keep a configuration as `keep` does, and have the audit trail say if it takes another one's place."""
    with together(conn):
        before = conn.execute("SELECT id FROM configuration ORDER BY last_used DESC, id DESC LIMIT 1").fetchone()
        number = keep(conn, text, sha256, path, now)
        if before is None or before[0] != number:
            was = None if before is None else f"configuration {before[0]}"
            why = f"{path} came into force (sha256 {sha256[:12]})"
            note(conn, now, SUPERVISOR, was=was, became=f"configuration {number}", why=why)
    return number


def text_of(conn: sqlite3.Connection, configuration_id: int) -> tuple[str, str]:
    """Give a kept configuration's text and path."""
    row = conn.execute("SELECT text, path FROM configuration WHERE id = ?", (configuration_id,)).fetchone()
    return row["text"], row["path"]


def last_good(conn: sqlite3.Connection) -> tuple[str, str] | None:
    """Give text and path of the configuration that was in force last; None on a first start."""
    row = conn.execute("SELECT text, path FROM configuration ORDER BY last_used DESC, id DESC LIMIT 1").fetchone()
    return (row["text"], row["path"]) if row else None


COMPLAINT = "configuration_complaint"


def complain(conn: sqlite3.Connection, complaint: str | None, now: float) -> None:
    """Keep why the file is not in force, and since when; None: it is."""
    with transaction(conn):
        conn.execute("DELETE FROM meta WHERE name = ?", (COMPLAINT,))
        if complaint is not None:
            conn.execute("INSERT INTO meta VALUES (?, ?)", (COMPLAINT, json.dumps({"at": now, "why": complaint})))


def complaint(conn: sqlite3.Connection) -> tuple[float, str] | None:
    """Give since when and why the file is not in force; None if it is."""
    row = conn.execute("SELECT value FROM meta WHERE name = ?", (COMPLAINT,)).fetchone()
    if row is None:
        return None
    found = json.loads(row[0])
    return float(found["at"]), str(found["why"])
