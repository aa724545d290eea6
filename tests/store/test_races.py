"""What people type while a round of a duty is under way is never overwritten by what the duty saw before."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from caf.domain.jobs import State, Word
from caf.store import jobs, making, persons
from caf.store.database import connect
from caf.store.jobs import Change
from caf.store.making import NewJob
from tests.store.feeding import NOW, absorb, job, lead_to, make_jobs, rules, scanned


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(tmp_path / "caf.db", create=True)) as conn:
        absorb(conn, rules(conn), tmp_path, [scanned(1), scanned(2)])
        yield conn


def test_a_second_word_on_a_job_that_is_to_end_counts(conn: sqlite3.Connection) -> None:
    """Reset, then kill, while a round goes by the reset that it has read: the job is not run again."""
    make_jobs(conn, 1)
    lead_to(conn, 1, State.RUNNING)
    jobs.act(conn, 1, "Fit", Word.RESET, NOW + 1, "ann")
    seen = job(conn, 1)
    jobs.act(conn, 1, "Fit", Word.KILL, NOW + 2, "ann")
    change = Change(seen["id"], State.CANCELLING, seen["attempt"], State(seen["next_state"]), "its end was seen")
    assert jobs.apply(conn, [change], NOW + 3, [seen["since"]]) == [False]
    assert (job(conn, 1)["state"], job(conn, 1)["next_state"]) == ("CANCELLING", "CANCELLED")


def test_a_reset_of_a_new_job_during_a_round_is_not_swallowed(conn: sqlite3.Connection) -> None:
    make_jobs(conn, 1)
    seen = job(conn, 1)
    jobs.act(conn, 1, "Fit", Word.RESET, NOW + 1, "ann")
    change = Change(seen["id"], State.NEW, 1, State.PREPARED, "area ready")
    assert jobs.apply(conn, [change], NOW + 2, [seen["since"]]) == [False]
    assert job(conn, 1)["state"] == "NEW"


def test_a_run_assigned_elsewhere_while_jobs_are_made_gets_the_jobs_of_its_listener(conn: sqlite3.Connection) -> None:
    due = making.due_runs(conn)
    persons.assign(conn, 1, "Ramp", NOW, "ann", "it is one", needs_validation=False)
    new = [NewJob(row["run"], "Fit", row["listener"]) for row in due]
    assert making.make(conn, 1, new, [row["run"] for row in due], NOW) == 1
    assert [(row["run"], row["listener"]) for row in making.due_runs(conn)] == [(1, "Ramp")]


def test_a_change_that_cannot_be_stored_holds_up_no_other_job(conn: sqlite3.Connection) -> None:
    """A number beyond SQLite's, or half a character, from a record that a payload wrote."""
    make_jobs(conn, 1)
    rows = [lead_to(conn, run, State.RUNNING) for run in (1, 2)]
    for poison in ({"exit_code": 2**70}, {"node": "\udcff"}):
        changes = [
            Change(rows[0]["id"], State.RUNNING, 1, State.FINISHED, "over", attempt_sets=poison),
            Change(rows[1]["id"], State(job(conn, 2)["state"]), 1, State.FINISHED, "over"),
        ]
        assert jobs.apply(conn, changes, NOW) == [False, True]
        assert (job(conn, 1)["state"], job(conn, 2)["state"]) == ("RUNNING", "FINISHED")
    assert not conn.in_transaction
