"""Absorbing snapshots: every run is taken over once, its verdict follows its record, nothing is forgotten."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from caf.domain.discovery import Rules
from caf.domain.matching import Condition, Listener, Operator
from caf.domain.runs import SECOND
from caf.store import audit, discovery, making, queries
from caf.store.database import connect
from tests.store.feeding import DAY, NOW, SCAN, absorb, look_again, make_jobs, rules, scanned, write_snapshot


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(tmp_path / "caf.db", create=True)) as conn:
        yield conn


def row(conn: sqlite3.Connection, run: int) -> dict[str, Any]:
    found = queries.run(conn, run)
    assert found is not None
    return dict(found)


def standing(conn: sqlite3.Connection, run: int) -> tuple[str, str | None, int]:
    found = row(conn, run)
    return found["status"], found["listener"], found["jobs_due"]


def test_pages_of_any_size_take_over_every_run_once(tmp_path: Path) -> None:
    runs = [scanned(run, run_type="scan" if run % 3 else "physics") for run in range(1, 30)]
    seen = []
    for size in (1, 7, 29, 1000):
        with closing(connect(tmp_path / f"{size}.db", create=True)) as conn:
            page = absorb(conn, rules(conn), tmp_path, runs, page=size)
            assert (page.new, page.changed) == (29, 0)
            seen.append([tuple(found) for found in conn.execute("SELECT * FROM run ORDER BY run")])
            assert queries.run_counts(conn) == {"ACCEPTED": 20, "UNCLAIMED": 9}
    assert seen[0] == seen[1] == seen[2] == seen[3]


def test_a_snapshot_that_says_the_same_changes_nothing(conn: sqlite3.Connection, tmp_path: Path) -> None:
    judged_by = rules(conn)
    runs = [scanned(1), scanned(2, run_type=None), {"run": 3, "extra": '{"a":1}', "notes": '{"a":{"final":false}}'}]
    absorb(conn, judged_by, tmp_path, runs)
    before = list(conn.iterdump())
    page = absorb(conn, judged_by, tmp_path, runs)
    assert (page.new, page.changed, page.notable) == (0, 0, [])
    assert list(conn.iterdump()) == before


def test_the_same_answers_share_one_verdict(conn: sqlite3.Connection, tmp_path: Path) -> None:
    one = rules(conn)
    absorb(conn, one, tmp_path, [scanned(run) for run in range(1, 200)])
    assert conn.execute("SELECT count(*) FROM verdict").fetchone()[0] == 1
    absorb(conn, one, tmp_path, [scanned(run) for run in range(200, 250)] + [scanned(300, recorded=0)])
    assert conn.execute("SELECT count(*) FROM verdict").fetchone()[0] == 2
    other = rules(conn, text="two")
    absorb(conn, other, tmp_path, [scanned(301)])
    assert conn.execute("SELECT count(*) FROM verdict").fetchone()[0] == 3
    assert queries.configuration_of(conn, row(conn, 301)["verdict_id"]) == other.configuration_id
    assert queries.configuration_of(conn, row(conn, 1)["verdict_id"]) == one.configuration_id


def test_an_accepted_run_asks_for_its_jobs_once(conn: sqlite3.Connection, tmp_path: Path) -> None:
    judged_by = rules(conn)
    absorb(conn, judged_by, tmp_path, [scanned(1), scanned(2, run_type="physics"), scanned(3, run_type="ramp")])
    assert [found["run"] for found in making.due_runs(conn)] == [1, 3]
    assert make_jobs(conn, judged_by.configuration_id, ["Fit", "Plot"]) == 4
    assert making.due_runs(conn) == []
    assert make_jobs(conn, judged_by.configuration_id) == 0
    states = {(found["run"], found["job"]): found["state"] for found in conn.execute("SELECT * FROM job")}
    assert states == {(1, "Fit"): "NEW", (1, "Plot"): "NEW", (3, "Fit"): "WAITING", (3, "Plot"): "WAITING"}


def test_a_person_who_ignores_a_run_is_quicker_than_its_jobs(conn: sqlite3.Connection, tmp_path: Path) -> None:
    """The duty read the run as due; in the transaction that makes the jobs it is looked at again."""
    judged_by = rules(conn)
    absorb(conn, judged_by, tmp_path, [scanned(1)])
    conn.execute("UPDATE run SET status = 'IGNORED', listener = NULL, needs_validation = NULL, jobs_due = 0")
    new = [making.NewJob(1, "Fit", "Scan")]
    assert making.make(conn, judged_by.configuration_id, new, [1], NOW) == 0
    assert queries.jobs_of(conn, 1) == []


def test_a_known_value_never_becomes_null_again(conn: sqlite3.Connection, tmp_path: Path) -> None:
    judged_by = rules(conn)
    full = scanned(1, detector_mask="0" * 31 + "1", extra='{"colour":"red"}', last_lb_end=5)
    absorb(conn, judged_by, tmp_path, [full])
    before = row(conn, 1)
    absorb(conn, judged_by, tmp_path, [{"run": 1}], NOW + 1)
    assert row(conn, 1) == before
    absorb(conn, judged_by, tmp_path, [], NOW + 2)
    assert row(conn, 1) == before
    absorb(conn, judged_by, tmp_path, [{"run": 1, "extra": '{"colour":null,"size":2}', "stored_events": 7}], NOW + 3)
    after = row(conn, 1)
    assert json.loads(after["extra"]) == {"colour": "red", "size": 2}
    assert (after["detector_mask"], after["stored_events"]) == ("0" * 31 + "1", 7)


def test_an_open_run_is_decided_when_its_record_is_complete_or_has_settled(
    conn: sqlite3.Connection, tmp_path: Path
) -> None:
    judged_by = rules(conn)
    start = int(NOW * SECOND)
    runs: list[dict[str, Any]] = [{"run": run, "run_type": "scan", "start": start} for run in (1, 2)]
    page = absorb(conn, judged_by, tmp_path, runs)
    assert page.became == {"OPEN": 2}
    runs[0] |= {"recorded": 1}
    absorb(conn, judged_by, tmp_path, runs, NOW + 60)
    assert standing(conn, 1) == ("ACCEPTED", "Scan", 1)
    assert standing(conn, 2) == ("OPEN", None, 0)
    look_again(conn, judged_by, NOW + DAY)
    assert standing(conn, 2)[0] == "OPEN"
    look_again(conn, judged_by, NOW + DAY + 1)
    assert standing(conn, 2) == ("UNCLAIMED", None, 0)
    assert row(conn, 2)["settled"] == 1
    assert conn.execute("SELECT count(*) FROM former_verdict").fetchone()[0] == 0


def test_open_runs_are_judged_by_the_rules_in_force(conn: sqlite3.Connection, tmp_path: Path) -> None:
    """History is not: only `replay` judges decided runs anew."""
    absorb(conn, rules(conn), tmp_path, [scanned(1), scanned(2, recorded=None, start=int(NOW * SECOND), end=None)])
    anything = Listener("Anything", (Condition("run_type", Operator.KNOWN, True),))
    look_again(conn, rules(conn, [anything], text="two"), NOW + 1)
    assert standing(conn, 1)[:2] == ("ACCEPTED", "Scan")
    assert standing(conn, 2)[:2] == ("ACCEPTED", "Anything")


def test_a_verdict_that_is_replaced_is_kept_with_what_was_seen(conn: sqlite3.Connection, tmp_path: Path) -> None:
    judged_by = rules(conn)
    absorb(conn, judged_by, tmp_path, [scanned(1)])
    before = row(conn, 1)
    absorb(conn, judged_by, tmp_path, [scanned(1, run_type="ramp", stored_events=500)], NOW + 60)
    (former,) = queries.former_verdicts(conn, 1)
    assert (former["status"], former["listener"], former["verdict_id"]) == ("ACCEPTED", "Scan", before["verdict_id"])
    assert (former["judged"], former["replaced"]) == (NOW, NOW + 60)
    seen = json.loads(former["seen"])
    assert {name: before[name] for name in seen} == seen
    assert seen["run_type"] == "scan"
    assert standing(conn, 1) == ("ACCEPTED", "Ramp", 1)
    (noted,) = audit.history(conn, run=1)
    assert (noted["was"], noted["became"], noted["who"]) == ("ACCEPTED", "ACCEPTED", "discover")


def test_a_changed_record_disputes_the_jobs_that_are_there(conn: sqlite3.Connection, tmp_path: Path) -> None:
    judged_by = rules(conn)
    absorb(conn, judged_by, tmp_path, [scanned(1)])
    make_jobs(conn, judged_by.configuration_id)
    jobs_before = [tuple(found) for found in queries.jobs_of(conn, 1)]
    absorb(conn, judged_by, tmp_path, [scanned(1, run_type="ramp")], NOW + 60)
    look_again(conn, judged_by, NOW + 2 * DAY)
    found = row(conn, 1)
    assert (found["status"], found["listener"], found["disputed"], found["jobs_due"]) == ("ACCEPTED", "Ramp", 1, 0)
    assert queries.asking_runs(conn, disputed=True)[0] == 1
    absorb(conn, judged_by, tmp_path, [scanned(1)], NOW + 3 * DAY)
    assert row(conn, 1)["disputed"] == 0
    assert [tuple(found) for found in queries.jobs_of(conn, 1)] == jobs_before


def test_a_run_that_is_no_longer_accepted_gets_no_jobs(conn: sqlite3.Connection, tmp_path: Path) -> None:
    judged_by = rules(conn)
    absorb(conn, judged_by, tmp_path, [scanned(1)])
    absorb(conn, judged_by, tmp_path, [scanned(1, run_type="physics")], NOW + 60)
    assert standing(conn, 1) == ("UNCLAIMED", None, 0)
    assert making.due_runs(conn) == []
    absorb(conn, judged_by, tmp_path, [scanned(1)], NOW + 120)
    assert standing(conn, 1) == ("ACCEPTED", "Scan", 1)


@pytest.mark.parametrize(
    "decided",
    ["status = 'IGNORED', listener = NULL, needs_validation = NULL, jobs_due = 0", "listener = 'Ramp'"],
    ids=["ignored", "assigned"],
)
def test_what_a_person_decided_stays_whatever_the_record_says(
    conn: sqlite3.Connection, tmp_path: Path, decided: str
) -> None:
    judged_by = rules(conn)
    absorb(conn, judged_by, tmp_path, [scanned(1)])
    conn.execute(f"UPDATE run SET {decided}, decided_by = 'ann', reason = 'known bad'")
    before = row(conn, 1)
    absorb(conn, judged_by, tmp_path, [scanned(1, run_type="physics", stored_events=3)], NOW + 60)
    look_again(conn, judged_by, NOW + 9 * DAY)
    after = row(conn, 1)
    kept = ("status", "listener", "needs_validation", "jobs_due", "decided_by", "reason")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert (after["run_type"], after["verdict_id"] == before["verdict_id"]) == ("physics", False)
    assert len(queries.former_verdicts(conn, 1)) == 1


def test_a_conflict_makes_no_jobs(conn: sqlite3.Connection, tmp_path: Path) -> None:
    twice = [SCAN, Listener("Twin", SCAN.conditions)]
    absorb(conn, rules(conn, twice), tmp_path, [scanned(1)])
    assert standing(conn, 1) == ("CONFLICT", None, 0)
    assert queries.asking_runs(conn, disputed=False)[0] == 1


def test_a_crash_between_two_pages_costs_nothing(conn: sqlite3.Connection, tmp_path: Path) -> None:
    judged_by = rules(conn)
    runs = [scanned(run) for run in range(1, 11)]
    absorb(conn, judged_by, tmp_path, runs[:4])
    page = absorb(conn, judged_by, tmp_path, runs)
    assert (page.new, page.changed) == (6, 0)
    assert queries.run_counts(conn) == {"ACCEPTED": 10}


def test_a_page_that_fails_leaves_nothing(conn: sqlite3.Connection, tmp_path: Path) -> None:
    judged_by = rules(conn)
    broken = Rules(99, judged_by.listeners, (), judged_by.settle)  # a configuration that was never kept
    with pytest.raises(sqlite3.IntegrityError):
        absorb(conn, broken, tmp_path, [scanned(1)])
    assert not conn.in_transaction
    assert queries.run_counts(conn) == {}
    absorb(conn, judged_by, tmp_path, [scanned(1)])
    assert queries.run_counts(conn) == {"ACCEPTED": 1}


def test_what_the_source_looked_like_is_remembered(conn: sqlite3.Connection) -> None:
    assert discovery.source_row(conn) is None
    discovery.keep_source(conn, discovery.Absorbed({"kind": "cool"}, [[1, 2]], ["/A", "/B"], 5, 60.0), NOW)
    discovery.keep_source(conn, discovery.Absorbed({"kind": "cool"}, [[1, 3]], ["/A"], 6, 90.0, "t"), NOW + 1)
    assert discovery.source_row(conn) == {
        "id": 1,
        "identity": {"kind": "cool"},
        "marks": [[1, 3]],
        "folders": ["/A"],
        "replica_time": 6,
        "looked": NOW + 1,
        "stale": 90.0,
        "absorbed": "t",
    }


def test_laying_a_snapshot_beside_twice_takes_the_second(conn: sqlite3.Connection, tmp_path: Path) -> None:
    first = write_snapshot(tmp_path / "first.db", [scanned(1)])
    second = write_snapshot(tmp_path / "it's the second.db", [scanned(1), scanned(2)])
    assert discovery.attach(conn, first) == 1
    assert discovery.attach(conn, second) == 2
    discovery.detach(conn)
    discovery.detach(conn)
    assert [found["name"] for found in conn.execute("PRAGMA database_list")] == ["main"]
