"""A payload that its batch system ended leaves an exit record all the same: what the batch system says of it counts."""

from pathlib import Path

import pytest

from caf.domain.following import Sight, Sighting
from caf.domain.jobs import Result
from tests.tasks.stage import Stage, play
from tests.world import World

RUN = 490001


def says(stage: Stage, sighting: Sighting) -> None:
    stage.batch.says[stage.job(RUN)["token"]] = sighting


async def begun(stage: Stage) -> None:
    await stage.organise()
    stage.run(RUN)
    says(stage, Sighting(Sight.RUNNING, "1"))
    await stage.organise()
    assert stage.job(RUN)["state"] == "RUNNING"


@pytest.mark.parametrize(("word", "result"), [("TIMEOUT", Result.WALLTIME), ("PREEMPTED", Result.NODE)])
def test_it_is_tried_again(tmp_path: Path, word: str, result: Result) -> None:
    async def scene(stage: Stage) -> None:
        await begun(stage)
        stage.end(RUN, 143, good=False)
        says(stage, Sighting(Sight.ENDED, "1", f"Slurm says {word}", result))
        await stage.organise()
        job = stage.job(RUN)
        assert (job["state"], job["attempt"], job["tries"]) == ("NEW", 2, 1)
        assert f"{result}: Slurm says {word}; the payload ended with exit code 143" in job["reason"]

    play(World(tmp_path, [RUN]), scene)


def test_its_own_failure_is_not_tried_again(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await begun(stage)
        stage.end(RUN, 3, good=False)
        says(stage, Sighting(Sight.ENDED, "1", "Slurm says FAILED", exit_code=3))
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["result"]) == ("FAILED", "exit_code")

    play(World(tmp_path, [RUN]), scene)


def test_a_good_end_needs_no_word_of_the_batch_system(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await begun(stage)
        looks = stage.batch.looks
        stage.end(RUN)
        await stage.organise()
        assert stage.job(RUN)["state"] == "DONE"
        assert stage.batch.looks == looks

    play(World(tmp_path, [RUN]), scene)


def test_a_stuck_job_stands_in_the_status(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        says(stage, Sighting(Sight.PENDING, "1", "PartitionConfig: correct `cpus`", stuck=True))
        await stage.organise()
        assert stage.job(RUN)["reason"] == "it will not start by itself: PartitionConfig: correct `cpus`"
        said = " ".join(stage.world.caf("status", check=False).stdout.split())
        assert "1 pending job will not start by itself: 490001 Fit: PartitionConfig: correct `cpus`" in said
        says(stage, Sighting(Sight.PENDING, "1", "Priority"))
        await stage.organise()
        assert "will not start" not in stage.world.caf("status", check=False).stdout

    play(World(tmp_path, [RUN]), scene)
