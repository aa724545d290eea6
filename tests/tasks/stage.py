"""The organise duty on a stage: all real but a batch system and a clock that tests direct."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caf import log
from caf.batch.interface import Submission, Watched
from caf.config import load
from caf.domain.errors import BatchError
from caf.domain.following import Sight, Sighting
from caf.storage.child import FileChild
from caf.store import configurations
from caf.store.database import open_database
from caf.tasks import discover, organise
from caf.tasks.house import CALLS, House
from caf.tasks.organise import Organised
from tests.world import World

NOW = 1_800_000_000.0


@dataclass
class Directed:
    """A batch system that does what a test says. It starts nothing: `run` and `end` write the wrapper's records."""

    submit_grace: float | None = None
    keeps_walltime: bool = True
    id_variable: str | None = None
    has_groups: bool = False
    others: dict[str, int | None] = field(default_factory=dict)
    on_submit: Callable[[Submission], Sighting] | None = None
    says: dict[str, Sighting] = field(default_factory=dict)
    silent: bool = False
    submitted: list[Submission] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    ended: list[Watched] = field(default_factory=list)  # as they were asked to end
    on_cancel: BatchError | None = None
    asked: list[str] = field(default_factory=list)
    looks: int = 0

    async def submit(self, submission: Submission) -> Sighting:
        self.submitted.append(submission)
        if self.on_submit is not None:
            return self.on_submit(submission)
        self.says[submission.token] = Sighting(Sight.PENDING, str(len(self.submitted)))
        return self.says[submission.token]

    async def group_use(self, group: str) -> int | None:
        self.asked.append(group)
        if self.silent:
            raise BatchError("squeue did not answer within 30 s")
        return self.others[group]

    async def look(self, watched: Sequence[Watched]) -> dict[str, Sighting]:
        self.looks += 1
        if self.silent:
            raise BatchError("squeue did not answer within 30 s")
        return {one.token: self.says[one.token] for one in watched if one.token in self.says}

    async def cancel(self, watched: Sequence[Watched]) -> None:
        self.cancelled += [one.token for one in watched]
        self.ended += watched
        if self.on_cancel is not None:
            raise self.on_cancel

    async def close(self) -> None:
        pass


@dataclass
class Stage:
    world: World
    house: House
    batch: Directed
    clock: list[float]

    async def organise(self) -> Organised:
        return await organise.run_once(self.house)

    async def discover(self) -> discover.Discovered:
        return await discover.run_once(self.house)

    async def wait(self, seconds: float) -> None:
        self.clock[0] += seconds

    def job(self, run: int) -> dict[str, Any]:
        names = (
            "id, state, result, reason, attempt, token, batch_id, tries, looks, not_before, unknown_since, next_state"
        )
        (row,) = self.world.query(f"SELECT {names} FROM job WHERE run = ?", run)
        return dict(zip(names.split(", "), row, strict=True))

    def area(self, run: int, attempt: int = 1) -> Path:
        return self.world.folder / "work" / f"{run}_Fit" / str(attempt)

    def claim(self, run: int, attempt: int = 1) -> None:
        (self.area(run, attempt) / "claim").mkdir()

    def run(self, run: int, attempt: int = 1, token: str | None = None, batch_id: str = "") -> None:
        """Claim an attempt and write its start record, as the wrapper on a node does."""
        self.claim(run, attempt)
        lines = [f"token={token or self.job(run)['token']}", "host=node7", "boot=x", "pid=1", "ticks=", "uptime=1.0"]
        lines += [f"batch={batch_id}"]
        (self.area(run, attempt) / "start").write_text("\n".join([*lines, "end", ""]))

    def end(self, run: int, code: int = 0, attempt: int = 1, *, good: bool = True) -> None:
        """Write the exit record, and before it what makes the payload a success."""
        area = self.area(run, attempt)
        if good:
            (area / "log" / "stdout").write_text("good #RUN\n")
            (area / "root" / "out").write_text("out\n")
        lines = [f"token={self.job(run)['token']}", f"code={code}", "host=node7", "boot=x", "uptime=2.0", "end", ""]
        (area / "exit").write_text("\n".join(lines))


@asynccontextmanager
async def on_stage(world: World) -> AsyncIterator[Stage]:
    clock = [NOW]
    batch = Directed()
    log.configure()
    (world.folder / "state").mkdir()
    configuration = load(world.config)
    async with open_database(world.database) as database, FileChild(CALLS) as files:
        identity = await database.call(lambda conn: conn.execute("SELECT value FROM meta").fetchone()[0])
        await files.call("mark_work", str(configuration.caf.work), identity, 0, timeout=30)
        number = await database.call(
            configurations.keep, configuration.text, configuration.sha256, str(configuration.path), NOW
        )
        house = House(configuration, number, database, identity, files, files, files, batch, lambda: clock[0])
        yield Stage(world, house, batch, clock)


def play(world: World, scene: Callable[[Stage], Awaitable[None]]) -> None:
    """Do a scene: discover has found the world's runs, nothing else has happened."""

    async def run() -> None:
        async with on_stage(world) as stage:
            await stage.discover()
            await scene(stage)

    asyncio.run(run())
