"""A clock that is set, forwards or back: no wait is used up by it, and none goes on for ever."""

from pathlib import Path

import pytest

from caf.domain.following import Sight, Sighting
from tests.tasks.stage import NOW, Stage, play
from tests.world import World

RUN = 490001
HOURS = 3600.0


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, [RUN], job='files_wait = "2h"')


def watched(stage: Stage) -> list[float]:
    """Give the machine a second clock, that nobody can set: the hours that have really passed."""
    passed = [0.0]
    stage.house.steady = lambda: ("boot", passed[0])
    return passed


async def go_on(stage: Stage, passed: list[float], seconds: float) -> None:
    """Let time pass by both clocks, and do a round."""
    passed[0] += seconds
    await stage.wait(seconds)
    await stage.organise()


def without_raw_files(world: World) -> Path:
    raw = world.folder / "raw" / f"{RUN:08d}" / "events.RAW"
    raw.unlink()
    return raw


def test_a_clock_that_is_ahead_for_some_rounds_uses_up_no_wait(world: World) -> None:
    raw = without_raw_files(world)

    async def scene(stage: Stage) -> None:
        passed = watched(stage)
        for _ in range(4):
            await go_on(stage, passed, 60)
        await stage.wait(5 * HOURS)  # somebody sets it, and corrects it ten minutes later
        for _ in range(10):
            await go_on(stage, passed, 60)
        await stage.wait(-5 * HOURS)
        await go_on(stage, passed, 60)
        job = stage.job(RUN)
        assert (job["state"], job["attempt"]) == ("NEW", 1)
        assert job["not_before"] <= stage.clock[0] + HOURS
        raw.write_text("1")
        for _ in range(20):
            await go_on(stage, passed, 240)
        assert stage.job(RUN)["state"] == "PENDING"

    play(world, scene)


def test_the_wait_for_raw_files_still_ends(world: World) -> None:
    without_raw_files(world)

    async def scene(stage: Stage) -> None:
        passed = watched(stage)
        for _ in range(40):
            await go_on(stage, passed, 300)
        assert (stage.job(RUN)["state"], stage.job(RUN)["result"]) == ("FAILED", "staging")

    play(world, scene)


def test_it_is_noticed_across_a_restart_of_caf(world: World) -> None:
    """What the two clocks said stands in the database."""

    async def scene(stage: Stage) -> None:
        passed = watched(stage)
        await go_on(stage, passed, 0)
        token = str(stage.job(RUN)["token"])
        stage.batch.says[token] = Sighting(Sight.UNKNOWN)
        await go_on(stage, passed, 60)
        assert stage.job(RUN)["unknown_since"] == NOW + 60
        passed[0] += 600
        await stage.wait(600 - 3 * HOURS)
        stage.house.steady = lambda: ("boot", passed[0])
        await stage.organise()
        assert stage.job(RUN)["unknown_since"] == NOW + 60 - 3 * HOURS

    play(world, scene)


def test_after_a_restart_of_the_machine_nothing_lies_far_ahead(world: World) -> None:
    """Then nobody can tell by how much the clock was wrong: the longest wait there is begins at most anew."""
    world.edit('files_wait = "2h"', 'files_wait = "2d"')
    raw = without_raw_files(world)

    async def scene(stage: Stage) -> None:
        passed = watched(stage)
        await stage.wait(9 * HOURS)
        for _ in range(12):
            await go_on(stage, passed, 60)
        stage.house.steady = lambda: ("second boot", stage.clock[0] - NOW)
        await stage.wait(-9 * HOURS)
        raw.write_text("1")
        await stage.organise()
        job = stage.job(RUN)
        assert job["not_before"] is None or job["not_before"] <= stage.clock[0] + HOURS
        await stage.wait(HOURS + 1)
        await stage.organise()
        assert stage.job(RUN)["state"] == "PENDING"

    play(world, scene)


def test_a_doubt_that_began_in_the_future_is_settled_after_its_grace(world: World) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        stage.run(RUN)
        stage.batch.says[str(stage.job(RUN)["token"])] = Sighting(Sight.ENDED, "1", "NODE_FAIL")
        await stage.wait(9 * HOURS)
        await stage.organise()
        await stage.wait(-9 * HOURS)
        await stage.organise()
        assert stage.job(RUN)["unknown_since"] == stage.clock[0]
        await stage.wait(2)
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("NEW", 2)

    play(world, scene)
