"""A person answers what no witness can: an attempt in doubt is there, or lost. Nothing is ever lost that is alive."""

from pathlib import Path
from typing import Any

import pytest

from caf.domain.errors import CafError
from caf.domain.following import Sight, Sighting
from caf.domain.jobs import Result
from tests.tasks.stage import Stage, play
from tests.world import World

RUN = 490001
WHY = ("--by", "anna", "--reason", "node7 burnt down")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, [RUN])


def lost(world: World, *, check: bool = True) -> Any:
    return world.caf("jobs", "lost", str(RUN), "Fit", *WHY, check=check)


async def in_doubt(stage: Stage, *, begun: bool = True) -> None:
    """Have the batch system forget an attempt."""
    await stage.organise()
    if begun:
        stage.run(RUN)
        await stage.organise()
    stage.batch.says.clear()
    await stage.organise()
    assert stage.job(RUN)["unknown_since"] == stage.clock[0]


def test_a_lost_attempt_that_had_begun_ends_as_node_and_another_follows(world: World) -> None:
    async def scene(stage: Stage) -> None:
        await in_doubt(stage)
        lost(world)
        await stage.organise()
        job = stage.job(RUN)
        assert (job["state"], job["attempt"], job["tries"]) == ("NEW", 2, 1)
        ((result, reason),) = world.query("SELECT result, reason FROM attempt")
        assert result == "node"
        assert "lost, says anna: node7 burnt down" in reason
        await stage.wait(10)
        await stage.organise()
        assert (stage.job(RUN)["state"], len(stage.batch.submitted)) == ("PENDING", 2)
        assert stage.batch.submitted[0].token in stage.batch.cancelled

    play(world, scene)


def test_a_lost_attempt_that_never_began_is_made_sure_of(world: World) -> None:
    """The claim is won: nobody need be believed."""

    async def scene(stage: Stage) -> None:
        await in_doubt(stage, begun=False)
        lost(world)
        await stage.organise()
        assert (stage.area(RUN) / "claim" / "revoked").exists()
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("NEW", 2)
        assert "revoked, so that it can never start" in stage.job(RUN)["reason"]

    play(world, scene)


def test_lost_attempts_count_against_the_limit(world: World) -> None:
    async def scene(stage: Stage) -> None:
        for attempt in (1, 2, 3):
            await stage.organise()
            stage.run(RUN, attempt)
            stage.batch.says.clear()
            await stage.organise()  # its start record is seen
            await stage.organise()
            lost(world)
            await stage.organise()
            await stage.wait(100)
        assert (stage.job(RUN)["state"], stage.job(RUN)["result"]) == ("FAILED", "node")
        assert len(stage.batch.submitted) == 3

    play(world, scene)


@pytest.mark.parametrize("sight", [Sight.RUNNING, Sight.PENDING])
def test_what_the_batch_system_shows_alive_is_not_lost_whoever_says_so(world: World, sight: Sight) -> None:
    async def scene(stage: Stage) -> None:
        await in_doubt(stage)
        token = stage.job(RUN)["token"]
        lost(world)
        stage.batch.says[token] = Sighting(sight, "1")
        await stage.organise()
        job = stage.job(RUN)
        assert (job["state"], job["attempt"], job["unknown_since"]) == ("RUNNING", 1, None)
        assert world.query("SELECT lost FROM job") == [(None,)]
        ((who, why),) = world.query("SELECT who, why FROM audit ORDER BY id DESC LIMIT 1")
        assert who == "organise"
        assert "lost was said (anna: node7 burnt down), but the batch system shows it alive" in why
        refused = lost(world, check=False)
        assert refused.returncode == 1
        assert "nothing about it is in doubt" in refused.stderr
        assert f"`caf jobs kill {RUN} Fit`" in refused.stderr
        stage.end(RUN)
        await stage.organise()
        assert stage.job(RUN)["state"] == "DONE"

    play(world, scene)


def test_an_end_that_was_recorded_counts_for_more_than_the_word(world: World) -> None:
    async def scene(stage: Stage) -> None:
        await in_doubt(stage)
        lost(world)
        stage.end(RUN)
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("DONE", 1)

    play(world, scene)


@pytest.mark.parametrize(("word", "goal"), [("kill", "CANCELLED"), ("hold", "WAITING"), ("reset", "PENDING")])
def test_cancelling_ends_by_lost_where_the_batch_system_never_answers(world: World, word: str, goal: str) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        stage.run(RUN)
        await stage.organise()
        world.caf("jobs", word, str(RUN), "Fit", "--by", "anna", "--reason", "wrong release")
        stage.batch.silent = True
        for _ in range(3):
            with pytest.raises(CafError, match="squeue did not answer"):
                await stage.organise()
            await stage.wait(1000)
        job = stage.job(RUN)
        assert (job["state"], job["unknown_since"]) == ("CANCELLING", stage.clock[0] - 3000)
        assert "the batch system does not know it" in job["reason"]
        lost(world)
        with pytest.raises(CafError, match="squeue did not answer"):
            await stage.organise()
        assert stage.job(RUN)["state"] == goal
        trail = [why for (why,) in world.query("SELECT why FROM audit WHERE job = 'Fit' ORDER BY id")]
        assert "kill by anna: wrong release; lost, says anna: node7 burnt down" in trail or word != "kill"
        assert set(stage.batch.cancelled) == {stage.batch.submitted[0].token}

    play(world, scene)


def test_the_doubt_of_a_cancelling_job_ends_when_the_batch_system_answers(world: World) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        token = stage.job(RUN)["token"]
        stage.run(RUN)
        world.caf("jobs", "kill", str(RUN), "Fit", "--by", "anna")
        stage.batch.says.clear()
        await stage.organise()
        assert stage.job(RUN)["unknown_since"] is not None
        stage.batch.says[token] = Sighting(Sight.RUNNING, "1")
        await stage.organise()
        assert (stage.job(RUN)["unknown_since"], stage.job(RUN)["next_state"]) == (None, "CANCELLED")
        assert stage.job(RUN)["reason"].startswith("kill by anna")
        stage.batch.says[token] = Sighting(Sight.ENDED, "1")
        await stage.organise()
        assert stage.job(RUN)["state"] == "CANCELLED"

    play(world, scene)


def test_a_word_about_an_area_that_cannot_be_looked_at_waits_until_it_can(world: World) -> None:
    """Where the claim cannot be tried for, nothing is known: the file system is away, and the payload may run."""

    async def scene(stage: Stage) -> None:
        await in_doubt(stage)
        area, away = stage.area(RUN), stage.area(RUN).with_name("away")
        area.rename(away)
        area.symlink_to(area)  # a loop: any look at it fails
        await stage.organise()
        assert stage.job(RUN)["reason"] == "its working area cannot be read"
        lost(world)
        with pytest.raises(CafError, match=r"cannot make .*/claim"):
            await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("RUNNING", 1)
        area.unlink()
        away.rename(area)
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("NEW", 2)

    play(world, scene)


def test_adopting_by_an_id_has_it_asked_for_by_that_id(world: World) -> None:
    """The doubt is answered; if the batch system still does not know it, a new doubt begins, with a new age."""

    async def scene(stage: Stage) -> None:
        await in_doubt(stage)
        began = stage.job(RUN)["unknown_since"]
        world.caf("jobs", "adopt", str(RUN), "Fit", "4711", "--by", "anna")
        job = stage.job(RUN)
        assert (job["state"], job["batch_id"], job["unknown_since"]) == ("RUNNING", "4711", None)
        await stage.wait(100)
        await stage.organise()
        assert stage.job(RUN)["unknown_since"] == began + 100
        assert stage.job(RUN)["batch_id"] == "4711"
        stage.batch.says[stage.job(RUN)["token"]] = Sighting(Sight.RUNNING, "4711")
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["unknown_since"]) == ("RUNNING", None)
        assert len(stage.batch.submitted) == 1

    play(world, scene)


def test_a_word_is_taken_back_by_adopting(world: World) -> None:
    async def scene(stage: Stage) -> None:
        await in_doubt(stage)
        lost(world)
        world.caf("jobs", "adopt", str(RUN), "Fit", "--by", "anna", "--reason", "it is there after all")
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("RUNNING", 1)

    play(world, scene)


def test_the_records_are_the_second_witness_of_a_forgotten_job(world: World) -> None:
    """The batch system never knows it again: start and exit records alone take the job to its end."""

    async def scene(stage: Stage) -> None:
        await stage.organise()
        stage.batch.says.clear()
        await stage.organise()
        assert stage.job(RUN)["unknown_since"] is not None
        stage.run(RUN)
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["unknown_since"]) == ("RUNNING", None)
        await stage.organise()
        assert stage.job(RUN)["unknown_since"] is not None
        stage.end(RUN)
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("DONE", 1)

    play(world, scene)


def test_the_batch_systems_own_reason_for_pending_is_kept_up_to_date(world: World) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        token = stage.job(RUN)["token"]
        for reason in ("Priority", "Resources", "Resources"):
            stage.batch.says[token] = Sighting(Sight.PENDING, "1", reason)
            await stage.organise()
            assert (stage.job(RUN)["state"], stage.job(RUN)["reason"]) == ("PENDING", reason)
        assert "Resources" in world.caf("jobs", "why", str(RUN), "Fit").stdout

    play(world, scene)


LIMITS = 'memory = "2GB"\nmemory_limit = "5GB"\nwalltime = "1h"\nwalltime_limit = "3h"\nattempts = 5\n'


@pytest.mark.parametrize(
    ("result", "memory", "walltime"),
    [
        (Result.MEMORY, [2e9, 4e9, 5e9, 5e9], [3600.0] * 4),
        (Result.WALLTIME, [2e9] * 4, [3600.0, 7200.0, 10800.0, 10800.0]),
        (Result.NODE, [2e9] * 4, [3600.0] * 4),
    ],
)
def test_what_ran_short_is_asked_for_twice_up_to_the_limit(
    tmp_path: Path, result: Result, memory: list[float], walltime: list[float]
) -> None:
    world = World(tmp_path, [RUN], job=LIMITS)

    async def scene(stage: Stage) -> None:
        for attempt in (1, 2, 3, 4):
            await stage.organise()
            stage.run(RUN, attempt)
            stage.batch.says[stage.job(RUN)["token"]] = Sighting(Sight.ENDED, "1", f"{result}", result)
            await stage.organise()
            await stage.wait(100)
            await stage.organise()
            await stage.wait(100)
        assert [one.memory for one in stage.batch.submitted[:4]] == memory
        assert [one.walltime for one in stage.batch.submitted[:4]] == walltime
        grown = world.caf("jobs", "why", str(RUN), "Fit").stdout
        assert ("since it had too little" in grown) == (result is not Result.NODE)
        world.caf("jobs", "reset", str(RUN), "Fit")
        assert world.query("SELECT memory, walltime FROM job") == [(None, None)]

    play(world, scene)


def test_without_a_limit_nothing_grows(tmp_path: Path) -> None:
    world = World(tmp_path, [RUN], job='memory = "2GB"\n')

    async def scene(stage: Stage) -> None:
        for attempt in (1, 2):
            await stage.organise()
            stage.run(RUN, attempt)
            stage.batch.says[stage.job(RUN)["token"]] = Sighting(Sight.ENDED, "1", "oom", Result.MEMORY)
            await stage.organise()
            await stage.wait(100)
            await stage.organise()
            await stage.wait(100)
        assert [one.memory for one in stage.batch.submitted] == [2e9, 2e9]

    play(world, scene)
