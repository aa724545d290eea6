"""Pauses are kept with who, when and why, and hold up exactly the submitting."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from caf.domain.errors import Refused
from caf.domain.jobs import State
from caf.store import audit, jobs, pauses, queries, queue
from caf.store.database import connect
from tests.store.feeding import NOW, absorb, job, lead_to, make_jobs, rules, scanned

LATER = NOW + 3600.0


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database with two jobs, of two names, PREPARED for each of two runs."""
    with closing(connect(tmp_path / "caf.db", create=True)) as conn:
        judged_by = rules(conn)
        absorb(conn, judged_by, tmp_path, [scanned(1), scanned(2)])
        make_jobs(conn, judged_by.configuration_id, ("Fit", "Map"))
        rows = jobs.in_states(conn, [State.NEW])
        changes = [jobs.Change(row["id"], State.NEW, 1, State.PREPARED, "ready") for row in rows]
        assert jobs.apply(conn, changes, NOW) == [True] * 4
        yield conn


def names(conn: sqlite3.Connection) -> list[str]:
    return [row["job"] for row in queue.in_line(conn, NOW, 10)]


def test_a_paused_name_is_passed_over_and_the_others_go_on(conn: sqlite3.Connection) -> None:
    pauses.pause(conn, "Fit", NOW, "ann", "new release")
    assert names(conn) == ["Map", "Map"]
    pauses.pause(conn, None, NOW, "bob", "power cut")
    assert names(conn) == []
    assert pauses.resume(conn, None, LATER, "bob") == [pauses.Pause("Fit", NOW, "ann", "new release")]
    assert names(conn) == ["Map", "Map"]
    assert pauses.resume(conn, "Fit", LATER, "ann") == []
    assert names(conn) == ["Fit", "Map", "Fit", "Map"]


def test_nothing_is_taken_once_the_pause_has_been_answered(conn: sqlite3.Connection) -> None:
    """The duty looked before the pause, and takes after it."""
    seen = queue.in_line(conn, NOW, 10)
    pauses.pause(conn, "Fit", NOW, "ann", "new release")
    tokens = jobs.claim_tokens(conn, [row["id"] for row in seen], NOW)
    assert len(tokens) == 2
    assert {job(conn, run, "Fit")["state"] for run in (1, 2)} == {"PREPARED"}
    assert {job(conn, run, "Map")["state"] for run in (1, 2)} == {"SUBMITTING"}


def test_what_is_out_when_a_pause_comes_is_followed_on(conn: sqlite3.Connection) -> None:
    row = lead_to(conn, 1, State.RUNNING)
    pauses.pause(conn, None, NOW, "ann", "new release")
    assert jobs.apply(conn, [jobs.Change(row["id"], State.RUNNING, 1, State.FINISHED, "over")], NOW) == [True]


def test_a_second_pause_or_a_resume_without_one_is_refused_with_what_there_is(conn: sqlite3.Connection) -> None:
    with pytest.raises(Refused, match=r"^submitting of Fit is not paused, and nothing else is"):
        pauses.resume(conn, "Fit", NOW, "ann")
    pauses.pause(conn, "Fit", NOW, "ann", "new release")
    with pytest.raises(Refused, match=r"is paused already, by ann: new release: `caf resume --job Fit` ends that"):
        pauses.pause(conn, "Fit", LATER, "bob", "another")
    with pytest.raises(Refused, match=r"^submitting as a whole is not paused .*`caf resume --job Fit`"):
        pauses.resume(conn, None, NOW, "ann")
    assert pauses.pauses(conn) == [pauses.Pause("Fit", NOW, "ann", "new release")]


def test_each_pause_and_its_end_are_on_record(conn: sqlite3.Connection) -> None:
    pauses.pause(conn, "Fit", NOW, "ann", "new release")
    pauses.pause(conn, None, NOW, "bob", "power cut")
    pauses.resume(conn, None, LATER, "cid", "power is back")
    rows = audit.history(conn)[-3:]
    assert [(row["who"], row["run"], row["job"], row["was"], row["became"]) for row in rows] == [
        ("ann", None, "Fit", None, "PAUSED"),
        ("bob", None, None, None, "PAUSED"),
        ("cid", None, None, "PAUSED", "RESUMED"),
    ]
    assert rows[-1]["why"] == "all submitting resumed by cid: power is back"
    assert rows[-1]["at"] == LATER


def test_what_it_holds_up_is_counted_and_its_own_pause_named_first(conn: sqlite3.Connection) -> None:
    pauses.pause(conn, None, NOW, "bob", "power cut")
    assert pauses.held_up(conn, None) == 4
    assert pauses.held_up(conn, "Fit") == 2
    assert pauses.pause_of(conn, "Fit") == pauses.Pause(None, NOW, "bob", "power cut")
    pauses.pause(conn, "Fit", LATER, "ann", "new release")
    found = pauses.pause_of(conn, "Fit")
    assert found is not None
    assert found.job == "Fit"
    assert queries.findings(conn) == []
