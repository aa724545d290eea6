"""Restoring: what may not be put in place is refused, and a death at any moment leaves one whole database there."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from caf.domain.errors import CafError, Refused, StoreError
from caf.store import backups, restoring
from caf.store.audit import history, note
from caf.store.database import connect, database_id, remember, transaction
from caf.store.found import GENERATION
from caf.store.restoring import Order, restore

NOW = 1_800_000_000.0
ME = Order("me", "the disk was replaced")


def noted(path: Path, *words: str) -> None:
    with closing(connect(path, create=True)) as conn, transaction(conn):
        for word in words:
            note(conn, NOW, "me", why=word)


def told(path: Path) -> list[str]:
    with closing(connect(path)) as conn:
        return [row["why"] for row in history(conn)]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "state" / "caf.db"
    path.parent.mkdir()
    noted(path, "old")
    return path


@pytest.fixture
def backup(database: Path, tmp_path: Path) -> Path:
    """A backup, after which something else happened."""
    backups.copy_to(str(database), str(tmp_path / "kept.db"))
    noted(database, "since")
    return tmp_path / "kept.db"


def only(database: Path, *more: Path) -> bool:
    """Tell whether nothing else is in the folder, but for a journal that is empty."""
    left = {path for path in database.parent.iterdir() if not path.name.endswith("-journal") or path.stat().st_size}
    return left == {database, *more}


def test_the_backup_is_in_place_and_the_other_one_beside_it(database: Path, backup: Path) -> None:
    before = backup.read_bytes()
    done = restore(backup, database, ME, NOW)
    assert done.aside == database.with_name("caf.db.replaced-20270115T080000Z")
    why = f"restored by me from {backup}, last changed 2027-01-15 08:00:00 UTC: the disk was replaced"
    assert told(database) == ["old", why]
    assert told(done.aside) == ["old", "since"]
    assert backup.read_bytes() == before
    assert only(database, done.aside)
    assert database.stat().st_mode & 0o777 == 0o660


def test_what_was_put_aside_can_be_put_back(database: Path, backup: Path) -> None:
    aside = restore(backup, database, ME, NOW).aside
    assert aside is not None
    restore(aside, database, ME, NOW + 1)
    assert told(database)[:2] == ["old", "since"]


def test_it_tells_what_a_start_compares_with_the_working_areas(database: Path, backup: Path) -> None:
    with closing(connect(database)) as conn:
        remember(conn, GENERATION, "7")
    assert restore(backup, database, Order("me", None, newest="caf-0-1-1-0"), NOW).standing.knows is False
    assert restore(backup, database, ME, NOW + 1).standing.generation == 0


def damage(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(20_480)
        file.write(b"\xa5" * 8192)


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("PRAGMA user_version = 99")


def others(path: Path) -> None:
    path.unlink()
    noted(path, "another installation")


def shopping(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("CREATE TABLE item (name)")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (damage, r"kept\.db: is damaged"),
        (newer, r"kept\.db: this was written by a newer caf .*install that version first"),
        (others, r"kept\.db: is of database \w{8}, and .*caf\.db is \w{8}: name a backup of this one"),
        (shopping, r"kept\.db: this is not a database of caf's"),
        (lambda path: path.write_text("rubbish" * 1000), r"kept\.db: is not caf's database"),
        (lambda path: path.write_text(""), r"kept\.db: this is not a database of caf's"),
        (lambda path: path.unlink(), r"kept\.db: is not there: caf's own are in .*backups"),
    ],
    ids=["damaged", "newer", "another", "foreign", "rubbish", "empty", "missing"],
)
def test_what_may_not_be_put_in_place_is_refused(
    database: Path, backup: Path, spoil: Callable[[Path], Any], says: str
) -> None:
    spoil(backup)
    with pytest.raises(CafError, match=says):
        restore(backup, database, ME, NOW)
    assert told(database) == ["old", "since"]
    assert only(database)


def test_the_database_itself_is_no_backup_of_it(database: Path) -> None:
    with pytest.raises(Refused, match="is the database itself"):
        restore(database, database, ME, NOW)


def test_without_a_database_the_mark_of_the_working_areas_says_whose_is_wanted(database: Path, backup: Path) -> None:
    database.unlink()
    with pytest.raises(Refused, match="the working areas are of 0badcafe"):
        restore(backup, database, Order("me", None, owner="0badcafe"), NOW)
    Path(f"{database}-journal").write_bytes(b"of the one that is gone")
    with closing(connect(backup)) as conn:
        owner = database_id(conn)
    done = restore(backup, database, Order("me", None, owner=owner), NOW)
    assert (done.aside, told(database)[0]) == (None, "old")


@pytest.mark.parametrize("spoil", [damage, lambda path: path.write_text("rubbish" * 1000)], ids=["pages", "all"])
def test_a_damaged_database_is_replaced(database: Path, backup: Path, spoil: Callable[[Path], Any]) -> None:
    spoil(database)
    damaged = database.read_bytes()
    done = restore(backup, database, ME, NOW)
    assert told(database)[0] == "old"
    assert done.aside is not None
    assert done.aside.read_bytes() == damaged


DIES = """
import os, sqlite3, sys
conn = sqlite3.connect(sys.argv[1], isolation_level=None)
conn.execute("PRAGMA journal_mode = TRUNCATE")
conn.execute("PRAGMA cache_size = 5")
conn.execute("BEGIN")
conn.executemany("INSERT INTO audit (at, who, why) VALUES (0, 'half', ?)", [("z" * 3000,)] * 500)
os.kill(os.getpid(), 9)
"""


def test_a_journal_of_the_one_that_is_replaced_is_not_played_into_the_other(database: Path, backup: Path) -> None:
    subprocess.run([sys.executable, "-c", DIES, str(database)], check=False)
    assert Path(f"{database}-journal").stat().st_size > 0
    done = restore(backup, database, ME, NOW)
    assert told(database)[0] == "old"
    assert done.aside is not None
    assert told(done.aside) == ["old", "since"]


def test_one_that_was_put_aside_with_its_journal_is_whole_with_it(database: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", DIES, str(database)], check=False)
    for suffix in ("", "-journal"):
        shutil.copy(f"{database}{suffix}", tmp_path / f"crashed.db{suffix}")
    restore(tmp_path / "crashed.db", database, ME, NOW)
    assert told(database)[0] == "old"


def test_a_command_that_has_the_database_open_can_do_no_harm(database: Path, backup: Path) -> None:
    with closing(connect(database)) as conn:
        conn.execute("SELECT * FROM audit").fetchall()
        restore(backup, database, ME, NOW)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            note(conn, NOW, "me", why="too late")
    assert told(database)[0] == "old"


def test_a_command_in_the_middle_of_its_work_is_waited_for(
    database: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "BUSY", 0.1)
    with closing(connect(database)) as conn, transaction(conn):
        note(conn, NOW, "me", why="under way")
        with pytest.raises(StoreError, match=r"is locked by another process.*nothing was restored"):
            restore(backup, database, ME, NOW)
    assert told(database) == ["old", "since", "under way"]
    assert only(database)


def die_at(line: int) -> Callable[[FrameType, str, Any], Any]:
    """Die at the given line, counted as they are carried out, of the modules that restore."""
    left = line

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.endswith(("store/restoring.py", "store/backups.py", "store/found.py")):
            return None
        if event == "line":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.campaign)])
def test_a_death_at_any_line_leaves_the_one_or_the_other_whole(
    database: Path, backup: Path, tmp_path: Path, every: int
) -> None:
    """Every seventh one for every day."""
    old = database.read_bytes()
    ends: list[str] = []
    for line in range(0, 1000, every):
        state = tmp_path / str(line)
        state.mkdir()
        here = state / "caf.db"
        here.write_bytes(old)
        child = os.fork()
        if child == 0:
            sys.settrace(die_at(line))
            try:
                restore(backup, here, ME, NOW)
                os._exit(0)
            finally:
                os._exit(70)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in {0, -signal.SIGKILL}
        assert backups.verify(here).changes == 2
        ends.append(told(here)[1].partition(" ")[0])
        # Whatever the death has left does not stand in the way of the next one.
        restore(backup, here, ME, NOW + 1)
        assert told(here)[0] == "old"
        assert not [*state.glob(".*")]
        shutil.rmtree(state)
        if status == 0:
            break
    assert ends == sorted(ends, reverse=True)
    assert {"since", "restored"} == set(ends)
    assert len(ends) * every > 80
