"""Jobs whose raw files are on tape: recalled, waited for, and looked at again, with a real XRootD server."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clusters import xrootd as cluster
from tests.clusters.tape import Tape
from tests.clusters.xrootd import Server, needs_xrootd
from tests.tasks.stage import NOW, Stage, play
from tests.world import World

pytestmark = needs_xrootd
FIRST, SECOND = 490001, 490002


@pytest.fixture(scope="module")
def one() -> Iterator[Server]:
    with cluster.running() as server:
        yield server


@pytest.fixture
def server(one: Server) -> Server:
    for left in one.data.iterdir():
        shutil.rmtree(left)
    for run in (FIRST, SECOND):
        for name in "ab":
            one.file(path(run, name))
    return one


@pytest.fixture
def tape(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tape:
    return Tape(tmp_path / "tape", monkeypatch)


@pytest.fixture
def world(server: Server, tmp_path: Path) -> World:
    world = World(tmp_path, [FIRST])
    world.edit('raw = ["raw/{run:08d}/*"]', f'raw = ["{server.url}//raw/{{run:08d}}/*"]')
    world.edit('retry_after = "1s"', 'retry_after = "1s"\nstaging_wait = "1h"')
    return world


def path(run: int, name: str) -> str:
    return f"/raw/{run:08d}/{name}"


def reason(stage: Stage, run: int = FIRST) -> str:
    text: str = stage.world.query("SELECT reason FROM job WHERE run = ?", run)[0][0]
    return text


async def next_look(stage: Stage, run: int = FIRST) -> None:
    await stage.wait(max(0.0, (stage.job(run)["not_before"] or 0.0) - stage.clock[0]))
    await stage.organise()


def test_files_on_disk_are_used_at_once(world: World, server: Server, tape: Tape) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        assert stage.job(FIRST)["state"] == "PENDING"
        text = (stage.area(FIRST) / "job.json").read_text()
        assert f'"path": "{server.url}/{path(FIRST, "a")}"' in text
        assert tape.asked == []

    play(world, scene)


def test_files_on_tape_are_recalled_and_then_used(world: World, tape: Tape) -> None:
    tape.offline(path(FIRST, "a"), path(FIRST, "b"))

    async def scene(stage: Stage) -> None:
        await stage.organise()
        assert stage.job(FIRST)["state"] == "STAGING"
        assert reason(stage) == "2 of 2 files asked for from tape"
        assert not stage.area(FIRST).exists()
        await next_look(stage)
        assert stage.job(FIRST)["state"] == "STAGING"
        tape.bring_back(path(FIRST, "a"))
        await next_look(stage)
        assert reason(stage).startswith("1 of 2 files not back from tape")
        tape.bring_back()
        await next_look(stage)
        assert stage.job(FIRST)["state"] == "PENDING"
        assert tape.asked == [[path(FIRST, "a"), path(FIRST, "b")]]
        steps = world.query("SELECT was, became FROM audit WHERE job = 'Fit' AND was IS NOT NULL ORDER BY id")
        assert steps[:2] == [("NEW", "STAGING"), ("STAGING", "PREPARED")]

    play(world, scene)


@pytest.mark.campaign
def test_it_is_asked_after_less_and_less_often_and_given_up(world: World, tape: Tape) -> None:
    tape.offline(path(FIRST, "a"))

    async def scene(stage: Stage) -> None:
        delays = []
        while stage.job(FIRST)["state"] in {"NEW", "STAGING"}:
            await stage.organise()
            if (due := stage.job(FIRST)["not_before"]) is not None:
                delays.append(due - stage.clock[0])
                await stage.wait(delays[-1])
        assert delays == [2.0**n for n in range(10)] + [900.0] * (len(delays) - 10)
        assert (stage.job(FIRST)["state"], stage.job(FIRST)["result"]) == ("FAILED", "staging")
        assert reason(stage).startswith("1 of 2 files not back from tape, such as ")
        assert reason(stage).endswith("; waited for 1h")
        assert len(tape.asked) == 1

    play(world, scene)


def test_what_the_storage_says_is_told_and_the_file_asked_for_again(world: World, tape: Tape) -> None:
    tape.offline(path(FIRST, "a"))

    async def scene(stage: Stage) -> None:
        await stage.organise()
        tape.fails_with(path(FIRST, "a"), "tape L12345 is broken")
        await next_look(stage)
        assert reason(stage) == f"1 of 2 files not back from tape: {path(FIRST, 'a')}: tape L12345 is broken"
        assert len(tape.asked) == 2

    play(world, scene)


def test_a_crash_before_the_requests_name_is_stored_costs_one_more_request(
    world: World, tape: Tape, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape.offline(path(FIRST, "a"))

    async def scene(stage: Stage) -> None:
        real = stage.house.database.call

        async def die(function: Any, *args: Any, **keywords: Any) -> Any:
            if function.__name__ == "apply":
                raise KeyboardInterrupt
            return await real(function, *args, **keywords)

        monkeypatch.setattr(stage.house.database, "call", die)
        with pytest.raises(KeyboardInterrupt):
            await stage.organise()
        monkeypatch.setattr(stage.house.database, "call", real)
        assert stage.job(FIRST)["state"] == "NEW"
        await stage.organise()
        assert stage.job(FIRST)["state"] == "STAGING"
        assert tape.asked == [[path(FIRST, "a")]] * 2
        tape.bring_back()
        await next_look(stage)
        assert stage.job(FIRST)["state"] == "PENDING"

    play(world, scene)


def test_a_recall_that_is_refused_leaves_the_job_waiting_with_the_reason(world: World, tape: Tape) -> None:
    tape.offline(path(FIRST, "a"))
    tape.fault(prepare="refuse")

    async def scene(stage: Stage) -> None:
        await stage.organise()
        assert stage.job(FIRST)["state"] == "NEW"
        assert "cannot be had from tape" in reason(stage)
        assert "permission denied: give this account the right to it" in reason(stage)
        tape.fault()
        await next_look(stage)
        assert stage.job(FIRST)["state"] == "STAGING"

    play(world, scene)


def test_a_file_that_went_back_to_tape_while_the_job_waited_is_recalled_again(world: World, tape: Tape) -> None:
    world.add_runs([SECOND])
    world.edit("slots = 4", "slots = 1")

    async def scene(stage: Stage) -> None:
        await stage.organise()
        assert (stage.job(FIRST)["state"], stage.job(SECOND)["state"]) == ("PENDING", "PREPARED")
        stage.run(FIRST)
        stage.end(FIRST)
        tape.offline(path(SECOND, "b"))
        await stage.wait(61)
        await stage.organise()
        assert stage.job(SECOND)["state"] == "NEW"
        assert reason(stage, SECOND).endswith("b is on tape only")
        await stage.organise()
        assert stage.job(SECOND)["state"] == "STAGING"
        tape.bring_back()
        await next_look(stage, SECOND)
        assert (stage.job(SECOND)["state"], stage.job(SECOND)["attempt"]) == ("PENDING", 1)

    play(world, scene)


def test_a_person_may_begin_again_while_tapes_are_read(world: World, tape: Tape) -> None:
    tape.offline(path(FIRST, "a"))

    async def scene(stage: Stage) -> None:
        await stage.organise()
        world.caf("jobs", "reset", str(FIRST), "Fit")
        assert stage.job(FIRST)["state"] == "NEW"
        await stage.organise()
        assert stage.job(FIRST)["state"] == "STAGING"
        world.caf("jobs", "hold", str(FIRST), "Fit")
        assert stage.job(FIRST)["state"] == "WAITING"

    play(world, scene)


def test_a_file_that_vanishes_while_tapes_are_read_is_waited_for(world: World, server: Server, tape: Tape) -> None:
    tape.offline(path(FIRST, "a"))

    async def scene(stage: Stage) -> None:
        await stage.organise()
        shutil.rmtree(server.data / "raw" / f"{FIRST:08d}")
        await next_look(stage)
        assert stage.job(FIRST)["state"] == "STAGING"
        assert "there is no folder" in reason(stage)
        await stage.wait(3601)
        await next_look(stage)
        assert (stage.job(FIRST)["state"], stage.job(FIRST)["result"]) == ("FAILED", "staging")

    play(world, scene)


@pytest.mark.parametrize("fault", ["garbage", "forget"])
def test_a_client_that_misbehaves_fails_no_job(world: World, tape: Tape, fault: str) -> None:
    tape.offline(path(FIRST, "a"))

    async def scene(stage: Stage) -> None:
        await stage.organise()
        tape.fault(query=fault, stat=fault)
        await next_look(stage)
        assert stage.job(FIRST)["state"] == "STAGING"
        tape.fault()
        tape.bring_back()
        await next_look(stage)
        assert stage.job(FIRST)["state"] == "PENDING"
        assert stage.clock[0] < NOW + 3600

    play(world, scene)
