"""Mending: what can be derived is put right, what cannot is told, and nothing is begun again by it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from caf.domain.jobs import Result, State
from caf.store import jobs, mending
from caf.store.audit import history
from caf.store.database import connect, database_id, recall
from caf.store.found import DUE
from caf.store.mending import Area
from caf.store.queries import findings
from tests.cli.pretend import RAMP, RUNS, absorb, move

NOW = 1_800_000_000.0
RUN = 490001


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Runs with jobs; one job has failed in its first attempt and runs in its second."""
    with closing(connect(tmp_path / "caf.db", create=True)) as conn:
        absorb(conn, tmp_path, RUNS, NOW)
        move(conn, RUN, RAMP, State.PREPARED, State.SUBMITTING, State.RUNNING)
        move(conn, RUN, RAMP, State.NEW, result=Result.NODE)
        move(conn, RUN, RAMP, State.PREPARED, State.SUBMITTING, State.RUNNING)
        yield conn


def attempts(conn: sqlite3.Connection) -> list[dict[str, Any]]:
    rows = conn.execute("SELECT * FROM attempt WHERE job_id = ? ORDER BY attempt", (jobs.find(conn, RUN, RAMP)["id"],))
    return [dict(row) for row in rows]


def area(conn: sqlite3.Connection, attempt: int, token: str | None, run: int = RUN, **more: Any) -> Area:
    facts = {"run": run, "job": RAMP, "attempt": attempt, "job_id": 1, "database_id": database_id(conn)}
    records: dict[str, Any] = {"start": None, "exit": None}
    if token is not None:
        records["start"] = {"token": token, "at": NOW + 1, "host": "b7"}
        records["exit"] = {"token": token, "at": NOW + 2, "code": 3}
    return Area(run, RAMP, attempt, {"error": None, "token": token, "facts": facts, **more}, records)


def mend(conn: sqlite3.Connection, *areas: Area) -> tuple[list[str], list[str]]:
    """Compare and mend; gives what differed, and what was done."""
    differences = mending.compare(conn, areas, database_id(conn))
    done = mending.mend(conn, differences, NOW, "me")
    left = [one.text for one in mending.compare(conn, areas, database_id(conn)) if one.mend is not None]
    assert [text for text in left if "no such" not in text and "begun" not in text] == []  # for the supervisor to do
    return [one.text for one in differences], done


def test_where_all_is_well_nothing_is_done(conn: sqlite3.Connection) -> None:
    first, second = (row["token"] for row in attempts(conn))
    conn.execute("UPDATE attempt SET started = 1, node = 'b7', ended = 2, exit_code = 3 WHERE attempt = 1")
    before = list(conn.iterdump())
    assert mend(conn, area(conn, 1, first), area(conn, 2, second), area(conn, 3, None)) == ([], [])
    assert list(conn.iterdump()) == before


def test_counts_and_transitions_are_made_anew_and_the_trail_says_so(conn: sqlite3.Connection) -> None:
    conn.execute("UPDATE run_count SET runs = 99")
    conn.execute("DELETE FROM job_count")
    conn.execute("DELETE FROM transition WHERE source = 'NEW'")
    assert len(findings(conn)) > 3
    _, done = mend(conn)
    assert done == ["the table of transitions made anew", "runs and jobs counted anew"]
    assert findings(conn) == []
    last = history(conn)[-1]
    assert (last["who"], last["became"]) == ("me", "MENDED")
    assert last["why"] == "caf db check --mend by me: 2 mended: the table of transitions made anew"


def test_the_row_of_a_running_attempt_comes_back_with_its_token(conn: sqlite3.Connection) -> None:
    token = attempts(conn)[1]["token"]
    conn.execute("DELETE FROM attempt WHERE attempt = 2")
    _, done = mend(conn)
    assert done == [f"{RUN} {RAMP}: the row of attempt 2 made anew"]
    assert attempts(conn)[1]["token"] == token


def test_the_row_of_an_old_attempt_is_made_from_its_area(conn: sqlite3.Connection) -> None:
    first = attempts(conn)[0]
    conn.execute("DELETE FROM attempt WHERE attempt = 1")
    assert findings(conn) == []
    differences, done = mend(conn, area(conn, 1, first["token"]))
    assert differences == done == [f"{RUN}_{RAMP}/1: the database has no row of this attempt"]
    again = attempts(conn)[0]
    assert [again[name] for name in ("token", "started", "node", "ended", "exit_code")] == [
        first["token"],
        NOW + 1,
        "b7",
        NOW + 2,
        3,
    ]


def test_what_an_old_attempt_s_records_say_is_filled_in_and_nothing_is_written_over(conn: sqlite3.Connection) -> None:
    first, second = (row["token"] for row in attempts(conn))
    conn.execute("UPDATE attempt SET node = 'as it was seen' WHERE attempt = 1")
    _, done = mend(conn, area(conn, 1, first), area(conn, 2, second))  # the second is still followed by organise
    (lacking,) = done
    said = f"started {NOW + 1}, ended {NOW + 2}, exit_code 3"
    assert lacking == f"{RUN}_{RAMP}/1: the database lacks what its records say: {said}"
    assert [attempts(conn)[0][name] for name in ("node", "exit_code")] == ["as it was seen", 3]
    assert attempts(conn)[1]["ended"] is None


def test_an_area_ahead_of_the_database_is_compared_by_the_supervisor(conn: sqlite3.Connection) -> None:
    """As after a restore: nothing is submitted before that."""
    differences, _ = mend(conn, area(conn, 3, "caf-0-1-3-0"))
    assert differences == [f"{RUN}_{RAMP}/3: was begun, and the database is at attempt 2"]
    assert recall(conn, DUE) == "1"
    assert jobs.find(conn, RUN, RAMP)["attempt"] == 2


def test_a_job_whose_row_is_gone_is_made_again_and_follows_its_area(conn: sqlite3.Connection) -> None:
    conn.execute("PRAGMA foreign_keys = OFF")
    conn.execute("DROP TRIGGER job_stays")
    conn.execute("DELETE FROM attempt")
    conn.execute("DELETE FROM job WHERE run = ?", (RUN,))
    conn.execute("DELETE FROM area")
    _, done = mend(conn, area(conn, 1, "caf-0-1-1-0"))
    assert f"{RUN}_{RAMP}/1: the database has no such job" in done
    assert conn.execute("SELECT jobs_due FROM run WHERE run = ?", (RUN,)).fetchone()[0] == 1
    assert recall(conn, DUE) == "1"


def test_an_area_of_a_run_that_is_gone_has_the_run_database_read_again(conn: sqlite3.Connection) -> None:
    assert conn.execute("SELECT count(*) FROM source").fetchone()[0] == 1
    mend(conn, area(conn, 1, "caf-0-1-1-0", run=480000))
    assert conn.execute("SELECT count(*) FROM source").fetchone()[0] == 0


def test_what_nobody_can_derive_is_only_told(conn: sqlite3.Connection) -> None:
    token = attempts(conn)[0]["token"]
    odd = area(conn, 1, "caf-0-1-1-0")
    unreadable = area(conn, 2, None, error="cannot read it")
    other = area(conn, 9, "caf-1-1-9-0", facts={"database_id": "another"})
    differences, done = mend(conn, odd, unreadable, other)
    assert differences == [
        f"{RUN}_{RAMP}/1: is of token caf-0-1-1-0, and the database has {token}: look into it",
        f"{RUN}_{RAMP}/2: cannot read it",
    ]
    assert done == []


def test_an_index_that_lost_rows_is_made_anew(conn: sqlite3.Connection) -> None:
    path = conn.execute("PRAGMA database_list").fetchone()["file"]
    conn.execute("PRAGMA writable_schema = ON")
    (sql,) = conn.execute("SELECT sql FROM sqlite_master WHERE name = 'job_name'").fetchone()
    conn.execute("UPDATE sqlite_master SET sql = sql || ' WHERE state = ''DONE''' WHERE name = 'job_name'")
    conn.close()
    with closing(connect(Path(path))) as broken:
        broken.execute("REINDEX job_name")
        broken.execute("PRAGMA writable_schema = ON")
        broken.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'job_name'", (sql,))
    with closing(connect(Path(path))) as mended:
        assert findings(mended)[0].startswith("damaged: ")
        assert "indices made anew" in mending.mend(mended, [], NOW, "me")
        assert findings(mended) == []
