"""Opening the database: what is refused, with what words, and that it is made whole or not at all."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from caf.domain.errors import StoreError
from caf.domain.jobs import LEGAL
from caf.store import database
from caf.store.database import APPLICATION_ID, VERSION, connect, database_id, explain, statements, transaction


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as raw:
        return {row[0] for row in raw.execute("SELECT name FROM sqlite_master")}


def other_application(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA application_id = 7")
        raw.execute("CREATE TABLE theirs (x)")


def no_application(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE theirs (x)")


def newer_schema(path: Path) -> None:
    connect(path, create=True).close()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"PRAGMA user_version = {VERSION + 1}")


def text_file(path: Path) -> None:
    path.write_text("run,run_type\n" * 200)


def short_file(path: Path) -> None:
    path.write_text("no")


def folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("create", [False, True], ids=["command", "supervisor"])
@pytest.mark.parametrize(
    ("made", "words"),
    [
        (text_file, "is not caf's database: move it away"),
        (short_file, "is not caf's database: move it away"),
        (other_application, "is not caf's database: move it away"),
        (no_application, "is not caf's database: move it away"),
        (newer_schema, f"newer caf .schema {VERSION + 1}, this one knows {VERSION}.: install that version"),
        (folder, "cannot be opened: unable to open database file; check the folder's owner and mode"),
    ],
)
def test_what_is_not_its_own_is_refused_and_left_as_it_is(
    tmp_path: Path, made: Callable[[Path], None], words: str, create: bool
) -> None:
    path = tmp_path / "caf.db"
    made(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreError, match=words) as error:
        connect(path, create=create)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert before is None or path.read_bytes() == before


def test_a_command_makes_no_database(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no database yet: it is made by the first `caf run`"):
        connect(tmp_path / "caf.db")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_filled_by_the_supervisor_only(tmp_path: Path) -> None:
    """A supervisor that died on its very first step leaves one."""
    path = tmp_path / "caf.db"
    path.touch()
    with pytest.raises(StoreError, match="is empty: it is filled by the first `caf run`"):
        connect(path)
    connect(path, create=True).close()
    connect(path).close()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nowhere/caf\.db: cannot be made"):
        connect(tmp_path / "nowhere" / "caf.db", create=True)


def test_a_truncated_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "caf.db"
    connect(path, create=True).close()
    path.write_bytes(path.read_bytes()[:6000])
    with pytest.raises(StoreError, match="is damaged: `caf db check` says how far; `caf db restore FILE`"):
        connect(path)


def test_a_database_that_may_not_be_written_says_so(tmp_path: Path) -> None:
    """SQLite refuses with the same words where the file's mode does not allow it; to root no mode forbids anything."""
    with closing(connect(tmp_path / "caf.db", create=True)) as conn:
        conn.execute("PRAGMA query_only = ON")
        with pytest.raises(sqlite3.OperationalError) as error:
            conn.execute("INSERT INTO meta VALUES ('a', 'b')")
    assert explain(error.value).startswith("is read-only: check the file's and the folder's owner and mode")


def test_how_a_connection_is_set_up(tmp_path: Path) -> None:
    path = tmp_path / "caf.db"
    with closing(connect(path, create=True)) as conn:
        pragmas = {
            name: conn.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version", "foreign_keys", "synchronous", "journal_mode")
        }
        assert pragmas == {
            "application_id": APPLICATION_ID,
            "user_version": VERSION,
            "foreign_keys": 1,
            "synchronous": 2,
            "journal_mode": "truncate",
        }
        first = database_id(conn)
    with closing(connect(path)) as again:
        assert again.execute("PRAGMA journal_mode").fetchone()[0] == "truncate"
        assert again.execute("PRAGMA foreign_keys").fetchone()[0] == 1
        assert database_id(again) == first
        assert len(first) == 8
        assert int(first, 16) >= 0


class Death(Exception):
    """Stands for the end of the process at some statement."""


class Dying(sqlite3.Connection):
    """A connection whose process dies before one of its statements: what was open is rolled back by the file."""

    left = 0

    def execute(self, sql: str, *more: object) -> sqlite3.Cursor:
        Dying.left -= 1
        if Dying.left < 0:
            raise Death(sql)
        return super().execute(sql, *more)  # type: ignore[arg-type]


def test_creation_is_one_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever statement is the last, there is no database or a whole one."""
    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **more: real(*args, **more, factory=Dying))
    for count in range(200):
        path = tmp_path / f"{count}.db"
        Dying.left = count
        try:
            connect(path, create=True).close()
            break
        except Death as death:
            Dying.left = 10**9
            died_at = str(death)
            assert tables(path) == set(), died_at
            assert real(path).execute("PRAGMA user_version").fetchone()[0] == 0, died_at
    assert count > 30
    Dying.left = 10**9
    with closing(connect(path)) as conn:
        assert {tuple(row) for row in conn.execute("SELECT source, target FROM transition")} == LEGAL


def test_two_that_make_it_at_once_end_with_one(tmp_path: Path) -> None:
    path = tmp_path / "caf.db"
    program = (
        "import sys; from pathlib import Path; from caf.store.database import connect, database_id\n"
        "sys.stdin.readline(); print(database_id(connect(Path(sys.argv[1]), create=True)))\n"
    )
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.write("go\n")
        maker.stdin.flush()
    told = {maker.communicate(timeout=30)[0].strip() for maker in makers}
    assert [maker.returncode for maker in makers] == [0] * 4
    assert len(told) == 1
    assert len(told.pop()) == 8


def test_a_block_that_fails_leaves_nothing_and_no_open_transaction(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "caf.db", create=True)) as conn:
        for error in (KeyboardInterrupt, ValueError):
            with pytest.raises(error), transaction(conn):  # noqa: PT012  # the block is what is tested
                conn.execute("INSERT INTO meta VALUES ('a', 'b')")
                raise error
            assert not conn.in_transaction
        assert conn.execute("SELECT count(*) FROM meta").fetchone()[0] == 1


def test_a_database_that_another_one_holds_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "caf.db"
    with closing(connect(path, create=True)) as holder, closing(connect(path, busy_timeout=0.0)) as other:
        with transaction(holder), pytest.raises(sqlite3.OperationalError) as error, transaction(other):
            pass
        assert explain(error.value).startswith("is locked by another process: it is tried again; `fuser`")


def test_a_full_disk_is_explained(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "caf.db", create=True)) as conn:
        conn.execute(f"PRAGMA max_page_count = {conn.execute('PRAGMA page_count').fetchone()[0]}")
        with pytest.raises(sqlite3.OperationalError) as error, transaction(conn):
            conn.execute("INSERT INTO meta VALUES ('long', ?)", ("x" * 100_000,))
        assert "the disk is full: make room, nothing is lost" in explain(error.value)
        assert not conn.in_transaction
        assert conn.execute("SELECT count(*) FROM meta").fetchone()[0] == 1


def test_a_damaged_page_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "caf.db"
    with closing(connect(path, create=True)) as conn:
        size = conn.execute("PRAGMA page_size").fetchone()[0]
        page = conn.execute("SELECT rootpage FROM sqlite_master WHERE name = 'job'").fetchone()[0]
    raw = bytearray(path.read_bytes())
    raw[(page - 1) * size : page * size] = b"\xff" * size
    path.write_bytes(raw)
    with closing(connect(path)) as conn, pytest.raises(sqlite3.DatabaseError) as error:
        conn.execute("SELECT * FROM job").fetchall()
    assert explain(error.value).startswith("is damaged: `caf db check` says how far; `caf db restore FILE`")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("disk I/O error", "cannot be read or written: the disk reports an error (disk I/O error)"),
        ("attempt to write a readonly database", "is read-only: check the file's and the folder's owner and mode"),
        ("database or disk is full", "cannot be written: the disk is full"),
        ("no such column: x", "no such column: x"),
    ],
)
def test_errors_say_what_to_do(said: str, words: str) -> None:
    assert words in explain(sqlite3.OperationalError(said))


def test_the_schema_is_split_into_whole_statements() -> None:
    script = "-- a; b\nCREATE TABLE a (x); -- c;\nCREATE TRIGGER t AFTER INSERT ON a BEGIN\n SELECT 1;\nEND;\n"
    found = list(statements(script))
    assert [line.split("\n")[-1][:14] for line in found][-1] == "END;"
    with closing(sqlite3.connect(":memory:")) as conn:
        for statement in found:
            conn.execute(statement)
    with pytest.raises(StoreError, match="middle of a statement"):
        list(database.statements("CREATE TABLE a (x)"))
