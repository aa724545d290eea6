"""A batch system that has more than one job for an attempt: shown, answered by a person, and it harms nothing."""

import asyncio
from pathlib import Path

import pytest

from caf.domain.errors import BatchError, CafError
from caf.domain.following import Sight, Sighting, together
from tests.tasks.stage import NOW, Stage, play
from tests.world import World

RUN = 490001


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, [RUN], caf='submit_grace = "10m"')


def shown(stage: Stage, **sights: Sight) -> None:
    """Have the batch system show these jobs, by their ids, with the attempt's token."""
    rows = [Sighting(sight, batch_id.removeprefix("b")) for batch_id, sight in sights.items()]
    stage.batch.says[str(stage.job(RUN)["token"])] = together(rows)


def ids(stage: Stage) -> tuple[str, str | None]:
    ((batch_id, twins),) = stage.world.query("SELECT batch_id, twins FROM job WHERE run = ?", RUN)
    return batch_id, twins


def status(world: World) -> str:
    return world.caf("status", check=False).stdout


def test_a_twin_is_shown_and_ended_when_a_person_has_adopted_the_other(world: World) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        shown(stage, b1=Sight.PENDING, b2=Sight.PENDING)
        await stage.organise()
        assert (stage.job(RUN)["state"], *ids(stage)) == ("PENDING", "1", "2")
        assert stage.batch.cancelled == []
        assert "the batch system has it as 1 and as 2" in status(world)
        assert "caf jobs adopt 490001 Fit 1" in world.caf("jobs", "why", str(RUN), "Fit").stdout
        world.caf("jobs", "adopt", str(RUN), "Fit", "2")
        await stage.organise()
        assert ids(stage) == ("2", "1")
        assert [(one.batch_id, one.alone) for one in stage.batch.ended] == [("1", True)]
        assert "the batch system has it as" not in status(world)
        shown(stage, b1=Sight.ENDED, b2=Sight.RUNNING)
        await stage.organise()
        assert (stage.job(RUN)["state"], *ids(stage)) == ("RUNNING", "2", None)
        assert len(stage.batch.ended) == 1

    play(world, scene)


def test_killing_a_job_ends_all_that_carry_its_token(world: World) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        stage.run(RUN, batch_id="1")
        shown(stage, b1=Sight.RUNNING, b2=Sight.PENDING)
        await stage.organise()
        world.caf("jobs", "kill", str(RUN), "Fit")
        await stage.organise()
        assert [(one.token, one.alone) for one in stage.batch.ended] == [(stage.job(RUN)["token"], False)]
        shown(stage, b1=Sight.ENDED, b2=Sight.PENDING)  # it will find the claim made
        await stage.organise()
        assert (stage.job(RUN)["state"], ids(stage)[1]) == ("CANCELLED", None)

    play(world, scene)


def test_the_one_that_runs_the_payload_is_not_ended_by_adopting_the_other(world: World) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        shown(stage, b1=Sight.PENDING, b2=Sight.PENDING)
        await stage.organise()
        world.caf("jobs", "adopt", str(RUN), "Fit", "2")
        stage.run(RUN, batch_id="1")
        shown(stage, b1=Sight.RUNNING, b2=Sight.PENDING)
        await stage.organise()
        assert (stage.job(RUN)["state"], *ids(stage)) == ("RUNNING", "1", "2")
        assert stage.batch.ended == []

    play(world, scene)


def test_the_end_of_a_twin_begins_no_other_attempt(world: World) -> None:
    """It found the claim made; the one that runs the payload is not shown for hours, and then ends well."""

    async def scene(stage: Stage) -> None:
        await stage.organise()
        stage.run(RUN, batch_id="1")
        shown(stage, b2=Sight.ENDED)
        for _ in range(4):
            await stage.organise()
            await stage.wait(3600)
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("RUNNING", 1)
        assert "batch job 1, which runs its payload" in stage.job(RUN)["reason"]
        assert stage.job(RUN)["unknown_since"] == NOW + 3600
        stage.end(RUN)
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("DONE", 1)

    play(world, scene)


def test_a_twin_that_waits_is_ended_with_the_payload(world: World) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        stage.run(RUN, batch_id="1")
        shown(stage, b1=Sight.RUNNING, b2=Sight.PENDING)
        await stage.organise()
        token = stage.job(RUN)["token"]
        stage.end(RUN)
        await stage.organise()
        assert stage.job(RUN)["state"] == "DONE"
        assert stage.batch.cancelled == [token]

    play(world, scene)


def test_a_claim_that_stands_still_before_its_start_record_can_never_start_any_more(world: World) -> None:
    """All that the batch system shows is over; somebody else made the claim. It wakes too late."""

    async def scene(stage: Stage) -> None:
        await stage.organise()
        stage.claim(RUN)
        shown(stage, b1=Sight.ENDED)
        await stage.organise()
        await stage.wait(100)
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("NEW", 2)
        with pytest.raises(IsADirectoryError):
            (stage.area(RUN) / "start").write_text("")

    play(world, scene)


def test_a_batch_system_that_cannot_end_anything_holds_up_nothing(world: World) -> None:
    """Ending is a courtesy once the claim is won: what waits in a queue would find it made."""

    async def scene(stage: Stage) -> None:
        await stage.organise()
        world.caf("jobs", "kill", str(RUN), "Fit")
        stage.batch.on_cancel = BatchError("scancel did not answer within 30 s")
        with pytest.raises(CafError, match="scancel did not answer"):
            await stage.organise()
        assert stage.job(RUN)["state"] == "CANCELLED"
        assert (stage.area(RUN) / "claim" / "revoked").exists()

    play(world, scene)


def test_asking_for_an_end_comes_before_anything_is_made_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job that is to end may be the one that fills the disk, on which another's area is to be made."""
    world.add_runs([490002])
    happened: list[str] = []

    async def scene(stage: Stage) -> None:
        def lose(_: object) -> Sighting:
            raise BatchError("sbatch did not answer within 30 s")

        await stage.organise()
        stage.run(RUN)
        world.caf("jobs", "kill", str(RUN), "Fit")
        world.caf("jobs", "reset", "490002", "Fit")
        stage.batch.says.clear()
        stage.batch.on_submit = lose
        await stage.organise()
        await stage.wait(601)
        many, cancel = stage.house.files.many, stage.batch.cancel

        async def noted(calls: list[tuple[str, list[object]]], *, timeout: float) -> list[object]:
            happened.extend(name for name, _ in calls)
            return await many(calls, timeout=timeout)

        async def asked(watched: object) -> None:
            happened.append("cancel")
            await cancel(watched)  # type: ignore[arg-type]  # handed on as it came

        monkeypatch.setattr(stage.house.files, "many", noted)
        monkeypatch.setattr(stage.batch, "cancel", asked)
        await stage.organise()
        assert happened.index("cancel") < happened.index("revoke") < happened.index("prepare")

    play(world, scene)


def test_a_silent_batch_system_has_no_areas_made_one_after_the_other(world: World) -> None:
    """What it may have taken is in doubt until it answers; only then is the attempt given up for another."""

    def lose(_: object) -> Sighting:
        raise BatchError("sbatch did not answer within 30 s")

    async def scene(stage: Stage) -> None:
        stage.batch.on_submit, stage.batch.silent = lose, True
        for _ in range(20):
            await asyncio.gather(stage.organise(), return_exceptions=True)
            await stage.wait(700)
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("SUBMITTING", 1)
        assert stage.job(RUN)["unknown_since"] is not None
        stage.batch.on_submit, stage.batch.silent = None, False
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("PENDING", 2)

    play(world, scene)
