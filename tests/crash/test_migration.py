"""Dying at any statement of a migration: the database is of the old version or of the new one, never between."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from caf.store import database, migrations
from caf.store.database import VERSION, connect
from tests.crash.dying import deaths, die_after, forked

STATEMENTS = ("CREATE TABLE added (x)", "ALTER TABLE job ADD COLUMN added TEXT", "INSERT INTO added VALUES (1)")


def change(conn: sqlite3.Connection) -> None:
    for statement in STATEMENTS:
        conn.execute(statement)


def is_old(path: Path) -> bool:
    """Tell which it is; that it is whole one or the other is asserted."""
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        version = raw.execute("PRAGMA user_version").fetchone()[0]
        tables = {row[0] for row in raw.execute("SELECT name FROM sqlite_master")}
        columns = {row[1] for row in raw.execute("PRAGMA table_info(job)")}
    assert version in {VERSION, VERSION + 1}
    assert ("added" in tables, "added" in columns) == (version > VERSION,) * 2
    return bool(version == VERSION)


@pytest.mark.campaign
def test_whenever_it_dies_the_database_is_of_one_version_and_the_next_start_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "caf.db"
    connect(path, create=True).close()
    first = path.read_bytes()
    monkeypatch.setattr(database, "VERSION", VERSION + 1)
    monkeypatch.setitem(migrations.MIGRATIONS, VERSION, change)
    real = sqlite3.connect

    def attempt(number: int) -> int:
        path.write_bytes(first)
        on_statement = die_after(number)

        def traced(*args: object, **more: object) -> sqlite3.Connection:
            conn: sqlite3.Connection = real(*args, **more)  # type: ignore[call-overload]  # as it was called
            conn.set_trace_callback(lambda _: on_statement())
            return conn

        def work() -> None:
            monkeypatch.setattr(sqlite3, "connect", traced)
            connect(path, create=True)

        return forked(work)

    old = []
    for _ in deaths(attempt, 1, 10):
        old.append(is_old(path))
        connect(path, create=True).close()
        assert not is_old(path), "the next start did not end it"
    assert old == [True] * len(old)
    assert not is_old(path)
