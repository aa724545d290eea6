"""What people decide about runs: kept with who and why, followed by jobs, and never overruled by a round."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from caf.domain.errors import NotFound, Refused
from caf.domain.matching import Condition, Listener, Operator
from caf.store import audit, making, persons, queries
from caf.store.database import connect
from tests.store.feeding import DAY, NOW, RAMP, SCAN, absorb, look_again, make_jobs, rules, scanned

TWIN = Listener("Twin", (Condition("run_type", Operator.EQUAL, "scan"),))


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(tmp_path / "caf.db", create=True)) as conn:
        yield conn


def standing(conn: sqlite3.Connection, run: int = 1) -> tuple[Any, ...]:
    row = queries.run(conn, run)
    assert row is not None
    names = ("status", "listener", "needs_validation", "decided_by", "reason", "jobs_due", "disputed")
    return tuple(row[name] for name in names)


def counted(conn: sqlite3.Connection) -> dict[str, int]:
    assert queries.findings(conn) == []
    return queries.run_counts(conn)


def assign(conn: sqlite3.Connection, run: int, listener: str, *, few: bool = False) -> None:
    persons.assign(conn, run, listener, NOW + 1, "ann", "agreed", needs_validation=few)


def test_a_run_in_conflict_goes_to_the_listener_that_a_person_names(conn: sqlite3.Connection, tmp_path: Path) -> None:
    absorb(conn, rules(conn, (SCAN, TWIN)), tmp_path, [scanned(1)])
    assert standing(conn) == ("CONFLICT", None, None, None, None, 0, 0)
    assign(conn, 1, "Twin", few=True)
    assert standing(conn) == ("ACCEPTED", "Twin", 1, "ann", "agreed", 1, 0)
    assert counted(conn) == {"ACCEPTED": 1}
    row = audit.history(conn, run=1)[-1]
    assert (row["at"], row["who"], row["was"], row["became"]) == (NOW + 1, "ann", "CONFLICT", "ACCEPTED by Twin")
    assert row["why"] == "assigned: agreed"


def test_its_jobs_are_made_once_as_of_any_accepted_run(conn: sqlite3.Connection, tmp_path: Path) -> None:
    judged_by = rules(conn, (SCAN, TWIN))
    absorb(conn, judged_by, tmp_path, [scanned(1), scanned(2)])
    assert make_jobs(conn, judged_by.configuration_id) == 0
    assign(conn, 1, "Twin")
    assign(conn, 2, "Twin", few=True)
    assert make_jobs(conn, judged_by.configuration_id) == 2
    assert [(row["listener"], row["state"]) for row in queries.jobs_of(conn, 1)] == [("Twin", "NEW")]
    assert [row["state"] for row in queries.jobs_of(conn, 2)] == ["WAITING"]
    assign(conn, 1, "Twin")
    assert standing(conn)[5] == 0
    assert make_jobs(conn, judged_by.configuration_id) == 0


@pytest.mark.parametrize("record", [scanned(1, run_type="cismono"), scanned(1, end=None, recorded=None)])
def test_an_unclaimed_or_open_run_can_be_assigned(
    conn: sqlite3.Connection, tmp_path: Path, record: dict[str, Any]
) -> None:
    judged_by = rules(conn)
    absorb(conn, judged_by, tmp_path, [record | {"start": int((NOW - 10) * 10**9)}])
    assert standing(conn)[0] in ("UNCLAIMED", "OPEN")
    assign(conn, 1, "Scan")
    assert counted(conn) == {"ACCEPTED": 1}


def test_no_later_round_overrules_a_person(conn: sqlite3.Connection, tmp_path: Path) -> None:
    """Neither a changed record nor a settled one, nor other rules."""
    judged_by = rules(conn)
    start = int((NOW - 10) * 10**9)
    runs = [scanned(1, run_type="other"), scanned(2), scanned(3, recorded=None, start=start, end=None)]
    absorb(conn, judged_by, tmp_path, runs)
    assert [standing(conn, run)[0] for run in (1, 2, 3)] == ["UNCLAIMED", "ACCEPTED", "OPEN"]
    assign(conn, 1, "Ramp", few=True)
    persons.ignore(conn, 2, NOW + 1, "ann", "a test")
    persons.ignore(conn, 3, NOW + 1, "ann", "a test")
    before = [standing(conn, run) for run in (1, 2, 3)]
    changed = [scanned(1, run_type="scan"), scanned(2, run_type="ramp"), scanned(3, start=start)]
    absorb(conn, judged_by, tmp_path, changed, NOW + 2)
    assert [standing(conn, run) for run in (1, 2, 3)] == before
    assert queries.run(conn, 1)["run_type"] == "scan"  # type: ignore[index]  # what was seen is shown all the same
    other = rules(conn, (TWIN, RAMP), text="other")
    look_again(conn, other, NOW + 5 * DAY)
    absorb(conn, other, tmp_path, [scanned(1, run_type="x")], NOW + 5 * DAY)
    assert [standing(conn, run) for run in (1, 2, 3)] == before
    assert counted(conn) == {"ACCEPTED": 1, "IGNORED": 2}


def test_a_disputed_run_is_left_with_its_jobs_by_a_word(conn: sqlite3.Connection, tmp_path: Path) -> None:
    judged_by = rules(conn)
    absorb(conn, judged_by, tmp_path, [scanned(1), scanned(2)])
    make_jobs(conn, judged_by.configuration_id)
    absorb(conn, judged_by, tmp_path, [scanned(1, recorded=0), scanned(2, recorded=0)], NOW + 1)
    assert [standing(conn, run)[6] for run in (1, 2)] == [1, 1]
    assert queries.asking_runs(conn, disputed=True)[0] == 2
    assign(conn, 1, "Scan")
    persons.ignore(conn, 2, NOW + 1, "ann", "a test")
    assert standing(conn, 1)[:2] == ("ACCEPTED", "Scan")
    assert queries.asking_runs(conn, disputed=True) == (0, [])
    assert [row["state"] for run in (1, 2) for row in queries.jobs_of(conn, run)] == ["NEW", "NEW"]
    assert making.due_runs(conn) == []


def test_another_listeners_jobs_stand_in_the_way(conn: sqlite3.Connection, tmp_path: Path) -> None:
    """There is one set of jobs a run, and none is ever deleted."""
    judged_by = rules(conn)
    absorb(conn, judged_by, tmp_path, [scanned(1)])
    make_jobs(conn, judged_by.configuration_id)
    before, trail = standing(conn), audit.history(conn)
    with pytest.raises(Refused, match=r"run 1 has jobs of Scan already.*`caf runs ignore`"):
        assign(conn, 1, "Ramp")
    assert (standing(conn), audit.history(conn)) == (before, trail)


def test_an_ignored_run_gets_no_jobs_and_can_be_fetched_back(conn: sqlite3.Connection, tmp_path: Path) -> None:
    judged_by = rules(conn)
    absorb(conn, judged_by, tmp_path, [scanned(1)])
    persons.ignore(conn, 1, NOW + 1, "ann", "a test")
    assert standing(conn) == ("IGNORED", None, None, "ann", "a test", 0, 0)
    assert make_jobs(conn, judged_by.configuration_id) == 0
    row = audit.history(conn, run=1)[-1]
    assert (row["was"], row["became"], row["why"]) == ("ACCEPTED", "IGNORED", "ignored: a test")
    assign(conn, 1, "Scan")
    assert make_jobs(conn, judged_by.configuration_id) == 1


def test_an_unknown_run_is_refused_with_those_that_are_known(conn: sqlite3.Connection, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no run 7 .no run is known yet"):
        assign(conn, 7, "Scan")
    absorb(conn, rules(conn), tmp_path, [scanned(1)])
    with pytest.raises(NotFound, match=r"no run 7 .known: 1 to 1"):
        persons.ignore(conn, 7, NOW, "ann", "a test")
    assert audit.history(conn, run=7) == []
