"""The supervisor dies at the SQL statements of a quick round: an end and the next job's token share a commit in it."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from caf import log, supervisor
from caf.config import load
from caf.store import database
from caf.tasks import discover, organise
from tests.crash.test_every_statement import RUNS, DoneHere, _die_after, _to_the_end
from tests.world import World


class Tracer:
    """Calls something at each SQL statement, once it is switched on."""

    def __init__(self, on_statement: Callable[[], None]) -> None:
        self.on = False
        self._on_statement = on_statement
        connect = database.connect

        def traced(path: Path, **more: bool) -> object:
            conn = connect(path, **more)
            conn.set_trace_callback(lambda _statement: self.on and self._on_statement())
            return conn

        database.connect = traced  # type: ignore[assignment]


async def _to_a_quick_round(world: World, tracer: Tracer) -> None:
    """One slot: the first job runs and ends, the second is prepared; then the quick round that refills the slot."""
    async with supervisor._house(load(world.config), world.folder / "state", False) as (house, _):
        await discover.run_once(house)
        await organise.run_once(house)
        ended: set[str] = set()
        patience = time.monotonic() + 20
        while not ended and time.monotonic() < patience:
            await asyncio.sleep(0.01)
            ended |= house.just_ended()
        house.just_ended = lambda: ended
        tracer.on = True
        done = await organise.run_quick(house)
        tracer.on = False
        # The end, its judgement, the other's token and its submission.
        assert done.moved == 3, done


def _in_a_fork(world: World, on_statement: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        try:
            sys.settrace(None)
            vars(supervisor)["FileChild"] = DoneHere
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            log.configure()
            (world.folder / "state").mkdir()
            asyncio.run(_to_a_quick_round(world, Tracer(on_statement)))
            os._exit(0)
        finally:
            os._exit(70)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _deaths(folder: Path, step: int) -> None:
    counted = folder / "count"

    def count() -> None:
        with counted.open("ab") as file:
            file.write(b".")

    (folder / "reference").mkdir()
    assert _in_a_fork(World(folder / "reference", RUNS, slots=1), count) == 0
    total = counted.stat().st_size
    assert total > 40
    for number in range(0, total, step):
        (folder / str(number)).mkdir()
        world = World(folder / str(number), RUNS, slots=1)
        assert _in_a_fork(world, _die_after(number)) == -signal.SIGKILL
        _to_the_end(world)
        assert {run: job[:2] for run, job in world.jobs().items()} == dict.fromkeys(RUNS, ("DONE", "ok")), number
        assert world.runs_started() == dict.fromkeys(RUNS, 1), number


def test_death_at_some_statements_of_a_quick_round(tmp_path: Path) -> None:
    """The quick one, for every day."""
    _deaths(tmp_path, 17)


@pytest.mark.campaign
@pytest.mark.timeout(280)
def test_death_at_every_statement_of_a_quick_round(tmp_path: Path) -> None:
    _deaths(tmp_path, 1)
