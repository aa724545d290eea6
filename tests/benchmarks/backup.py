"""What a backup costs those who write meanwhile: the longest that a commit waits, beside SQLite's own online backup.

Another process commits all the time. `python -m tests.benchmarks.backup --megabytes 1000`
"""

import argparse
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from caf.store import backups
from caf.store.audit import note
from caf.store.database import connect, transaction

WRITER = """
import os, sqlite3, sys, time
conn = sqlite3.connect(sys.argv[1], timeout=120, isolation_level=None)
worst = commits = 0
print("ready", flush=True)
while not os.path.exists(sys.argv[2]):
    began = time.perf_counter()
    conn.execute("BEGIN IMMEDIATE")
    conn.execute("INSERT OR REPLACE INTO meta VALUES ('benchmark', ?)", (str(commits),))
    conn.execute("COMMIT")
    worst, commits = max(worst, time.perf_counter() - began), commits + 1
    time.sleep(0.02)
print(commits, worst)
"""


def main() -> None:
    """Print, for each way, how long it took and the longest that a commit waited."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        database = Path(folder, "caf.db")
        _fill(database, given.megabytes)
        print(f"database of {database.stat().st_size / 1e6:.0f} MB")
        for name, way in (("sqlite3 backup(pages=-1)", _whole), ("caf", _ours)) * 2:
            print(f"{name:<26}", _measured(database, way), flush=True)


def _fill(database: Path, megabytes: int) -> None:
    with closing(connect(database, create=True)) as conn:
        for _ in range(megabytes):
            with transaction(conn):
                for number in range(1000):
                    note(conn, float(number), "organise", run=number, job="Fit", was="A", became="B", why="x" * 940)


def _measured(database: Path, way: Callable[[Path, Path], None]) -> str:
    over = database.with_name("over")  # the writer goes on until the backup is done: the wait may come late in it
    over.unlink(missing_ok=True)
    command = [sys.executable, "-c", WRITER, str(database), str(over)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        target = database.with_name("copy.db")
        target.unlink(missing_ok=True)
        began = time.monotonic()
        way(database, target)
        took = time.monotonic() - began
        over.touch()
        commits, worst = writer.stdout.readline().split()
    return f"took {took:5.1f} s; {commits} commits, the longest waited {float(worst):.2f} s"


def _whole(database: Path, target: Path) -> None:
    with closing(sqlite3.connect(database, timeout=60)) as conn, closing(sqlite3.connect(target)) as copy:
        copy.execute("PRAGMA synchronous = OFF")
        conn.backup(copy, pages=-1)


def _ours(database: Path, target: Path) -> None:
    backups.copy_to(str(database), str(target))


if __name__ == "__main__":
    main()
