"""Many jobs in one transaction: each done or refused by itself, all of a group kept or none."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from caf.domain.errors import Refused
from caf.domain.jobs import State, Word
from caf.store import audit, jobs
from caf.store.bulk import Meant, do_group
from caf.store.database import connect, together, transaction
from tests.store.feeding import NOW, absorb, job, make_jobs, rules, scanned


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database with a NEW job for each of three runs."""
    with closing(connect(tmp_path / "caf.db", create=True)) as conn:
        judged_by = rules(conn)
        absorb(conn, judged_by, tmp_path, [scanned(run) for run in (1, 2, 3)])
        make_jobs(conn, judged_by.configuration_id)
        yield conn


def hold(conn: sqlite3.Connection, one: Meant) -> sqlite3.Row:
    return jobs.act(conn, one.run, one.job, Word.HOLD, NOW, "ann", seen=one.state)


def test_a_refusal_in_the_middle_undoes_nothing_of_the_others(conn: sqlite3.Connection) -> None:
    jobs.act(conn, 2, "Fit", Word.KILL, NOW, "bob")
    before = len(audit.history(conn))
    outcomes = do_group(conn, [Meant(run, "Fit", State.NEW) for run in (1, 2, 3, 4)], hold)
    assert [isinstance(one, Refused) for one in outcomes] == [False, True, False, True]
    assert "was NEW and is CANCELLED now: look again" in str(outcomes[1])
    assert [job(conn, run)["state"] for run in (1, 2, 3)] == ["WAITING", "CANCELLED", "WAITING"]
    assert len(audit.history(conn)) == before + 2
    assert not conn.in_transaction


def test_there_is_one_commit_for_all_of_them(conn: sqlite3.Connection) -> None:
    asked: list[str] = []
    conn.set_trace_callback(asked.append)
    do_group(conn, [Meant(run, "Fit", State.NEW) for run in (1, 2, 3)], hold)
    conn.set_trace_callback(None)
    assert [one for one in asked if one.startswith(("BEGIN", "COMMIT"))] == ["BEGIN IMMEDIATE", "COMMIT"]


def test_what_goes_wrong_otherwise_undoes_the_whole_group(conn: sqlite3.Connection) -> None:
    def dies(conn: sqlite3.Connection, one: Meant) -> sqlite3.Row:
        row = hold(conn, one)
        if one.run == 3:
            raise KeyboardInterrupt
        return row

    with pytest.raises(KeyboardInterrupt):
        do_group(conn, [Meant(run, "Fit", State.NEW) for run in (1, 2, 3)], dies)
    assert [job(conn, run)["state"] for run in (1, 2, 3)] == ["NEW"] * 3
    assert not conn.in_transaction


def test_elsewhere_a_transaction_within_another_stays_an_error(conn: sqlite3.Connection) -> None:
    with together(conn), transaction(conn):
        pass
    with pytest.raises(sqlite3.OperationalError, match="within a transaction"), transaction(conn), transaction(conn):
        pass
    assert not conn.in_transaction
