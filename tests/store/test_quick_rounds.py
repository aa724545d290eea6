"""What a quick round asks of the database: what is due, what is prepared first, ends and new tokens in one commit."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from caf.domain.jobs import Result, State, Word
from caf.store import audit, jobs, making
from caf.store.database import connect
from caf.store.due import Due, due, to_prepare
from caf.store.jobs import Change
from caf.store.making import NewJob
from caf.store.refill import refill, settle
from tests.store.feeding import NOW, absorb, job, lead_to, make_jobs, rules, scanned


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database with a NEW job for each of six runs."""
    with closing(connect(tmp_path / "caf.db", create=True)) as conn:
        judged_by = rules(conn)
        absorb(conn, judged_by, tmp_path, [scanned(run) for run in range(1, 7)])
        make_jobs(conn, judged_by.configuration_id)
        yield conn


def finished(row: sqlite3.Row) -> Change:
    return Change(row["id"], State(row["state"]), row["attempt"], State.FINISHED, "over")


def test_ends_and_tokens_are_one_commit_with_every_change_on_record(conn: sqlite3.Connection) -> None:
    out, new = (
        [lead_to(conn, run, State.RUNNING) for run in (1, 2)],
        [lead_to(conn, run, State.PREPARED) for run in (3, 4)],
    )
    commits: list[str] = []
    conn.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    since = [row["since"] for row in out]
    done, tokens = refill(conn, [finished(row) for row in out], since, [row["id"] for row in new], NOW + 1)
    conn.set_trace_callback(None)
    assert (done, list(tokens), len(commits)) == ([True, True], [row["id"] for row in new], 1)
    assert [job(conn, run)["state"] for run in (1, 2, 3, 4)] == ["FINISHED", "FINISHED", "SUBMITTING", "SUBMITTING"]
    for run, became in ((1, "FINISHED"), (3, "SUBMITTING")):
        assert audit.history(conn, run=run)[-1]["became"] == became


def test_a_slot_that_was_not_freed_after_all_is_not_given_away(conn: sqlite3.Connection) -> None:
    """A person was quicker: the job is CANCELLING now, and has its slot until its end is proved."""
    out, new = (
        [lead_to(conn, run, State.RUNNING) for run in (1, 2)],
        [lead_to(conn, run, State.PREPARED) for run in (3, 4)],
    )
    jobs.act(conn, 1, "Fit", Word.KILL, NOW, "ann")
    since = [row["since"] for row in out]
    done, tokens = refill(conn, [finished(row) for row in out], since, [row["id"] for row in new], NOW + 1)
    assert (done, list(tokens)) == ([False, True], [new[0]["id"]])
    assert job(conn, 4)["state"] == "PREPARED"


def test_all_or_nothing_survives(conn: sqlite3.Connection) -> None:
    out, new = lead_to(conn, 1, State.RUNNING), lead_to(conn, 3, State.PREPARED)
    conn.execute("CREATE TEMP TRIGGER no BEFORE INSERT ON attempt BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(sqlite3.IntegrityError):
        refill(conn, [finished(out)], [out["since"]], [new["id"]], NOW + 1)
    assert [job(conn, run)["state"] for run in (1, 3)] == ["RUNNING", "PREPARED"]
    assert not conn.in_transaction


def test_what_is_due(conn: sqlite3.Connection) -> None:
    assert due(conn, NOW) == Due(None, None, cancelling=False, waiting=True)
    row = job(conn, 1)
    jobs.apply(conn, [Change(row["id"], State.NEW, 1, State.NEW, "later", sets={"not_before": NOW + 9})], NOW)
    for run in range(2, 7):
        row = lead_to(conn, run, State.RUNNING)
    assert due(conn, NOW) == Due(NOW + 9, None, cancelling=False, waiting=False)
    assert due(conn, NOW + 9).waiting
    doubtful = Change(row["id"], State.RUNNING, 1, State.RUNNING, "not known", sets={"unknown_since": NOW + 1})
    jobs.act(conn, 2, "Fit", Word.KILL, NOW, "ann")
    assert settle(conn, [doubtful], [row["since"]], NOW) == (
        [True],
        Due(NOW + 9, NOW + 1, cancelling=True, waiting=False),
    )


def test_a_doubt_about_what_is_over_is_no_longer_due(conn: sqlite3.Connection) -> None:
    row = lead_to(conn, 1, State.FINISHED)
    jobs.apply(conn, [Change(row["id"], State.FINISHED, 1, State.FAILED, "lost", Result.NODE)], NOW)
    assert settle(conn, [], [], NOW)[1].doubted is None


def test_the_first_to_prepare_are_those_of_the_highest_priority_then_of_the_oldest_runs(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "caf.db", create=True)) as conn:
        judged_by = rules(conn)
        absorb(conn, judged_by, tmp_path, [scanned(run) for run in (3, 1, 2)])
        new = [NewJob(run, name, "Scan", priority) for run in (3, 1, 2) for name, priority in (("A", 0), ("B", 5))]
        making.make(conn, judged_by.configuration_id, new, [1, 2, 3], NOW)
        staged = job(conn, 2, "B")
        jobs.apply(conn, [Change(staged["id"], State.NEW, 1, State.STAGING, "asked for")], NOW)
        order = [("B", 1), ("B", 2), ("B", 3), ("A", 1), ("A", 2), ("A", 3)]
        for limit in range(8):
            assert [(row["job"], row["run"]) for row in to_prepare(conn, NOW, limit)] == order[:limit]
        waits = Change(job(conn, 1, "B")["id"], State.NEW, 1, State.NEW, "waits", sets={"not_before": NOW + 10})
        jobs.apply(conn, [waits], NOW)
        assert [row["run"] for row in to_prepare(conn, NOW + 9.9, 2)] == [2, 3]
        assert [row["run"] for row in to_prepare(conn, NOW + 10, 2)] == [1, 2]


@pytest.mark.parametrize("state", ["NEW", "STAGING"])
def test_those_to_prepare_are_found_without_sorting_all(conn: sqlite3.Connection, state: str) -> None:
    """Ten thousand may wait, and a quick round takes twenty."""
    asked: list[str] = []
    conn.set_trace_callback(asked.append)
    to_prepare(conn, NOW, 2)
    conn.set_trace_callback(None)
    (select,) = [sql for sql in asked if f"state = '{state}'" in sql]
    plan = " ".join(row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {select}"))
    assert "COVERING INDEX job_open" in plan
    assert "ORDER BY" not in plan.replace("RIGHT PART OF ORDER BY", "")
