"""An old database, and caf's that takes it over."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from caf.config import Configuration, parse
from caf.legacy.taking_over import take_over
from caf.store import queries
from caf.store.database import connect
from tests.legacy import old_database
from tests.legacy.old_database import CONFIGURATION, NOW, Import


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    return parse(CONFIGURATION, tmp_path / "listeners.toml")


@pytest.fixture
def old(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    conn = old_database.make(tmp_path / "rundb.db")
    yield conn
    conn.close()


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    conn = connect(tmp_path / "caf.db", create=True)
    yield conn
    assert queries.findings(conn) == []
    conn.close()


@pytest.fixture
def bring(conn: sqlite3.Connection, tmp_path: Path, configuration: Configuration) -> Import:
    return lambda: take_over(conn, tmp_path / "rundb.db", configuration, "ann", NOW)
