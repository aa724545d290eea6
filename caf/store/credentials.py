"""How the renewal of credentials stands, kept for `caf status` and for the next start."""

import json
import sqlite3
from dataclasses import asdict, dataclass

from caf.store.database import recall, remember, transaction

NAME = "credentials"


@dataclass(frozen=True, slots=True)
class Standing:
    """When it was tried last, and succeeded last (s since 1970); until when the ticket is good, if that is known.

    `error` is what is wrong since `since`; `lasting`: it does not pass by itself. `asked` is what was tried.
    """

    tried: float
    renewed: float | None = None
    expires: float | None = None
    error: str | None = None
    since: float | None = None
    lasting: bool = False
    asked: str = ""


def standing(conn: sqlite3.Connection) -> Standing | None:
    """Give how it stands; None if nothing is renewed."""
    known = recall(conn, NAME)
    return None if known is None else Standing(**json.loads(known))


def keep(conn: sqlite3.Connection, now: Standing) -> None:
    """Keep how it stands."""
    remember(conn, NAME, json.dumps(asdict(now)))


def forget(conn: sqlite3.Connection) -> None:
    """Forget it: nothing is renewed any more."""
    with transaction(conn):
        conn.execute("DELETE FROM meta WHERE name = ?", (NAME,))
