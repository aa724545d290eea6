"""The archive duty: attempts that are over are archived, whatever happens, and only then count as archived."""

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from caf.domain.errors import CafError, StorageTimeout
from caf.storage.archive import MANIFEST
from caf.store import archives
from caf.tasks import archive
from tests.clusters import xrootd as cluster
from tests.clusters.xrootd import needs_xrootd
from tests.tasks.stage import NOW, Stage, play
from tests.world import World

FIRST, SECOND = 490001, 490002


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "kept").mkdir()
    return World(tmp_path, [FIRST], job='archive = "kept/{run}/{job}"\narchive_exclude = ["pool/"]')


def row(world: World, run: int = FIRST, attempt: int = 1) -> dict[str, Any]:
    names = "archived, archive, archive_due, archive_tries, archive_error"
    found = world.query(
        f"SELECT {names} FROM attempt WHERE attempt = ? AND job_id = (SELECT id FROM job WHERE run = ?)", attempt, run
    )
    return dict(zip(names.split(", "), found[0], strict=True))


def kept(world: World, run: int = FIRST, attempt: int = 1) -> Path:
    return world.folder / "kept" / str(run) / "Fit" / str(attempt)


async def ended(stage: Stage, run: int = FIRST, **how: Any) -> None:
    """Have a job's payload run and be judged."""
    await stage.organise()
    stage.run(run)
    stage.end(run, **how)
    await stage.organise()


def test_what_an_attempt_of_the_same_number_left_is_not_overwritten(world: World) -> None:
    """As after a restore from before that attempt: its area was cleaned, and nobody knows any more that it was."""

    async def scene(stage: Stage) -> None:
        await ended(stage)
        await archive.run_once(stage.house)
        before = (kept(world) / "log/stdout").read_bytes(), (kept(world) / MANIFEST).read_bytes()
        with closing(sqlite3.connect(world.database)) as conn, conn:
            conn.execute("UPDATE attempt SET token = token || '0', archived = NULL, archive = NULL, archive_due = 0")
        (stage.area(FIRST) / "log/stdout").write_text("another attempt's\n")
        with suppress(CafError):
            await archive.run_once(stage.house)
        assert "is the archive of" in row(world)["archive_error"]
        assert ((kept(world) / "log/stdout").read_bytes(), (kept(world) / MANIFEST).read_bytes()) == before

    play(world, scene)


@pytest.mark.parametrize("good", [True, False])
def test_good_and_failed_attempts_are_archived(world: World, good: bool) -> None:
    async def scene(stage: Stage) -> None:
        await ended(stage, good=good)
        assert stage.job(FIRST)["state"] == ("DONE" if good else "FAILED")
        assert row(world)["archived"] is None
        (stage.area(FIRST) / "pool" / "scratch").write_text("x")
        done = await archive.run_once(stage.house)
        assert (done.summary(), done.again_in) == ("1 attempt archived", None)
        assert row(world) == {
            "archived": NOW,
            "archive": str(kept(world)),
            "archive_due": None,
            "archive_tries": 0,
            "archive_error": None,
        }
        told = json.loads((kept(world) / MANIFEST).read_text())
        ((token,),) = stage.world.query("SELECT token FROM attempt WHERE attempt = 1 LIMIT 1")
        owner = {"database_id": stage.house.database_id, "run": FIRST, "job": "Fit", "attempt": 1, "token": token}
        assert told["owner"] == owner
        assert {"job.json", "exit", "start", "caf.sh", "log/stdout"} - {one["name"] for one in told["files"]} <= (
            set() if good else {"log/stdout"}
        )
        assert not (kept(world) / "pool").exists()
        assert (await archive.run_once(stage.house)).summary() is None

    play(world, scene)


def test_attempts_that_are_not_over_are_left_alone(world: World) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        stage.run(FIRST)
        await stage.organise()
        assert (await archive.run_once(stage.house)).done == 0
        assert not kept(world).exists()

    play(world, scene)


def test_every_attempt_has_its_own_place(world: World) -> None:
    """Also one that a person sent back, and one that was killed."""

    async def scene(stage: Stage) -> None:
        await ended(stage)
        world.caf("jobs", "reset", str(FIRST), "Fit")
        await stage.organise()
        world.caf("jobs", "kill", str(FIRST), "Fit")
        await stage.organise()
        assert stage.job(FIRST)["state"] == "CANCELLED"
        assert (await archive.run_once(stage.house)).done == 2
        for attempt in (1, 2):
            assert row(world, attempt=attempt)["archive"] == str(kept(world, attempt=attempt))
            assert (kept(world, attempt=attempt) / MANIFEST).exists()

    play(world, scene)


def test_jobs_without_an_archive_cost_nothing_more(tmp_path: Path) -> None:
    world = World(tmp_path, [FIRST])

    async def scene(stage: Stage) -> None:
        await ended(stage)
        assert (await archive.run_once(stage.house)).summary() is None
        assert (row(world)["archived"], row(world)["archive_due"]) == (None, None)
        assert await stage.house.database.call(archives.next_due) is None

    play(world, scene)


def test_an_archive_that_is_away_is_tried_again_and_told_until_it_is_back(world: World) -> None:
    """One attempt tries; the others of the same archive wait with it."""
    world.add_runs([SECOND])

    async def scene(stage: Stage) -> None:
        await ended(stage)
        await ended(stage, SECOND)
        (world.folder / "kept").rmdir()
        waits = []
        for _ in range(3):
            with pytest.raises(CafError, match=r"could not be archived.*is its file system mounted"):
                await archive.run_once(stage.house)
            assert not (world.folder / "kept").exists()
            due = min(row(world, run)["archive_due"] for run in (FIRST, SECOND))
            waits.append(due - stage.clock[0])
            await stage.wait(waits[-1])
        assert waits == [300.0] * 3
        assert row(world)["archive_tries"] + row(world, SECOND)["archive_tries"] == 3
        (world.folder / "kept").mkdir()
        await stage.wait(3600)
        await archive.run_once(stage.house)
        assert None not in (row(world)["archived"], row(world, SECOND)["archived"])
        assert row(world)["archive_error"] is None

    play(world, scene)


def test_one_area_that_cannot_be_archived_holds_up_no_other(world: World) -> None:
    world.add_runs([SECOND])

    async def scene(stage: Stage) -> None:
        await ended(stage)
        await ended(stage, SECOND)
        shutil.rmtree(stage.area(FIRST))
        with pytest.raises(CafError, match="attempt 1 of Fit of run 490001 could not be archived"):
            await archive.run_once(stage.house)
        assert (row(world)["archived"], row(world, SECOND)["archived"]) == (None, NOW)

    play(world, scene)


def test_a_hanging_archive_is_given_up_and_begun_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(stage: Stage) -> None:
        await ended(stage)
        real = stage.house.files.call

        async def hang(name: str, *args: object, timeout: float, **keywords: object) -> object:
            if name == "archive_step":
                raise StorageTimeout("archive_step was not done within 62 s: is a file system down?")
            return await real(name, *args, timeout=timeout, **keywords)

        monkeypatch.setattr(stage.house.files, "call", hang)
        with pytest.raises(CafError, match="is a file system down"):
            await archive.run_once(stage.house)
        monkeypatch.setattr(stage.house.files, "call", real)
        await stage.wait(300)
        assert (await archive.run_once(stage.house)).done == 1

    play(world, scene)


def test_a_round_ends_in_time_and_the_next_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "ROUND", -1.0)
    monkeypatch.setattr(archive, "STEP", 0.0)

    async def scene(stage: Stage) -> None:
        await ended(stage)
        rounds = 0
        while row(world)["archived"] is None:
            done = await archive.run_once(stage.house)
            rounds += 1
            assert done.again_in == 1.0
        assert rounds > 5

    play(world, scene)


class Died(BaseException):
    """As at a kill: nothing more of the process is done."""


@pytest.mark.parametrize("dies", ["after the copy", "after the commit"])
def test_a_death_between_the_copy_and_its_record_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    async def scene(stage: Stage) -> None:
        await ended(stage)
        real = stage.house.database.call

        async def die(function: Any, *args: Any, **keywords: Any) -> Any:
            if function is archives.archived:
                if dies == "after the commit":
                    await real(function, *args, **keywords)
                raise Died
            return await real(function, *args, **keywords)

        monkeypatch.setattr(stage.house.database, "call", die)
        with pytest.raises(Died):
            await archive.run_once(stage.house)
        monkeypatch.setattr(stage.house.database, "call", real)
        written = (kept(world) / MANIFEST).stat().st_mtime_ns
        await archive.run_once(stage.house)
        assert row(world)["archived"] == NOW
        assert (kept(world) / MANIFEST).stat().st_mtime_ns == written

    play(world, scene)


@contextmanager
def slow_archive(world: World) -> Iterator[dict[str, str]]:
    """Have the child take its time: it sleeps a little at each piece."""
    folder = world.folder / "slow"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import sys, time\n"
        "if any('child_main' in word for word in sys.orig_argv):\n"
        "    import zlib; real = zlib.adler32\n"
        "    def slow(*args):\n"
        "        time.sleep(0.05)\n"
        "        return real(*args)\n"
        "    zlib.adler32 = slow\n"
    )
    yield {"PYTHONPATH": str(folder)}


@pytest.mark.campaign
def test_a_supervisor_that_is_killed_again_and_again_gets_it_done(tmp_path: Path) -> None:
    """Each is killed a moment later than the one before, until one has finished."""
    (tmp_path / "kept").mkdir()
    job = 'archive = "kept/{run}/{job}"'
    world = World(tmp_path, [FIRST], job=job, body="head -c 12000000 /dev/urandom >root/big").quick()
    done = False
    kills = 0
    with slow_archive(world) as environment:
        while not done:
            assert kills < 30
            with world.running(environment=environment) as process:
                end = time.monotonic() + 0.3 * (kills + 1)
                while time.monotonic() < end and not done:
                    time.sleep(0.02)
                    done = bool(world.query("SELECT 1 FROM attempt WHERE archived IS NOT NULL"))
                    assert not done or (kept(world) / MANIFEST).exists()
                process.kill()
                kills += 1
    assert kills > 2
    names = {one["name"] for one in json.loads((kept(world) / MANIFEST).read_text())["files"]}
    area = world.folder / "work" / f"{FIRST}_Fit" / "1"
    for name in names:
        assert (kept(world) / name).read_bytes() == (area / name).read_bytes()
    assert names == {str(path.relative_to(area)) for path in area.rglob("*") if path.is_file()}
    assert sorted(path.name for path in kept(world).rglob(".caf-*")) == []


@needs_xrootd
def test_areas_are_archived_to_a_server(tmp_path: Path) -> None:
    with cluster.running() as server:
        world = World(tmp_path, [FIRST], job=f'archive = "{server.url}//caf/{{run}}/{{job}}"')

        async def scene(stage: Stage) -> None:
            await ended(stage)
            await archive.run_once(stage.house)
            assert row(world)["archive"] == f"{server.url}//caf/{FIRST}/Fit/1"
            there = server.data / "caf" / str(FIRST) / "Fit" / "1"
            assert (there / "exit").read_bytes() == (stage.area(FIRST) / "exit").read_bytes()
            assert (there / MANIFEST).exists()

        play(world, scene)
