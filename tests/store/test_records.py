"""The smaller tables: configurations, duties, the audit trail; and a run's row to and from the domain."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf.domain.discovery import Seen
from caf.domain.runs import RECORDED_ATTRIBUTES, Kind, Note, Value
from caf.store import audit, configurations, duties
from caf.store.database import connect, transaction
from caf.store.rows import SEEN_COLUMNS, columns_of, quoted, seen_from


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(tmp_path / "caf.db", create=True)) as conn:
        yield conn


def test_a_configuration_that_comes_back_has_its_old_number(conn: sqlite3.Connection) -> None:
    assert configurations.last_good(conn) is None
    one = configurations.keep(conn, "text one", "s1", "/a/listeners.toml", 1.0)
    two = configurations.keep(conn, "text two", "s2", "/a/listeners.toml", 2.0)
    assert one != two
    assert configurations.last_good(conn) == ("text two", "/a/listeners.toml")
    assert configurations.keep(conn, "text one", "s1", "/b/listeners.toml", 3.0) == one
    assert configurations.last_good(conn) == ("text one", "/b/listeners.toml")
    assert configurations.text_of(conn, two) == ("text two", "/a/listeners.toml")
    assert [tuple(row) for row in conn.execute("SELECT first_used, last_used FROM configuration")] == [(1, 3), (2, 2)]


def test_a_duty_counts_its_failures_in_a_row(conn: sqlite3.Connection) -> None:
    duties.begun(conn, "discover", 1.0)
    duties.ended(conn, "discover", 2.0, 10.0, summary="3 new runs", error=None)
    for at in (11.0, 13.0):
        duties.begun(conn, "discover", at)
        duties.ended(conn, "discover", at + 1, at + 5, summary=None, error="the replica is locked")
    (failed,) = duties.all_duties(conn)
    assert (failed["failures"], failed["error"], failed["failed"], failed["succeeded"]) == (
        2,
        "the replica is locked",
        14.0,
        2.0,
    )
    assert (failed["started"], failed["next"], failed["summary"]) == (13.0, 18.0, "3 new runs")
    duties.begun(conn, "discover", 20.0)
    duties.ended(conn, "discover", 21.0, 30.0, summary=None, error=None)
    (well,) = duties.all_duties(conn)
    assert (well["failures"], well["error"], well["failed"], well["succeeded"]) == (0, None, 14.0, 21.0)
    assert well["summary"] == "3 new runs"


def test_history_gives_the_newest_oldest_first(conn: sqlite3.Connection) -> None:
    with transaction(conn):
        for at in range(6):
            audit.note(conn, at, "ann", run=at % 2, job="Fit" if at % 3 else None, why=f"{at}")
    assert [row["why"] for row in audit.history(conn)] == list("012345")
    assert [row["why"] for row in audit.history(conn, limit=2)] == list("45")
    assert [row["why"] for row in audit.history(conn, run=1)] == list("135")
    assert [row["why"] for row in audit.history(conn, run=1, job="Fit")] == list("15")
    assert [row["why"] for row in audit.history(conn, run=0, limit=1)] == list("4")
    assert audit.history(conn, run=7) == []


OF_KIND = {
    Kind.TEXT: st.text(),
    Kind.INTEGER: st.integers(-(2**63), 2**63 - 1),
    Kind.FLAG: st.booleans(),
    Kind.TIME: st.integers(0, 2**63 - 1),
    Kind.MASK: st.integers(0, 2**128 - 1),
}
values = st.fixed_dictionaries(
    {name: st.one_of(st.none(), OF_KIND[kind]) for name, kind in RECORDED_ATTRIBUTES.items() if name != "run"}
)
added = st.dictionaries(
    st.sampled_from(["colour", "size"]), st.one_of(st.none(), st.text(), st.booleans(), st.integers(), st.floats(-9, 9))
)
notes = st.dictionaries(
    st.sampled_from(["tier0_tag", "colour"]), st.builds(Note, st.one_of(st.none(), st.integers(0, 9)), st.booleans())
)


@given(values, added, notes, st.one_of(st.none(), st.integers(0, 2**63 - 1)))
def test_what_was_seen_of_a_run_comes_back_from_its_row(
    recorded: dict[str, Value], extra: dict[str, Value], noted: dict[str, Note], last: int | None
) -> None:
    seen = Seen({"run": 7, **recorded, **extra}, noted, last)
    with closing(sqlite3.connect(":memory:")) as conn:
        conn.row_factory = sqlite3.Row
        marks = ", ".join("?" * len(SEEN_COLUMNS))
        row = conn.execute(
            f"WITH r (run, {quoted(SEEN_COLUMNS)}) AS (VALUES (7, {marks})) SELECT * FROM r", columns_of(seen)
        ).fetchone()
    assert seen_from(row) == seen
