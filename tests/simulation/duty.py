"""The discover duty for itself: real, with a real file child and a real database; only the clock is directed."""

import asyncio
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, closing, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, Self

from caf import log
from caf.config import load, parse
from caf.demo.replica import Replica
from caf.demo.run_writer import RunWriter
from caf.domain.runs import SECOND
from caf.storage.child import FileChild
from caf.store import configurations, queries
from caf.store.database import connect, open_database
from caf.tasks import discover
from caf.tasks.discover import Discovered
from caf.tasks.house import CALLS, House
from tests.tasks.stage import Directed

NOW = 1_800_000_000.0
DAY = 86_400.0

Between = Callable[[], None]


class Disturbed(FileChild):
    """A real file child, in whose way something may come just before or just after the replicas are read."""

    before: Between | None = None
    after: Between | None = None
    asked: list[str]

    async def call(self, name: str, *args: Any, timeout: float, **keywords: Any) -> Any:
        self.asked.append(name)
        if name == "read_cool" and self.before is not None:
            self.before()
        result = await super().call(name, *args, timeout=timeout, **keywords)
        if name == "read_cool" and self.after is not None:
            self.after()
        return result


class Duty:
    """One supervisor's discover duty in a folder; `begin` it again and it is another process that finds what is there.

    Use it in a `with` statement.
    """

    def __init__(self, folder: Path, configuration: str) -> None:
        self.folder, self.now = folder, NOW
        self.database = folder / "state" / "caf.db"
        self.events: list[dict[str, Any]] = []
        self.replica = folder / "cool" / "replica.db"
        for name in ("cool", "state"):
            (folder / name).mkdir(exist_ok=True)
        self.configure(configuration)
        self._runner = asyncio.Runner()
        self._open: AsyncExitStack | None = None

    def configure(self, text: str) -> None:
        """Write listeners.toml; it is in force from the next `begin` on."""
        (self.folder / "listeners.toml").write_text(text)

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._runner.close()

    def begin(self) -> None:
        """Start: a second time it goes on with what the one before has left."""
        self._runner.run(self._begin())

    async def _begin(self) -> None:
        log.configure()
        self._open = AsyncExitStack()
        database = await self._open.enter_async_context(open_database(self.database))
        self.files = await self._open.enter_async_context(Disturbed(CALLS))
        self.files.asked = []
        configuration = load(self.folder / "listeners.toml")
        number = await database.call(
            configurations.keep, configuration.text, configuration.sha256, str(configuration.path), self.now
        )
        self.house = House(
            configuration, number, database, "x", self.files, self.files, self.files, Directed(), lambda: self.now
        )

    def end(self) -> None:
        """End in order."""
        if self._open is not None:
            self._runner.run(self._open.aclose())
            self._open = None

    def again(self, configuration: str | None = None) -> None:
        """Be another process, perhaps with another configuration."""
        self.end()
        if configuration is not None:
            self.configure(configuration)
        self.begin()

    def reload(self, text: str) -> None:
        """Bring another configuration into force while it runs."""
        self.configure(text)
        configuration = parse(text, self.folder / "listeners.toml")

        async def keep() -> int:
            return await self.house.database.call(
                configurations.keep, configuration.text, configuration.sha256, str(configuration.path), self.now
            )

        self.house.configuration, self.house.configuration_id = configuration, self._runner.run(keep())

    def round(self, seconds: float = 0.0) -> Discovered:
        """Do one round, so many seconds later; what it logs is added to `events`."""
        self.now += seconds
        logged = io.StringIO()
        try:
            with redirect_stdout(logged):
                return self._runner.run(discover.run_once(self.house))
        finally:
            self.events += [json.loads(line) for line in logged.getvalue().splitlines()]

    @contextmanager
    def writing(self, *, at: float | None = None) -> Iterator[RunWriter]:
        """Add to the replica; it was last written now, or `at` a moment (s)."""
        write = Replica.open if self.replica.exists() else Replica.create
        with write(str(self.replica), "CONDBR2", int(self.now * SECOND)) as replica:
            writer = RunWriter(replica)
            yield writer
        self.touch(at)

    def touch(self, at: float | None = None) -> None:
        """Give the replica the time at which it was last written."""
        moment = int((self.now if at is None else at) * SECOND)
        os.utime(self.replica, ns=(moment, moment))

    def query(self, sql: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Look into the database."""
        with closing(connect(self.database)) as conn:
            return [tuple(row) for row in conn.execute(sql, arguments)]

    def run(self, number: int) -> dict[str, Any]:
        """Give a run's row, with its verdict's letters as `answers` and its notes read."""
        with closing(connect(self.database)) as conn:
            row = queries.run(conn, number)
            assert row is not None, f"run {number} is not known"
            answers = queries.verdict(conn, row["verdict_id"])["answers"]
        return {**dict(row), "answers": answers, "notes": json.loads(row["notes"] or "{}")}

    def status(self, number: int) -> str:
        return str(self.run(number)["status"])

    def statuses(self) -> dict[int, str]:
        return dict(self.query("SELECT run, status FROM run ORDER BY run"))

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Give the log's lines of one event."""
        return [line for line in self.events if line["event"] == event]
