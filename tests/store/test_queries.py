"""Read-only queries: filters, pages, and that the status never scans what has grown."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from caf.domain.jobs import Result, State, Word
from caf.domain.matching import Status
from caf.store import configurations, jobs, making, queries
from caf.store.database import connect
from caf.store.queries import JobFilter, RunFilter


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database with twelve accepted runs and a job for each."""
    conn = connect(tmp_path / "caf.db", create=True)
    number = configurations.keep(conn, "", "x", "listeners.toml", 1.0)
    conn.execute(
        "INSERT INTO verdict (configuration_id, status, listener, needs_validation, answers) "
        "VALUES (?, 'ACCEPTED', 'L', 0, 'h')",
        (number,),
    )
    conn.executemany(
        'INSERT INTO run (run, "start", status, listener, needs_validation, verdict_id, first_seen, judged, jobs_due) '
        "VALUES (?, ?, 'ACCEPTED', 'L', 0, 1, ?, 1, 1)",
        [(run, None if run % 2 else run * 10**9, float(run)) for run in range(1, 13)],
    )
    making.make(conn, number, [making.NewJob(run, "J", "L") for run in range(1, 13)], range(1, 13), 5.0)
    yield conn
    conn.close()


def numbers(pages: Iterator[list[sqlite3.Row]]) -> list[int]:
    return [row["run"] for page in pages for row in page]


def test_pages_hold_every_row_once_in_order(conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "PAGE", 5)
    assert [len(page) for page in queries.runs(conn, RunFilter())] == [5, 5, 2]
    assert numbers(queries.runs(conn, RunFilter())) == list(range(1, 13))
    assert numbers(queries.jobs(conn, JobFilter())) == list(range(1, 13))


def test_a_run_without_a_start_counts_as_of_the_first_look(conn: sqlite3.Connection) -> None:
    assert numbers(queries.runs(conn, RunFilter(since=9.5))) == [10, 11, 12]


def test_limit_keeps_the_newest_in_order(conn: sqlite3.Connection) -> None:
    assert numbers(queries.runs(conn, RunFilter(limit=2))) == [11, 12]
    assert numbers(queries.jobs(conn, JobFilter(limit=2, runs=((1, 3), (7, 7))))) == [3, 7]


def test_filters_join(conn: sqlite3.Connection) -> None:
    assert numbers(queries.runs(conn, RunFilter((Status.ACCEPTED,), "L", ((2, 3),)))) == [2, 3]
    assert numbers(queries.runs(conn, RunFilter((Status.OPEN,)))) == []
    assert numbers(queries.jobs(conn, JobFilter((State.NEW,), "J", "L", ((2, 3),), 5.0))) == [2, 3]
    assert numbers(queries.jobs(conn, JobFilter(since=5.1))) == []


def test_numbers_beyond_sqlite_are_no_error(conn: sqlite3.Connection) -> None:
    assert numbers(queries.runs(conn, RunFilter(runs=((12, 2**70),)))) == [12]
    assert numbers(queries.runs(conn, RunFilter(runs=((2**70, 2**71),)))) == []


def test_counts_are_in_the_order_of_the_states(conn: sqlite3.Connection) -> None:
    row = jobs.find(conn, 1, "J")
    jobs.apply(conn, [jobs.Change(row["id"], State.NEW, 1, State.FAILED, "why", result=Result.PREPARATION)], 6.0)
    jobs.act(conn, 2, "J", Word.HOLD, 6.0, "me")
    assert list(queries.job_counts(conn).items()) == [("WAITING", 1), ("NEW", 10), ("FAILED", 1)]
    assert queries.run_counts(conn) == {"ACCEPTED": 12}
    assert queries.in_slots(conn) == 0
    assert [row["run"] for row in queries.waiting_jobs(conn)] == [2]
    count, rows = queries.failed_jobs(conn)
    assert (count, [row["run"] for row in rows]) == (1, [1])


def test_the_status_never_scans_runs_or_jobs(conn: sqlite3.Connection) -> None:
    """A million finished jobs must not slow the status down."""
    asked: list[str] = []
    conn.set_trace_callback(asked.append)
    queries.run_counts(conn)
    queries.job_counts(conn)
    queries.failed_jobs(conn)
    queries.waiting_jobs(conn)
    queries.unknown_jobs(conn, 1.0)
    queries.asking_runs(conn, disputed=True)
    conn.set_trace_callback(None)
    assert len(asked) == 8
    for statement in asked:
        for row in conn.execute(f"EXPLAIN QUERY PLAN {statement}"):
            detail = row["detail"]
            assert "INDEX" in detail or "_count" in detail or "TEMP B-TREE" in detail, (statement, detail)


def test_findings_name_what_disagrees(conn: sqlite3.Connection) -> None:
    assert queries.findings(conn) == []
    conn.execute("DELETE FROM transition WHERE source = 'NEW' AND target = 'PREPARED'")
    conn.execute("INSERT INTO transition VALUES ('DONE', 'PENDING')")
    conn.execute("UPDATE run_count SET runs = 3")
    conn.execute("PRAGMA foreign_keys = OFF")
    conn.execute("UPDATE job SET configuration_id = 77 WHERE run = 4")
    assert queries.findings(conn) == [
        "job row 4: refers to a row of configuration that is not there",
        "the table of transitions allows DONE to PENDING",
        "the table of transitions lacks NEW to PREPARED",
        "run_count says 3 ACCEPTED, but there are 12",
    ]


def test_a_used_attempt_without_its_row_is_found(conn: sqlite3.Connection) -> None:
    row = jobs.find(conn, 1, "J")
    jobs.apply(conn, [jobs.Change(row["id"], State.NEW, 1, State.PREPARED, "ready")], 6.0)
    jobs.claim_tokens(conn, [row["id"]], 7.0)
    assert queries.findings(conn) == []
    conn.execute("DELETE FROM attempt")
    assert queries.findings(conn) == ["job J of run 1 is SUBMITTING, but attempt 1 has no row"]
