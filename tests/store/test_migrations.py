"""An older database is brought up to date whole, by the supervisor only."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from caf.domain.errors import StoreError
from caf.domain.jobs import LEGAL
from caf.store import database, migrations
from caf.store.database import VERSION, connect


@pytest.fixture
def older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database of today's schema, seen by a caf that is one version further."""
    path = tmp_path / "caf.db"
    connect(path, create=True).close()
    monkeypatch.setattr(database, "VERSION", VERSION + 1)
    return path


def test_the_supervisor_migrates_and_refills_the_transitions(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(migrations.MIGRATIONS, VERSION, lambda conn: conn.execute("CREATE TABLE added (x)") and None)
    with closing(sqlite3.connect(older)) as raw:
        raw.execute("DELETE FROM transition WHERE source = 'NEW'")
        raw.commit()
    with closing(connect(older, create=True)) as conn:
        assert conn.execute("PRAGMA user_version").fetchone()[0] == VERSION + 1
        assert conn.execute("SELECT count(*) FROM added").fetchone()[0] == 0
        assert {tuple(row) for row in conn.execute("SELECT source, target FROM transition")} == LEGAL


def test_a_command_leaves_an_older_database_alone_and_says_what_to_do(older: Path) -> None:
    with pytest.raises(StoreError, match=r"older caf .* `caf run`"):
        connect(older)
    with closing(sqlite3.connect(older)) as raw:
        assert raw.execute("PRAGMA user_version").fetchone()[0] == VERSION


def test_a_migration_that_fails_leaves_the_old_version_whole(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(conn: sqlite3.Connection) -> None:
        conn.execute("CREATE TABLE half (x)")
        conn.execute("INSERT INTO nowhere VALUES (1)")

    monkeypatch.setitem(migrations.MIGRATIONS, VERSION, broken)
    with pytest.raises(StoreError, match="nowhere"):
        connect(older, create=True)
    with closing(sqlite3.connect(older)) as raw:
        assert raw.execute("PRAGMA user_version").fetchone()[0] == VERSION
        assert not raw.execute("SELECT 1 FROM sqlite_master WHERE name = 'half'").fetchall()
        assert len(raw.execute("SELECT * FROM transition").fetchall()) == len(LEGAL)
