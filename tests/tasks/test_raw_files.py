"""Jobs and their raw files: waited for until whole, and looked at again before the job is submitted."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from caf.domain.errors import BatchError, StorageTimeout
from caf.store import pauses
from tests.tasks.stage import NOW, Stage, play
from tests.world import World

FIRST, SECOND = 490001, 490002


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, [FIRST])


def raw(world: World, run: int = FIRST, name: str = "events.RAW") -> Path:
    return world.folder / "raw" / f"{run:08d}" / name


def write(path: Path, text: str, at: float) -> None:
    path.write_text(text)
    os.utime(path, (at, at))


async def until_prepared(stage: Stage, run: int = FIRST) -> int:
    """Go from look to look until the job leaves NEW; gives how many looks it took."""
    looks = 0
    while stage.job(run)["state"] == "NEW":
        await stage.organise()
        looks += 1
        due = stage.job(run)["not_before"]
        if due is not None:
            await stage.wait(due - stage.clock[0])
    return looks


def test_old_files_cost_no_extra_round(world: World) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        assert stage.job(FIRST)["state"] == "PENDING"

    play(world, scene)


def test_a_young_file_is_taken_after_two_looks_that_agree(world: World) -> None:
    async def scene(stage: Stage) -> None:
        write(raw(world), "1 2\n", NOW - 10)
        await stage.organise()
        job = stage.job(FIRST)
        assert (job["state"], job["not_before"], job["looks"]) == ("NEW", NOW + 60, 0)
        assert world.query("SELECT reason FROM job")[0][0].startswith("waits for raw files: the file may still grow: ")
        await stage.wait(60)
        await stage.organise()
        assert stage.job(FIRST)["state"] == "PENDING"

    play(world, scene)


def test_a_growing_file_is_waited_for_until_it_stands_still(world: World) -> None:
    async def scene(stage: Stage) -> None:
        for size in range(1, 6):
            write(raw(world), "1 2\n" * size, stage.clock[0] - 1)
            await stage.organise()
            assert stage.job(FIRST)["state"] == "NEW"
            await stage.wait(60)
        await stage.organise()
        assert stage.job(FIRST)["state"] == "PENDING"
        (facts,) = json.loads((stage.area(FIRST) / "job.json").read_text())["inputs"]
        assert facts["size"] == 20

    play(world, scene)


def test_a_file_that_never_stands_still_fails_the_job_in_the_end(world: World) -> None:
    world.edit('retry_after = "1s"', 'retry_after = "1s"\nfiles_wait = "1h"')

    async def scene(stage: Stage) -> None:
        while stage.job(FIRST)["state"] == "NEW":
            write(raw(world), "1 2\n", stage.clock[0])
            await stage.organise()
            await stage.wait(61)
        assert (stage.job(FIRST)["state"], stage.job(FIRST)["result"]) == ("FAILED", "staging")
        assert "no raw files after 1h: the file may still grow" in world.query("SELECT reason FROM job")[0][0]

    play(world, scene)


def test_how_long_a_file_must_be_quiet_can_be_said(world: World) -> None:
    world.edit('retry_after = "1s"', 'retry_after = "1s"\nfiles_quiet = "0s"')

    async def scene(stage: Stage) -> None:
        write(raw(world), "", NOW + 1000)
        await stage.organise()
        assert stage.job(FIRST)["state"] == "PENDING"

    play(world, scene)


def change(path: Path) -> None:
    write(path, "1 2 3\n4 5 6\n", NOW - 1e6)


def touch(path: Path) -> None:
    os.utime(path, (NOW - 1e6, NOW - 1e6))


@pytest.mark.parametrize(
    ("spoil", "why"), [(change, "had 6 bytes and has 12 now"), (Path.unlink, "is gone"), (touch, "was written again")]
)
def test_what_changed_while_the_job_waited_for_a_slot_is_waited_for_again(tmp_path: Path, spoil: Any, why: str) -> None:
    """Its area is made again, under the same attempt, for nothing was submitted from it."""
    world = World(tmp_path, [FIRST, SECOND], slots=1)

    async def scene(stage: Stage) -> None:
        await stage.organise()
        assert (stage.job(FIRST)["state"], stage.job(SECOND)["state"]) == ("PENDING", "PREPARED")
        stage.run(FIRST)
        stage.end(FIRST)
        await stage.wait(61)
        spoil(raw(world, SECOND))
        await stage.organise()
        job = stage.job(SECOND)
        assert (job["state"], job["attempt"]) == ("NEW", 1)
        assert why in world.query("SELECT reason FROM job WHERE run = ?", SECOND)[0][0]
        assert len(stage.batch.submitted) == 1
        if not raw(world, SECOND).exists():
            write(raw(world, SECOND), "back\n", NOW - 1e6)
        await stage.organise()
        assert (stage.job(SECOND)["state"], stage.job(SECOND)["attempt"]) == ("PENDING", 1)
        (facts,) = json.loads((stage.area(SECOND) / "job.json").read_text())["inputs"]
        assert facts["size"] == raw(world, SECOND).stat().st_size

    play(world, scene)


def test_what_has_not_changed_is_submitted(tmp_path: Path) -> None:
    world = World(tmp_path, [FIRST, SECOND], slots=1)

    async def scene(stage: Stage) -> None:
        await stage.organise()
        stage.run(FIRST)
        stage.end(FIRST)
        await stage.wait(86_400)
        await stage.organise()
        assert stage.job(SECOND)["state"] == "PENDING"

    play(world, scene)


def test_a_file_system_that_hangs_before_submission_holds_up_only_who_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, [FIRST])
    text = world.config.read_text()
    begin, end = text.index("[jobs.Fit]"), text.index("[batch]")
    plain = text[begin:end].replace("jobs.Fit", "jobs.Plain").replace("templates", "raw = []\ntemplates", 1)
    world.config.write_text(text[:end] + plain + text[end:])

    async def scene(stage: Stage) -> None:
        house = stage.house
        await house.database.call(pauses.pause, None, NOW, "me", "a test")
        await stage.organise()
        await stage.wait(100)
        await house.database.call(pauses.resume, None, NOW, "me")
        real = house.raw_files.call

        async def call(name: str, *args: object, timeout: float, **keywords: object) -> object:
            if name == "look_again":
                raise StorageTimeout("look_again was not done within 80 s")
            return await real(name, *args, timeout=timeout, **keywords)

        monkeypatch.setattr(house.raw_files, "call", call)
        await stage.organise()
        states = dict(world.query("SELECT job, state FROM job"))
        assert states == {"Fit": "PREPARED", "Plain": "PENDING"}
        assert "cannot be looked at again" in world.query("SELECT reason FROM job WHERE job = 'Fit'")[0][0]
        monkeypatch.setattr(house.raw_files, "call", real)
        await stage.wait(301)
        await stage.organise()
        assert dict(world.query("SELECT job, state FROM job")) == {"Fit": "PENDING", "Plain": "PENDING"}

    play(world, scene)


def test_raw_files_that_are_gone_when_a_submission_is_withdrawn_are_waited_for(world: World) -> None:
    """It was never seen by the batch system; its claim is won, and the next attempt waits as a new job does."""
    submitted: list[str] = []

    async def scene(stage: Stage) -> None:
        def lose(submission: Any) -> Any:
            submitted.append(submission.token)
            raise BatchError("no answer")

        stage.batch.on_submit = lose
        await stage.organise()
        assert stage.job(FIRST)["state"] == "SUBMITTING"
        raw(world).unlink()
        await stage.wait(601)
        await stage.organise()
        job = stage.job(FIRST)
        assert (job["state"], job["attempt"], job["token"]) == ("NEW", 2, None)
        assert len(submitted) == 1
        stage.batch.on_submit = None
        write(raw(world), "1\n", NOW - 1e6)
        assert await until_prepared(stage) >= 1
        assert (stage.job(FIRST)["state"], stage.job(FIRST)["attempt"]) == ("PENDING", 2)

    play(world, scene)
