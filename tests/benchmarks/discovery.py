"""The three discovery budgets, as ratios to plain sqlite3 in the same run: python -m tests.benchmarks.discovery.

Processor time (user and system, children included) is compared, each round of everything in turn, and the median is
given: these machines are noisy. A million runs take some minutes and two gigabytes.
"""

import argparse
import asyncio
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from caf import log
from caf.batch.local import LocalBatch
from caf.config import Configuration, load
from caf.domain.discovery import Rules
from caf.domain.runs import SECOND
from caf.shipped import shipped
from caf.sources import absorbed
from caf.sources.cool import read_runs
from caf.sources.cool.runs import Known
from caf.storage.child import FileChild
from caf.store import configurations, discovery
from caf.store.database import connect, database_id, open_database
from caf.store.newcomers import Bulk
from caf.tasks import discover, organise
from caf.tasks.house import CALLS, House
from caf.tasks.standing import own_work
from tests.benchmarks.big_replica import make

PLAIN = {
    "/TDAQ/RunCtrl/SOR": "RunNumber,SORTime,RunType,DAQConfiguration,DetectorMask,T0ProjectTag,RecordingEnabled",
    "/TDAQ/RunCtrl/EOR": "RunNumber,EORTime,TotalTime,CleanStop,IOV_UNTIL,DAQConfiguration",
    "/TDAQ/RunCtrl/EventCounters": "IOV_SINCE,PartitionName,L1Events,L2Events,EFEvents,RecordedEvents",
    "/TRIGGER/LUMI/LBLB": "IOV_SINCE,EndTime",
    "/TRIGGER/L1Calo/V1/Conditions/DerivedRunPars": "IOV_SINCE,IOV_UNTIL,NEW_HEAD_ID,tierZeroTag",
    "/TRIGGER/Receivers/Conditions/Strategy": "IOV_SINCE,IOV_UNTIL,name",
}
PAGE = discover.PAGE


def processor_time(work: Callable[[], object]) -> float:
    """Give the seconds of processor time that some work takes here and in children that it waits for."""
    before = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    work()
    after = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(a.ru_utime + a.ru_stime - b.ru_utime - b.ru_stime for a, b in zip(after, before, strict=True))


def plain_read(replica: Path) -> None:
    """Read the same columns of the same folders with sqlite3 and nothing else."""
    with closing(sqlite3.connect(f"file:{replica}?mode=ro", uri=True)) as conn:
        tables = dict(conn.execute("SELECT NODE_FULLPATH, FOLDER_IOVTABLENAME FROM CONDBR2_NODES WHERE NODE_ISLEAF"))
        for folder, columns in PLAIN.items():
            for _row in conn.execute(f"SELECT {columns} FROM {tables[folder]}"):
                pass


def absorb_all(conn: sqlite3.Connection, rules: Rules) -> None:
    """Take the attached snapshot over as the discover duty does."""
    bulk, after = Bulk(), -1
    while after is not None:
        page = discovery.absorb(conn, rules, after, PAGE, time.time(), time.time_ns(), bulk)
        after = page.last  # type: ignore[assignment]  # None ends the loop


def rules_of(conn: sqlite3.Connection, configuration: Configuration) -> Rules:
    kept = configurations.keep(conn, configuration.text, configuration.sha256, str(configuration.path), time.time())
    settle = int(configuration.caf.settle * SECOND)
    return Rules(kept, configuration.listeners_in_force(), configuration.corrections_in_force(), settle)


def looks(folder: Path, replica: Path, rounds: int) -> dict[str, list[float]]:
    """Time a plain read, a first look, and looks at a changed replica with and without the last snapshot, in turn."""
    configuration = load(shipped("listeners.toml"))
    snapshot, last = folder / "snapshot.db", folder / "source.db"
    times: dict[str, list[float]] = {"plain": [], "first look": [], "changed": [], "changed, last snapshot lost": []}
    for _ in range(rounds):
        times["plain"].append(processor_time(lambda: plain_read(replica)))
        database = folder / "caf.db"
        database.unlink(missing_ok=True)
        with closing(connect(database, create=True)) as conn:
            rules = rules_of(conn, configuration)

            def look(known: Known | None, conn: sqlite3.Connection = conn, rules: Rules = rules) -> None:
                found = read_runs([str(replica)], "CONDBR2", 0, {}, str(snapshot), known=known)
                assert found["differing"] is (known is not None)
                discovery.attach(conn, str(snapshot))
                absorb_all(conn, rules)
                discovery.detach(conn)
                absorbed.keep(str(snapshot), str(last), None if known is None else known.token, "1", time.time())

            times["first look"].append(processor_time(lambda: look(None)))
            times["changed"].append(processor_time(lambda: look(Known(str(last), "1", time.time()))))
            times["changed, last snapshot lost"].append(processor_time(lambda: look(None)))
    return times


def finish_jobs(database: Path, jobs: int) -> None:
    """Give the first runs a finished job each."""
    with closing(connect(database)) as conn:
        conn.execute(
            "INSERT INTO job (run, job, listener, configuration_id, state, result, reason, token, created, since, "
            "updated) SELECT run, 'Done', 'L', 1, 'DONE', 'ok', 'good', 'caf-' || run, 1, 1, 1 FROM run LIMIT ?",
            (jobs,),
        )
        conn.execute("UPDATE run SET jobs_due = 0 WHERE jobs_due = 1")


async def quiet_rounds(folder: Path, replica: Path, rounds: int) -> list[float]:
    """Time rounds of both duties over an unchanged replica; gives seconds of processor time each."""
    text = shipped("listeners.toml").read_text().replace('"cool/*.db"', f'"{replica}"')
    (folder / "listeners.toml").write_text(text)
    log.configure()
    configuration = load(folder / "listeners.toml")
    async with open_database(folder / "caf.db") as database, FileChild(CALLS) as files:
        identity = await database.call(database_id)
        batch = LocalBatch(lambda: None, clock=time.time)
        rules = await database.call(rules_of, configuration)
        kept = rules.configuration_id
        house = House(configuration, kept, database, identity, files, files, files, batch, time.time)
        house.generation = await own_work(database, files, str(configuration.caf.work), identity, take_over=True)
        await discover.run_once(house)  # reads it once, since the benchmark itself has absorbed it before
        times = []
        for _ in range(rounds):
            begin = time.process_time()
            await discover.run_once(house)
            await organise.run_once(house)
            times.append(time.process_time() - begin)
        await batch.close()
    return times


def memory_of_first_look(replica: Path) -> float:
    """Give the largest memory (MB) of a process that does a first look."""
    program = (
        "import sys, tempfile; from pathlib import Path; from tests.benchmarks import discovery as d\n"
        "with tempfile.TemporaryDirectory() as folder: d.one_look(Path(folder), Path(sys.argv[1]))\n"
        "print(d.resource.getrusage(d.resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(replica)], stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout.split()[-1]) / 1024


def one_look(folder: Path, replica: Path) -> None:
    """Do a first look and nothing else."""
    configuration, snapshot = load(shipped("listeners.toml")), folder / "snapshot.db"
    read_runs([str(replica)], "CONDBR2", 0, {}, str(snapshot))
    with closing(connect(folder / "caf.db", create=True)) as conn:
        discovery.attach(conn, str(snapshot))
        absorb_all(conn, rules_of(conn, configuration))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--folder", type=Path, help="where to work; a replica that is there already is used again")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        replica = folder / f"replica-{given.runs}.db"
        if not replica.exists():
            make(replica, given.runs)
        times = looks(folder, replica, given.rounds)
        plain = statistics.median(times["plain"])
        for name, seconds in times.items():
            each = ", ".join(f"{second:.2f}" for second in seconds)
            print(f"{name:28} {statistics.median(seconds) / plain:5.2f} x plain   ({each} s)")
        print(f"memory of a first look: {memory_of_first_look(replica):.0f} MB")
        finish_jobs(folder / "caf.db", given.runs)
        quiet = asyncio.run(quiet_rounds(folder, replica, 20))
        print(
            f"a round over an unchanged replica: {1000 * statistics.median(quiet):.1f} ms "
            f"(largest {1000 * max(quiet):.1f})"
        )


if __name__ == "__main__":
    main()
