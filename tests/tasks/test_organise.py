"""Jobs on their way through a batch system that may refuse, forget, fall silent or lose its answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from caf.batch.interface import BatchFull, BatchRefused, Submission
from caf.domain.errors import BatchError, CafError
from caf.domain.following import Sight, Sighting
from caf.domain.jobs import Result
from tests.tasks.stage import Stage, play
from tests.world import World

RUN = 490001
GRACE = 600.0  # s; [caf] submit_grace
DOUBT = 1.0  # s; record_grace in this world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, [RUN])


def test_the_way_of_a_job(world: World) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["batch_id"]) == ("PENDING", "1")
        (submission,) = stage.batch.submitted
        assert submission.token == stage.job(RUN)["token"]
        assert submission.script == f"{stage.area(RUN)}/caf.sh"
        stage.run(RUN)
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["reason"]) == ("RUNNING", "running on node7")
        stage.end(RUN)
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["result"]) == ("DONE", "ok")
        assert world.query("SELECT node, exit_code, result FROM attempt") == [("node7", 0, "ok")]
        assert len(stage.batch.submitted) == 1

    play(world, scene)


def test_a_lost_answer_is_made_up_for_by_the_token(world: World) -> None:
    """The batch system took the job, but its answer never came: found by its name, it is adopted, not given again."""

    def lose(submission: Submission) -> Sighting:
        stage_says[submission.token] = Sighting(Sight.RUNNING, "4711")
        raise BatchError("sbatch did not answer within 30 s")

    stage_says: dict[str, Sighting] = {}

    async def scene(stage: Stage) -> None:
        stage.batch.on_submit, stage.batch.says = lose, stage_says
        await stage.organise()
        assert stage.job(RUN)["state"] == "SUBMITTING"
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["batch_id"]) == ("RUNNING", "4711")
        await stage.wait(10 * GRACE)
        await stage.organise()
        assert (len(stage.batch.submitted), stage.job(RUN)["attempt"]) == (1, 1)

    play(world, scene)


def test_what_was_never_accepted_is_given_again_only_when_it_can_never_start(world: World) -> None:
    """After the grace the claim is won first; the new attempt has another area and another token."""

    def lose(submission: Submission) -> Sighting:
        raise BatchError("sbatch did not answer within 30 s")

    async def scene(stage: Stage) -> None:
        stage.batch.on_submit = lose
        await stage.organise()
        first = stage.job(RUN)["token"]
        await stage.wait(GRACE - 1)
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["token"]) == ("SUBMITTING", first)
        assert not (stage.area(RUN) / "claim").exists()
        stage.batch.on_submit = None
        await stage.wait(2)
        await stage.organise()
        assert (stage.area(RUN) / "claim" / "revoked").exists()
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("PENDING", 2)
        assert stage.job(RUN)["token"] != first
        assert [s.script for s in stage.batch.submitted] == [f"{stage.area(RUN, n)}/caf.sh" for n in (1, 2)]

    play(world, scene)


def test_a_payload_that_began_unseen_is_not_started_again(world: World) -> None:
    """Lost answer, and the batch system does not list it, but its start record is there: it runs."""

    def lose(submission: Submission) -> Sighting:
        raise BatchError("sbatch did not answer within 30 s")

    async def scene(stage: Stage) -> None:
        stage.batch.on_submit = lose
        await stage.organise()
        stage.run(RUN)
        await stage.wait(10 * GRACE)
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("RUNNING", 1)
        stage.end(RUN)
        await stage.organise()
        assert stage.job(RUN)["state"] == "DONE"
        assert len(stage.batch.submitted) == 1

    play(world, scene)


def test_a_claim_without_a_record_is_doubted_and_never_given_again(world: World) -> None:
    def lose(submission: Submission) -> Sighting:
        raise BatchError("sbatch did not answer within 30 s")

    async def scene(stage: Stage) -> None:
        stage.batch.on_submit = lose
        await stage.organise()
        stage.claim(RUN)
        for _ in range(3):
            await stage.wait(10 * GRACE)
            await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("SUBMITTING", 1)
        assert stage.job(RUN)["unknown_since"] is not None
        assert len(stage.batch.submitted) == 1

    play(world, scene)


def test_a_silent_batch_system_changes_nothing_and_the_other_steps_go_on(world: World) -> None:
    """It is neither DONE nor FAILED; the exit records of others are still heeded, and new areas made."""
    world.add_runs([490002])

    async def scene(stage: Stage) -> None:
        await stage.organise()
        for run in (RUN, 490002):
            stage.run(run)
        await stage.organise()
        stage.end(490002)
        world.add_runs([490003])
        await stage.discover()
        stage.batch.silent = True
        for _ in range(3):
            with pytest.raises(CafError, match="squeue did not answer within 30 s"):
                await stage.organise()
            await stage.wait(1000)
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("RUNNING", 1)
        assert stage.job(490002)["state"] == "DONE"
        assert stage.job(490003)["state"] == "PENDING"
        assert stage.job(RUN)["unknown_since"] is not None
        stage.batch.silent = False
        stage.batch.says[str(stage.job(RUN)["token"])] = Sighting(Sight.RUNNING, "1")
        await stage.organise()
        assert stage.job(RUN)["unknown_since"] is None

    play(world, scene)


def test_a_forgotten_job_is_doubted_with_its_age_until_a_record_or_an_answer_comes(world: World) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        stage.run(RUN)
        await stage.organise()
        stage.batch.says.clear()
        await stage.organise()
        since = stage.job(RUN)["unknown_since"]
        assert since == stage.clock[0]
        await stage.wait(86_400)
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["unknown_since"]) == ("RUNNING", since)
        stage.end(RUN)
        await stage.organise()
        assert stage.job(RUN)["state"] == "DONE"

    play(world, scene)


def test_an_end_without_an_exit_record_is_judged_after_the_grace_and_tried_again(world: World) -> None:
    """The node was lost: file systems lag, so the record is waited for, and then the next attempt follows in time."""

    async def scene(stage: Stage) -> None:
        await stage.organise()
        token = stage.job(RUN)["token"]
        stage.run(RUN)
        stage.batch.says[token] = Sighting(Sight.ENDED, "1", "NODE_FAIL", Result.NODE)
        await stage.organise()
        assert stage.job(RUN)["unknown_since"] == stage.clock[0]
        await stage.wait(DOUBT)
        await stage.organise()
        job = stage.job(RUN)
        assert (job["state"], job["attempt"], job["tries"]) == ("NEW", 2, 1)
        assert job["not_before"] == stage.clock[0] + 1.0
        assert "NODE_FAIL" in job["reason"]
        await stage.organise()
        assert stage.job(RUN)["state"] == "NEW"
        await stage.wait(1.0)
        await stage.organise()
        assert (stage.job(RUN)["state"], len(stage.batch.submitted)) == ("PENDING", 2)

    play(world, scene)


def test_a_record_that_comes_within_the_grace_counts(world: World) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        stage.run(RUN)
        stage.batch.says[stage.job(RUN)["token"]] = Sighting(Sight.ENDED, "1", "COMPLETED")
        await stage.organise()
        stage.end(RUN)
        await stage.wait(100 * DOUBT)
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("DONE", 1)

    play(world, scene)


def test_infrastructure_failures_end_after_so_many_attempts(world: World) -> None:
    async def scene(stage: Stage) -> None:
        for attempt in (1, 2, 3):
            await stage.organise()
            stage.run(RUN, attempt)
            stage.batch.says[stage.job(RUN)["token"]] = Sighting(Sight.ENDED, "1", "preempted", Result.NODE)
            await stage.organise()
            await stage.wait(10)
            await stage.organise()
            await stage.wait(10)
        job = stage.job(RUN)
        assert (job["state"], job["result"], job["attempt"]) == ("FAILED", "node", 3)
        assert len({s.token for s in stage.batch.submitted}) == 3

    play(world, scene)


async def refused_for_long(stage: Stage, refuse: Callable[[Submission], Sighting]) -> Any:
    """Have every submission of twelve minutes refused; gives the job."""
    stage.batch.on_submit = refuse
    for _ in range(12):
        await stage.organise()
        await stage.wait(60)
    return stage.job(RUN)


def test_a_refused_submission_is_tried_again_later_and_then_fails_with_the_systems_words(world: World) -> None:
    def refuse(submission: Submission) -> Sighting:
        raise BatchRefused("sbatch: error: invalid account u_ATLASLARCAL")

    async def scene(stage: Stage) -> None:
        job = await refused_for_long(stage, refuse)
        assert (job["state"], job["result"]) == ("FAILED", "refused")
        assert "invalid account u_ATLASLARCAL" in job["reason"]
        assert len(stage.batch.submitted) == 3
        assert len({s.token for s in stage.batch.submitted}) == 3
        for attempt in (1, 2, 3):
            assert (stage.area(RUN, attempt) / "claim" / "revoked").exists()

    play(world, scene)


def test_a_submission_for_which_there_is_no_room_waits_as_long_as_that_takes(world: World) -> None:
    """A site's limit on how many jobs are out passes by itself: nothing fails of it."""

    def refuse(submission: Submission) -> Sighting:
        raise BatchFull("sbatch: error: QOSMaxSubmitJobPerUserLimit: it is tried again")

    async def scene(stage: Stage) -> None:
        job = await refused_for_long(stage, refuse)
        assert (job["state"], job["result"], job["tries"]) == ("SUBMITTING", None, 0)
        assert "QOSMaxSubmitJobPerUserLimit" in job["reason"]
        stage.batch.on_submit = None
        tried = len(stage.batch.submitted)
        await stage.organise()
        assert stage.job(RUN)["state"] == "PENDING"
        assert len({s.token for s in stage.batch.submitted}) == tried + 1 > 4

    play(world, scene)


def test_records_of_another_attempt_prove_nothing(world: World) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        stage.run(RUN, token="caf-ffffffff-9-9-99999999")
        stage.batch.says.clear()
        await stage.wait(10 * GRACE)
        await stage.organise()
        assert stage.job(RUN)["state"] == "PENDING"
        assert "belong to another attempt" in stage.job(RUN)["reason"]

    play(world, scene)


def test_slots_are_never_exceeded_and_the_oldest_go_first(world: World) -> None:
    world.edit("slots = 4", "slots = 2")
    world.add_runs(range(490002, 490006))

    async def scene(stage: Stage) -> None:
        for _ in range(3):
            await stage.organise()
        assert [stage.job(run)["state"] for run in range(RUN, RUN + 5)] == ["PENDING"] * 2 + ["PREPARED"] * 3
        stage.run(RUN)
        stage.end(RUN)
        await stage.organise()
        assert [stage.job(run)["state"] for run in range(RUN, RUN + 5)] == ["DONE"] + ["PENDING"] * 2 + ["PREPARED"] * 2

    play(world, scene)


def test_raw_files_are_looked_for_less_and_less_often_and_not_for_ever(world: World) -> None:
    (world.folder / "raw" / f"{RUN:08d}" / "events.RAW").unlink()
    world.edit('retry_after = "1s"', 'retry_after = "1s"\nfiles_wait = "1h"')

    async def scene(stage: Stage) -> None:
        delays = []
        while stage.job(RUN)["state"] == "NEW":
            await stage.organise()
            if (due := stage.job(RUN)["not_before"]) is not None:
                delays.append(due - stage.clock[0])
                await stage.wait(due - stage.clock[0])
        assert delays == [2.0**n for n in range(10)] + [1024.0] * (len(delays) - 10)
        assert stage.job(RUN)["result"] == "staging"
        assert "no raw files after 1h" in stage.job(RUN)["reason"]

    play(world, scene)


def test_a_round_says_when_the_next_is_worth_while(world: World) -> None:
    (world.folder / "raw" / f"{RUN:08d}" / "events.RAW").unlink()

    async def scene(stage: Stage) -> None:
        for expected in (1.0, 2.0, 4.0):
            done = await stage.organise()
            assert done.again_in == expected
            await stage.wait(expected)

    play(world, scene)


def test_a_job_that_a_person_held_meanwhile_is_left_alone(world: World) -> None:
    """The round decided on what it saw at its beginning; a person was quicker."""

    async def scene(stage: Stage) -> None:
        def hold(submission: Submission) -> Sighting:
            world.caf("jobs", "kill", str(RUN), "Fit")
            return Sighting(Sight.PENDING, "1")

        stage.batch.on_submit = hold
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["next_state"]) == ("CANCELLING", "CANCELLED")
        await stage.organise()
        assert stage.job(RUN)["state"] == "CANCELLED"
        assert (stage.area(RUN) / "claim" / "revoked").exists()

    play(world, scene)


def test_a_job_is_cancelled_only_with_proof(world: World) -> None:
    """It has begun: asked to end, it goes on until its end is seen, however long the batch system is silent."""

    async def scene(stage: Stage) -> None:
        await stage.organise()
        token = stage.job(RUN)["token"]
        stage.run(RUN)
        world.caf("jobs", "reset", str(RUN), "Fit")
        stage.batch.says.clear()
        for _ in range(3):
            await stage.wait(10 * GRACE)
            await stage.organise()
        assert stage.job(RUN)["state"] == "CANCELLING"
        assert stage.batch.cancelled == [token] * 3
        assert len(stage.batch.submitted) == 1
        stage.end(RUN, code=143)
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("PENDING", 2)

    play(world, scene)
