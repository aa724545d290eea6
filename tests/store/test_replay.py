"""Replay: what other rules make of known runs, as judged one by one; and for good, with the old verdicts kept."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caf.domain.discovery import Moments, Rules, reconsider
from caf.domain.matching import Condition, Listener, Operator, Status
from caf.domain.runs import SECOND, Correction
from caf.store import audit, configurations, making, persons, queries, replay
from caf.store.database import connect
from caf.store.replay import Difference, Kind, Standing
from caf.store.rows import seen_from
from tests.store.feeding import DAY, NOW, RAMP, SCAN, absorb, look_again, make_jobs, rules, scanned
from tests.store.test_newcomers import CORRECTIONS, LISTENERS, RUNS

NOW_NS = int(NOW * SECOND)
ALL = ((0, 10**9),)
ANY_SCAN = Listener("Scan", SCAN.conditions[:1])
MOVED = Listener("Other", SCAN.conditions)


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(tmp_path / "caf.db", create=True)) as conn:
        yield conn


def found(conn: sqlite3.Connection, judged_by: Rules, ranges: Any = None, now: float = NOW) -> dict[int, Difference]:
    pages = replay.differences(conn, judged_by, now, int(now * SECOND), ranges)
    return {difference.run: difference for _, page in pages for difference in page}


def applied(conn: sqlite3.Connection, judged_by: Rules, ranges: Any = ALL) -> dict[int, Difference]:
    changed: dict[int, Difference] = {}
    after: int | None = -1
    while after is not None:
        after, _, page = replay.apply(conn, judged_by, NOW, NOW_NS, ranges, "ann", "replayed: why", after)
        changed |= {difference.run: difference for difference in page}
    return changed


def _one_by_one(conn: sqlite3.Connection, judged_by: Rules, now: int, replica_time: int) -> dict[int, Standing]:
    """Judge every run on its own, as the domain does, and give those that would stand elsewhere."""
    moved = {}
    for row in conn.execute("SELECT * FROM run WHERE decided_by IS NULL"):
        moments = Moments(now, replica_time, int(row["first_seen"] * SECOND), row["last_change"])
        _, verdict = reconsider(seen_from(row), judged_by, moments)
        becomes = Standing(verdict.status, verdict.listener, verdict.needs_validation)
        needs = row["needs_validation"]
        was = Standing(Status(row["status"]), row["listener"], None if needs is None else bool(needs))
        if was != becomes:
            moved[row["run"]] = becomes
    return moved


@settings(max_examples=80, deadline=None)
@given(
    runs=RUNS,
    before=st.tuples(LISTENERS, CORRECTIONS, st.sampled_from([1, 100, 10_000])),
    after=st.tuples(LISTENERS, CORRECTIONS, st.sampled_from([1, 100, 10_000])),
    later=st.sampled_from([0, 50, 200]),
    page=st.sampled_from([1, 3, 20_000]),
)
@pytest.mark.campaign
def test_the_difference_is_that_of_judging_one_by_one(
    runs: list[Mapping[str, Any]], before: tuple[Any, ...], after: tuple[Any, ...], later: int, page: int
) -> None:
    """With corrections, open and settled runs, another `settle`, and runs that a person decided on."""
    old, new = (Rules(1, each[0], each[1], each[2] * SECOND) for each in (before, after))
    now = NOW + later
    with TemporaryDirectory() as folder, closing(connect(Path(folder) / "caf.db", create=True)) as conn:
        configurations.keep(conn, "x", "x", "x", NOW)
        absorb(conn, old, Path(folder), [{"run": number, **run} for number, run in enumerate(runs, 1)])
        persons.ignore(conn, 1, NOW, "ann", "a test")
        trail = list(conn.iterdump())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(replay, "PAGE", page)
            got = {run: difference.becomes for run, difference in found(conn, new, now=now).items()}
        assert got == _one_by_one(conn, new, int(now * SECOND), int(now * SECOND))
        assert list(conn.iterdump()) == trail


def test_each_kind_of_difference(conn: sqlite3.Connection, tmp_path: Path) -> None:
    few = Listener("Few", (Condition("run_type", Operator.EQUAL, "few"),), min_events=10)
    gone = Listener("Gone", (Condition("run_type", Operator.EQUAL, "gone"),))
    twin = Listener("Twin", (Condition("run_type", Operator.EQUAL, "twin"),))
    absorb(
        conn,
        rules(conn, (SCAN, few, gone, twin, replace(twin, name="Twin2"))),
        tmp_path,
        [
            scanned(1, recorded=0),
            scanned(2),
            scanned(3, run_type="few", stored_events=5),
            scanned(4, run_type="gone"),
            scanned(5, run_type="twin"),
            scanned(6, run_type="nobody"),
        ],
    )
    new = (Listener("All", SCAN.conditions[:1]), replace(few, min_events=None))
    differences = found(conn, rules(conn, new, text="new"))
    assert {run: difference.kind for run, difference in differences.items()} == {
        1: Kind.GAINED,
        2: Kind.MOVED,
        3: Kind.VALIDATION,
        4: Kind.LOST,
        5: Kind.OTHER,
    }
    assert differences[5].was.status is Status.CONFLICT
    assert differences[3].becomes == Standing(Status.ACCEPTED, "Few", False)


def test_only_the_runs_asked_for_are_judged(conn: sqlite3.Connection, tmp_path: Path) -> None:
    absorb(conn, rules(conn), tmp_path, [scanned(run, recorded=0) for run in range(1, 8)])
    new = rules(conn, (ANY_SCAN,), text="new")
    assert list(found(conn, new, ((2, 3), (6, 2**70)))) == [2, 3, 6, 7]
    assert list(found(conn, new, ((2**70, 2**71),))) == []
    assert (replay.count(conn), replay.count(conn, ((2, 3),))) == (7, 2)


def test_only_runs_newly_taken_and_without_jobs_get_jobs(conn: sqlite3.Connection, tmp_path: Path) -> None:
    judged_by = rules(conn, (SCAN, RAMP))
    ramp = {"run_type": "ramp", "stored_events": 5}
    absorb(conn, judged_by, tmp_path, [scanned(1, recorded=0), scanned(2), scanned(3, **ramp)])
    assert make_jobs(conn, judged_by.configuration_id) == 2
    absorb(conn, judged_by, tmp_path, [scanned(4), scanned(5, **ramp)])
    conn.execute("UPDATE run SET jobs_due = 0")  # of a listener that had no jobs then
    new = (Listener("All", SCAN.conditions[:1]), replace(RAMP, min_events=None))
    differences = found(conn, rules(conn, new, text="new"))
    assert differences[2].jobs == ("Fit",)
    made = replay.jobs_to_make(list(differences.values()), {"All": ["Fit", "Plot"], "Ramp": ["Fit"]})
    assert made == [(1, "Fit"), (1, "Plot"), (4, "Fit"), (4, "Plot")]
    applied(conn, rules(conn, new, text="new"))
    assert [row["run"] for row in making.due_runs(conn)] == [1, 4]


def test_what_is_applied_is_what_was_shown_and_then_nothing_differs(
    conn: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "APPLIED", 2)
    absorb(conn, rules(conn), tmp_path, [scanned(run, recorded=run % 2) for run in range(1, 6)])
    new = rules(conn, (ANY_SCAN,), text="new")
    shown = found(conn, new)
    assert list(shown) == [2, 4]
    assert applied(conn, new) == shown
    assert found(conn, new) == {}
    assert applied(conn, new) == {}
    assert queries.run_counts(conn) == {"ACCEPTED": 5}
    assert queries.findings(conn) == []


def test_what_is_applied_keeps_the_old_verdict_and_says_who_and_why(conn: sqlite3.Connection, tmp_path: Path) -> None:
    lately = {"start": NOW_NS - 10 * SECOND, "end": None, "recorded": None}
    absorb(conn, rules(conn), tmp_path, [scanned(1, recorded=0), scanned(2, **lately), scanned(3)])
    assert queries.run_counts(conn) == {"OPEN": 1, "ACCEPTED": 1, "UNCLAIMED": 1}
    applied(conn, rules(conn, (ANY_SCAN,), text="new"), ((1, 2),))
    for run, was in ((1, "UNCLAIMED"), (2, "OPEN")):
        row = audit.history(conn, run=run)[-1]
        assert (row["who"], row["was"], row["became"], row["why"]) == ("ann", was, "ACCEPTED", "replayed: why")
    former = queries.former_verdicts(conn, 1)[0]
    assert (former["status"], former["configuration_id"], former["why"]) == ("UNCLAIMED", 1, "replayed: why")
    assert queries.former_verdicts(conn, 3) == []


def test_jobs_that_are_made_stay_and_the_run_is_shown(conn: sqlite3.Connection, tmp_path: Path) -> None:
    judged_by = rules(conn)
    absorb(conn, judged_by, tmp_path, [scanned(1)])
    make_jobs(conn, judged_by.configuration_id)
    applied(conn, rules(conn, (MOVED,), text="new"))
    row = queries.run(conn, 1)
    assert row is not None
    assert (row["listener"], row["disputed"], row["jobs_due"]) == ("Other", 1, 0)
    assert len(queries.jobs_of(conn, 1)) == 1


def test_what_a_person_decided_is_neither_judged_nor_changed(conn: sqlite3.Connection, tmp_path: Path) -> None:
    absorb(conn, rules(conn), tmp_path, [scanned(1, recorded=0), scanned(2)])
    persons.ignore(conn, 1, NOW, "ann", "a test")
    persons.assign(conn, 2, "Ramp", NOW, "ann", "a test", needs_validation=True)
    new = rules(conn, (ANY_SCAN,), text="new")
    assert (found(conn, new), applied(conn, new), replay.count(conn)) == ({}, {}, 0)


def test_a_longer_settle_opens_what_was_settled(conn: sqlite3.Connection, tmp_path: Path) -> None:
    """Runs that are alike but for their age must not be judged alike."""
    old = NOW_NS - int(9 * DAY * SECOND)
    absorb(conn, rules(conn), tmp_path, [scanned(1, start=old, end=old, recorded=None), scanned(2, recorded=None)])
    assert queries.run_counts(conn) == {"UNCLAIMED": 2}
    longer = replace(rules(conn), settle=int(5 * DAY * SECOND))
    assert {run: one.becomes.status for run, one in found(conn, longer).items()} == {2: Status.OPEN}


def test_the_newest_run_that_both_would_take_is_found(
    conn: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "PAGE", 2)
    judged_by = rules(conn)
    lately = {"start": NOW_NS - 10 * SECOND, "end": None}
    runs = [scanned(1), scanned(2), scanned(3, run_type="x"), scanned(4, recorded=0), scanned(5, run_type="scan2")]
    absorb(conn, judged_by, tmp_path, [*runs, scanned(6, recorded=None, **lately), scanned(7, run_type="y")])
    word = Listener("Word", (Condition("run_type", Operator.CONTAINS, "scan"),))
    corrected = Correction(((3, 3),), {"run_type": "scan"}, "it was")
    three = replace(judged_by, listeners=(SCAN, word, RAMP))
    pairs = [("Scan", "Word"), ("Scan", "Ramp")]
    assert replay.taken_by_both(conn, three, pairs, NOW, NOW_NS) == {("Scan", "Word"): 2}
    three = replace(three, corrections=(corrected,))
    assert replay.taken_by_both(conn, three, pairs, NOW, NOW_NS) == {("Scan", "Word"): 3}
    assert look_again(conn, judged_by, NOW).new == 0


def test_without_runs_there_is_nothing_to_differ(conn: sqlite3.Connection) -> None:
    judged_by = rules(conn)
    assert list(replay.differences(conn, judged_by, NOW, NOW_NS)) == [(0, [])]
    assert replay.taken_by_both(conn, judged_by, [("Scan", "Ramp")], NOW, NOW_NS) == {}
