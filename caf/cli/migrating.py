"""`caf db migrate`: brings the database to this version's schema, before the supervisor is started."""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from caf import lock, paths
from caf.cli.options import Config, Place, StateDir
from caf.cli.text import harmless
from caf.domain.errors import StoreError
from caf.store.database import VERSION, connect, explain
from caf.store.migrations import copy_of


def migrate(config: Config = None, state: StateDir = None) -> None:
    """Bring the database up to date.

    After caf was upgraded, with the supervisor stopped; its start would do the same. It is done as a whole or not at
    all, and the database is kept beside it as it was.

    Example: caf db migrate
    """
    place = Place.of(config, state)
    path = place.state / paths.DATABASE
    if not path.exists() or not path.stat().st_size:
        print("there is no database yet: it is made by the first `caf run`")
        return
    os.umask(0o007)
    with lock.held(place.state / paths.LOCK, time.time(), "caf db migrate"):
        before = _schema(path)
        connect(path, create=True).close()
    if before == VERSION:
        print(harmless(f"{path}: is up to date (schema {VERSION})"))
    else:
        print(harmless(f"{path}: schema {before} became {VERSION}; as it was it is kept as {copy_of(path, before)}"))


def _schema(path: Path) -> int:
    try:
        with closing(sqlite3.connect(path)) as conn:
            return int(conn.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {explain(error)}") from error
