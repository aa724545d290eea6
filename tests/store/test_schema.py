"""What the database itself refuses, whoever writes, and that it says the same as the domain."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest

from caf.domain.jobs import BUSY, FINAL, GOAL, IDLE, LEGAL, Result, State, Word, allowed_words
from caf.domain.matching import Status
from caf.domain.runs import RECORDED_ATTRIBUTES
from caf.sources import snapshot
from caf.store.database import connect
from caf.store.rows import SEEN_COLUMNS


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database with one accepted run."""
    with closing(connect(tmp_path / "caf.db", create=True)) as conn:
        conn.execute("INSERT INTO configuration VALUES (1, 'x', '', 'p', 1, 1)")
        conn.execute("INSERT INTO verdict VALUES (1, 1, 'ACCEPTED', 'L', 0, 'h')")
        conn.execute(
            "INSERT INTO run (run, status, listener, needs_validation, verdict_id, first_seen, judged) "
            "VALUES (1, 'ACCEPTED', 'L', 0, 1, 1, 1)"
        )
        yield conn


def insert(conn: sqlite3.Connection, state: str, *, attempt: int = 3, number: int = 1) -> None:
    token = f"t{number}" if state in BUSY | {"CANCELLING"} else None
    result = {"DONE": "ok", "FAILED": "log"}.get(state)
    conn.execute(
        "INSERT INTO job (id, run, job, listener, configuration_id, state, next_state, result, reason, attempt, token, "
        "created, since, updated) VALUES (?, 1, ?, 'L', 1, ?, ?, ?, '', ?, ?, 1, 1, 1)",
        (number, f"J{number}", state, "NEW" if state == "CANCELLING" else None, result, attempt, token),
    )


def checked(conn: sqlite3.Connection, table: str, column: str) -> set[str]:
    """Give the texts that a column's own CHECK allows, as the database keeps it."""
    sql = conn.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
    found = re.search(rf"\b{column}\b[^,(]*CHECK \({column} IN \(([^)]*)\)\)", sql)
    assert found, f"{table}.{column} has no CHECK"
    return set(re.findall(r"'([^']*)'", found.group(1)))


def test_the_checks_say_the_same_as_the_domain(conn: sqlite3.Connection) -> None:
    assert checked(conn, "job", "state") == set(State)
    assert checked(conn, "job", "result") == set(Result)
    assert checked(conn, "job", "next_state") == {GOAL[word] for word in allowed_words(State.CANCELLING)}
    for table in ("run", "verdict"):
        assert checked(conn, table, "status") == set(Status)


@pytest.mark.parametrize("index", ["job_open", "job_asking", "run_open", "run_asking"])
def test_the_partial_indexes_speak_of_states_that_there_are(conn: sqlite3.Connection, index: str) -> None:
    sql = conn.execute("SELECT sql FROM sqlite_master WHERE name = ?", (index,)).fetchone()[0]
    named = set(re.findall(r"'([^']*)'", sql.partition("WHERE")[2]))
    assert named <= set(State) | set(Status)
    assert index != "job_open" or named == FINAL


def test_the_transitions_are_those_of_the_domain(conn: sqlite3.Connection) -> None:
    assert {tuple(row) for row in conn.execute("SELECT source, target FROM transition")} == LEGAL


def test_a_snapshot_and_the_run_table_have_the_same_columns(conn: sqlite3.Connection) -> None:
    columns = {row["name"]: row["type"] for row in conn.execute("PRAGMA table_info(run)")}
    for name, kind in snapshot.COLUMNS:
        assert columns[name] == kind.split()[0]
    assert snapshot.NAMES == ("run", *SEEN_COLUMNS) == (*RECORDED_ATTRIBUTES, "last_lb_end", "extra", "notes")


@pytest.mark.parametrize(("source", "target"), [pair for pair in product(State, State) if pair[0] is not pair[1]])
def test_raw_sql_cannot_change_a_state_illegally(conn: sqlite3.Connection, source: State, target: State) -> None:
    insert(conn, source)
    token = "'t'" if target in BUSY | {State.CANCELLING} else "NULL"
    result = {State.DONE: "'ok'", State.FAILED: "'log'"}.get(target, "NULL")
    following = "'NEW'" if target is State.CANCELLING else "NULL"
    change = f"UPDATE job SET state = '{target}', token = {token}, result = {result}, next_state = {following}"
    if (source, target) in LEGAL:
        conn.execute(change)
    else:
        with pytest.raises(sqlite3.IntegrityError, match="illegal change of a job's state"):
            conn.execute(change)
    left = conn.execute("SELECT state FROM job").fetchone()[0]
    assert left == (target if (source, target) in LEGAL else source)


@pytest.mark.parametrize("attempt", [0, 1, 2, 5, -1])
def test_an_attempt_grows_by_one_or_not_at_all(conn: sqlite3.Connection, attempt: int) -> None:
    insert(conn, "FAILED", attempt=3)
    with pytest.raises(sqlite3.IntegrityError, match="illegal change of a job's attempt"):
        conn.execute("UPDATE job SET attempt = ?", (attempt,))
    conn.execute("UPDATE job SET attempt = 4")


def test_a_job_cannot_be_deleted_or_replaced(conn: sqlite3.Connection) -> None:
    insert(conn, "NEW")
    with pytest.raises(sqlite3.IntegrityError, match="a job is never deleted"):
        conn.execute("DELETE FROM job")
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        conn.execute(
            "INSERT INTO job (run, job, listener, configuration_id, state, reason, created, since, updated) "
            "VALUES (1, 'J1', 'L', 1, 'NEW', '', 1, 1, 1)"
        )
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        conn.execute("DELETE FROM run")


@pytest.mark.parametrize(
    ("state", "change"),
    [
        ("NEW", "token = 't'"),
        ("PREPARED", "token = 't'"),
        ("WAITING", "token = 't'"),
        ("PENDING", "token = NULL"),
        ("RUNNING", "token = NULL"),
        ("CANCELLING", "next_state = NULL"),
        ("CANCELLING", "next_state = 'DONE'"),
        ("NEW", "next_state = 'WAITING'"),
        ("DONE", "result = 'log'"),
        ("DONE", "result = NULL"),
        ("FAILED", "result = 'ok'"),
        ("FAILED", "result = NULL"),
        ("RUNNING", "result = 'node'"),
        ("NEW", "state = 'LOST'"),
        ("NEW", "acknowledged = 2"),
        ("NEW", "run = 2"),
    ],
)
def test_what_does_not_go_together_cannot_be_stored(conn: sqlite3.Connection, state: str, change: str) -> None:
    insert(conn, state)
    with pytest.raises(sqlite3.IntegrityError):
        conn.execute(f"UPDATE job SET {change}")


def test_two_attempts_never_share_a_token(conn: sqlite3.Connection) -> None:
    insert(conn, "PENDING", number=1)
    insert(conn, "PENDING", number=2)
    with pytest.raises(sqlite3.IntegrityError, match=r"UNIQUE constraint failed: job\.token"):
        conn.execute("UPDATE job SET token = 't1' WHERE id = 2")
    conn.execute("INSERT INTO attempt (job_id, attempt, token, asked) VALUES (1, 3, 't1', 1)")
    for job, attempt, token in ((2, 3, "t1"), (1, 3, "other")):
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            conn.execute(
                "INSERT INTO attempt (job_id, attempt, token, asked) VALUES (?, ?, ?, 1)", (job, attempt, token)
            )


@pytest.mark.parametrize(
    "change",
    [
        "status = 'OPEN'",
        "status = 'UNCLAIMED', listener = NULL",
        "listener = NULL",
        "needs_validation = NULL",
        "needs_validation = 2",
        "status = 'OPEN', listener = NULL, needs_validation = NULL, jobs_due = 1",
        "verdict_id = 9",
        "settled = 2",
    ],
)
def test_a_runs_standing_is_whole(conn: sqlite3.Connection, change: str) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        conn.execute(f"UPDATE run SET {change}")


def test_every_word_has_a_row_that_leads_on(conn: sqlite3.Connection) -> None:
    """The database lets a person do all that the domain lets a person say."""
    for number, (state, word) in enumerate(product(State, Word), 1):
        if word not in allowed_words(state):
            continue
        target = State.CANCELLING if state not in FINAL | IDLE else GOAL[word]
        if state is target:
            continue
        assert conn.execute("SELECT 1 FROM transition WHERE source = ? AND target = ?", (state, target)).fetchone(), (
            number
        )
