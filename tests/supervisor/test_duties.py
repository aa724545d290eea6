"""Duties are guarded: whatever one of them does, the others go on, and it stands in the database and in the log."""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf import duty, log
from caf.batch.local import LocalBatch
from caf.config import load
from caf.domain.errors import CafError, StorageError
from caf.duty import FIRST_BACK_OFF, LEAST_CAP, Duty, back_off
from caf.storage.child import FileChild
from caf.store import duties
from caf.store.database import open_database
from caf.tasks.house import House
from tests.world import World


@dataclass
class Result:
    again_in: float | None = None

    def summary(self) -> str | None:
        return "something happened"


@dataclass
class Scripted:
    """A duty's work: the n-th round does what stands n-th, later ones what stands last."""

    rounds: list[Callable[[], Awaitable[Result]]]
    done: int = 0
    times: list[float] = field(default_factory=list)

    async def __call__(self, house: House) -> Result:
        step = self.rounds[min(self.done, len(self.rounds) - 1)]
        self.done += 1
        self.times.append(time.monotonic())
        return await step()


async def good() -> Result:
    return Result()


async def bug() -> Result:
    raise ZeroDivisionError("one by nought")


async def trouble() -> Result:
    raise StorageError("cannot read /eos/x: it is away")


async def hang() -> Result:
    await anyio.sleep_forever()
    return Result()


@asynccontextmanager
async def house_of(world: World, timeout: str = "300ms") -> AsyncIterator[House]:
    world.edit("[duties]\n", f'[duties]\ntimeout = "{timeout}"\n')
    log.configure()
    async with open_database(world.folder / "caf.db") as database:
        batch = LocalBatch(lambda: None, clock=time.time)
        files = FileChild({})
        yield House(load(world.config), 1, database, "0123abcd", files, files, files, batch, time.time)


async def rows(house: House) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in await house.database.call(duties.all_duties)}


async def kept(house: House, *kept: Duty, until: Callable[[], bool], wait: float = 20) -> None:
    """Keep the duties going until something holds."""
    stopping = anyio.Event()
    with anyio.fail_after(wait):
        async with anyio.create_task_group() as group:
            for each in kept:
                group.start_soon(each.keep, house, stopping)
            while not until():  # noqa: ASYNC110  # a condition that nobody announces, with a deadline
                await anyio.sleep(0.01)
            stopping.set()
            for each in kept:
                each.wake()


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, [])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duty, "FIRST_BACK_OFF", 0.02)
    monkeypatch.setattr(duty, "BREATH", 0.01)
    monkeypatch.setattr(duty, "LEAST_CAP", 0.05)


@pytest.mark.usefixtures("quick")
def test_one_that_raises_hangs_or_is_in_trouble_does_not_hold_up_the_others(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    works = {name: Scripted([step]) for name, step in (("bug", bug), ("hang", hang), ("trouble", trouble))}
    healthy = Scripted([good])

    async def test() -> None:
        async with house_of(world, timeout="1s") as house:
            all_duties = [Duty(name, lambda: 0.05, work) for name, work in works.items()]
            all_duties.append(Duty("healthy", lambda: 0.02, healthy))
            await kept(house, *all_duties, until=lambda: min(w.done for w in works.values()) >= 3)
            found = await rows(house)
        assert healthy.done > 10
        assert max(b - a for a, b in zip(healthy.times, healthy.times[1:], strict=False)) < 0.8
        assert found["healthy"]["error"] is None
        assert found["healthy"]["summary"] == "something happened"
        assert found["bug"]["error"].startswith("a fault in caf: ZeroDivisionError: one by nought")
        assert found["trouble"]["error"] == "cannot read /eos/x: it is away"
        assert found["hang"]["error"] == "was not done within 1 s and was abandoned; see [duties] timeout"
        for name in works:
            assert found[name]["failures"] >= 2
            assert found[name]["succeeded"] is None
            assert found[name]["failed"] is not None

    anyio.run(test)
    said = events(capsys)
    for name in works:
        failures = [
            line["failures"]
            for line in said
            if line["event"] == "duty.failed" and line["duty"] == name and "failures" in line
        ]
        assert failures[:3] == [1, 2, 3]
    # Only a fault of the program has a traceback; an operator's trouble is one line.
    assert {line["duty"] for line in said if "exception" in line} == {"bug"}


@pytest.mark.usefixtures("quick")
def test_a_recovery_is_logged_and_clears_the_failure(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    work = Scripted([trouble, trouble, good])

    async def test() -> None:
        async with house_of(world) as house:
            await kept(house, Duty("discover", lambda: 0.02, work), until=lambda: work.done >= 5)
            found = (await rows(house))["discover"]
            assert (found["error"], found["failures"]) == (None, 0)
            assert found["succeeded"] > found["failed"]

    anyio.run(test)
    recoveries = [line for line in events(capsys) if line["event"] == "duty.recovered"]
    assert [(line["duty"], line["failures"]) for line in recoveries] == [("discover", 2)]


@given(st.integers(1, 2000), st.floats(1, 86_400))
def test_back_off_doubles_up_to_the_interval_with_jitter_within_a_fifth(failures: int, interval: float) -> None:
    exact = back_off(failures, interval, jitter=False)
    assert exact == min(FIRST_BACK_OFF * 2.0 ** min(failures - 1, 16), max(interval, LEAST_CAP))
    assert 0.8 * exact <= back_off(failures, interval) <= 1.2 * exact
    assert back_off(failures + 1, interval, jitter=False) >= exact


def test_back_off_is_not_always_the_same() -> None:
    """Many supervisors that lost the same server must not all come back at the same instant."""
    assert len({back_off(5, 600) for _ in range(20)}) > 10


@pytest.mark.usefixtures("quick")
def test_a_failing_duty_that_is_woken_all_the_time_still_rests(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every job's end wakes the organise duty: with a full disk that must not become a busy loop."""
    monkeypatch.setattr(duty, "BREATH", 0.2)
    work = Scripted([trouble])

    async def test() -> None:
        async with house_of(world) as house:
            failing = Duty("organise", lambda: 600.0, work)

            def woken() -> bool:
                failing.wake()
                return work.done >= 4

            await kept(house, failing, until=woken)

    anyio.run(test)
    assert min(b - a for a, b in zip(work.times, work.times[1:], strict=False)) >= 0.2


def test_a_duty_that_is_woken_during_its_round_does_another_right_after(world: World) -> None:
    """What a command wrote while a round was under way may have been too late for that one."""
    begun, go_on = anyio.Event(), anyio.Event()

    async def slow() -> Result:
        begun.set()
        await go_on.wait()
        return Result()

    work = Scripted([slow, good])

    async def test() -> None:
        async with house_of(world, timeout="30s") as house:
            organise = Duty("organise", lambda: 600.0, work)

            def woken() -> bool:
                if begun.is_set() and not go_on.is_set():
                    organise.wake()
                    go_on.set()
                return work.done == 2

            await kept(house, organise, until=woken)

    anyio.run(test)


def test_a_round_that_asks_for_another_soon_gets_it(world: World) -> None:
    async def soon() -> Result:
        return Result(again_in=0.05)

    work = Scripted([soon])

    async def test() -> None:
        async with house_of(world) as house:
            await kept(house, Duty("organise", lambda: 600.0, work), until=lambda: work.done >= 3, wait=10)

    anyio.run(test)


def test_quick_rounds_come_in_between_and_put_no_whole_one_off(world: World) -> None:
    whole, quick = Scripted([good]), Scripted([good])

    async def test() -> None:
        async with house_of(world) as house:
            organise = Duty("organise", lambda: 0.3, whole, quick)

            def hurried() -> bool:
                organise.hurry()
                return whole.done >= 3

            await kept(house, organise, until=hurried)

    anyio.run(test)
    assert quick.done > 10
    assert all(later - earlier < 2.0 for earlier, later in zip(whole.times, whole.times[1:], strict=False))


@pytest.mark.usefixtures("quick")
def test_after_a_quick_round_that_failed_a_whole_one_looks_at_everything(world: World) -> None:
    whole, quick = Scripted([good]), Scripted([trouble, good])

    async def test() -> None:
        async with house_of(world) as house:
            organise = Duty("organise", lambda: 600.0, whole, quick)

            def hurried() -> bool:
                organise.hurry()
                return quick.done >= 2

            await kept(house, organise, until=hurried)
            assert (await rows(house))["organise"]["failed"] is not None
            assert (await rows(house))["organise"]["error"] is None

    anyio.run(test)
    assert whole.times[0] < quick.times[0] < whole.times[1] < quick.times[1]


def test_a_quick_round_that_leaves_more_to_do_is_followed_by_another(world: World) -> None:
    @dataclass
    class Unfinished(Result):
        more: bool = True

    async def unfinished() -> Result:
        return Unfinished()

    whole, quick = Scripted([unfinished]), Scripted([unfinished, unfinished, good])

    async def test() -> None:
        async with house_of(world) as house:
            await kept(house, Duty("organise", lambda: 600.0, whole, quick), until=lambda: quick.done >= 3)

    anyio.run(test)
    assert (whole.done, quick.done) == (1, 3)


def test_a_round_that_could_not_be_abandoned_and_succeeds_late_is_a_success(world: World) -> None:
    async def late() -> Result:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.4)
        return Result()

    async def test() -> None:
        async with house_of(world) as house:
            one = Duty("organise", lambda: 1.0, Scripted([late]))
            await one.round(house)
            assert one.failures == 0

    anyio.run(test)


def test_a_duty_works_on_when_the_database_cannot_take_its_record(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """How it did then stands in the log."""

    async def test() -> None:
        async with house_of(world) as house:
            await house.database.call(lambda conn: conn.execute("PRAGMA query_only = 1"))
            work = Scripted([good])
            await Duty("discover", lambda: 1.0, work).round(house)
            assert work.done == 1

    anyio.run(test)
    late = [line for line in events(capsys) if line["event"] == "duty.late"]
    assert len(late) == 2
    assert "read-only" in late[0]["error"]


def test_an_error_of_the_base_class_is_an_operators_message_too(world: World) -> None:
    async def refused() -> Result:
        raise CafError("the message")

    async def test() -> None:
        async with house_of(world) as house:
            await Duty("discover", lambda: 1.0, Scripted([refused])).round(house)
            assert (await rows(house))["discover"]["error"] == "the message"

    anyio.run(test)
