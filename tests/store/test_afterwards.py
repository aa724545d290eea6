"""After-scripts are noted with the outcome that they follow, each once, and an archive waits for them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from caf.domain.jobs import Result, State, Word
from caf.store import afterwards, archives, audit, jobs
from caf.store.afterwards import Script, state_of
from caf.store.database import connect
from caf.store.jobs import Change
from tests.store.feeding import NOW, absorb, job, lead_to, make_jobs, rules, scanned

SCRIPTS = (Script(("config/scanlogs.sh", "a b"), 60.0), Script(("true",), 5.0))
HOUR = 3600.0


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database with two jobs, whose payloads are over."""
    with closing(connect(tmp_path / "caf.db", create=True)) as conn:
        judged_by = rules(conn)
        absorb(conn, judged_by, tmp_path, [scanned(1), scanned(2)])
        make_jobs(conn, judged_by.configuration_id)
        for run in (1, 2):
            lead_to(conn, run, State.FINISHED)
        yield conn


def fail(conn: sqlite3.Connection, run: int, now: float = NOW, attempt: int = 1) -> list[bool]:
    number = job(conn, run)["id"]
    change = Change(number, State.FINISHED, attempt, State.FAILED, "bad", Result.LOG, scripts=SCRIPTS)
    return jobs.apply(conn, [change], now)


def turn(conn: sqlite3.Connection, now: float = NOW) -> sqlite3.Row:
    row = afterwards.next_in_line(conn, now, HOUR)
    assert row is not None
    return row


def work_off(conn: sqlite3.Connection, now: float = NOW) -> list[tuple[int, int, int]]:
    done = []
    while (row := afterwards.next_in_line(conn, now, HOUR)) is not None:
        afterwards.begin(conn, row, now)
        afterwards.end(conn, row, now, None)
        done.append((row["run"], row["attempt"], row["step"]))
    return done


def archivable(conn: sqlite3.Connection) -> list[int]:
    return [row["run"] for row in archives.due(conn, NOW + HOUR, 10)]


def test_scripts_take_their_turns_in_the_order_of_outcomes_and_of_the_list(conn: sqlite3.Connection) -> None:
    assert fail(conn, 2, NOW) == fail(conn, 1, NOW + 1) == [True]
    row = turn(conn)
    assert (row["run"], row["job"], row["attempt"], row["outcome"], row["result"]) == (2, "Fit", 1, "FAILED", "log")
    assert (row["command"], row["timeout"]) == ('["config/scanlogs.sh", "a b"]', 60.0)
    assert work_off(conn) == [(2, 1, 1), (2, 1, 2), (1, 1, 1), (1, 1, 2)]
    assert [state_of(row) for row in afterwards.of_job(conn, job(conn, 1)["id"])] == ["done", "done"]


def test_an_outcome_that_did_not_come_about_has_none(conn: sqlite3.Connection) -> None:
    """A person was quicker; and of one outcome there is only one."""
    jobs.act(conn, 1, "Fit", Word.HOLD, NOW, "ann")
    assert fail(conn, 1) == [False]
    assert fail(conn, 2) == [True]
    assert fail(conn, 2) == [False]
    assert work_off(conn) == [(2, 1, 1), (2, 1, 2)]


def test_those_of_an_attempt_that_is_run_again_stay_its_own(conn: sqlite3.Connection) -> None:
    fail(conn, 1)
    jobs.act(conn, 1, "Fit", Word.RESET, NOW, "ann")
    lead_to(conn, 1, State.FINISHED)
    assert fail(conn, 1, NOW + 1, attempt=2) == [True]
    assert work_off(conn) == [(1, 1, 1), (1, 1, 2), (1, 2, 1), (1, 2, 2)]


def test_an_area_that_cannot_be_used_holds_up_no_other(conn: sqlite3.Connection) -> None:
    fail(conn, 1)
    fail(conn, 2)
    afterwards.put_off(conn, turn(conn), NOW + 30, "it is away")
    assert work_off(conn) == [(2, 1, 1), (2, 1, 2)]
    assert afterwards.next_due(conn) == NOW + 30
    first = afterwards.of_job(conn, job(conn, 1)["id"])[0]
    assert (state_of(first), first["looks"], first["error"]) == ("due", 1, "it is away")
    assert work_off(conn, NOW + 30) == [(1, 1, 1), (1, 1, 2)]
    assert afterwards.next_due(conn) is None


def test_a_clock_that_is_set_back_holds_up_none_for_long(conn: sqlite3.Connection) -> None:
    fail(conn, 1)
    afterwards.put_off(conn, turn(conn), NOW + HOUR, "it is away")
    assert afterwards.next_in_line(conn, NOW, HOUR) is None
    assert afterwards.next_in_line(conn, NOW - 1, HOUR) is not None


def test_one_that_was_interrupted_keeps_its_place_and_counts_its_tries(conn: sqlite3.Connection) -> None:
    fail(conn, 1)
    afterwards.begin(conn, turn(conn), NOW)
    (row,) = afterwards.interrupted(conn)
    assert (row["step"], row["tries"], state_of(row)) == (1, 1, "running")
    afterwards.let_begin_again(conn, row)
    assert afterwards.interrupted(conn) == []
    afterwards.begin(conn, turn(conn), NOW + 1)
    assert [(row["step"], row["tries"]) for row in afterwards.interrupted(conn)] == [(1, 2)]


def test_an_attempt_is_archived_only_when_all_of_them_are_over(conn: sqlite3.Connection) -> None:
    """Even those that failed; and one without any as soon as it is over."""
    fail(conn, 1)
    jobs.apply(conn, [Change(job(conn, 2)["id"], State.FINISHED, 1, State.DONE, "good", Result.OK)], NOW)
    assert archivable(conn) == [2]
    for _ in SCRIPTS:
        row = turn(conn)
        afterwards.begin(conn, row, NOW)
        assert archivable(conn) == [2]
        afterwards.end(conn, row, NOW + 1, "it ended with exit code 1")
    assert archivable(conn) == [2, 1]


def test_a_failure_stands_in_the_audit_trail_and_changes_no_job(conn: sqlite3.Connection) -> None:
    fail(conn, 1)
    before = dict(job(conn, 1))
    afterwards.end(conn, turn(conn), NOW + 1, "it ended with exit code 4")
    afterwards.end(conn, turn(conn), NOW + 2, None)
    assert dict(job(conn, 1)) == before
    (row,) = [row for row in audit.history(conn, run=1) if row["who"] == "afterwards"]
    assert row["why"] == "after-script 1 (config/scanlogs.sh) of attempt 1 failed: it ended with exit code 4"
    assert (row["at"], row["job"], row["attempt"], row["was"], row["became"]) == (NOW + 1, "Fit", 1, None, None)
