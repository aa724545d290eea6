"""A death while the jobs of a round are made: all of them or none, or too many at once would look like few."""

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from caf.store import configurations, making, queries
from caf.store.database import connect
from caf.store.making import NewJob
from tests.store.feeding import NOW, absorb, rules, scanned

FLOOD = "2 new jobs in one round are more than max_new_jobs = 1"


def make_both(conn: sqlite3.Connection) -> int:
    """Make the jobs of two runs that were accepted under two configurations, as `_make_jobs` of discover does."""
    jobs = {run: [NewJob(run, "Fit", "Scan", waits=FLOOD)] for run in (1, 2)}  # configurations 1 and 2
    return making.make_all(conn, jobs, [1, 2], NOW)


def die_at(path: Path, statement: int) -> int:
    """Make them in a process that is killed at its n-th statement; gives how many statements it began."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            conn = connect(path)
            seen = [0]

            def count(_statement: str) -> None:
                seen[0] += 1
                os.write(writing, b".")
                if seen[0] == statement:
                    os.kill(os.getpid(), signal.SIGKILL)

            conn.set_trace_callback(count)
            make_both(conn)
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    begun = len(os.read(reading, 1 << 16))
    os.close(reading)
    return begun


def test_all_jobs_of_a_round_are_made_or_none(tmp_path: Path) -> None:
    number, begun = 0, 0
    while begun == number:  # until it was not killed any more
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        with closing(connect(folder / "caf.db", create=True)) as conn:
            absorb(conn, rules(conn), folder, [scanned(1), scanned(2)])
            assert configurations.keep(conn, "two", "two", "listeners.toml", NOW) == 2
            begun = die_at(folder / "caf.db", number)
            due = [row["run"] for row in making.due_runs(conn)]
            assert (due, queries.job_counts(conn)) in [([1, 2], {}), ([], {"WAITING": 2})]
            assert make_both(conn) == len(due)  # the next round makes what is left
            assert queries.job_counts(conn) == {"WAITING": 2}
            assert queries.findings(conn) == []
    assert number > 10
