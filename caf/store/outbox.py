"""Mail that waits to be sent, and how far each addressee has been told."""

import json
import os
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from caf.store.database import database_id, transaction

DIGEST, SUMMARY = "digest", "summary"
KEPT = 7 * 86_400.0  # s that mail which was sent stays to be looked at


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail to one address, and what its addressee has been told once it stands in the outbox.

    `told` is the last audit row in it. Of a digest, `asked` is what it says needs a person; of a summary, `due` is
    when it was due.
    """

    address: str
    kind: str
    subject: str
    body: str
    told: int
    asked: Sequence[str] = ()
    due: float = 0.0


def enrol(conn: sqlite3.Connection, addresses: Collection[str], since: float, summary: float) -> list[dict[str, Any]]:
    """Have exactly these addressees, and give their rows, each with the kinds of mail that still wait for it.

    A new one is told what happened from `since` on. Mail that waits for one who is no longer written to is dropped.
    """
    known = {row[0] for row in conn.execute("SELECT address FROM addressee")}
    if known != set(addresses):
        with transaction(conn):
            last = conn.execute("SELECT coalesce(max(id), 0) FROM audit WHERE at < ?", (since,)).fetchone()[0]
            for address in known - set(addresses):
                conn.execute("DELETE FROM outbox WHERE sent IS NULL AND address = ?", (address,))
                conn.execute("DELETE FROM addressee WHERE address = ?", (address,))
            conn.executemany(
                "INSERT INTO addressee (address, told, asked, summed, summary) VALUES (?, ?, '[]', ?, ?)",
                [(address, last, last, summary) for address in addresses if address not in known],
            )
    waiting = [tuple(row) for row in conn.execute("SELECT address, kind FROM outbox WHERE sent IS NULL")]
    return [
        {**dict(row), "asked": json.loads(row["asked"]), "waiting": [k for a, k in waiting if a == row["address"]]}
        for row in conn.execute("SELECT * FROM addressee ORDER BY address").fetchall()
    ]


def post(conn: sqlite3.Connection, letters: Sequence[Letter], now: float, host: str) -> None:
    """Put letters into the outbox and move their addressees on, all in one transaction.

    Each gets a Message-ID of its own here, so that a mail system can tell one that is sent twice. A summary takes the
    place of an older one that was never sent.
    """
    with transaction(conn):
        database = database_id(conn)
        for letter in letters:
            if letter.kind == SUMMARY:
                old = "DELETE FROM outbox WHERE sent IS NULL AND kind = 'summary' AND address = ?"
                conn.execute(old, (letter.address,))
            conn.execute(
                "INSERT INTO outbox (address, kind, created, message_id, subject, body, next) VALUES (?,?,?,?,?,?,?)",
                (letter.address, letter.kind, now, _message_id(database, host), letter.subject, letter.body, now),
            )
            if letter.kind == SUMMARY:
                conn.execute(
                    "UPDATE addressee SET summed = ?, summary = ? WHERE address = ?",
                    (letter.told, letter.due, letter.address),
                )
            else:
                conn.execute(
                    "UPDATE addressee SET told = ?, asked = ?, digest = ? WHERE address = ?",
                    (letter.told, json.dumps(sorted(letter.asked)), now, letter.address),
                )
        conn.execute("DELETE FROM outbox WHERE sent IS NOT NULL AND sent < ?", (now - KEPT,))


def _message_id(database: str, host: str) -> str:
    return f"<caf-{database}-{os.urandom(8).hex()}@{host}>"


def no_longer_asked(conn: sqlite3.Connection, address: str, asked: Collection[str]) -> None:
    """Forget what no longer needs a person, so that it is news if it does again."""
    with transaction(conn):
        conn.execute("UPDATE addressee SET asked = ? WHERE address = ?", (json.dumps(sorted(asked)), address))


def due(conn: sqlite3.Connection, now: float, longest: float, limit: int) -> list[sqlite3.Row]:
    """Give the mails to be tried now, the oldest first; none waits for longer (s), whatever a wrong clock has said."""
    return conn.execute(
        "SELECT * FROM outbox WHERE sent IS NULL AND (next <= ? OR next > ?) ORDER BY id LIMIT ?",
        (now, now + longest, limit),
    ).fetchall()


def next_try(conn: sqlite3.Connection) -> float | None:
    """Give when the next mail is to be tried; None if none waits."""
    found = conn.execute("SELECT min(next) FROM outbox WHERE sent IS NULL").fetchone()[0]
    return None if found is None else float(found)


def sent(conn: sqlite3.Connection, number: int, now: float) -> None:
    """Mark a mail that the server has taken."""
    with transaction(conn):
        conn.execute("UPDATE outbox SET sent = ?, error = NULL WHERE id = ?", (now, number))


def failed(conn: sqlite3.Connection, number: int, error: str, next_try: float) -> None:
    """Keep why a mail was not taken, and when to try again."""
    with transaction(conn):
        conn.execute("UPDATE outbox SET tries = tries + 1, error = ?, next = ? WHERE id = ?", (error, next_try, number))


def stuck(conn: sqlite3.Connection, before: float) -> list[sqlite3.Row]:
    """Give the mails of before a time that were tried in vain, the oldest first: address, created, tries, error."""
    return conn.execute(
        "SELECT address, created, tries, error FROM outbox WHERE sent IS NULL AND error IS NOT NULL AND created <= ? "
        "ORDER BY created, id",
        (before,),
    ).fetchall()
