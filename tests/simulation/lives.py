"""Supervisors that die at any statement, any call of the file child, any question to the batch system."""

import json
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any
from unittest.mock import patch

from caf.batch.interface import Batch
from caf.config import Configuration
from caf.domain.errors import CafError, StorageTimeout
from caf.store import configurations
from caf.store.database import database_id, open_database
from caf.tasks.house import CALLS, House


class Killed(BaseException):
    """The supervisor is no more; nothing of its memory is left."""


@dataclass
class Fate:
    """Counts the moments at which the supervisor may die; it dies when none is left."""

    left: int | None = None
    count: int = 0

    def step(self) -> None:
        self.count += 1
        if self.left is not None:
            if self.left <= 0:
                raise Killed
            self.left -= 1


class Mortal(sqlite3.Connection):
    """A connection before each of whose statements the supervisor may die, and after each of its commits."""

    def __init__(self, fate: Fate, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._fate = fate

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        if not sql.startswith(("ROLLBACK", "RELEASE", "PRAGMA")):
            self._fate.step()
        cursor = super().execute(sql, *args)
        if sql == "COMMIT":
            self._fate.step()
        return cursor

    def executemany(self, sql: str, *args: Any) -> sqlite3.Cursor:
        self._fate.step()
        return super().executemany(sql, *args)


class Files:
    """The file child's calls, done in this process; they may hang, and be done all the same."""

    def __init__(
        self,
        draw: random.Random,
        pause: Callable[[float], None],
        faults: Counter[str],
        as_seen: Callable[[str, dict[str, Any]], dict[str, Any]],
    ) -> None:
        self.draw, self._pause, self._faults, self._as_seen = draw, pause, faults, as_seen
        self.raw_away = self.healthy = False

    async def call(self, name: str, *args: Any, timeout: float, **keywords: Any) -> Any:
        self._pause(0.05)
        if self._hangs(name):
            self._pause(timeout)
            raise StorageTimeout(f"{name} was not done within {timeout:g} s")
        answer = self._do(name, args, keywords)
        if self._hangs(f"{name}, done all the same"):
            self._pause(timeout)
            raise StorageTimeout(f"{name} was not done within {timeout:g} s")
        self._pause(0.05)
        return answer

    def _hangs(self, what: str) -> bool:
        if self.healthy or self.draw.random() >= 0.004:
            return False
        self._faults[f"file system hangs: {what}"] += 1
        return True

    async def many(self, calls: Iterable[tuple[str, Sequence[Any]]], *, timeout: float) -> list[Any]:
        answers: list[Any] = []
        for name, args in calls:
            try:
                answers.append(await self.call(name, *args, timeout=timeout))
            except StorageTimeout:
                raise
            except CafError as error:
                answers.append(error)
        return answers

    def _do(self, name: str, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
        if name == "find_all" and self.raw_away:
            return [{"files": [], "pattern": None, "why": "the raw files are away"} for _ in args[0]]
        if name == "look_again" and self.raw_away:
            return ["the raw files are away" for _ in args[0]]
        module, _, function = CALLS[name].partition(":")
        args, keywords = json.loads(json.dumps([args, keywords]))
        answer = json.loads(json.dumps(getattr(import_module(module), function)(*args, **keywords)))
        if name == "read_records":
            return [self._as_seen(area, raw) for area, raw in zip(args[0], answer, strict=True)]
        return answer


class Log:
    """Keeps what must never be logged: that there is a fault in caf."""

    def __init__(self, broken: list[str]) -> None:
        self._broken = broken

    def exception(self, event: str, **told: Any) -> None:
        import traceback

        self._broken.append(f"{event} {told}\n{traceback.format_exc()}")

    def _nothing(self, event: str, **told: Any) -> None:
        pass

    debug = info = warning = error = _nothing


class Life:
    """One supervisor after the other in the same folder."""

    def __init__(self, configuration: Configuration, batch: Batch, files: Files, clock: Callable[[], float]) -> None:
        self.configuration, self.batch, self.files, self.clock = configuration, batch, files, clock
        self.fate = Fate()
        self.broken: list[str] = []
        self.path = configuration.caf.state / "caf.db"
        self.house: House
        self._open: AsyncExitStack | None = None

    async def begin(self) -> House:
        """Open everything as a new process does."""
        self.fate.left = None
        self._open = AsyncExitStack()
        mortal = partial(sqlite3.connect, factory=partial(Mortal, self.fate))
        with patch.object(sqlite3, "connect", mortal):
            database = await self._open.enter_async_context(open_database(self.path))
        await database.call(lambda conn: conn.execute("PRAGMA synchronous = OFF"))
        identity = await database.call(database_id)
        c = self.configuration
        number = await database.call(configurations.keep, c.text, c.sha256, str(c.path), self.clock())
        files: Any = self.files
        self.house = House(c, number, database, identity, files, files, files, self.batch, self.clock)
        self.house.log = Log(self.broken)
        return self.house

    async def end(self) -> None:
        """Let go of everything, in the middle of whatever it was."""
        assert self._open is not None
        await self._open.aclose()
        self._open = None
