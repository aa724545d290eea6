"""The dead-man's file: fresh while event loop and database live, and only then."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import anyio

from caf import heartbeat
from caf.paths import HEARTBEAT
from tests.tasks.stage import NOW, Stage, play
from tests.world import World, wait_until

RUN = 490001


def read(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def test_it_says_when_who_and_where_and_the_group_may_read_it(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.house.state = tmp_path / "state"
        assert await heartbeat.write(stage.house, heartbeat.RUNS) is None
        found = read(tmp_path / "state" / HEARTBEAT)
        assert (found["time"], found["state"], found["config"]) == (str(int(NOW)), "runs", str(stage.world.config))
        assert found.keys() == {"time", "state", "host", "pid", "version", "config"}
        assert (tmp_path / "state" / HEARTBEAT).stat().st_mode & 0o777 == 0o660
        stage.clock[0] += 15
        assert await heartbeat.write(stage.house, heartbeat.RUNS) is None
        assert read(tmp_path / "state" / HEARTBEAT)["time"] == str(int(NOW) + 15)

    play(World(tmp_path, [RUN]), scene)


def test_a_pipe_in_its_way_holds_up_nobody(tmp_path: Path) -> None:
    """Least of all the database, on whose thread it is written."""

    async def scene(stage: Stage) -> None:
        stage.house.state = tmp_path / "state"
        os.mkfifo(tmp_path / "state" / f"{HEARTBEAT}.new")
        with anyio.fail_after(30):
            error = await heartbeat.write(stage.house, heartbeat.RUNS)
        assert error is not None
        assert "cannot be written" in error

    play(World(tmp_path, [RUN]), scene)


def test_while_the_database_cannot_be_read_it_is_not_written(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.house.state = tmp_path / "state"
        await stage.house.database.call(lambda conn: conn.execute("PRAGMA busy_timeout = 10") and None)
        with closing(sqlite3.connect(stage.world.database, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            error = await heartbeat.write(stage.house, heartbeat.RUNS)
            assert error is not None
            assert "locked by another process" in error
            assert not (tmp_path / "state" / HEARTBEAT).exists()
            other.execute("ROLLBACK")
        assert await heartbeat.write(stage.house, heartbeat.RUNS) is None

    play(World(tmp_path, [RUN]), scene)


def test_a_place_that_cannot_be_written_is_logged_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    world = World(tmp_path, [RUN], caf='heartbeat = "file/heartbeat"')

    async def scene(stage: Stage) -> None:
        with anyio.move_on_after(0.5):
            await heartbeat.keep(stage.house)

    told: list[str] = []

    async def heard(stage: Stage) -> None:
        stage.house.log = type("Log", (), {"error": lambda _, event, **more: told.append(f"{event} {more['error']}")})()
        await scene(stage)

    every, heartbeat.EVERY = heartbeat.EVERY, 0.01
    try:
        play(world, heard)
    finally:
        heartbeat.EVERY = every
    assert len(told) == 1
    assert told[0].startswith(f"heartbeat.failed {tmp_path}/file/heartbeat: cannot be written: Not a directory")


def test_a_supervisor_writes_it_and_says_when_it_ends_in_order(tmp_path: Path) -> None:
    world = World(tmp_path, [RUN], caf='heartbeat = "beat"')
    with world.running() as process:
        wait_until((tmp_path / "beat").exists, what="the first beat")
        found = read(tmp_path / "beat")
        assert (found["state"], found["pid"]) == ("runs", str(process.pid))
        assert world.stop(process) == 0
    assert read(tmp_path / "beat")["state"] == "stopped"
    world.payloads_over()
