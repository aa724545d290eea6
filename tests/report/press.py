"""A folder in which the report duty works: a real database filled by caf.store's own functions, real areas, a clock."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caf import log
from caf.config import load
from caf.domain.discovery import Rules
from caf.domain.jobs import Result, State
from caf.domain.runs import SECOND
from caf.storage.child import FileChild
from caf.store import configurations, discovery, jobs, making
from caf.store.database import Database, database_id, open_database
from caf.store.jobs import Change
from caf.store.making import NewJob
from caf.tasks.house import CALLS, House
from caf.tasks.report import Reported, Reporter
from tests.store.feeding import write_snapshot
from tests.tasks.stage import Directed

NOW = 1_800_000_000.0
RAMP, D3PD = "LArL1CaloRampMaker", "L1CaloCalibD3PD"
HOSTILE = "<script>document.title='taken'</script><img src=x onerror=alert(1)>\u202e\x1b[31m"
CONFIGURATION = """
[caf]
max_new_jobs = 1000

[source]
kind = "table"
path = "runs.csv"

[listeners.LArEnergyScan]
first_run = 490001
min_events = 1700
expect_every = "14d"
match = { run_type = "LarCalibL1Calo", gain_strategy = ["CalibGainsEt", "GainOneOvEmbFcalHighEta"], clean_stop = true }

[listeners.Standalone]
match = { run_type = { contains = "Phys" }, tier0_tag = { not_in = ["L1CaloEnergyScan"] } }

[jobs.LArL1CaloRampMaker]
listeners = ["LArEnergyScan"]
command = ["true"]
show = ["root/Gains_{run}.png", "root/*.txt", "root/lost.png"]

[jobs.L1CaloCalibD3PD]
listeners = ["LArEnergyScan", "Standalone"]
command = ["true"]

[report]
"""


def a_run(number: int, began: float = NOW - 86_400, **given: Any) -> dict[str, Any]:
    """Give a snapshot's row of a run of ten minutes that LArEnergyScan takes."""
    start = int(began) * SECOND
    row = {"run": number, "run_type": "LarCalibL1Calo", "partition": "L1CaloCombined", "recorded": 1, "start": start}
    row |= {"end": start + 600 * SECOND, "clean_stop": 1, "recorded_events": 2000, "tier0_tag": "L1CaloEnergyScan"}
    return row | {"gain_strategy": "CalibGainsEt", "detector_mask": f"{0x7C00000000:032x}"} | given


@dataclass
class Press:
    """The house, the duty, and what it has written."""

    folder: Path
    house: House
    reporter: Reporter
    clock: list[float]
    waits: dict[int, str]

    @property
    def database(self) -> Database:
        return self.house.database

    @property
    def www(self) -> Path:
        assert self.house.configuration.report is not None
        return self.house.configuration.report.path

    async def report(self) -> Reported:
        """Do one round."""
        return await self.reporter.run_once(self.house)

    def status(self) -> dict[str, Any]:
        """Read what was published last."""
        found: dict[str, Any] = json.loads((self.www / "status.json").read_text())
        return found

    def data(self, name: str) -> dict[str, Any]:
        """Read a file of data."""
        found: dict[str, Any] = json.loads((self.www / "data" / f"{name}.json").read_text())
        return found

    def index(self) -> dict[str, Any]:
        return self.data(self.status()["index"])

    def run(self, number: int) -> dict[str, Any]:
        """Read what a run's page shows."""
        index = self.index()
        block = number // index["block"]
        runs = self.data(f"details-{block}-{index['details'][str(block)]}")["runs"]
        return next(run for run in runs if run["run"] == number)

    async def absorb(self, *runs: dict[str, Any]) -> None:
        """Take runs over and make their jobs, as discover does."""
        await self.database.call(self._absorb, runs)

    def _absorb(self, conn: sqlite3.Connection, runs: tuple[dict[str, Any], ...]) -> None:
        configuration, now = self.house.configuration, self.clock[0]
        listeners, corrections = configuration.listeners_in_force(), configuration.corrections_in_force()
        rules = Rules(self.house.configuration_id, listeners, corrections, int(86_400 * SECOND))
        discovery.attach(conn, write_snapshot(self.folder / "snapshot.db", runs))
        discovery.absorb(conn, rules, -1, 10_000, now, int(now * SECOND))
        discovery.detach(conn)
        discovery.keep_source(conn, discovery.Absorbed({}, [], [], int(now * SECOND), 1e10), now)
        due = making.due_runs(conn)
        few = "too few events: a person must validate it"
        new = [
            NewJob(
                row["run"],
                name,
                row["listener"],
                waits=self.waits.get(row["run"]) or (few if row["needs_validation"] else None),
            )
            for row in due
            for name in configuration.jobs_for(row["listener"])
        ]
        making.make(conn, self.house.configuration_id, new, [row["run"] for row in due], now)

    async def lead(self, run: int, job: str, *states: State, **last: Any) -> None:
        """Take a job along states; `last` belongs to the last change."""
        await self.database.call(self._lead, run, job, states, last)

    def _lead(self, conn: sqlite3.Connection, run: int, job: str, states: tuple[State, ...], last: Any) -> None:
        for place, target in enumerate(states):
            row, now = jobs.find(conn, run, job), self.clock[0]
            if target is State.SUBMITTING:
                jobs.claim_tokens(conn, [row["id"]], now)
                continue
            more: dict[str, Any] = {"why": "as it goes"}
            if target is State.RUNNING:
                more |= {"attempt_sets": {"started": now, "node": "node7"}}
            elif target is State.FINISHED:
                more |= {"attempt_sets": {"ended": now + 300, "exit_code": 0}}
            if target is State.DONE:
                more |= {"result": Result.OK, "why": "good"}
            more |= last if place == len(states) - 1 else {}
            assert jobs.apply(conn, [Change(row["id"], State(row["state"]), row["attempt"], target, **more)], now) == [
                True
            ]

    def area(self, run: int, job: str = RAMP, attempt: int = 1) -> Path:
        """Make the area of an attempt, with a log."""
        area = Path(self.house.configuration.caf.work) / f"{run}_{job}" / str(attempt)
        (area / "log").mkdir(parents=True)
        (area / "root").mkdir()
        (area / "log" / "stdout").write_text("first line\nlast line\n")
        return area


ON_ITS_WAY = (State.PREPARED, State.SUBMITTING, State.PENDING, State.RUNNING)
TO_ITS_END = (*ON_ITS_WAY, State.FINISHED)
DONE = (*TO_ITS_END, State.DONE)
FAILED = (*TO_ITS_END, State.FAILED)


@asynccontextmanager
async def press(folder: Path, configuration: str = CONFIGURATION, now: float = NOW) -> AsyncIterator[Press]:
    """Have a house with an empty database, and the duty."""
    log.configure()
    (folder / "state").mkdir(exist_ok=True)
    (folder / "listeners.toml").write_text(configuration)
    clock = [now]
    loaded = load(folder / "listeners.toml")
    async with open_database(folder / "state" / "caf.db") as database, FileChild(CALLS) as files:
        identity = await database.call(database_id)
        await files.call("mark_work", str(loaded.caf.work), identity, 0, timeout=30)
        number = await database.call(configurations.keep, loaded.text, loaded.sha256, str(loaded.path), now)
        house = House(loaded, number, database, identity, files, files, files, Directed(), lambda: clock[0])
        house.state = folder / "state"
        yield Press(folder, house, Reporter(), clock, {})


def at_press(folder: Path, scene: Callable[[Press], Awaitable[None]], configuration: str = CONFIGURATION) -> None:
    """Do a scene."""

    async def run() -> None:
        async with press(folder, configuration) as one:
            await scene(one)

    asyncio.run(run())
