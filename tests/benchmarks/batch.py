"""The budgets of a site's batch systems, beside their own clients in the same run: python -m tests.benchmarks.batch.

A real Slurm and a real HTCondor are brought up on loopback (as root; see tests/clusters), and the stand-in for LSF,
whose clients and daemon are slow: there only the ratios say something. Submissions: caf's own step, from PREPARED jobs
to their batch ids in the database, beside bare calls of the client with the same arguments, as many at once. Polling:
so many jobs that are pending there, by one bare call beside caf's own look and the real round of the organise duty over
them. None of the jobs ever starts.
"""

import argparse
import asyncio
import os
import resource
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, redirect_stdout
from pathlib import Path

from caf import log
from caf.batch import systems
from caf.batch.interface import Submission, Watched
from caf.config import load
from caf.domain.jobs import State
from caf.storage.child import FileChild
from caf.store import configurations, jobs, queries
from caf.store.database import database_id, open_database, transaction
from caf.tasks import discover, organise
from caf.tasks.house import CALLS, House
from caf.tasks.organise.prepare import prepare_new
from caf.tasks.organise.submit import AT_ONCE, submit_prepared
from caf.tasks.standing import own_work
from tests.benchmarks.batch_sites import SITES, BenchSite
from tests.benchmarks.jobs import make_world
from tests.benchmarks.rounds import make_active

LIMIT = 60.0  # s that a client may take


def at_once(commands: Sequence[list[str]]) -> float:
    """Run bare commands, as many at once as caf does; gives the seconds that it took."""
    with ThreadPoolExecutor(AT_ONCE) as turns:
        begun = time.monotonic()
        list(turns.map(lambda command: subprocess.run(command, check=True, capture_output=True), commands))
        return time.monotonic() - begun


async def in_house(kind: str, config: Path, folder: Path, work: Callable[[House], Awaitable[None]]) -> None:
    """Have the real house with one of the batch systems."""
    configuration = load(config)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(folder / "caf.db"))
        files = await stack.enter_async_context(FileChild(CALLS))
        identity = await database.call(database_id)
        generation = await own_work(database, files, str(configuration.caf.work), identity, take_over=False)
        text, sha256 = configuration.text, configuration.sha256
        kept = await database.call(configurations.keep, text, sha256, str(configuration.path), time.time())
        batch = systems.site(kind, systems.Surroundings(identity, lambda: LIMIT, print, lambda: None, time.time))
        house = House(configuration, kept, database, identity, files, files, files, batch, time.time)
        house.generation = generation
        await work(house)
        await batch.close()


def submissions(site: BenchSite, folder: Path, count: int) -> None:
    """Time so many submissions by caf and by bare clients."""
    config = make_world(folder, folder / "areas", count, count)
    wants = f'listeners = ["Scan"]\nmemory = "100MB"\nwalltime = "1h"\n{site.job}\n'
    config.write_text(config.read_text().replace('listeners = ["Scan"]\n', wants))
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
        _, table, _ = await house.tables_of(rows[0])
        wanted = (table.queue, table.group, table.cpus, table.memory, table.walltime, table.options)
        given = [Submission(f"{row['token']}x", f"{house.area(row)}/caf.sh", *wanted) for row in rows]
        took["bare"] = at_once([site.arguments(one) for one in given])

    with (folder / "log").open("w") as file, redirect_stdout(file):
        asyncio.run(in_house(site.kind, config, folder / "state", work))
    site.clear()
    caf, bare = took["caf"], took["bare"]
    print(
        f"{site.kind}: {count} submissions, {AT_ONCE} at once: caf {count / caf:.0f} a second, bare {site.submitter} "
        f"{count / bare:.0f}: {caf / bare:.2f} x; caf's own processor time {took['own']:.2f} s of {caf:.2f} s",
        flush=True,
    )


def polling(site: BenchSite, folder: Path, count: int, rounds: int) -> None:
    """Time rounds over so many pending jobs, and the one call in them by itself."""
    config = make_world(folder, folder / "areas", 0, count)
    calls: list[tuple[float, float]] = []
    looks: list[float] = []
    whole: list[float] = []

    async def work(house: House) -> None:
        area = house.configuration.caf.work
        await house.database.call(make_active, area, count, house.configuration_id, time.time())
        rows = await house.database.call(jobs.in_states, [State.PENDING, State.RUNNING])
        ids = site.bulk([row["token"] for row in rows], folder)
        renamed = list(zip(ids, rows, strict=True))
        await house.database.call(_rename, [(batch_id, row["id"]) for batch_id, row in renamed])
        _rename_starts([(Path(house.area(row), "start"), row["batch_id"], batch_id) for batch_id, row in renamed])
        rows = await house.database.call(jobs.in_states, [State.PENDING, State.RUNNING])
        watched = [Watched(row["token"], row["batch_id"]) for row in rows]
        await organise.run_once(house)
        for _ in range(rounds):
            calls.append(_call(site.poll(house.database_id)))
            spent = time.process_time()
            found = await house.batch.look(watched)
            looks.append(time.process_time() - spent)
            if len(found) != count or any(one.sight != "pending" for one in found.values()):
                raise SystemExit(f"only {len(found)} of {count} were found pending")
            spent = time.process_time()
            await organise.run_once(house)
            whole.append(time.process_time() - spent)

    with (folder / "log").open("w") as file, redirect_stdout(file):
        asyncio.run(in_house(site.kind, config, folder / "state", work))
    site.clear()
    wall, client = (statistics.median(part) for part in zip(*calls, strict=True))
    own, all_of_it = statistics.median(looks), statistics.median(whole)
    print(
        f"{site.kind}: {count:,} jobs polled by one call: {site.poll('')[0]} {wall:.3f} s ({client:.3f} s of processor "
        f"time); caf's own share {own:.3f} s: {own / wall:.2f} x; its whole round {all_of_it:.2f} s of processor time",
        flush=True,
    )


def _rename(conn: sqlite3.Connection, ids: Sequence[tuple[str, int]]) -> None:
    with transaction(conn):
        conn.executemany("UPDATE job SET batch_id = ? WHERE id = ?", ids)
        conn.executemany("UPDATE attempt SET batch_id = ? WHERE job_id = ?", ids)


def _rename_starts(renamed: Sequence[tuple[Path, str, str]]) -> None:
    for start, before, now in renamed:
        if start.exists():
            start.write_text(start.read_text().replace(f"batch={before}\n", f"batch={now}\n"))


def _call(command: list[str]) -> tuple[float, float]:
    before, begun = _children(), time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - begun, _children() - before


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(SITES)}; default: all")
    options.add_argument("--jobs", type=int, default=500, help="submissions")
    options.add_argument("--active", type=int, default=10_000, help="jobs that are polled; 0: none")
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    log.configure()
    for kind in given.kinds or SITES:
        with tempfile.TemporaryDirectory() as temporary, SITES[kind](Path(temporary)) as site:
            os.environ.update(site.environment)
            if given.jobs:
                submissions(site, site.room / "submissions", given.jobs)
            if given.active:
                polling(site, site.room / "polling", given.active, given.rounds)


if __name__ == "__main__":
    main()
