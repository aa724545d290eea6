"""What grows: each table has its word, and what is pruned is what is old."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from caf.store import outbox
from caf.store.database import SCHEMA, connect
from caf.store.outbox import Letter
from caf.store.pruning import GROWTH, prune

NOW = 1_800_000_000.0


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(tmp_path / "caf.db", create=True)) as conn:
        yield conn


def test_of_each_table_it_is_said_whether_it_grows() -> None:
    assert set(GROWTH) == set(re.findall(r"CREATE TABLE (\w+)", SCHEMA.read_text()))
    assert {words.partition(":")[0] for words in GROWTH.values()} == {"bounded", "record", "pruned"}


def test_mail_that_was_sent_long_ago_goes_and_all_else_stays(conn: sqlite3.Connection) -> None:
    outbox.enrol(conn, ["a@b.c"], 0, 0)
    for number, sent in enumerate((NOW - outbox.KEPT - 1, NOW - 1, None)):
        outbox.post(conn, [Letter("a@b.c", "digest", str(number), "", 0)], NOW - 2 * outbox.KEPT, "host")
        if sent is not None:
            (row,) = conn.execute("SELECT max(id) FROM outbox").fetchone()
            outbox.sent(conn, row, sent)
    assert prune(conn, NOW) == 1
    assert [row[0] for row in conn.execute("SELECT subject FROM outbox ORDER BY id")] == ["1", "2"]
    assert prune(conn, NOW) == 0
