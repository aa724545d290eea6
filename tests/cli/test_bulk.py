"""One word about thousands of jobs: shown first, quick, seen to go on, and interrupted at any moment."""

import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from caf.cli import bulk, progress
from caf.store import jobs, making, queries
from caf.store.bulk import Meant, do_group
from caf.store.database import connect, remember, transaction
from tests.cli.pretend import NOW, RAMP, TOP, Site
from tests.world import wait_until

FIRST = 500_001


def fill(site: Site, count: int) -> None:
    """Have so many more runs, each with a NEW job."""
    with closing(site.open()) as conn, transaction(conn):
        row = dict(conn.execute("SELECT * FROM run WHERE run = 490010").fetchone()) | {"jobs_due": 1}
        marks = ", ".join("?" * len(row))
        columns = ", ".join(f'"{name}"' for name in row)
        for run in range(FIRST, FIRST + count):
            values = tuple((row | {"run": run}).values())
            conn.execute(f"INSERT INTO run ({columns}) VALUES ({marks})", values)
    with closing(site.open()) as conn:
        runs = range(FIRST, FIRST + count)
        assert making.make(conn, 1, [making.NewJob(run, RAMP, "Scan") for run in runs], runs, NOW) == count


def count_of(site: Site, state: str) -> int:
    with closing(site.open()) as conn:
        return queries.job_counts(conn).get(state, 0)


def test_what_it_would_do_to_thousands_is_told_in_a_few_lines(site: Site) -> None:
    fill(site, 1200)
    answer = site.caf("jobs", "hold", "--runs", "1-999999")
    assert answer.status == 1
    lines = answer.out.splitlines()
    assert lines[:2] == ["would hold 1203 jobs:", f"  1200 {RAMP} (NEW)"]
    assert sorted(lines[2:5]) == [f"     1 {RAMP} ({state})" for state in ("FAILED", "PREPARED", "RUNNING")]
    assert lines[5:] == [
        "  of runs 490001 to 501200",
        "6 more would be refused, for in their state hold is not possible",
        "To do it, type the same with --yes",
    ]
    assert count_of(site, "NEW") >= 1200


def test_it_is_done_to_thousands_and_counted_by_name_and_state(site: Site) -> None:
    fill(site, 1200)
    answer = site.caf("jobs", "hold", "--state", "NEW", "--job", RAMP, "--yes", "--reason", "flood")
    assert (answer.status, answer.err) == (0, "")
    assert answer.out == f"  1200 {RAMP} (WAITING)\nhold: 1200 done, 0 refused\n"
    with closing(site.open()) as conn:
        assert jobs.find(conn, FIRST + 1199, RAMP)["reason"].endswith(": flood")
        assert queries.findings(conn) == []


def test_of_many_refusals_the_first_few_are_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """They moved on between the look and the word."""
    fill(site, 30)
    look = bulk._meant

    def then_moved(conn: sqlite3.Connection, wanted: queries.JobFilter) -> list[Meant]:
        meant = list(look(conn, wanted))
        with transaction(conn):
            conn.execute("UPDATE job SET state = 'PREPARED' WHERE state = 'NEW' AND run <= ?", (FIRST + 24,))
        return meant

    monkeypatch.setattr(bulk, "_meant", then_moved)
    answer = site.caf("jobs", "hold", "--state", "NEW", "--job", RAMP, "--yes")
    assert answer.status == 1
    lines = answer.err.splitlines()
    assert len(lines) == 11
    assert lines[0] == f"caf: job {RAMP} of run {FIRST} was NEW and is PREPARED now: look again"
    assert lines[-1] == "caf: ... and 15 more were refused"
    assert answer.out.endswith("hold: 5 done, 25 refused\n")


def test_a_person_at_a_terminal_sees_how_far_it_is(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(site, 450)
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(progress, "PERIOD", 0.0)
    assert "\r" not in site.caf("jobs", "hold", "--state", "NEW", "--yes").err  # in a pipe nobody looks
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda _stream: True)
    answer = site.caf("jobs", "start", "--state", "WAITING", "--job", RAMP, "--yes")
    assert "\rstart [########------------]  44 %  200 of 451 jobs" in answer.err
    assert "400 of 451 jobs" in answer.err
    assert answer.err.rpartition("\r ")[2].strip(" \r") == ""  # gone at the end


def test_interrupted_it_leaves_each_job_done_or_not_and_says_how_many(site: Site) -> None:
    """Meanwhile the supervisor, which writes too, is not locked out."""
    fill(site, 1500)
    before = "import caf.cli.bulk as bulk; bulk.GROUP = 10\nfrom caf.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", before, "jobs", "hold", "--state", "NEW", "--job", RAMP, "--yes"],
        cwd=site.folder,
        env={"PYTHONPATH": TOP, "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    waits = []
    with closing(connect(site.state / "caf.db")) as conn:
        start = queries.job_counts(conn)["WAITING"]

        def some_are_done() -> bool:
            began = time.monotonic()
            remember(conn, "supervisor", "writes")
            waits.append(time.monotonic() - began)
            return queries.job_counts(conn)["WAITING"] > start + 20

        wait_until(some_are_done, what="the first jobs")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        done = queries.job_counts(conn)["WAITING"] - start
        assert queries.findings(conn) == []
    assert (process.returncode, err) == (130, "")
    said = re.search(r"^hold: (\d+) done, 0 refused, (\d+) left as they were: the same command again", out, re.M)
    assert said is not None, out
    assert (int(said[1]), int(said[2])) == (done, 1500 - done)
    assert 20 < done < 1500
    assert max(waits) < 5.0  # s; the store's patience is 10


def test_what_was_done_is_told_too_when_something_else_ends_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(site, 450)
    group = do_group
    calls = []

    def second_fails(conn: sqlite3.Connection, meant: list[Meant], do: bulk.Do) -> list[object]:
        calls.append(len(meant))
        if len(calls) == 2:
            raise sqlite3.OperationalError("database or disk is full")
        return list(group(conn, meant, do))

    monkeypatch.setattr(bulk, "do_group", second_fails)
    answer = site.caf("jobs", "hold", "--state", "NEW", "--job", RAMP, "--yes")
    assert (answer.status, "the disk is full" in answer.err) == (1, True)
    assert "hold: 200 done, 0 refused, 250 left as they were" in answer.out
    assert count_of(site, "NEW") == 250
