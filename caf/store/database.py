"""Opening caf's database, and carrying whole transactions to aiosqlite's thread.

A transaction is a plain function on a sqlite3.Connection. Awaiting statement by statement would leave a transaction
open when a task is cancelled, and the next task's writes would join it; so the function is carried whole.
"""

import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from caf.domain.errors import StoreError
from caf.store.migrations import copy_of, fill_transitions, keep_copy, migrate

if TYPE_CHECKING:
    import aiosqlite

P = ParamSpec("P")
T = TypeVar("T")

APPLICATION_ID = 0x63616664  # "cafd" in the file's header
VERSION = 1
SCHEMA = Path(__file__).with_name("schema.sql")
BUSY_TIMEOUT = 10.0  # s; a commit takes half a millisecond, so this is a disk in trouble


def connect(path: Path, *, create: bool = False, busy_timeout: float = BUSY_TIMEOUT) -> sqlite3.Connection:
    """Open the database at `path`, made or migrated if `create` is given; StoreError says why it cannot be used."""
    if not create and not path.exists():
        raise StoreError(f"{path}: no database yet: it is made by the first `caf run`")
    if create:
        _make_for_group(path)
    try:
        conn = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: cannot be opened: {error}; check the folder's owner and mode") from None
    try:
        _prepare(conn, path, create=create)
    except sqlite3.Error as error:
        conn.close()
        raise StoreError(f"{path}: {explain(error)}") from None
    except BaseException:
        conn.close()
        raise
    return conn


def _make_for_group(path: Path) -> None:
    """Make the empty file that SQLite fills, for the group to write too: its journals copy its mode."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o660)
    except FileExistsError:
        return
    except OSError as error:
        raise StoreError(f"{path}: cannot be made: {error.strerror}; check the folder's owner and mode") from None
    os.close(descriptor)


def explain(error: sqlite3.Error) -> str:
    """Give an SQLite error in words that say what to do."""
    text = str(error)
    for part, words in (
        ("readonly", "is read-only: check the file's and the folder's owner and mode, and the disk"),
        ("locked", "is locked by another process: it is tried again; `fuser` on the file names who holds it"),
        ("disk is full", "cannot be written: the disk is full: make room, nothing is lost"),
        ("not a database", "is not caf's database: move it away, or name another folder as [caf] state"),
        (
            "malformed",
            "is damaged: `caf db check` says how far; `caf db restore FILE` puts a backup in its place",
        ),
        ("unable to open", "cannot be opened: the disk, or the number of files that this process may open, is used up"),
        ("disk I/O", "cannot be read or written: the disk reports an error"),
    ):
        if part in text:
            return f"{words} ({text})"
    return text


def _prepare(conn: sqlite3.Connection, path: Path, *, create: bool) -> None:
    conn.row_factory = sqlite3.Row
    conn.execute("PRAGMA foreign_keys = ON")
    conn.execute("PRAGMA synchronous = FULL")
    application = conn.execute("PRAGMA application_id").fetchone()[0]
    version = conn.execute("PRAGMA user_version").fetchone()[0]
    empty = version == 0 and conn.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if empty and create:
        conn.execute("PRAGMA journal_mode = TRUNCATE")
        _create(conn)
        return
    if empty:
        raise StoreError(f"{path}: is empty: it is filled by the first `caf run`")
    if application != APPLICATION_ID:
        raise StoreError(f"{path}: is not caf's database: move it away, or name another folder as [caf] state")
    if version > VERSION:
        kept = copy_of(path, VERSION)
        before = f"`caf db restore {kept}`, kept at the upgrade" if kept.exists() else "restore a backup from before it"
        raise StoreError(
            f"{path}: was written by a newer caf (schema {version}, this one knows {VERSION}): install that version "
            f"again, or {before}"
        )
    conn.execute("PRAGMA journal_mode = TRUNCATE")
    if version < VERSION:
        if not create:
            raise StoreError(
                f"{path}: was written by an older caf (schema {version}, this one has {VERSION}): it is brought up to "
                "date by `caf db migrate`, or when the supervisor is started"
            )
        with transaction(conn):
            version = conn.execute("PRAGMA user_version").fetchone()[0]
            if version < VERSION:
                keep_copy(path, version)
                migrate(conn, version, VERSION)


def statements(script: str) -> Iterator[str]:
    """Split SQL text into statements: `executescript` would commit the transaction that it runs in."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement.strip()
            statement = ""
    if statement.strip():
        raise StoreError("schema.sql ends in the middle of a statement")


def _create(conn: sqlite3.Connection) -> None:
    """Make the schema in one transaction; whoever came second finds it made."""
    with transaction(conn):
        if conn.execute("PRAGMA user_version").fetchone()[0]:
            return
        for statement in statements(SCHEMA.read_text(encoding="utf-8")):
            conn.execute(statement)
        fill_transitions(conn)
        conn.execute("INSERT INTO meta VALUES ('database_id', ?)", (os.urandom(4).hex(),))
        conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        conn.execute(f"PRAGMA user_version = {VERSION}")


@contextmanager
def transaction(conn: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Run a block as one transaction that may write: all of it is kept, or nothing.

    Within `together` it is a step of the one around it, and kept or undone by itself.
    """
    if id(conn) in _TOGETHER:
        with _step(conn):
            yield conn
        return
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield conn
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise


_TOGETHER: set[int] = set()
"""Connections on which transactions are steps just now; elsewhere one within another is a bug, and SQLite says so."""


@contextmanager
def together(conn: sqlite3.Connection) -> Iterator[None]:
    """Commit all transactions of a block at once: one wait for the disk, and all of them or none survive a crash."""
    with transaction(conn):
        _TOGETHER.add(id(conn))
        try:
            yield
        finally:
            _TOGETHER.discard(id(conn))


@contextmanager
def _step(conn: sqlite3.Connection) -> Iterator[None]:
    conn.execute("SAVEPOINT step")
    try:
        yield
    except BaseException:
        conn.execute("ROLLBACK TO step")
        raise
    finally:
        conn.execute("RELEASE step")


def database_id(conn: sqlite3.Connection) -> str:
    """Give the eight hexadecimal digits that tell this database from every other."""
    return str(conn.execute("SELECT value FROM meta WHERE name = 'database_id'").fetchone()[0])


def data_version(conn: sqlite3.Connection) -> int | None:
    """Give a number that changes when another connection has written; None while it is busy, which is no news."""
    try:
        return int(conn.execute("PRAGMA data_version").fetchone()[0])
    except sqlite3.OperationalError:
        return None


class Database:
    """The supervisor's connection, on a thread of its own."""

    def __init__(self, connection: "aiosqlite.Connection", path: Path) -> None:
        self._connection = connection
        self.path = path

    async def call(
        self, function: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `function(connection, ...)` whole on the database's thread, whatever becomes of the caller."""
        try:
            # Not public: pyproject.toml holds aiosqlite to versions that have it, tests/store fails when one has not.
            return await self._connection._execute(function, self._connection._conn, *args, **kwargs)  # type: ignore[no-any-return,no-untyped-call]
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {explain(error)}") from error

    async def data_version(self) -> int | None:
        """Give a number that changes when another process has written; None while it is busy, which is no news."""
        return await self.call(data_version)


@asynccontextmanager
async def open_database(path: Path) -> AsyncIterator[Database]:
    """Open (make, migrate) the database for the supervisor. An unclosed one would hang the interpreter at its end."""
    import aiosqlite  # a state change on the command line does without it

    # Opened before its thread begins: a thread that fails to open may outlive the event loop and end in a traceback.
    opened = connect(path, create=True)
    async with aiosqlite.Connection(lambda: opened, iter_chunk_size=64) as connection:
        yield Database(connection, path)


def recall(conn: sqlite3.Connection, name: str) -> str | None:
    """Give a small thing that was remembered."""
    row = conn.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def remember(conn: sqlite3.Connection, name: str, value: str | None) -> None:
    """Remember a small thing; None: forget it."""
    with transaction(conn):
        if value is None:
            conn.execute("DELETE FROM meta WHERE name = ?", (name,))
            return
        conn.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, value)
        )
