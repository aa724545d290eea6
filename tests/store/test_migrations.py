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
    with pytest.raises(StoreError, match=r"older caf .* `caf db migrate`"):
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


def quick(conn: sqlite3.Connection) -> None:
    conn.execute("CREATE TABLE added (x)")


def version_in(path: Path) -> int:
    with closing(sqlite3.connect(path)) as raw:
        return int(raw.execute("PRAGMA user_version").fetchone()[0])


def test_the_database_is_kept_as_it_was_and_an_older_caf_is_told_where(
    older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(migrations.MIGRATIONS, VERSION, quick)
    with closing(sqlite3.connect(older)) as raw:
        raw.execute("INSERT INTO meta VALUES ('note', 'as it was')")
        raw.commit()
    connect(older, create=True).close()
    kept = migrations.copy_of(older, VERSION)
    assert kept.stat().st_mode & 0o777 == older.stat().st_mode & 0o777
    assert (version_in(older), version_in(kept)) == (VERSION + 1, VERSION)
    monkeypatch.setattr(database, "VERSION", VERSION)
    before = older.read_bytes()
    for create in (False, True):
        with pytest.raises(StoreError, match=rf"newer caf .*install that version again, or `caf db restore {kept}`"):
            connect(older, create=create)
    assert older.read_bytes() == before
    with closing(connect(kept)) as conn:
        assert database.recall(conn, "note") == "as it was"


def test_without_a_copy_an_older_caf_names_a_backup(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(older)) as raw:
        raw.execute(f"PRAGMA user_version = {VERSION + 7}")
    with pytest.raises(StoreError, match="or restore a backup from before it"):
        connect(older)


def test_a_database_that_cannot_be_copied_is_not_migrated(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(migrations.MIGRATIONS, VERSION, quick)
    (older.parent / f"caf.db.schema-{VERSION}").mkdir()
    with pytest.raises(StoreError, match=rf"Is a directory: .*schema-{VERSION}"):
        connect(older, create=True)
    assert version_in(older) == VERSION


def test_nobody_writes_between_the_copy_and_the_migration(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command of the older version may still be on its way: what it says is in both, or refused."""

    def meanwhile(conn: sqlite3.Connection) -> None:
        with closing(sqlite3.connect(older, timeout=0.1)) as other, pytest.raises(sqlite3.OperationalError):
            other.execute("INSERT INTO meta VALUES ('late', '1')")
        quick(conn)

    monkeypatch.setitem(migrations.MIGRATIONS, VERSION, meanwhile)
    connect(older, create=True).close()
    assert version_in(older) == VERSION + 1
