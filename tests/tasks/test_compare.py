"""Working areas that a database does not know: taken over, whatever begun there is followed and never begun again."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from caf.domain.following import Sight, Sighting
from caf.store import found
from tests.tasks.stage import Stage, play
from tests.world import World

RUN, OTHER = 490001, 490002
TOKEN = "caf-ffffffff-17-{attempt}-0123abcd"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, [RUN])


async def take_over(stage: Stage) -> None:
    """Have all areas compared in the next round, as a start with --take-over does."""
    await stage.house.database.call(found.begin, 0, compare=True)
    await stage.house.files.call("mark_work", str(stage.world.folder / "work"), stage.house.database_id, 1, timeout=30)
    stage.house.generation, stage.house.compare = 1, True


def area_of_another(world: World, attempt: int = 1, run: int = RUN, strange: dict[str, Any] | None = None) -> Path:
    """Make an area as another database's supervisor does, given to a batch system with TOKEN."""
    area = world.folder / "work" / f"{run}_Fit" / str(attempt)
    for name in ("log", "root", "config"):
        (area / name).mkdir(parents=True)
    facts = {"database_id": "ffffffff", "job_id": 17, "run": run, "job": "Fit", "attempt": attempt}
    (area / "job.json").write_text(json.dumps(facts | (strange or {})))
    (area / "caf.sh").write_text(f"#!/bin/sh\nCAF_RUN={run}\nCAF_TOKEN={TOKEN.format(attempt=attempt)}\nset -- true\n")
    return area


def records(area: Path, attempt: int = 1, code: int | None = 0) -> None:
    """Write the records of an attempt that began, and with a code ended."""
    token = TOKEN.format(attempt=attempt)
    (area / "claim").mkdir()
    (area / "start").write_text(f"token={token}\nhost=node7\nboot=x\npid=1\nticks=\nuptime=1.0\nend\n")
    if code is not None:
        (area / "log/stdout").write_text("good #RUN\n")
        (area / "root/out").write_text("out\n")
        (area / "exit").write_text(f"token={token}\ncode={code}\nhost=node7\nboot=x\nuptime=2.0\nend\n")


def test_an_attempt_that_ended_well_is_done_and_not_run_again(world: World) -> None:
    async def scene(stage: Stage) -> None:
        records(area_of_another(world))
        await take_over(stage)
        await stage.organise()
        job = stage.job(RUN)
        assert (job["state"], job["result"], job["attempt"], job["token"]) == ("DONE", "ok", 1, TOKEN.format(attempt=1))
        assert stage.batch.submitted == []
        assert stage.house.compare is False
        trail = world.query("SELECT who, was, became FROM audit WHERE job = 'Fit' ORDER BY id")
        assert trail[1:3] == [("take-over", "NEW", "PREPARED"), ("take-over", "PREPARED", "SUBMITTING")]

    play(world, scene)


def test_the_last_attempt_counts_and_those_before_it_are_on_record(world: World) -> None:
    async def scene(stage: Stage) -> None:
        for attempt, code in ((1, 1), (2, 143), (3, 0)):
            records(area_of_another(world, attempt), attempt, code)
        await take_over(stage)
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("DONE", 3)
        tokens = world.query("SELECT attempt, token FROM attempt ORDER BY attempt")
        assert tokens == [(attempt, TOKEN.format(attempt=attempt)) for attempt in (1, 2, 3)]

    play(world, scene)


def test_one_that_still_runs_is_followed_to_its_end(world: World) -> None:
    async def scene(stage: Stage) -> None:
        area = area_of_another(world)
        records(area, code=None)
        stage.batch.says[TOKEN.format(attempt=1)] = Sighting(Sight.RUNNING, "4711")
        await take_over(stage)
        for _ in range(3):
            await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["batch_id"]) == ("RUNNING", "4711")
        shutil.rmtree(area / "claim")
        (area / "start").unlink()
        records(area)
        await stage.organise()
        assert stage.job(RUN)["state"] == "DONE"
        assert stage.batch.submitted == []

    play(world, scene)


def test_one_that_was_handed_over_and_never_began_is_withdrawn_first(world: World) -> None:
    """The batch system may have it still: only the claim makes another attempt safe."""

    async def scene(stage: Stage) -> None:
        area = area_of_another(world)
        await take_over(stage)
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.batch.submitted) == ("SUBMITTING", [])
        await stage.wait(601)
        await stage.organise()
        assert (area / "claim" / "revoked").exists()
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("PENDING", 2)

    play(world, scene)


@pytest.mark.parametrize("state", ["WAITING", "PENDING", "RUNNING", "CANCELLING", "DONE", "FAILED", "CANCELLED"])
def test_whatever_the_database_thinks_a_later_attempt_proves_it_over(world: World, state: str) -> None:
    async def scene(stage: Stage) -> None:
        if state == "WAITING":
            world.caf("jobs", "hold", str(RUN), "Fit")
        else:
            await stage.organise()
            if state != "PENDING":
                stage.run(RUN)
                await stage.organise()
            if state in {"DONE", "FAILED"}:
                stage.end(RUN, good=state == "DONE")
                await stage.organise()
            if state in {"CANCELLING", "CANCELLED"}:
                world.caf("jobs", "kill", str(RUN), "Fit")
            if state == "CANCELLED":
                stage.end(RUN, 143)
                await stage.organise()
        assert stage.job(RUN)["state"] == state
        submitted = len(stage.batch.submitted)
        records(area_of_another(world, 2), 2)
        await take_over(stage)
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("DONE", 2)
        assert len(stage.batch.submitted) == submitted
        assert world.query("SELECT count(*) FROM attempt") == [(1 + (state != "WAITING"),)]

    play(world, scene)


def test_a_withdrawn_attempt_is_shown_to_a_person(world: World) -> None:
    """Somebody may have killed or rejected the job: what was said of it is not in this database."""

    async def scene(stage: Stage) -> None:
        area = area_of_another(world, 2)
        (area / "claim").mkdir()
        (area / "claim" / "revoked").write_text("x")
        await take_over(stage)
        await stage.organise()
        job = stage.job(RUN)
        assert (job["state"], job["attempt"]) == ("WAITING", 3)
        assert "attempt 2 was withdrawn, and why is not known" in job["reason"]
        world.caf("jobs", "start", str(RUN), "Fit")
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("PENDING", 3)

    play(world, scene)


@pytest.mark.parametrize("strange", [{"run": 1}, {"job": "Other"}, {"attempt": 9}])
def test_an_area_that_is_not_what_its_name_says_is_never_used_and_shown(world: World, strange: dict[str, Any]) -> None:
    async def scene(stage: Stage) -> None:
        records(area_of_another(world, strange=strange))
        await take_over(stage)
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("WAITING", 2)
        assert "area 1 does not say whose it is" in stage.job(RUN)["reason"]
        assert stage.batch.submitted == []

    play(world, scene)


def test_records_of_another_token_are_strange_too(world: World) -> None:
    async def scene(stage: Stage) -> None:
        records(area_of_another(world), attempt=7)
        await take_over(stage)
        await stage.organise()
        assert stage.job(RUN)["state"] == "WAITING"

    play(world, scene)


def test_areas_that_were_only_prepared_are_passed_over(world: World) -> None:
    async def scene(stage: Stage) -> None:
        for attempt in (1, 2):
            (area_of_another(world, attempt) / "caf.sh").unlink()
        await take_over(stage)
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["attempt"]) == ("PENDING", 3)

    play(world, scene)


def test_a_copied_token_is_not_followed_twice(world: World) -> None:
    """Two jobs with one token would be taken for each other by the batch system."""
    world.add_runs([OTHER])

    async def scene(stage: Stage) -> None:
        records(area_of_another(world))
        records(area_of_another(world, run=OTHER))
        await take_over(stage)
        await stage.organise()
        assert sorted(stage.job(run)["state"] for run in (RUN, OTHER)) == ["DONE", "WAITING"]

    play(world, scene)


def test_areas_of_runs_that_are_not_known_yet_are_followed_once_they_are(world: World) -> None:
    """The database is lost as a whole: the jobs of all runs are made again, and none of them is run again."""

    async def scene(stage: Stage) -> None:
        records(area_of_another(world, run=OTHER))
        await take_over(stage)
        await stage.organise()
        assert stage.house.compare is True
        status = " ".join(world.caf("status", check=False).stdout.split())
        assert f"working areas of 1 job that this database does not have: {OTHER}_Fit" in status
        world.add_runs([OTHER])
        await stage.discover()
        await stage.organise()
        assert stage.job(OTHER)["state"] == "DONE"
        assert [one.script for one in stage.batch.submitted] == [f"{stage.area(RUN)}/caf.sh"]
        assert stage.house.compare is False
        assert "does not have" not in world.caf("status", check=False).stdout

    play(world, scene)


def test_areas_that_somebody_moved_away_are_forgotten(world: World) -> None:
    async def scene(stage: Stage) -> None:
        area = area_of_another(world, run=OTHER)
        await take_over(stage)
        await stage.organise()
        shutil.rmtree(area.parent)
        await stage.organise()
        assert stage.house.compare is False
        assert world.query("SELECT * FROM stray") == []

    play(world, scene)


def test_nothing_is_done_before_the_areas_could_be_compared(world: World) -> None:
    async def scene(stage: Stage) -> None:
        await take_over(stage)
        work = world.folder / "work"
        work.rename(world.folder / "away")
        with pytest.raises(Exception, match="is its file system mounted"):
            await stage.organise()
        assert (stage.job(RUN)["state"], stage.batch.submitted, stage.batch.looks) == ("NEW", [], 0)
        (world.folder / "away").rename(work)
        await stage.organise()
        assert stage.job(RUN)["state"] == "PENDING"

    play(world, scene)


def test_a_supervisor_whose_copy_was_started_elsewhere_submits_nothing_more(world: World) -> None:
    async def scene(stage: Stage) -> None:
        await stage.house.files.call("mark_work", str(world.folder / "work"), stage.house.database_id, 5, timeout=30)
        with pytest.raises(Exception, match="another supervisor was started"):
            await stage.organise()
        assert stage.batch.submitted == []

    play(world, scene)
