"""A whole round of the organise duty over very many active jobs, on a batch system that answers at once.

The working areas and the wrapper's start records are real, so what is measured is all that caf itself does: reading the
database and the areas, asking, deciding. Nothing changes in these rounds, as in most.
"""

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from caf import log
from caf.batch.interface import Submission, Watched
from caf.config import load
from caf.domain.following import Sight, Sighting
from caf.domain.jobs import State
from caf.storage.child import FileChild
from caf.store import configurations
from caf.store.database import database_id, open_database, transaction
from caf.tasks import organise
from caf.tasks.house import CALLS, House
from caf.tasks.standing import own_work

CONFIGURATION = """
[caf]
work = "{work}"
[source]
kind = "table"
path = "runs.csv"
[listeners.Scan.match]
run_type = "scan"
[jobs.Fit]
listeners = ["Scan"]
command = ["/bin/true"]
[batch]
slots = 100000
"""


class AtOnce:
    """A batch system that knows every job at once: those with a start record run, the others are pending."""

    submit_grace = None
    keeps_walltime = True
    has_groups = False
    id_variable = None

    async def group_use(self, group: str) -> int | None:
        return None

    async def submit(self, submission: Submission) -> Sighting:
        raise AssertionError("in these rounds nothing is handed over")

    async def look(self, watched: Sequence[Watched]) -> dict[str, Sighting]:
        return {one.token: Sighting(Sight.RUNNING if one.start else Sight.PENDING, one.batch_id) for one in watched}

    async def cancel(self, watched: Sequence[Watched]) -> None:
        return None

    async def close(self) -> None:
        return None


def make_active(conn: sqlite3.Connection, work: Path, jobs: int, configuration_id: int, now: float) -> None:
    """Make so many jobs, every other one running with its start record, the rest pending; all with areas."""
    identity = database_id(conn)
    with transaction(conn):
        conn.execute(
            "INSERT INTO verdict (id, configuration_id, status, listener, needs_validation, answers) "
            "VALUES (1, ?, 'ACCEPTED', 'Scan', 0, '{}')",
            (configuration_id,),
        )
        for number in range(1, jobs + 1):
            token, running = f"caf-{identity}-{number}-1-{number:08x}", number % 2
            state = State.RUNNING if running else State.PENDING
            conn.execute(
                "INSERT INTO run (run, status, listener, needs_validation, verdict_id, first_seen, judged) "
                "VALUES (?, 'ACCEPTED', 'Scan', 0, 1, ?, ?)",
                (number, now, now),
            )
            conn.execute(
                "INSERT INTO job (id, run, job, listener, configuration_id, state, reason, token, batch_id, created, "
                "since, updated) VALUES (?, ?, 'Fit', 'Scan', ?, ?, 'on its way', ?, ?, ?, ?, ?)",
                (number, number, configuration_id, state, token, str(number), now, now, now),
            )
            started = now if running else None
            conn.execute(
                "INSERT INTO attempt (job_id, attempt, token, batch_id, asked, started) VALUES (?, 1, ?, ?, ?, ?)",
                (number, token, str(number), now, started),
            )
            area = work / f"{number}_Fit" / "1"
            (area / "claim" if running else area).mkdir(parents=True)
            if running:
                lines = [f"token={token}", "host=node7", "boot=0123", "pid=4242", "ticks=123456", "uptime=1.0"]
                (area / "start").write_text("\n".join([*lines, f"batch={number}", "end", ""]))


async def _rounds(folder: Path, work: Path, jobs: int, rounds: int) -> list[tuple[float, float]]:
    configuration = load(folder / "listeners.toml")
    async with open_database(folder / "caf.db") as database, FileChild(CALLS) as files:
        identity = await database.call(database_id)
        generation = await own_work(database, files, str(work), identity, take_over=False)
        text, sha256 = configuration.text, configuration.sha256
        kept = await database.call(configurations.keep, text, sha256, str(configuration.path), time.time())
        await database.call(make_active, work, jobs, kept, time.time())
        house = House(configuration, kept, database, identity, files, files, files, AtOnce(), time.time)
        house.generation = generation
        await organise.run_once(house)
        (active,) = await database.call(
            lambda conn: conn.execute("SELECT count(*) FROM job WHERE state IN ('PENDING', 'RUNNING')").fetchone()
        )
        if active != jobs:
            raise SystemExit(f"only {active} of {jobs} jobs are active")
        times = []
        for _ in range(rounds):
            begun = time.process_time(), _spent(files.pid)
            await organise.run_once(house)
            times.append((time.process_time() - begun[0], _spent(files.pid) - begun[1]))
    return times


def _spent(pid: int | None) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def active_rounds(folder: Path, elsewhere: Path, jobs: int, rounds: int) -> None:
    """Time rounds in which nothing changes, and print the processor time of each part of caf."""
    folder.mkdir()
    (folder / "templates").mkdir()
    log.configure()
    with tempfile.TemporaryDirectory(dir=elsewhere) as work:
        (folder / "listeners.toml").write_text(CONFIGURATION.format(work=work))
        times = asyncio.run(_rounds(folder, Path(work), jobs, rounds))
    own, child = (statistics.median(part) for part in zip(*times, strict=True))
    each = " ".join(f"{sum(both):.2f}" for both in times)
    print(
        f"a round over {jobs:,} active jobs: {own + child:.2f} s of processor time "
        f"({own:.2f} s the supervisor, {child:.2f} s its file child; {each})",
        flush=True,
    )
