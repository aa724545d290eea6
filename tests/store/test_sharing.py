"""Several tasks and several processes share one database: transactions stay whole and no write is lost."""

import asyncio
import inspect
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import aiosqlite
import pytest

from caf.domain.errors import Refused, StoreError
from caf.domain.jobs import State, Word
from caf.store import audit, jobs, queries
from caf.store.database import connect, database_id, open_database, transaction
from tests.store.feeding import NOW, absorb, job, make_jobs, rules, scanned

PROGRAM = """
import sys, time
from pathlib import Path
from caf.domain.errors import Refused
from caf.domain.jobs import Word
from caf.store.database import connect
from caf.store.jobs import act
conn = connect(Path(sys.argv[1]), busy_timeout=60)
sys.stdin.readline()
said = 0
for number in range(int(sys.argv[3])):
    for word in (Word.HOLD, Word.START, Word.RESET):
        try:
            act(conn, 1, "Fit", word, time.time(), sys.argv[2], f"{number}")
            said += 1
        except Refused:
            pass
print(said)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with a NEW job of run 1."""
    path = tmp_path / "caf.db"
    with closing(connect(path, create=True)) as conn:
        judged_by = rules(conn)
        absorb(conn, judged_by, tmp_path, [scanned(1)])
        make_jobs(conn, judged_by.configuration_id)
    return path


def say(path: Path, who: str, times: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PROGRAM, str(path), who, str(times)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def answer(process: "subprocess.Popen[str]") -> int:
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    return int(said)


def test_no_word_is_lost_when_two_say_them_at_once(path: Path) -> None:
    speakers = [say(path, who, 60) for who in ("ann", "bob")]
    for process in speakers:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = {who: answer(process) for who, process in zip(("ann", "bob"), speakers, strict=True)}
    with closing(connect(path)) as conn:
        first, *trail = audit.history(conn, run=1, job="Fit")
        assert {who: sum(row["who"] == who for row in trail) for who in said} == said
        state = first["became"]
        for row in trail:
            assert row["was"] == state  # each saw what the one before had done
            state = row["became"]
        assert state == job(conn, 1)["state"]
        assert min(said.values()) > 60
        assert queries.findings(conn) == []


def test_a_function_is_carried_to_the_databases_thread() -> None:
    """The contract with aiosqlite, whose `_execute` and `_conn` are not public: this fails when they change."""
    version = tuple(int(part) for part in aiosqlite.__version__.split(".")[:2])
    assert version == (0, 22)
    parameters = list(inspect.signature(aiosqlite.Connection._execute).parameters.values())
    assert [(p.name, p.kind) for p in parameters] == [
        ("self", inspect.Parameter.POSITIONAL_OR_KEYWORD),
        ("fn", inspect.Parameter.POSITIONAL_OR_KEYWORD),
        ("args", inspect.Parameter.VAR_POSITIONAL),
        ("kwargs", inspect.Parameter.VAR_KEYWORD),
    ]

    async def carried() -> tuple[object, str, int]:
        connection = aiosqlite.Connection(lambda: sqlite3.connect(":memory:"), iter_chunk_size=64)
        async with connection:

            def function(conn: sqlite3.Connection, *, more: str) -> tuple[object, str, int]:
                return conn, more, threading.get_ident()

            raw = connection._conn
            found, more, thread = await connection._execute(function, raw, more="x")  # type: ignore[no-untyped-call]
            assert found is raw
            return found, more, thread

    _, more, thread = asyncio.run(carried())
    assert more == "x"
    assert thread != threading.get_ident()


def test_a_cancelled_call_leaves_the_transaction_whole(path: Path) -> None:
    """The task gives up in the middle of a slow transaction; that one is kept, and the next begins on its own."""

    async def scene() -> None:
        begun, go_on = threading.Event(), threading.Event()

        def slow(conn: sqlite3.Connection) -> None:
            with transaction(conn):
                conn.execute("INSERT INTO meta VALUES ('first', '1')")
                begun.set()
                assert go_on.wait(30)
                conn.execute("INSERT INTO meta VALUES ('second', '2')")

        def names(conn: sqlite3.Connection) -> set[str]:
            assert not conn.in_transaction
            return {row[0] for row in conn.execute("SELECT name FROM meta")}

        async with open_database(path) as database:
            task = asyncio.create_task(database.call(slow))
            assert await asyncio.to_thread(begun.wait, 30)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            following = asyncio.create_task(database.call(names))
            await asyncio.sleep(0)
            with closing(sqlite3.connect(path)) as other:
                assert {row[0] for row in other.execute("SELECT name FROM meta")} == {"database_id"}
            go_on.set()
            assert await following == {"database_id", "first", "second"}

    asyncio.run(scene())


def test_a_call_that_was_cancelled_before_its_turn_is_done_whole_or_not_at_all(path: Path) -> None:
    async def scene() -> None:
        async with open_database(path) as database:
            tasks = [
                asyncio.create_task(database.call(jobs.act, 1, "Fit", word, NOW, "ann"))
                for word in (Word.HOLD, Word.START, Word.HOLD)
            ]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            row = await database.call(jobs.find, 1, "Fit")
            trail = await database.call(audit.history, run=1, job="Fit")
            assert trail[-1]["became"] == row["state"]
            assert await database.call(queries.findings) == []

    asyncio.run(scene())


def test_what_goes_wrong_on_the_thread_reaches_the_caller(path: Path) -> None:
    async def scene() -> None:
        async with open_database(path) as database:
            with pytest.raises(Refused, match="start is not possible"):
                await database.call(jobs.act, 1, "Fit", Word.START, NOW, "ann")
            with pytest.raises(StoreError, match=r"caf\.db: no such table: nowhere"):
                await database.call(lambda conn: conn.execute("SELECT * FROM nowhere"))
            assert len(await database.call(database_id)) == 8

    asyncio.run(scene())


def test_a_file_that_cannot_be_opened_leaves_no_thread(tmp_path: Path) -> None:
    """One that outlived the event loop would end in a traceback on the operator's screen."""
    (tmp_path / "caf.db").write_text("something else altogether")

    async def scene() -> None:
        async with open_database(tmp_path / "caf.db"):
            raise AssertionError("it was opened")

    before = set(threading.enumerate())
    for _ in range(20):
        with pytest.raises(StoreError, match="is not caf's database"):
            asyncio.run(scene())
        assert set(threading.enumerate()) <= before


def test_another_process_that_writes_is_noticed(path: Path) -> None:
    """`data_version` changes for others' writes only; while another one holds the file there is no news."""

    async def scene() -> None:
        async with open_database(path) as database:
            first = await database.data_version()
            await database.call(jobs.act, 1, "Fit", Word.HOLD, NOW, "ann")
            assert await database.data_version() == first
            assert await asyncio.to_thread(lambda: say(path, "bob", 1).communicate("go\n", timeout=60)[0]) == "2\n"
            second = await database.data_version()
            assert second != first
            assert await database.data_version() == second
            row = await database.call(jobs.find, 1, "Fit")
            assert row["state"] == State.NEW

    asyncio.run(scene())
