"""Attempts about which nothing is new are passed over; whatever is new is seen as if none had ever been."""

import asyncio
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from caf.domain.errors import CafError
from caf.domain.following import Sight, Sighting
from caf.domain.jobs import Word
from caf.store import answers, jobs
from tests.tasks.stage import Stage, on_stage, play
from tests.world import World

RUNS = list(range(490001, 490007))
SEEDS = 4
OUT = {"SUBMITTING", "PENDING", "RUNNING"}


def happen(stage: Stage, run: int, what: str, choice: random.Random) -> None:
    """Have something happen to the current attempt of a job that is out, as far as it can."""
    job = stage.job(run)
    area = stage.area(run, job["attempt"])
    if job["state"] not in OUT or not area.exists():
        return
    said = stage.batch.says.get(job["token"], Sighting(Sight.UNKNOWN))
    begun = (area / "claim").exists()
    if what == "starts" and not begun:
        stage.run(run, job["attempt"], batch_id=said.batch_id or "")
    elif what == "claims" and not begun:
        stage.claim(run, job["attempt"])
    elif what == "tears" and begun and not (area / "start").exists():
        (area / "start").write_text("token=")
    elif what == "ends" and begun and not (area / "exit").exists():
        stage.end(run, choice.choice([0, 0, 3]), job["attempt"])
    elif what == "hides":
        shutil.rmtree(area / "claim", ignore_errors=True)
    elif what in SAID:
        stage.batch.says[job["token"]] = SAID[what](said)


SAID: dict[str, Callable[[Sighting], Sighting]] = {
    "pending": lambda said: Sighting(Sight.PENDING, said.batch_id, "Priority"),
    "stuck": lambda said: Sighting(Sight.PENDING, said.batch_id, "PartitionConfig", stuck=True),
    "running": lambda said: Sighting(Sight.RUNNING, said.batch_id),
    "ended": lambda said: Sighting(Sight.ENDED, said.batch_id, "it is over"),
    "unknown": lambda said: Sighting(Sight.UNKNOWN, said.batch_id),
    "renamed": lambda said: Sighting(said.sight, "77"),
    "doubled": lambda said: Sighting(said.sight, said.batch_id, others=(Sighting(Sight.PENDING, "88"),)),
}
PEOPLE = ("lost", "kill", "hold")


async def typed(stage: Stage, run: int, word: str) -> None:
    try:
        if word == "lost":
            await stage.house.database.call(answers.lost, run, "Fit", stage.clock[0], "ann", "gone")
        else:
            await stage.house.database.call(jobs.act, run, "Fit", Word(word), stage.clock[0], "ann", "why not")
    except CafError:
        return


def state_of(stage: Stage) -> list[tuple[Any, ...]]:
    columns = "run, state, result, reason, attempt, batch_id, twins, tries, not_before, unknown_since, next_state"
    return stage.world.query(f"SELECT {columns} FROM job ORDER BY run")


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_happens_the_outcome_is_as_if_everything_were_looked_at(tmp_path: Path, seed: int) -> None:
    """Two worlds to which the same things happen; in one of them nothing is kept from round to round."""
    choice = random.Random(seed)
    for name in ("kept", "anew"):
        (tmp_path / name).mkdir()
    seen = 0

    async def side_by_side() -> None:
        nonlocal seen
        async with (
            on_stage(World(tmp_path / "kept", RUNS)) as kept,
            on_stage(World(tmp_path / "anew", RUNS)) as anew,
        ):
            stages = (kept, anew)
            for stage in stages:
                await stage.discover()
            for _ in range(30):
                run, own = choice.choice(RUNS), choice.random()
                what = choice.choice(["starts"] * 4 + ["claims", "tears", "ends", "ends", "hides", *SAID, *PEOPLE])
                quiet, silent, seconds = choice.random() < 0.4, choice.random() < 0.1, choice.choice([1, 30, 700])
                seen += len(kept.house.still)
                for stage in stages:
                    if what in PEOPLE and not quiet:
                        await typed(stage, run, what)
                    elif not quiet and stage.job(run):
                        happen(stage, run, what, random.Random(own))
                    stage.batch.silent = silent
                    await stage.wait(seconds)
                    anew.house.still.clear()
                    try:
                        await stage.organise()
                    except CafError:
                        assert silent
                assert state_of(kept) == state_of(anew), what

    asyncio.run(side_by_side())
    assert seen > 20  # or nothing was passed over


def test_the_records_of_an_attempt_at_rest_are_not_read_again(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        stage.run(RUNS[0])
        for _ in range(3):
            await stage.organise()
        called: list[str] = []
        call = stage.house.files.call

        async def listening(name: str, *arguments: Any, **more: Any) -> Any:
            called.append(name)
            return await call(name, *arguments, **more)

        stage.house.files.call = listening  # type: ignore[method-assign]  # only to hear what is asked
        await stage.organise()
        assert "stirred" in called
        assert "read_records" not in called
        assert [stage.job(run)["state"] for run in RUNS[:2]] == ["RUNNING", "PENDING"]
        stage.end(RUNS[0])
        await stage.organise()
        assert "read_records" in called
        assert stage.job(RUNS[0])["state"] == "DONE"

    play(World(tmp_path, RUNS[:2]), scene)


def test_where_caf_itself_keeps_the_wall_time_no_attempt_is_at_rest(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.batch.keeps_walltime = False
        for _ in range(3):
            await stage.organise()
        assert stage.house.still == {}

    play(World(tmp_path, RUNS[:2]), scene)
