"""The supervisor dies at every SQL statement of its rounds; the next one carries on, and nothing happens twice."""

import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import pytest

from caf import supervisor
from caf.domain.errors import CafError
from caf.store import database
from tests.world import FINAL, World

RUNS = [490001, 490002]
REAL_CHILD = 12  # of so many deaths one has real file children, which take most of a round's time to start


class DoneHere:
    """A file child's calls, done in this very process: the same functions, the same JSON, no process to start."""

    def __init__(self, calls: Mapping[str, str]) -> None:
        self._calls = calls

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_why: object) -> None:
        return None

    async def call(self, name: str, *args: Any, timeout: float, **keywords: Any) -> Any:
        module, _, function = self._calls[name].partition(":")
        args, keywords = json.loads(json.dumps([args, keywords]))
        return json.loads(json.dumps(getattr(import_module(module), function)(*args, **keywords)))

    async def many(self, calls: Iterable[tuple[str, Sequence[Any]]], *, timeout: float) -> list[Any]:
        answers: list[Any] = []
        for name, args in calls:
            try:
                answers.append(await self.call(name, *args, timeout=timeout))
            except CafError as error:
                answers.append(error)
        return answers


def _once(world: World, on_statement: Callable[[], None] | None = None, *, real: bool = False) -> int:
    """Do one round of every duty in a forked process, each of whose statements may be its last; gives its status."""
    child = os.fork()
    if child == 0:
        try:
            sys.settrace(None)  # what is covered here is lost anyway
            if not real:
                vars(supervisor)["FileChild"] = DoneHere
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


@pytest.mark.parametrize("earlier_rounds", [0, 1], ids=["first round", "second round"])
def test_death_at_some_statements_of_a_round(tmp_path: Path, earlier_rounds: int) -> None:
    """The quick one, for every day: so many deaths that a whole part that is not safe does not get through."""
    _die_at(tmp_path, earlier_rounds, every=16)


@pytest.mark.campaign
@pytest.mark.timeout(600)
@pytest.mark.parametrize("earlier_rounds", [0, 1], ids=["first round", "second round"])
def test_death_at_every_statement_of_a_round(tmp_path: Path, earlier_rounds: int) -> None:
    """First round: from an empty database to submission. Second: from running jobs to their end."""
    _die_at(tmp_path, earlier_rounds, every=1)


def _die_at(tmp_path: Path, earlier_rounds: int, every: int) -> None:
    (tmp_path / "reference").mkdir()
    reference = World(tmp_path / "reference", RUNS)
    for _ in range(earlier_rounds):
        _once(reference)
        reference.payloads_over()
    total = _statements(reference, tmp_path / "count")
    assert total > 20
    for count in range(0, total, every):
        folder = tmp_path / str(count)
        folder.mkdir()
        world = World(folder, RUNS)
        for _ in range(earlier_rounds):
            assert _once(world) == 0
            world.payloads_over()
        status = _once(world, _die_after(count), real=count % REAL_CHILD == 0)
        # A round takes a few statements more or less, as the moments fall: its last ones may not come.
        assert status == -signal.SIGKILL or (status == 0 and count >= total * 0.9)
        _to_the_end(world)
        assert {run: job[:2] for run, job in world.jobs().items()} == dict.fromkeys(RUNS, ("DONE", "ok")), count
        assert world.runs_started() == dict.fromkeys(RUNS, 1), count
