"""How a supervisor dies at an SQL statement: in a forked process, at the first one, a few later, until none is left."""

import gc
import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import anyio

from caf import log, opening, supervisor
from caf.batch.processes import survivors
from caf.domain.errors import CafError
from caf.store import database
from caf.tasks import housekeeping
from caf.tasks.house import CALLS
from tests.world import FINAL, World, wait_until

OnStatement = Callable[[], object]

# What a round imports only when it needs it is imported here, once: a forked process would spend half its time on it.
anyio.run(anyio.sleep, 0)
import_module("aiosqlite")
for function in CALLS.values():
    import_module(function.partition(":")[0])


class DoneHere:
    """A file child's calls, done in this very process: the same functions, the same JSON, no process to start."""

    abandoned = 0

    def __init__(self, calls: Mapping[str, str]) -> None:
        self._calls = calls

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_why: object) -> None:
        return None

    async def close(self) -> None:
        pass

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


def forked(work: Callable[[], int | None], on_statement: OnStatement | None = None, *, real: bool = False) -> int:
    """Do something in a forked process, each of whose SQL statements may be its last; gives its status.

    File children are `real`, or their calls are done in that process.
    """
    child = os.fork()
    if child == 0:
        try:
            sys.settrace(None)  # what is covered here is lost anyway
            gc.freeze()  # or all of it would be looked through, and so copied
            if not real:
                vars(opening)["FileChild"] = vars(housekeeping)["FileChild"] = DoneHere
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            log.configure()
            if on_statement is not None:
                _trace(on_statement)
            os._exit(work() or 0)
        finally:
            os._exit(70)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _trace(on_statement: OnStatement) -> None:
    connect = database.connect

    def traced(path: Path, **more: bool) -> sqlite3.Connection:
        conn = connect(path, **more)
        conn.set_trace_callback(lambda _statement: on_statement())
        return conn

    database.connect = traced  # type: ignore[assignment]  # of this process only


def die_after(count: int) -> OnStatement:
    """Die at the statement after so many."""
    left = count

    def statement() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return statement


def deaths(attempt: Callable[[int], int], step: int, least: int, first: int = 0) -> Iterator[int]:
    """Have `attempt` die after `first`, then each `step` statements later, until none is left; yields after each death.

    So every statement has its turn, also where not every attempt has as many. `least`: with fewer something is wrong.
    """
    number = first
    while (status := attempt(number)) == -signal.SIGKILL:
        yield number
        number += step
    assert status == 0, f"after {number} statements it ended with {status}"
    assert number > least, f"it has {number} statements at most"


def once(world: World, on_statement: OnStatement | None = None, *, real: bool = False) -> int:
    """Do one round of every duty in a forked process; gives its status."""
    return forked(lambda: supervisor.main(world.config, once=True), on_statement, real=real)


def to_the_end(world: World, rounds: int = 12) -> None:
    """Carry on with rounds that nobody disturbs until every job is over."""
    runs = len(world.runs)
    for _ in range(rounds):
        assert once(world) == 0
        if len(world.jobs()) == runs and all(job[0] in FINAL for job in world.jobs().values()):
            return
        world.payloads_over()
    raise AssertionError(f"not at an end after {rounds} rounds: {world.jobs()}")


class Again:
    """A world as it is now, to be had again at the same place, whatever became of it there."""

    STAYS = frozenset({"cool", "raw", "templates", "listeners.toml"})  # caf only reads these, and knows them by inode

    def __init__(self, world: World) -> None:
        self._world = world
        self._kept = world.folder.with_name(f"{world.folder.name}-kept")
        self._still()  # a payload that has not ended, or not even begun, would end in the copied world's place
        shutil.copytree(world.folder, self._kept, symlinks=True, ignore=lambda *_: self.STAYS)

    def world(self) -> World:
        """Put everything back; nothing that was started there goes on."""
        folder = self._world.folder
        self._still()
        for path in folder.iterdir():
            if path.name in self.STAYS:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        shutil.copytree(self._kept, folder, symlinks=True, dirs_exist_ok=True)
        return self._world

    def _still(self) -> None:
        """Wait until nothing that was started in the world goes on."""
        if self._world.jobs():
            tokens = [token for (token,) in self._world.query("SELECT token FROM attempt")]
            wait_until(lambda: not any(survivors(token) for token in tokens), what="the end of all processes")
