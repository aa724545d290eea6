"""Putting a backup in the database's place, so that whatever happens meanwhile either of the two stands there, whole.

The backup is copied beside the database and proved there. The database gets a second name, under which it stays, and
then one rename puts the copy in its place. That is done with the old one locked against everybody: a command that is
writing to it has a journal beside it, which would be taken for the new one's; one that comes later finds that its file
was moved away, and is refused by SQLite.
"""

import os
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from caf.domain.errors import Refused, StoreError
from caf.store.audit import note
from caf.store.backups import FOLDER, Contents, verify
from caf.store.database import VERSION, explain, transaction
from caf.store.found import Standing, standing

JOURNALS = ("-journal", "-wal")  # what belongs to a database file that was not closed in order
BUSY = 10.0  # s


@dataclass(frozen=True, slots=True)
class Restored:
    """What is in place now. `aside` is where the database that it replaced stands, if there was one."""

    contents: Contents
    aside: Path | None
    standing: Standing


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants a backup restored, why, and what the mark of the working areas says of theirs."""

    who: str
    reason: str | None
    owner: str | None = None  # the database that they belong to
    newest: str | None = None  # the newest token that was given out there


def restore(backup: Path, database: Path, order: Order, now: float) -> Restored:
    """Put a copy of a backup in the database's place. The caller holds the supervisor's lock.

    Refused, with nothing changed, if it is another installation's; StoreError if it is damaged, newer, or not caf's.
    """
    if not backup.exists():
        raise Refused(f"{backup}: is not there: caf's own are in {database.parent / FOLDER}, and in [caf] backup")
    if database.exists() and backup.samefile(database):
        raise Refused(f"{backup}: is the database itself: name a backup")
    for left in database.parent.glob(f".{database.name}.*.part*"):  # of one that was killed
        left.unlink()
    part = database.with_name(f".{database.name}.{secrets.token_hex(4)}.part")
    try:
        _copy(backup, part)
        contents = verify(part)
        _refuse_foreign(backup, contents, database, order)
        stand = _note(part, backup, order, now)
        aside = _swap(part, database, now)
    except StoreError as error:
        raise StoreError(str(error).replace(str(part), str(backup))) from error
    except OSError as error:
        raise StoreError(f"{error.filename or database}: {error.strerror}: nothing was restored") from error
    finally:
        for suffix in ("", *JOURNALS):
            with suppress(OSError):
                os.unlink(f"{part}{suffix}")
    return Restored(contents, aside, stand)


def _copy(backup: Path, part: Path) -> None:
    """Copy a backup; what was put aside from a crash has its journal beside it, and is nothing without."""
    for suffix in ("", *JOURNALS):
        source = Path(f"{backup}{suffix}")
        if suffix and not (source.exists() and source.stat().st_size):
            continue
        with source.open("rb") as read, Path(f"{part}{suffix}").open("xb") as written:
            os.fchmod(written.fileno(), 0o660)
            while piece := read.read(1 << 20):
                written.write(piece)
            written.flush()
            os.fsync(written.fileno())


def _refuse_foreign(backup: Path, contents: Contents, database: Path, order: Order) -> None:
    here, whose = order.owner, "the working areas are of"
    with suppress(StoreError):
        if database.exists() and database.stat().st_size:
            here, whose = _identity(database), f"{database} is"
    if here is not None and contents.database_id != here:
        raise Refused(
            f"{backup}: is of database {contents.database_id}, and {whose} {here}: name a backup of this one, or the "
            "listeners.toml of that one (--config)"
        )


def _identity(database: Path) -> str | None:
    conn = sqlite3.connect(database, timeout=BUSY, isolation_level=None)
    try:
        row = conn.execute("SELECT value FROM meta WHERE name = 'database_id'").fetchone()
    except sqlite3.Error as error:  # what is damaged is what one restores for
        raise StoreError(explain(error)) from error
    finally:
        conn.close()
    return None if row is None else str(row[0])


def _note(part: Path, backup: Path, order: Order, now: float) -> Standing:
    """Have the trail of the copy say that it was restored; gives what a start will compare with the working areas."""
    conn = sqlite3.connect(part, isolation_level=None)
    conn.row_factory = sqlite3.Row
    try:
        stand = standing(conn, order.newest)
        if conn.execute("PRAGMA user_version").fetchone()[0] == VERSION:  # an older one is migrated first
            last = "never changed" if stand.newest is None else f"last changed {_utc(stand.newest)}"
            why = f"restored by {order.who} from {backup}, {last}" + (f": {order.reason}" if order.reason else "")
            with transaction(conn):
                note(conn, now, order.who, became="RESTORED", why=why)
    except sqlite3.Error as error:
        raise StoreError(f"{part}: {explain(error)}") from error
    finally:
        conn.close()
    with suppress(FileNotFoundError):
        os.unlink(f"{part}-journal")
    return stand


def _swap(part: Path, database: Path, now: float) -> Path | None:
    """Put the copy in place by one rename; gives where the old one stands."""
    _sync(part)
    if not database.exists():
        for suffix in JOURNALS:  # of a database that is gone: it would be taken for the new one's
            with suppress(FileNotFoundError):
                os.rename(f"{database}{suffix}", f"{_aside(database, now)}{suffix}")
        os.rename(part, database)
        _sync(database.parent)
        return None
    aside = _aside(database, now)
    with _shut(database) as whole:
        os.link(database, aside)
        if not whole:  # damaged so far that not even its journal could be played back
            for suffix in JOURNALS:
                with suppress(FileNotFoundError):
                    os.rename(f"{database}{suffix}", f"{aside}{suffix}")
        _sync(database.parent)
        os.rename(part, database)
        _sync(database.parent)
    return aside


@contextmanager
def _shut(database: Path) -> Iterator[bool]:
    """Keep everybody out of the database, its journal played back if need be; False if it is too damaged for that."""
    conn = sqlite3.connect(database, timeout=BUSY, isolation_level=None)
    try:
        try:
            conn.execute("BEGIN EXCLUSIVE")
            whole = True
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise StoreError(f"{database}: {explain(error)}: nothing was restored") from error
            whole = False
        except sqlite3.DatabaseError:
            whole = False
        yield whole
    finally:
        conn.close()


def _aside(database: Path, now: float) -> Path:
    return database.with_name(f"{database.name}.replaced-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _utc(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))
