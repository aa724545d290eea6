"""The budgets of a site's batch systems, beside their own clients in the same run: python -m tests.benchmarks.batch.

A real Slurm and a real HTCondor are brought up on loopback (as root; see tests/clusters), and the stand-in for LSF,
whose clients and daemon are slow: there only the ratios say something. Submissions: caf's own step, from PREPARED jobs
to their batch ids in the database, beside bare calls of the client with the same arguments, as many at once. Polling:
so many jobs that are pending there, by one bare call beside caf's own look and the real round of the organise duty over
them. None of the jobs ever starts.
"""

import argparse
import asyncio
import gc
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
from dataclasses import dataclass
from functools import partial
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


def by_threads(commands: Sequence[list[str]]) -> None:
    """Run bare commands as a script in Python would, as many at once as caf does."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(lambda command: subprocess.run(command, check=True, capture_output=True), commands))


def by_xargs(commands: Sequence[list[str]], file: Path) -> None:
    """Run bare commands by xargs, as many at once as caf does."""
    name, *words = commands[0]
    file.write_text("".join(f"{word}\0" for command in commands for word in command[1:]))
    xargs = ["xargs", "-0", f"--max-args={len(words)}", f"--max-procs={AT_ONCE}", f"--arg-file={file}", name]
    subprocess.run(xargs, check=True, stdout=subprocess.DEVNULL)


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
        gc.freeze()  # as the supervisor does
        await work(house)
        gc.unfreeze()
        await batch.close()


@dataclass(frozen=True, slots=True)
class Spent:
    """What something took (s): time that passed, processor time of this process, and of all that the machine did."""

    wall: float
    own: float
    busy: float

    @classmethod
    def now(cls) -> "Spent":
        user, nice, system, _, _, interrupts, soft, *_ = map(
            int, Path("/proc/stat").read_text().split("\n")[0].split()[1:]
        )
        busy = (user + nice + system + interrupts + soft) / os.sysconf("SC_CLK_TCK")
        return cls(time.monotonic(), time.process_time(), busy)

    def since(self, before: "Spent") -> "Spent":
        return Spent(self.wall - before.wall, self.own - before.own, self.busy - before.busy)


def submissions(site: BenchSite, folder: Path, count: int, turns: int) -> None:
    """Time so many submissions by caf and by bare clients, in turn."""
    taken = [_turn(site, folder / str(number), count) for number in range(turns)]
    caf, threads, xargs = (statistics.median(one.wall for one in part) for part in zip(*taken, strict=True))
    beside_threads = statistics.median(caf.wall / threads.wall for caf, threads, _ in taken)
    beside_xargs = statistics.median(caf.wall / xargs.wall for caf, _, xargs in taken)
    own = statistics.median(caf.own for caf, _, _ in taken)
    busy = statistics.median(caf.busy for caf, _, _ in taken)
    more = statistics.median(caf.busy / xargs.busy for caf, _, xargs in taken)
    print(
        f"{site.kind}: {turns} x {count} submissions, {AT_ONCE} at once: caf {count / caf:.0f} a second; bare "
        f"{site.submitter} by Python's threads {count / threads:.0f}, {beside_threads:.2f} x; by xargs "
        f"{count / xargs:.0f}, {beside_xargs:.2f} x; processor time of each, of the whole machine: "
        f"{1e3 * busy / count:.2f} ms, {more:.2f} x that by xargs; caf's own {1e3 * own / count:.2f} ms, a share of "
        f"{own / busy:.3f}",
        flush=True,
    )


def _turn(site: BenchSite, folder: Path, count: int) -> tuple[Spent, Spent, Spent]:
    config = make_world(folder, folder / "areas", count, count)
    wants = f'listeners = ["Scan"]\nmemory = "100MB"\nwalltime = "1h"\n{site.job}\n'
    config.write_text(config.read_text().replace('listeners = ["Scan"]\n', wants))
    took: list[Spent] = []

    async def work(house: House) -> None:
        await discover.run_once(house)
        counts: dict[str, int] = {}
        while counts.get(State.PREPARED, 0) < count:
            await prepare_new(house)
            counts = await house.database.call(queries.job_counts)
        begun = Spent.now()
        await submit_prepared(house)
        took.append(Spent.now().since(begun))
        rows = await house.database.call(jobs.in_states, [State.PENDING])
        if len([row for row in rows if row["batch_id"]]) != count:
            raise SystemExit(f"only {len(rows)} of {count} were accepted")
        _, table, _ = await house.tables_of(rows[0])
        wanted = (table.queue, table.group, table.cpus, table.memory, table.walltime, table.options)
        for letter, hand_over in (("t", by_threads), ("x", partial(by_xargs, file=folder / "arguments"))):
            given = [Submission(f"{row['token']}{letter}", f"{house.area(row)}/caf.sh", *wanted) for row in rows]
            commands = [site.arguments(one) for one in given]
            begun = Spent.now()
            hand_over(commands)
            took.append(Spent.now().since(begun))

    with (folder / "log").open("w") as file, redirect_stdout(file):
        asyncio.run(in_house(site.kind, config, folder / "state", work))
    site.clear()
    by_caf, threads, xargs = took
    return by_caf, threads, xargs


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
    options.add_argument("--jobs", type=int, default=200, help="submissions in one turn")
    options.add_argument("--turns", type=int, default=5, help="of submissions, by caf and by the bare client")
    options.add_argument("--active", type=int, default=10_000, help="jobs that are polled; 0: none")
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    log.configure()
    os.chdir("/")  # as the supervisor does
    for kind in given.kinds or SITES:
        with tempfile.TemporaryDirectory() as temporary, SITES[kind](Path(temporary)) as site:
            os.environ.update(site.environment)
            if given.jobs:
                submissions(site, site.room / "submissions", given.jobs, given.turns)
            if given.active:
                polling(site, site.room / "polling", given.active, given.rounds)


if __name__ == "__main__":
    main()
