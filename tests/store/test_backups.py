"""Backups: made while others write, proved to be whole, old ones removed; refused where they would do harm."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from caf.domain.errors import StorageError, StoreError
from caf.storage.backup_copy import PART, copy_backup
from caf.store import backups
from caf.store.audit import note
from caf.store.database import connect, database_id, remember, transaction
from tests.world import wait_until

NOW = 1_800_000_000.0
DAY = 86_400.0


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "caf.db"
    with closing(connect(path, create=True)) as conn:
        fill(conn, 2000)
    yield path
    assert not list(tmp_path.rglob("*.part"))


def fill(conn: sqlite3.Connection, rows: int) -> None:
    with transaction(conn):
        for number in range(rows):
            note(conn, float(number), "me", why="x" * 500)


def identity(path: Path) -> str:
    with closing(connect(path)) as conn:
        return database_id(conn)


def changes(path: Path | str) -> int:
    return backups.verify(Path(path)).changes


def test_a_backup_is_the_database_as_it_was(database: Path, tmp_path: Path) -> None:
    made = backups.back_up(str(database), str(tmp_path / "backups"), NOW, 3)
    assert made["path"] == str(tmp_path / "backups" / f"caf-{identity(database)}-20270115T080000Z.db")
    assert Path(made["path"]).read_bytes() == database.read_bytes()
    assert Path(made["path"]).stat().st_mode & 0o777 == 0o660
    assert (made["changes"], made["bytes"]) == (2000, database.stat().st_size)
    assert made["held"] < 1


def test_only_the_newest_are_kept_and_nothing_else_is_touched(database: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    others = ["caf-00000000-20270115T080000Z.db", "caf.db", "notes", f"caf-{identity(database)}-before.db"]
    for name in others:
        (folder / name).touch()
    (folder / ".caf-1234abcd-20270115T080000Z.db.0badcafe.part").touch()  # of one that was killed
    for day in range(5):
        backups.back_up(str(database), str(folder), NOW + day * DAY, 3)
    left = sorted(set(os.listdir(folder)) - set(others))
    assert left == [backups.kept_name(identity(database), NOW + day * DAY) for day in (2, 3, 4)]
    assert set(others) <= set(os.listdir(folder))


@pytest.mark.parametrize("place", ["first", "second"])
def test_one_that_was_just_made_stays_though_the_clock_was_ahead_before(
    database: Path, tmp_path: Path, place: str
) -> None:
    """Names sort by age, unless a clock was wrong: those of days to come go first."""
    folder, second = str(tmp_path / "backups"), str(tmp_path / "second")
    for now in (NOW + 9 * DAY, NOW + 8 * DAY, NOW, NOW + DAY):
        made = backups.back_up(str(database), folder, now, 2)
        if place == "second":
            made = copy_backup(made["path"], second, 2)
        assert Path(made["path"]).exists()
    left = sorted(os.listdir(folder if place == "first" else second))
    assert left == [backups.kept_name(identity(database), NOW + day * DAY) for day in (0, 1)]


WRITER = """
import sqlite3, sys, time
conn = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
conn.execute("PRAGMA journal_mode = TRUNCATE")
print("ready", flush=True)
for number in range(10_000):
    conn.execute("BEGIN IMMEDIATE")
    conn.execute("INSERT INTO audit (at, who, why) VALUES (?, 'one', ?)", (number, "y" * 3000))
    conn.execute("INSERT INTO audit (at, who, why) VALUES (?, 'two', ?)", (number, "y" * 3000))
    conn.execute("UPDATE meta SET value = ? WHERE name = 'written'", (str(number + 1),))
    conn.execute("COMMIT")
    time.sleep(0.01)
"""


def test_copies_that_are_made_while_another_process_writes_are_whole_transactions(
    database: Path, tmp_path: Path
) -> None:
    with closing(connect(database)) as conn:
        remember(conn, "written", "0")
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(database)], stdout=subprocess.PIPE, text=True)
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        seen = []
        for number in range(4):
            made = backups.copy_to(str(database), str(tmp_path / f"{number}.db"))
            with closing(sqlite3.connect(made["path"])) as conn:
                one, two = conn.execute("SELECT sum(who = 'one'), sum(who = 'two') FROM audit").fetchone()
                ((written,),) = conn.execute("SELECT value FROM meta WHERE name = 'written'").fetchall()
            assert one == two == int(written)
            assert made["changes"] == 2000 + one + two
            seen.append(int(written))
            before = database.stat().st_mtime_ns
            wait_until(lambda: database.stat().st_mtime_ns > before, what="the next transaction")  # noqa: B023  # at once
        writer.kill()
    assert seen == sorted(set(seen))  # it wrote all the while


def test_what_a_death_left_in_the_journal_is_not_in_the_backup(database: Path, tmp_path: Path) -> None:
    """The journal is played back first, as whoever opens the database does."""
    dies = (
        "import os, sqlite3, sys\nconn = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "conn.execute('PRAGMA journal_mode = TRUNCATE')\nconn.execute('PRAGMA cache_size = 5')\nconn.execute('BEGIN')\n"
        "conn.execute('UPDATE audit SET why = ?', ('z' * 600,))\nos.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", dies, str(database)], check=False)
    assert Path(f"{database}-journal").stat().st_size > 0
    made = backups.copy_to(str(database), str(tmp_path / "b.db"))
    with closing(sqlite3.connect(made["path"])) as conn:
        assert conn.execute("SELECT count(*) FROM audit WHERE why LIKE 'z%'").fetchone() == (0,)


def test_damage_is_found_and_leaves_what_was_there(database: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    good = backups.back_up(str(database), str(folder), NOW, 1)["path"]
    with database.open("r+b") as file:
        file.seek(40_960)
        file.write(b"\xa5" * 8192)
    with pytest.raises(StoreError, match="is damaged"):
        backups.back_up(str(database), str(folder), NOW + DAY, 1)
    assert os.listdir(folder) == [Path(good).name]
    assert changes(good) == 2000


def test_a_file_that_is_not_caf_s_or_newer_is_told_apart(database: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as conn:
        conn.execute("CREATE TABLE shopping (item)")
    with pytest.raises(StoreError, match=r"other\.db: this is not a database of caf's"):
        backups.verify(other)
    other.write_text("rubbish" * 1000)
    with pytest.raises(StoreError, match="is not caf's database"):
        backups.verify(other)
    with closing(connect(database)) as conn:
        conn.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match=r"written by a newer caf \(schema 99, .*install that version first"):
        backups.verify(database)


def test_a_backup_leaves_the_database_as_much_room_as_it_has(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs(tmp_path)
    little = os.statvfs_result((*real[:3], 1, 1, *real[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _path: little)
    with pytest.raises(StoreError, match=r"no room for a backup of .* lower \[caf\] keep_backups"):
        backups.back_up(str(database), str(tmp_path / "backups"), NOW, 3)


def test_a_folder_that_cannot_be_used_is_said(database: Path, tmp_path: Path) -> None:
    (tmp_path / "backups").write_text("a file")
    with pytest.raises(StoreError, match=r"cannot write a backup into .*backups: File exists"):
        backups.back_up(str(database), str(tmp_path / "backups"), NOW, 3)


def test_a_second_place_that_is_not_mounted_is_not_made_on_this_disk(tmp_path: Path) -> None:
    source = tmp_path / "caf-0123abcd-20261123T000000Z.db"
    source.write_bytes(b"a backup")
    with pytest.raises(StorageError):
        copy_backup(str(source), str(tmp_path / "eos" / "backups"), 7)
    assert not (tmp_path / "eos").exists()
    (tmp_path / "eos").mkdir()
    assert Path(copy_backup(str(source), str(tmp_path / "eos" / "backups"), 7)["path"]).read_bytes() == b"a backup"


def test_what_another_installation_is_copying_to_the_same_folder_is_left_alone(tmp_path: Path) -> None:
    source = tmp_path / "caf-0123abcd-20261123T000000Z.db"
    source.write_bytes(b"a backup")
    folder = tmp_path / "eos"
    folder.mkdir()
    others, ours = folder / f"{PART}caf-0123abce-0badcafe.part", folder / f"{PART}caf-0123abcd-0badcafe.part"
    for left in (others, ours):
        left.touch()
    copy_backup(str(source), str(folder), 7)
    assert {path.name for path in folder.iterdir()} == {source.name, others.name}
