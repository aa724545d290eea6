"""Quick rounds, between the whole ones: only what has just ended is followed, and its slot is taken at once."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from caf.batch.interface import Submission
from caf.domain.errors import StorageError, StoreError
from caf.domain.following import Sight, Sighting
from caf.store.refill import refill
from caf.tasks.organise import Organised, run_quick, submit
from tests.tasks.stage import Stage, play
from tests.world import World

RUNS = [490001, 490002, 490003, 490004]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, RUNS, slots=2)


async def quick(stage: Stage, *ended: int) -> Organised:
    """Do a quick round after the batch system has told by itself of the ends of some runs' jobs."""
    tokens = {str(stage.job(run)["token"]) for run in ended}
    stage.house.just_ended = lambda: tokens
    return await run_quick(stage.house)


def states(stage: Stage) -> list[str]:
    return [stage.job(run)["state"] for run in RUNS]


def test_what_has_ended_is_judged_and_its_slot_taken_in_two_commits(world: World) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        assert states(stage) == ["PENDING", "PENDING", "PREPARED", "PREPARED"]
        for run in RUNS[:2]:
            stage.run(run)
            stage.end(run)
        commits: list[str] = []
        conn = stage.house.database._connection._conn
        conn.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
        done = await quick(stage, RUNS[0])
        assert (states(stage), done.moved) == (["DONE", "PENDING", "PENDING", "PREPARED"], 3)
        assert len(commits) == 2
        await quick(stage, RUNS[1])
        assert states(stage) == ["DONE", "DONE", "PENDING", "PENDING"]

    play(world, scene)


def test_the_others_are_not_asked_about(world: World) -> None:
    """With thousands of jobs out a round for one of them must not cost a look at all."""

    async def scene(stage: Stage) -> None:
        await stage.organise()
        for run in RUNS[:2]:
            stage.run(run)
        stage.end(RUNS[0])
        looks = stage.batch.looks
        await quick(stage, RUNS[0])
        assert stage.job(RUNS[1])["state"] == "PENDING"  # it runs, but nobody looked
        assert stage.batch.looks == looks
        await quick(stage)
        assert stage.batch.looks == looks
        await stage.organise()
        assert stage.job(RUNS[1])["state"] == "RUNNING"

    play(world, scene)


def test_what_was_gathered_when_a_round_fails_is_seen_again_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        stage.run(RUNS[0])
        stage.end(RUNS[0])
        call = stage.house.database.call

        async def broken(function: Any, *args: Any, **more: Any) -> Any:
            if getattr(function, "__name__", "") in {"refill", "settle"}:
                raise StorageError("the disk is away")
            return await call(function, *args, **more)

        with monkeypatch.context() as patch:
            patch.setattr(type(stage.house.database), "call", lambda _self, *args, **more: broken(*args, **more))
            with pytest.raises(StorageError):
                await quick(stage, RUNS[0])
        assert states(stage) == ["PENDING", "PENDING", "PREPARED", "PREPARED"]
        assert stage.house.gathered is None
        await stage.organise()
        assert states(stage) == ["DONE", "PENDING", "PENDING", "PREPARED"]
        assert len(stage.batch.submitted) == 3

    play(world, scene)


def test_more_is_prepared_round_by_round(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what ends meanwhile is never kept waiting; `more` asks for the next quick round."""
    monkeypatch.setattr("caf.tasks.organise.round.FEW", 1)

    async def scene(stage: Stage) -> None:
        prepared = []
        for _ in RUNS:
            done = await quick(stage)
            prepared.append((len([state for state in states(stage) if state != "NEW"]), done.more))
        assert prepared == [(1, True), (2, True), (3, True), (4, False)]
        assert states(stage) == ["PENDING", "PENDING", "PREPARED", "PREPARED"]
        assert not (await quick(stage)).more

    play(world, scene)


@pytest.mark.parametrize("broken", [False, True], ids=["well", "the disk is full"])
def test_pieces_are_committed_with_the_tokens_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    monkeypatch.setattr(submit, "PIECE", 2)
    runs = range(490001, 490007)

    async def scene(stage: Stage) -> None:
        seen: list[tuple[int, int, int]] = []
        call = stage.house.database.call

        async def full(function: Any, *args: Any, **more: Any) -> Any:
            if function is refill:
                raise StoreError("the disk is full")
            return await call(function, *args, **more)

        def note(submission: Submission) -> Sighting:
            states = Counter(stage.job(run)["state"] for run in runs)
            seen.append((states["PENDING"], states["SUBMITTING"], states["PREPARED"]))
            return Sighting(Sight.PENDING, submission.token)

        stage.batch.on_submit = note
        if broken:
            monkeypatch.setattr(stage.house.database, "call", full)
            with pytest.raises(StoreError, match="disk is full"):
                await quick(stage)
            assert seen == [(0, 2, 4)] * 2
            assert Counter(stage.job(run)["state"] for run in runs) == {"SUBMITTING": 2, "PREPARED": 4}
        else:
            await quick(stage)
            assert seen == [(0, 2, 4)] * 2 + [(2, 2, 2)] * 2 + [(4, 2, 0)] * 2
            assert {stage.job(run)["state"] for run in runs} == {"PENDING"}
        assert len({one.token for one in stage.batch.submitted}) == len(seen)

    play(World(tmp_path, list(runs), slots=20), scene)
