"""A rundb.db as the old system left it: nearly everything in it is text."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from caf.legacy.taking_over import TakenOver

COLUMNS = {
    "RUNSTATUS": "id run listener status validated rawpath nfiles rawstatus",
    "RUNPARAMS": "id run start runtype daqconfig detmask filetag rec datasource stop totaltime cleanstop maxlb "
    "partname recevents storedevents l1events l2events efevents errcode tierzerotag gainstrategy",
    "JOBSTATUS": "id run jobconfiguration batchid status result validation rawpath jobstart jobend",
}
KINDS = {"id": "integer primary key", "detmask": "integer"}
START = 1_400_000_000_000_000_000
NOW = 1_700_000_000.0
CONFIGURATION = """
[source]
replicas = ["cool/*.db"]
[listeners.LArEnergyScan]
min_events = 1700
match = { run_type = "LarCalibL1Calo", tier0_tag = "L1CaloEnergyScan", end = { known = true } }
[listeners.Standalone]
match = { run_type = "Physics" }
[jobs.LArL1CaloRampMaker]
listeners = ["LArEnergyScan"]
command = ["true"]
[jobs.D3PD]
listeners = ["Standalone"]
command = ["true"]
"""

Import = Callable[[], TakenOver]


def make(path: Path) -> sqlite3.Connection:
    """Make the empty database."""
    conn = sqlite3.connect(path, isolation_level=None)
    for table, columns in COLUMNS.items():
        kinds = [f"{name} {KINDS.get(name, 'text')}" for name in columns.split()]
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


def the_run(conn: sqlite3.Connection, run: int) -> dict[str, Any]:
    """Give a run as caf has it."""
    return dict(conn.execute("SELECT * FROM run WHERE run = ?", (run,)).fetchone())
