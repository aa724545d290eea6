"""The budgets of jobs, beside GNU parallel in the same run: python -m tests.benchmarks.jobs.

caf's side is the real supervisor but for its command line: its house, its duties woken as ever, the database on a real
disk with every commit synced, file children, local jobs. Its log goes to a file. GNU parallel keeps a job log and
nothing else. Both run /bin/true as often, with as many slots, in turn; start-up is left out on both sides. These
machines are noisy, so medians are given, of wall time and of processor time (user and system, children included).
"""

import argparse
import asyncio
import os
import resource
import signal
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from caf import lock, log, supervisor
from caf.config import Configuration, load
from caf.opening import open_house
from caf.paths import LOCK
from caf.tasks import discover
from caf.tasks.house import House
from tests.benchmarks.at_rest import at_rest
from tests.benchmarks.rounds import active_rounds

CONFIGURATION = """
[caf]
work = "{work}"
max_new_jobs = 1000000
[source]
kind = "table"
path = "runs.csv"
[listeners.Scan.match]
run_type = "scan"
[jobs.Fit]
listeners = ["Scan"]
templates = ["options.py"]
command = ["/bin/true"]
[batch]
slots = {slots}
"""
TEMPLATE = "# made for run #RUN_NUMBER#\nrun = #RUN#\nfolder = '#JOB_ROOT_DIR#'\n"
PARALLEL, COMMAND = ("parallel", "--will-cite"), ("/bin/true", "{}")
LOOK = 0.1  # s between two looks whether all jobs are done; the end is taken from the database
RESTING = 200  # jobs that have been done before the supervisor is left alone
PATIENCE = 0.1  # s for each job
FIRST_RUN = 490001


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds for all jobs."""

    wall: float
    processor: float


def make_world(folder: Path, work: Path, jobs: int, slots: int) -> Path:
    """Write what caf needs to make so many jobs; gives its listeners.toml."""
    (folder / "templates").mkdir(parents=True)
    (folder / "state").mkdir()
    (folder / "templates" / "options.py").write_text(TEMPLATE)
    lines = [f"{run},scan" for run in range(FIRST_RUN, FIRST_RUN + jobs)]
    (folder / "runs.csv").write_text("\n".join(["run,run_type", *lines, ""]))
    config = folder / "listeners.toml"
    config.write_text(CONFIGURATION.format(slots=slots, work=work))
    return config


def children_of(pid: int) -> list[int]:
    """Give the living children of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def processor_time() -> float:
    """Give the seconds of processor time of this process, its ended children, and its living ones (file children)."""
    spent = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        spent += usage.ru_utime + usage.ru_stime
    for child in children_of(os.getpid()):
        try:
            spent += int(Path(f"/proc/{child}/schedstat").read_text().split()[0]) / 1e9
        except OSError:  # ended meanwhile
            continue
    return spent


async def _when_done(house: House, jobs: int) -> AsyncIterator[signal.Signals]:
    """Give the signals that end the supervisor, as soon as all jobs are done."""

    def done(conn: sqlite3.Connection) -> int:
        row = conn.execute("SELECT sum(jobs) FROM job_count WHERE state = 'DONE'").fetchone()
        return int(row[0] or 0)

    patience = time.monotonic() + jobs * PATIENCE
    while await house.database.call(done) < jobs and time.monotonic() < patience:  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(LOOK)
    yield signal.SIGTERM


async def _through_caf(config: Path, folder: Path, jobs: int) -> Cost:
    configuration = load(config)
    with lock.held(folder / "state" / LOCK, time.time()) as mine:
        return await _in_house(configuration, folder, mine, jobs)


async def _in_house(configuration: Configuration, folder: Path, mine: lock.Lock, jobs: int) -> Cost:
    async with open_house(configuration, folder / "state", False) as (house, duties):
        await discover.run_once(house)
        await house.files.call("read_records", [str(folder / "none")], timeout=60)  # so that all is up
        begun, spent = time.time(), processor_time()
        await supervisor._serve(house, tuple(duties.values()), mine, _when_done(house, jobs))
        spent = processor_time() - spent
        (ended,) = await house.database.call(lambda conn: conn.execute("SELECT max(updated) FROM job").fetchone())
    return Cost(ended - begun, spent)


def through_caf(folder: Path, work: Path, jobs: int, slots: int) -> Cost:
    """Time so many jobs from NEW to DONE."""
    config = make_world(folder, work, jobs, slots)
    log.configure()
    with (folder / "caf.log").open("w") as file, redirect_stdout(file):
        cost = asyncio.run(_through_caf(config, folder, jobs))
    with closing(sqlite3.connect(folder / "state" / "caf.db")) as conn:
        states = conn.execute("SELECT state, count(*) FROM job GROUP BY state").fetchall()
        audited = conn.execute("SELECT count(*) FROM audit WHERE became = 'DONE'").fetchone()[0]
    if states != [("DONE", jobs)] or audited != jobs:
        raise SystemExit(f"not all are done: {states}, {audited} of them with an audit row")
    return cost


def through_parallel(folder: Path, work: Path, jobs: int, slots: int) -> Cost:
    """Time so many jobs through GNU parallel, less what one alone takes."""
    folder.mkdir()
    work.mkdir()

    def run(count: int) -> Cost:
        begun, spent = time.time(), processor_time()
        subprocess.run(
            [*PARALLEL, f"-j{slots}", "--tmpdir", str(work), "--joblog", str(folder / f"log-{count}"), *COMMAND],
            input="".join(f"{number}\n" for number in range(count)).encode(),
            env={**os.environ, "PARALLEL_SHELL": "/bin/sh", "HOME": str(folder)},
            check=True,
        )
        return Cost(time.time() - begun, processor_time() - spent)

    one, all_of_them = run(1), run(jobs + 1)
    return Cost(all_of_them.wall - one.wall, all_of_them.processor - one.processor)


def side_by_side(folder: Path, work: Path, jobs: int, slots: int, rounds: int) -> None:
    """Time both in turn and print the medians."""
    sides: dict[str, Callable[[Path, Path, int, int], Cost]] = {"parallel": through_parallel, "caf": through_caf}
    costs: dict[str, list[Cost]] = {side: [] for side in sides}
    for number in range(rounds):
        for side, run in sides.items():
            name = f"{side}-{slots}-{number}"
            costs[side].append(run(folder / name, work / name, jobs, slots))
    for kind in ("wall", "processor"):
        per_job = {side: [1000 * getattr(cost, kind) / jobs for cost in found] for side, found in costs.items()}
        middle = {side: statistics.median(found) for side, found in per_job.items()}
        each = "; ".join(f"{side} {' '.join(f'{ms:.2f}' for ms in found)}" for side, found in per_job.items())
        print(
            f"{slots:2} slots, {kind:9}: caf {middle['caf']:5.2f} ms a job, parallel {middle['parallel']:5.2f}: "
            f"{middle['caf'] / middle['parallel']:.2f} x   ({each})",
            flush=True,
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--jobs", type=int, default=1000)
    options.add_argument("--slots", type=int, nargs="*", default=[2, 4, 15])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument(
        "--active", type=int, default=10_000, help="active jobs of the round on a batch system; 0: none"
    )
    options.add_argument("--rest", type=float, default=60.0, help="seconds to look at the supervisor at rest; 0: none")
    options.add_argument("--folder", type=Path, help="where to work: a folder on the disk that is to be measured")
    options.add_argument("--work", type=Path, help="where the working areas and parallel's files are, if not in there")
    given = options.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=given.folder) as temporary,
        tempfile.TemporaryDirectory(dir=given.work or given.folder) as elsewhere,
    ):
        folder, work = Path(temporary), Path(elsewhere)
        for slots in given.slots:
            side_by_side(folder, work, given.jobs, slots, given.rounds)
        if given.active:
            active_rounds(folder / "active", work, given.active, given.rounds)
        if given.rest:
            through_caf(folder / "rest", work / "rest", RESTING, 8)
            at_rest(folder / "rest" / "listeners.toml", given.rest)


if __name__ == "__main__":
    main()
