"""A rundb.db as the old system left it: nearly everything in it is text."""

import sqlite3
from pathlib import Path
from typing import Any

COLUMNS = {
    "RUNSTATUS": ["id", "run", "listener", "status", "validated", "rawpath", "nfiles", "rawstatus"],
    "RUNPARAMS": [
        "id",
        "run",
        "start",
        "runtype",
        "daqconfig",
        "detmask",
        "filetag",
        "rec",
        "datasource",
        "stop",
        "totaltime",
        "cleanstop",
        "maxlb",
        "partname",
        "recevents",
        "storedevents",
        "l1events",
        "l2events",
        "efevents",
        "errcode",
        "tierzerotag",
        "gainstrategy",
    ],
    "JOBSTATUS": [
        "id",
        "run",
        "jobconfiguration",
        "batchid",
        "status",
        "result",
        "validation",
        "rawpath",
        "jobstart",
        "jobend",
    ],
}
START = 1_400_000_000_000_000_000


def make(path: Path) -> sqlite3.Connection:
    """Make the empty database."""
    conn = sqlite3.connect(path, isolation_level=None)
    for table, columns in COLUMNS.items():
        kinds = [
            f"{c} {'integer primary key' if c == 'id' else 'integer' if c == 'detmask' else 'text'}" for c in columns
        ]
        conn.execute(f"CREATE TABLE {table} ({', '.join(kinds)})")
    return conn


def put(conn: sqlite3.Connection, table: str, **values: Any) -> None:
    """Insert a row; True, False and None are written as the old system did, as words."""
    said = {name: value if name == "detmask" else str(value) for name, value in values.items()}
    marks = ", ".join("?" * len(said))
    conn.execute(f"INSERT INTO {table} ({', '.join(said)}) VALUES ({marks})", tuple(said.values()))


def a_run(
    conn: sqlite3.Connection, run: int, listener: str = "LArEnergyScan", *, validated: bool = False, **more: Any
) -> None:
    """Insert a run that was accepted."""
    put(conn, "RUNSTATUS", run=run, listener=listener, status="OK", validated=validated, rawpath=None, nfiles=0)
    given = {
        "start": START + run,
        "stop": START + run + 600 * 10**9,
        "runtype": "LarCalibL1Calo",
        "daqconfig": "Schema=1:Data=2",
        "detmask": 0x7C00000000,
        "filetag": "data14_calib",
        "rec": False,
        "datasource": None,
        "totaltime": 600,
        "cleanstop": True,
        "maxlb": 10,
        "partname": "L1CaloCombined",
        "recevents": 2000,
        "storedevents": None,
        "l1events": 2001,
        "errcode": 0,
        "tierzerotag": "L1CaloEnergyScan",
        "gainstrategy": "GainOneOvEmbFcalHighEta",
    }
    put(conn, "RUNPARAMS", run=run, **given | more)


def a_job(conn: sqlite3.Connection, run: int, status: str, job: str = "LArL1CaloRampMaker", **more: Any) -> None:
    """Insert a job."""
    given = {"batchid": None, "result": None, "validation": "NONE", "jobstart": None, "jobend": None}
    put(conn, "JOBSTATUS", run=run, jobconfiguration=job, status=status, **given | more)
