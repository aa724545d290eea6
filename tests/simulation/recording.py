"""Runs as the real systems record them, one record at a time, and listeners for them."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from caf.demo.run_writer import RunWriter
from caf.domain.runs import SECOND

CONFIGURATION = """
[source]
replicas = ["cool/*.db"]

[listeners.Scan]
min_events = 100
[listeners.Scan.match]
run_type = "scan"
tier0_tag = "Energy"
recorded = true

[listeners.Ramp.match]
run_type = "ramp"
clean_stop = true

[listeners.Crashed.match]
run_type = "crashy"
end = { known = true }
error_bits = { bits = 16 }

[jobs.Fit]
listeners = ["Scan", "Ramp", "Crashed"]
command = ["fit"]
"""
RUN = 490001
REGIME = """
[source.attributes.regime]
folder = "/TRIGGER/L1Calo/V1/Conditions/DerivedRunPars"
column = "timingRegime"
per_run = true
"""
MINUTE = 60.0


def ns(moment: float) -> int:
    return int(moment * SECOND)


def start(writer: RunWriter, run: int, at: float, run_type: str = "scan", **more: Any) -> None:
    writer.start_run(run, ns(at), run_type=run_type, detector_mask=1, **more)


def end(writer: RunWriter, run: int, at: float, **more: Any) -> None:
    writer.end_run(run, ns(at), lumi_blocks=1, **more)


def count(writer: RunWriter, run: int, events: int = 500) -> None:
    writer.counters(run, "L1CaloCombined", l1_events=events, ef_events=events, recorded_events=events)


def whole(writer: RunWriter, run: int, at: float, tag: str | None = "Energy", run_type: str = "scan") -> None:
    """Write all there is of a run that ended a minute after its start."""
    start(writer, run, at, run_type)
    end(writer, run, at + MINUTE)
    count(writer, run)
    if tag is not None:
        writer.derived(run, tag)


def change(path: Path, folder: str, run: int, **columns: Any) -> None:
    """Write over a record where it stands, as a person with enough rights may."""
    with closing(sqlite3.connect(path)) as conn:
        (table,) = conn.execute(
            "SELECT FOLDER_IOVTABLENAME FROM CONDBR2_NODES WHERE NODE_FULLPATH = ?", (folder,)
        ).fetchone()
        sets = ", ".join(f'"{name}" = ?' for name in columns)
        changed = conn.execute(
            f"UPDATE {table} SET {sets} WHERE IOV_SINCE = ?", (*columns.values(), run << 32)
        ).rowcount
        conn.commit()
    assert changed == 1
