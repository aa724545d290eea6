"""The budgets of a site's batch system, beside its own clients in the same run: python -m tests.benchmarks.batch.

A real Slurm is brought up on loopback (as root; see tests/clusters). Submissions: caf's own step, from PREPARED jobs to
their batch ids in the database, beside bare `sbatch` calls with the same arguments, as many at once. Polling: so many
jobs that are pending there, by one `squeue` of its own beside the real round of the organise duty over them. The jobs
go to a partition that starts nothing.
"""

import argparse
import asyncio
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, redirect_stdout
from pathlib import Path

from caf import log
from caf.batch.interface import Submission, Watched
from caf.batch.slurm import SlurmBatch, arguments
from caf.config import load
from caf.domain.jobs import State
from caf.storage.child import FileChild
from caf.store import configurations, jobs, queries
from caf.store.database import database_id, open_database
from caf.tasks import discover, organise
from caf.tasks.house import CALLS, House
from caf.tasks.organise.prepare import prepare_new
from caf.tasks.organise.submit import AT_ONCE, submit_prepared
from caf.tasks.standing import own_work
from tests.benchmarks.jobs import make_world
from tests.benchmarks.rounds import make_active
from tests.clusters import slurm
from tests.clusters.slurm import Slurm

JOB = 'listeners = ["Scan"]\nqueue = "closed"\nmemory = "100MB"\nwalltime = "1h"\n'


def at_once(commands: Sequence[list[str]]) -> float:
    """Run bare commands, as many at once as caf does; gives the seconds that it took."""
    with ThreadPoolExecutor(AT_ONCE) as turns:
        begun = time.monotonic()
        list(turns.map(lambda command: subprocess.run(command, check=True, capture_output=True), commands))
        return time.monotonic() - begun


async def in_house(config: Path, folder: Path, work: Callable[[House], Awaitable[None]]) -> None:
    """Have the real house with Slurm for a batch system."""
    configuration = load(config)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(folder / "caf.db"))
        files = await stack.enter_async_context(FileChild(CALLS))
        identity = await database.call(database_id)
        generation = await own_work(database, files, str(configuration.caf.work), identity, take_over=False)
        text, sha256 = configuration.text, configuration.sha256
        kept = await database.call(configurations.keep, text, sha256, str(configuration.path), time.time())
        batch = SlurmBatch(f"caf-{identity}-", limit=lambda: 60.0, unreadable=print)
        house = House(configuration, kept, database, identity, files, files, files, batch, time.time)
        house.generation = generation
        await work(house)
        await batch.close()


def submissions(cluster: Slurm, folder: Path, count: int) -> None:
    """Time so many submissions by caf and by bare clients."""
    config = make_world(folder, folder / "areas", count, count)
    config.write_text(config.read_text().replace('listeners = ["Scan"]\n', JOB))
    took: dict[str, float] = {}

    async def work(house: House) -> None:
        await discover.run_once(house)
        counts: dict[str, int] = {}
        while counts.get(State.PREPARED, 0) < count:
            await prepare_new(house)
            counts = await house.database.call(queries.job_counts)
        spent, begun = time.process_time(), time.monotonic()
        await submit_prepared(house)
        took["caf"], took["own"] = time.monotonic() - begun, time.process_time() - spent
        rows = await house.database.call(jobs.in_states, [State.PENDING])
        if len([row for row in rows if row["batch_id"]]) != count:
            raise SystemExit(f"only {len(rows)} of {count} were accepted")
        given = [Submission(f"{row['token']}x", f"{house.area(row)}/caf.sh", "closed") for row in rows]
        took["bare"] = at_once([arguments(one) for one in given])

    with (folder / "log").open("w") as file, redirect_stdout(file):
        asyncio.run(in_house(config, folder / "state", work))
    cluster.clear()
    caf, bare = took["caf"], took["bare"]
    print(
        f"{count} submissions, {AT_ONCE} at once: caf {count / caf:.0f} a second, bare sbatch {count / bare:.0f}: "
        f"{caf / bare:.2f} x; caf's own processor time {took['own']:.2f} s of {caf:.2f} s",
        flush=True,
    )


def polling(folder: Path, count: int, rounds: int) -> None:
    """Time rounds over so many pending jobs, and the one call in them by itself."""
    config = make_world(folder, folder / "areas", 0, count)
    calls: list[tuple[float, float]] = []
    looks: list[float] = []
    whole: list[float] = []

    async def work(house: House) -> None:
        area = house.configuration.caf.work
        await house.database.call(make_active, area, count, house.configuration_id, time.time())
        rows = await house.database.call(jobs.in_states, [State.PENDING, State.RUNNING])
        script = folder / "true.sh"
        script.write_text("#!/bin/sh\ntrue\n")
        given = [["sbatch", "--job-name", row["token"], "--partition=closed", str(script)] for row in rows]
        print(f"{count} jobs handed over by bare sbatch in {at_once(given):.0f} s", flush=True)
        watched = [Watched(row["token"], row["batch_id"]) for row in rows]
        command = ["squeue", "--noheader", "--states=all", f"--user={os.getuid()}", "--format=%A|%j|%T|%k|%r"]
        await organise.run_once(house)
        for _ in range(rounds):
            calls.append(_call(command))
            spent = time.process_time()
            found = await house.batch.look(watched)
            looks.append(time.process_time() - spent)
            if len(found) != count:
                raise SystemExit(f"only {len(found)} of {count} were found")
            spent = time.process_time()
            await organise.run_once(house)
            whole.append(time.process_time() - spent)

    with (folder / "log").open("w") as file, redirect_stdout(file):
        asyncio.run(in_house(config, folder / "state", work))
    wall, client = (statistics.median(part) for part in zip(*calls, strict=True))
    own, all_of_it = statistics.median(looks), statistics.median(whole)
    print(
        f"{count:,} jobs polled by one call: squeue {wall:.3f} s ({client:.3f} s of processor time); caf's own share "
        f"{own:.3f} s: {own / wall:.2f} x; its whole round {all_of_it:.2f} s of processor time",
        flush=True,
    )


def _call(command: list[str]) -> tuple[float, float]:
    before, begun = _children(), time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - begun, _children() - before


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--jobs", type=int, default=500, help="submissions")
    options.add_argument("--active", type=int, default=10_000, help="jobs that are polled; 0: none")
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    log.configure()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with slurm.running(folder, "slurmbench", "--min-job-age", "1800") as cluster:
            os.environ.update(cluster.environment)
            submissions(cluster, folder / "submissions", given.jobs)
            if given.active:
                polling(folder / "polling", given.active, given.rounds)


if __name__ == "__main__":
    main()
