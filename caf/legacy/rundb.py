"""rundb.db, the old system's database, read as it is: nearly everything in it is text, and nothing is sure."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from caf.domain.errors import StoreError

TABLES: Mapping[str, tuple[str, ...]] = {
    "RUNSTATUS": ("id", "run", "listener", "status", "validated"),
    "RUNPARAMS": (
        *("id", "run", "start", "runtype", "daqconfig", "detmask", "filetag", "rec", "datasource", "stop"),
        *("totaltime", "cleanstop", "maxlb", "partname", "recevents", "storedevents", "l1events", "l2events"),
        *("efevents", "errcode", "tierzerotag", "gainstrategy"),
    ),
    "JOBSTATUS": (
        *("id", "run", "jobconfiguration", "batchid", "status", "result", "validation", "jobstart", "jobend"),
    ),
}
"""The columns that mean something; rawpath was never filled. The last two of RUNPARAMS came late."""

NEEDED = {"RUNSTATUS": {"run", "listener"}, "RUNPARAMS": {"run"}, "JOBSTATUS": {"run", "jobconfiguration", "status"}}

Row = dict[str, str | None]


@dataclass(slots=True)
class OldDatabase:
    """The rows of the three tables by run, each value as text, None where it is missing."""

    path: Path
    status: dict[int, list[Row]] = field(default_factory=dict)
    parameters: dict[int, list[Row]] = field(default_factory=dict)
    jobs: dict[int, list[Row]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def runs(self) -> list[int]:
        """Give the runs that had a verdict or a job, in their order."""
        return sorted(self.status.keys() | self.jobs.keys())


def read(path: Path) -> OldDatabase:
    """Read the whole database, which is left as it is. StoreError where it is not that of the old system."""
    old = OldDatabase(path)
    with _opened(path) as conn:
        for table, into in (("RUNSTATUS", old.status), ("RUNPARAMS", old.parameters), ("JOBSTATUS", old.jobs)):
            for row in _rows(conn, table):
                run = number(row["run"])
                if run is None or not 0 <= run < 2**63:
                    old.problems.append(f"{table} row {row['id'] or '?'}: {row['run']!r} is not a run: left out")
                else:
                    into.setdefault(run, []).append(row)
    return old


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        raise StoreError(f"{path}: there is no such file; name the old system's rundb.db")
    try:
        uri = f"file:{quote(str(path.absolute()))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as conn:
            conn.text_factory = lambda data: data.decode("utf-8", "replace")
            conn.row_factory = sqlite3.Row
            yield conn
    except sqlite3.Error as error:
        what = "is not the old system's rundb.db, or is damaged"
        raise StoreError(f"{path}: {what}: {error}; name another file") from None


def _rows(conn: sqlite3.Connection, table: str) -> Iterator[Row]:
    there = {str(row["name"]).lower() for row in conn.execute(f"PRAGMA table_info({table})")}
    if missing := NEEDED[table] - there:
        what = f"no table {table}" if not there else f"no {table}.{sorted(missing)[0]}"
        raise sqlite3.DatabaseError(f"it has {what}")
    columns = [name for name in TABLES[table] if name in there]
    order = "id" if "id" in there else "rowid"
    for row in conn.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}"):
        yield {name: text(row[name]) if name in columns else None for name in TABLES[table]}


def text(value: Any) -> str | None:
    """Give a value as text; None for what meant missing: NULL, nothing, `None`."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    said = "" if value is None else str(value).strip()
    return None if said in {"", "None", "NULL"} else said


def number(said: str | None) -> int | None:
    """Read a whole number, as Python 2 may have written it (`1700L`, `1700.0`)."""
    if said is None or len(said) > 60:
        return None
    try:
        return int(said.rstrip("lL"), 0) if said.lower().startswith("0x") else int(said.rstrip("lL"))
    except ValueError:
        pass
    try:
        value = float(said)
        return int(value) if value.is_integer() else None
    except (ValueError, OverflowError):
        return None


def flag(said: str | None) -> bool | None:
    """Read `True` and `False`; None for anything else."""
    return {"true": True, "1": True, "false": False, "0": False}.get((said or "").lower())
