"""The queue for slots: live jobs first, then by priority, then the names in turn, of each the oldest run first."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caf.domain.jobs import State, Word
from caf.domain.runs import SECOND
from caf.domain.turns import FRESH
from caf.store import jobs, making, queue
from caf.store.database import connect, transaction
from caf.store.making import NewJob
from tests.store.feeding import DAY, NOW, absorb, rules, scanned

OLD = int((NOW - 100 * DAY) * SECOND)
LIVE_RUNS, OLD_RUNS = range(11, 17), range(1, 7)


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database with runs of today and runs of long ago, all accepted, their jobs not made yet."""
    with closing(connect(tmp_path / "caf.db", create=True)) as conn:
        old = [scanned(run, start=OLD, end=OLD + SECOND) for run in OLD_RUNS]
        absorb(conn, rules(conn), tmp_path, [*old, *(scanned(run) for run in LIVE_RUNS)])
        yield conn


def ready(conn: sqlite3.Connection, *wanted: tuple[int, str, int]) -> None:
    """Make jobs (run, name, priority) and have them PREPARED."""
    runs = {run for run, _, _ in wanted}
    making.make(conn, 1, [NewJob(run, name, "Scan", priority) for run, name, priority in wanted], runs, NOW)
    changes = [
        jobs.Change(row["id"], State.NEW, row["attempt"], State.PREPARED, "ready")
        for row in jobs.in_states(conn, [State.NEW])
    ]
    assert all(jobs.apply(conn, changes, NOW))


def line(conn: sqlite3.Connection, limit: int = 100, now: float = NOW) -> list[tuple[int, str]]:
    return [(row["run"], row["job"]) for row in queue.in_line(conn, now, limit)]


def hand_over(conn: sqlite3.Connection, count: int) -> list[tuple[int, str]]:
    rows = queue.in_line(conn, NOW, count)
    assert len(jobs.claim_tokens(conn, [row["id"] for row in rows], NOW)) == len(rows)
    return [(row["run"], row["job"]) for row in rows]


def test_todays_runs_go_before_history_whatever_its_priority(conn: sqlite3.Connection) -> None:
    ready(conn, (1, "Fit", 9), (2, "Fit", 9), (11, "Map", 0), (12, "Map", 0))
    assert line(conn) == [(11, "Map"), (12, "Map"), (1, "Fit"), (2, "Fit")]


def test_a_higher_priority_goes_first_and_then_the_oldest_run(conn: sqlite3.Connection) -> None:
    ready(conn, (13, "Fit", 0), (12, "Fit", 0), (16, "Map", 5), (15, "Map", -1))
    assert line(conn) == [(16, "Map"), (12, "Fit"), (13, "Fit"), (15, "Map")]


def test_a_job_that_is_reset_is_live_only_if_its_run_is_fresh_then(conn: sqlite3.Connection) -> None:
    """Thousands of old jobs that are run again are history too."""
    ready(conn, (11, "Fit", 0), (12, "Fit", 0))
    late = NOW + FRESH
    jobs.act(conn, 11, "Fit", Word.RESET, NOW + 60, "ann")
    assert jobs.find(conn, 11, "Fit")["live"] == 1
    jobs.act(conn, 11, "Fit", Word.RESET, late, "ann")
    row = jobs.find(conn, 11, "Fit")
    assert (row["live"], row["state"]) == (0, "NEW")
    jobs.apply(conn, [jobs.Change(row["id"], State.NEW, 1, State.PREPARED, "ready")], late)
    assert line(conn, now=late) == [(12, "Fit"), (11, "Fit")]


def test_one_that_waited_long_for_a_person_stays_live(conn: sqlite3.Connection) -> None:
    ready(conn, (11, "Fit", 0))
    jobs.act(conn, 11, "Fit", Word.HOLD, NOW, "ann")
    jobs.act(conn, 11, "Fit", Word.START, NOW + 2 * FRESH, "ann")
    assert jobs.find(conn, 11, "Fit")["live"] == 1


def test_a_run_without_times_is_as_fresh_as_cafs_first_look_at_it(conn: sqlite3.Connection, tmp_path: Path) -> None:
    absorb(conn, rules(conn), tmp_path, [scanned(90, start=None, end=None)])
    assert queue.live_now(conn, 90, NOW + DAY)
    assert not queue.live_now(conn, 90, NOW + FRESH + DAY)


def test_names_take_turns_also_with_one_slot_at_a_time(conn: sqlite3.Connection) -> None:
    ready(conn, *((run, "Many", 0) for run in LIVE_RUNS), (16, "One", 0))
    served = [hand_over(conn, 1)[0] for _ in range(3)]
    assert served == [(11, "Many"), (16, "One"), (12, "Many")]


def test_one_in_back_off_is_passed_over_until_it_is_due(conn: sqlite3.Connection) -> None:
    ready(conn, (11, "Fit", 0), (12, "Fit", 0))
    with transaction(conn):
        conn.execute("UPDATE job SET not_before = ? WHERE run = 11", (NOW + 60,))
    assert line(conn) == [(12, "Fit")]
    assert queue.before(conn, jobs.find(conn, 11, "Fit"), NOW) is None
    assert line(conn, now=NOW + 60) == [(11, "Fit"), (12, "Fit")]


def test_names_that_are_barred_leave_their_turn_to_others(conn: sqlite3.Connection) -> None:
    ready(conn, (11, "Fit", 0), (12, "Map", 0))
    assert [row["job"] for row in queue.in_line(conn, NOW, 9, {"Fit"})] == ["Map"]


WANTED = st.lists(
    st.tuples(st.sampled_from([*OLD_RUNS, *LIVE_RUNS]), st.sampled_from("ABC"), st.integers(0, 1)),
    min_size=1,
    unique_by=lambda one: one[:2],
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=WANTED, last=st.sampled_from("ABCD"), limit=st.integers(0, 40))
def test_how_many_go_before_a_job_is_its_place_in_line(
    conn: sqlite3.Connection, wanted: list[tuple[int, str, int]], last: str, limit: int
) -> None:
    conn.execute("SAVEPOINT example")
    try:
        queue.take_turn(conn, [last])
        for run, name, priority in wanted:
            live = queue.live_now(conn, run, NOW)
            conn.execute(
                "INSERT INTO job (run, job, listener, configuration_id, priority, live, state, reason, created, since, "
                "updated) VALUES (?, ?, 'Scan', 1, ?, ?, 'PREPARED', '', 0, 0, 0)",
                (run, name, priority, live),
            )
        whole = line(conn)
        assert sorted(whole) == sorted((run, name) for run, name, _ in wanted)
        for place, (run, name) in enumerate(whole):
            assert queue.before(conn, jobs.find(conn, run, name), NOW) == place
        assert line(conn, limit) == whole[:limit]
    finally:
        conn.execute("ROLLBACK TO example")
        conn.execute("RELEASE example")


def test_only_a_job_that_is_ready_has_a_place(conn: sqlite3.Connection) -> None:
    ready(conn, (11, "Fit", 0))
    hand_over(conn, 1)
    assert queue.before(conn, jobs.find(conn, 11, "Fit"), NOW) is None


def test_the_queue_is_read_from_its_index(conn: sqlite3.Connection) -> None:
    """What it costs depends on what is in the queue, not on history."""
    asked: list[str] = []
    ready(conn, (11, "Fit", 0))
    conn.set_trace_callback(asked.append)
    line(conn)
    conn.set_trace_callback(None)
    for statement in [one for one in asked if "not_before" in one]:
        plan = " ".join(row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {statement}"))
        assert "COVERING INDEX job_queue" in plan, plan
        assert "TEMP B-TREE" not in plan, plan
