"""Who is handed over: no more than the slots, no group beyond its share, nobody who is paused, today's runs first."""

import json
from pathlib import Path

import pytest

from caf.domain.errors import CafError
from caf.domain.jobs import Word
from caf.store import jobs, pauses
from tests.tasks.stage import NOW, Stage, play
from tests.world import World

RUNS = [490001, 490002, 490003]
OTHER = """
[jobs.Map]
listeners = ["Scan"]
command = ["true"]
"""


def a_world(folder: Path, *, slots: int = 9, share: int | None = None, job: str = "", more: str = "") -> World:
    world = World(folder, RUNS, slots=slots, job=job)
    if share is not None:
        world.edit('kind = "local"', f'kind = "local"\ngroup_slots = {share}')
    world.config.write_text(world.config.read_text() + more)
    return world


def states(stage: Stage) -> dict[tuple[int, str], str]:
    rows = stage.world.query("SELECT run, job, state FROM job")
    return {(run, job): state for run, job, state in rows}


def out(stage: Stage) -> list[str]:
    return sorted(f"{run} {job}" for (run, job), state in states(stage).items() if state == "PENDING")


def test_no_more_go_out_than_there_are_slots_and_one_that_ends_makes_room(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        assert out(stage) == ["490001 Fit", "490002 Fit"]
        await stage.organise()
        assert len(stage.batch.submitted) == 2
        stage.run(490001)
        stage.end(490001)
        await stage.organise()
        assert out(stage) == ["490002 Fit", "490003 Fit"]

    play(a_world(tmp_path, slots=2), scene)


def test_one_that_is_to_end_holds_its_slot_until_its_end_is_proved(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        stage.run(490001)
        await stage.house.database.call(jobs.act, 490001, "Fit", Word.KILL, NOW, "ann")
        await stage.organise()
        assert states(stage)[490001, "Fit"] == "CANCELLING"
        assert len(stage.batch.submitted) == 1

    play(a_world(tmp_path, slots=1), scene)


def test_a_group_gets_its_share_less_what_others_of_it_use(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.batch.has_groups, stage.batch.others = True, {"u_LAR": 42}
        await stage.organise()
        assert out(stage) == ["490001 Fit", "490002 Fit"]
        stage.batch.others["u_LAR"] = 43  # ours are not among the others: now we are one too many, and nothing is added
        await stage.organise()
        assert len(stage.batch.submitted) == 2
        stage.batch.others["u_LAR"] = 0
        await stage.organise()
        assert len(stage.batch.submitted) == 3
        assert stage.batch.asked == ["u_LAR"] * 3  # once a round, and only while somebody waits
        await stage.organise()
        assert len(stage.batch.asked) == 3

    play(a_world(tmp_path, share=44, job='group = "u_LAR"'), scene)


def test_a_job_takes_as_much_of_its_groups_share_as_it_has_processors(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.batch.has_groups, stage.batch.others = True, {"u_LAR": 33}
        await stage.organise()
        assert out(stage) == ["490001 Fit", "490002 Fit"]
        stage.batch.others["u_LAR"] = 32  # the third makes 12
        await stage.organise()
        assert len(stage.batch.submitted) == 3

    play(a_world(tmp_path, share=44, job='group = "u_LAR"\ncpus = 4'), scene)


def test_jobs_of_a_full_group_do_not_hold_up_the_others(tmp_path: Path) -> None:
    """Fit comes first in every turn, and has no room."""

    async def scene(stage: Stage) -> None:
        stage.batch.has_groups, stage.batch.others = True, {"u_LAR": 50}
        await stage.organise()
        assert out(stage) == ["490001 Map", "490002 Map"]

    play(a_world(tmp_path, slots=2, share=44, job='group = "u_LAR"', more=OTHER), scene)


def test_nothing_more_goes_out_while_the_use_of_the_group_is_not_known(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.batch.has_groups, stage.batch.others = True, {"u_LAR": None}
        with pytest.raises(CafError, match=r"how many slots group u_LAR uses is not known: none of its jobs"):
            await stage.organise()
        assert stage.batch.submitted == []
        ((told,),) = stage.world.query("SELECT value FROM meta WHERE name = 'group_use'")
        assert json.loads(told) == {"u_LAR": {"others": None, "since": NOW}}
        await stage.wait(300)
        stage.batch.silent = True
        with pytest.raises(CafError, match="squeue did not answer"):
            await stage.organise()
        stage.batch.silent, stage.batch.others = False, {"u_LAR": 0}
        await stage.organise()
        assert len(stage.batch.submitted) == 3

    play(a_world(tmp_path, share=44, job='group = "u_LAR"'), scene)


def test_a_group_that_is_not_known_does_not_hold_up_jobs_of_none(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.batch.has_groups, stage.batch.others = True, {"u_LAR": None}
        await stage.organise()
        assert out(stage) == [f"{run} Map" for run in RUNS]

    play(a_world(tmp_path, share=44, job='group = "u_LAR"', more=OTHER), scene)


def test_where_there_are_no_groups_only_slots_count(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        assert len(stage.batch.submitted) == 3
        assert stage.batch.asked == []

    play(a_world(tmp_path, share=1, job='group = "u_LAR"'), scene)


def test_a_pause_stops_submitting_and_nothing_else(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        call = stage.house.database.call
        await stage.organise()
        assert out(stage) == ["490001 Fit"]
        await call(pauses.pause, "Fit", NOW, "ann", "new release")
        stage.run(490001)
        stage.end(490001)
        stage.world.add_runs([490004])
        await stage.discover()
        await stage.organise()  # judged, found, made and prepared, all the same
        assert states(stage) == {
            (490001, "Fit"): "DONE",
            **dict.fromkeys([(run, "Fit") for run in (490002, 490003, 490004)], "PREPARED"),
        }
        await call(pauses.resume, "Fit", NOW, "ann")
        await stage.organise()
        assert out(stage) == ["490002 Fit"]

    play(a_world(tmp_path, slots=1), scene)


def test_two_names_share_the_slots(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        assert out(stage) == ["490001 Fit", "490001 Map"]

    play(a_world(tmp_path, slots=2, more=OTHER), scene)
