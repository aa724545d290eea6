"""The supervisor dies at every SQL statement of its rounds; the next one carries on, and nothing happens twice."""

import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from caf import supervisor
from caf.store import database
from tests.world import FINAL, World

RUNS = [490001, 490002]


def _once(world: World, on_statement: Callable[[], None] | None = None) -> int:
    """Do one round of every duty in a forked process, each of whose statements may be its last; gives its status."""
    child = os.fork()
    if child == 0:
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            if on_statement is not None:
                connect = database.connect

                def traced(path: Path, **more: bool) -> sqlite3.Connection:
                    conn = connect(path, **more)
                    conn.set_trace_callback(lambda _statement: on_statement())
                    return conn

                database.connect = traced  # type: ignore[assignment]
            os._exit(supervisor.main(world.config, once=True))
        finally:
            os._exit(70)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _to_the_end(world: World, rounds: int = 12) -> None:
    for _ in range(rounds):
        assert _once(world) == 0
        if len(world.jobs()) == len(RUNS) and all(job[0] in FINAL for job in world.jobs().values()):
            return
        world.payloads_over()
    raise AssertionError(f"not at an end after {rounds} rounds: {world.jobs()}")


def _die_after(count: int) -> Callable[[], None]:
    left = [count]

    def statement() -> None:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return statement


def _statements(world: World, counter: Path) -> int:
    """Count the statements of one round by doing it."""

    def count() -> None:
        with counter.open("ab") as file:
            file.write(b".")

    assert _once(world, count) == 0
    return counter.stat().st_size


@pytest.mark.timeout(280)
@pytest.mark.parametrize("earlier_rounds", [0, 1], ids=["first round", "second round"])
def test_death_at_every_statement_of_a_round(tmp_path: Path, earlier_rounds: int) -> None:
    """First round: from an empty database to submission. Second: from running jobs to their end."""
    (tmp_path / "reference").mkdir()
    reference = World(tmp_path / "reference", RUNS)
    for _ in range(earlier_rounds):
        _once(reference)
        reference.payloads_over()
    total = _statements(reference, tmp_path / "count")
    assert total > 20
    for count in range(total):
        folder = tmp_path / str(count)
        folder.mkdir()
        world = World(folder, RUNS)
        for _ in range(earlier_rounds):
            assert _once(world) == 0
            world.payloads_over()
        assert _once(world, _die_after(count)) == -signal.SIGKILL
        _to_the_end(world)
        assert {run: job[:2] for run, job in world.jobs().items()} == dict.fromkeys(RUNS, ("DONE", "ok")), count
        assert world.runs_started() == dict.fromkeys(RUNS, 1), count
