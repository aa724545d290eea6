"""The same histories through real replicas, the real reader and the real duty, with files that are replaced anyhow."""

import os
import random
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from caf.demo.replica import OPEN_ENDED, Replica
from caf.demo.run_writer import DERIVED_RUN_PARS, EOR, EVENT_COUNTERS, LBLB, SOR, RunWriter
from caf.domain.errors import SourceError
from tests.simulation.duty import Duty
from tests.simulation.history import BEGIN, DAY, HOUR, SECOND, SPAN, Event, events_of
from tests.simulation.oracle import LATE_RUN, Verdict, verdicts

RUNS = 250
SEEDS = (101, 102)
END = BEGIN + SPAN + 15 * DAY
FOLDERS = (SOR, EOR, EVENT_COUNTERS)

CONFIGURATION = f"""
[source]
replicas = ["cool/*.db"]
[source.attributes.regime]
folder = "{DERIVED_RUN_PARS.path}"
column = "timingRegime"
per_run = true

[listeners.Scan]
min_events = 100
match = {{ run_type = "scan", recorded = true, tier0_tag = ["Energy", "Gain"] }}
[listeners.Odd]
match = {{ run_type = "scan", regime = "Odd" }}
[listeners.Ramp]
match = {{ run_type = {{ contains = "RAMP" }}, clean_stop = true, end = {{ known = true }} }}
[listeners.Crash]
match = {{ run_type = ["crash", ""], error_bits = {{ bits = "0x10" }} }}
[listeners.Cosmic.match]
run_type = "cosmic"
tier0_tag = {{ not_in = ["Energy", "Bad"] }}
partition = "L1CaloCombined"
lumi_blocks = {{ at_least = 2 }}
[listeners.Pedestal]
first_run = {LATE_RUN}
match = {{ run_type = "pedestal", duration = {{ at_least = 300, at_most = 5000 }}, has_events = true }}
[listeners.Lost]
match = {{ run_type = "mono", end = {{ known = false }}, detector_mask = {{ bits = 2 }} }}
[listeners.Gain]
min_events = 500
match = {{ run_type = "mono", gain_strategy = "G1", end = {{ known = true }}, events = {{ at_least = 50 }} }}

[jobs.Fit]
listeners = ["Scan", "Odd", "Ramp", "Crash", "Cosmic", "Pedestal", "Lost", "Gain"]
command = ["fit"]
"""


class RunDatabase:
    """A replica that every record is written to as it comes."""

    def __init__(self, path: Path, events: Iterable[Event]) -> None:
        self.path = path
        self.records: dict[int, dict[str, dict[str, Any]]] = {}
        self._coming = sorted(events, reverse=True)
        with Replica.create(str(path), "CONDBR2", BEGIN * SECOND) as replica:
            RunWriter(replica).strategy(1, "G1")

    def advance(self, now: int) -> None:
        """Write all that comes up to `now` (s)."""
        with Replica.open(str(self.path), "CONDBR2", now * SECOND) as replica:
            while self._coming and self._coming[-1].at <= now:
                event = self._coming.pop()
                known = self.records.setdefault(event.run, {})
                if event.kind == "lumi":
                    self._lumi(replica, event)
                    if event.record["block"] < known.get("lumi", event.record)["block"]:
                        continue
                elif event.kind == "trigger":
                    self._trigger(replica, event)
                else:
                    self._write(replica, event, again=event.kind in known)
                known[event.kind] = event.record

    def _write(self, replica: Replica, event: Event, *, again: bool) -> None:
        run, record = event.run, event.record
        until = (run + 1) << 32
        began = self.records[run].get("start", {}) | (record if event.kind == "start" else {})
        how = {
            "RunNumber": run,
            "SORTime": began.get("start") or 0,
            "RunType": began.get("run_type", ""),
            "DAQConfiguration": "",
            "DetectorMask": began.get("detector_mask", "0"),
            "T0ProjectTag": "data24_calib",
            "RecordingEnabled": began.get("recorded"),
        }
        if event.kind == "start":
            folder, values = SOR.path, how
        elif event.kind == "end":
            folder = EOR.path
            ended = {"EORTime": record["end"], "TotalTime": record["duration"], "CleanStop": bool(record["clean_stop"])}
            values = {**how, **ended}
            until = until if record["lumi_blocks"] is None else (run << 32) + record["lumi_blocks"] + 1
        else:
            folder, events = EVENT_COUNTERS.path, record["recorded_events"]
            values = {"PartitionName": record["partition"], "L1Events": events, "L2Events": 0, "EFEvents": 0}
            values["RecordedEvents"] = events
        if again:
            # COOL does not write over a record; a replica made anew from a mended one says the same.
            table = replica._folder(folder)[0] + "_IOVS"
            replica._connection.execute(f"DELETE FROM {table} WHERE IOV_SINCE = ?", (run << 32,))
        replica.store(folder, run << 32, until, values)

    def _lumi(self, replica: Replica, event: Event) -> None:
        key = event.run << 32 | event.record["block"]
        replica.store(LBLB.path, key, key + 1, {"StartTime": event.record["end"] - 1, "EndTime": event.record["end"]})

    def _trigger(self, replica: Replica, event: Event) -> None:
        later = [run for run, known in self.records.items() if run > event.run and "trigger" in known]
        until = min(later) << 32 if later else OPEN_ENDED
        record = {"timingRegime": event.record["regime"], "tierZeroTag": event.record["tag"]}
        replica.store(DERIVED_RUN_PARS.path, event.run << 32, until, record, 1)

    def truth(self) -> dict[int, dict[str, dict[str, Any]]]:
        """Give the records with what this replica says of the gain strategy, which goes by time."""
        told = {run: dict(known) for run, known in self.records.items()}
        for known in told.values():
            if "start" in known:
                strategy = None if known["start"]["start"] is None else "G1"
                known["start"] = {**known["start"], "gain_strategy": strategy}
        return told


def publish(duty: Duty, copy: Path, written: int, draw: random.Random) -> None:
    """Put a copy in the replica's place: by rename, or over it."""
    if draw.random() < 0.5 or not duty.replica.exists():
        fresh = duty.replica.with_name("fresh")
        shutil.copy(copy, fresh)
        os.utime(fresh, (written, written))
        fresh.rename(duty.replica)
    else:
        shutil.copy(copy, duty.replica)
        duty.touch(written)


def standing(duty: Duty) -> dict[int, Verdict]:
    rows = duty.query("SELECT run, status, listener, needs_validation FROM run")
    return {run: (status, listener, validate) for run, status, listener, validate in rows}


def settle(duty: Duty, truth: Path) -> dict[int, Verdict]:
    """Show all there will ever be, and let it settle."""
    for moment in (END, END + DAY + 1, END + 3 * DAY):
        duty.now = float(moment)
        shutil.copy(truth, duty.replica)
        duty.touch()
        duty.round()
    return standing(duty)


def losing_a_folder(duty: Duty) -> None:
    """Have a round over a replica that was copied without the counters: nothing is taken from it."""
    known = duty.query("SELECT run FROM run")
    with closing(sqlite3.connect(duty.replica)) as conn:
        conn.execute("DELETE FROM CONDBR2_NODES WHERE NODE_FULLPATH = ?", (EVENT_COUNTERS.path,))
        conn.commit()
    with pytest.raises(SourceError, match="EventCounters: was in the run database and is gone"):
        duty.round(60)
    assert duty.query("SELECT run FROM run") == known


def a_round(duty: Duty, database: RunDatabase, copies: list[Path], draw: random.Random) -> str:
    """Do one round in one of the ways that rounds go."""
    now, chance = int(duty.now), draw.random()
    if chance < 0.15 and copies:
        publish(duty, draw.choice(copies), now if draw.random() < 0.3 else now - DAY, draw)
        duty.round()
        return "an older copy"
    if chance < 0.25:
        duty.round()
        return "unchanged"
    publish(duty, database.path, now - draw.choice((0, 60, 3 * HOUR)), draw)
    if chance < 0.35 and len(copies) > 1:
        losing_a_folder(duty)
        publish(duty, database.path, now, draw)
        return "a folder is gone"
    duty.round()
    if chance < 0.5:
        copy = duty.folder / f"copy{len(copies)}.db"
        shutil.copy(database.path, copy)
        copies.append(copy)
    elif chance < 0.65:
        duty.again()
    return "read"


@pytest.mark.parametrize("seed", SEEDS)
def test_real_replicas_end_with_the_verdicts_of_a_single_look(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    events = [event for event in events_of(seed, RUNS) if event.kind != "stored"]
    database = RunDatabase(tmp_path / "truth.db", events)
    rounds: list[str] = []
    copies: list[Path] = []
    (tmp_path / "first").mkdir()
    with Duty(tmp_path / "first", CONFIGURATION) as duty:
        database.advance(BEGIN)
        publish(duty, database.path, BEGIN, draw)
        for now in sorted(draw.randint(BEGIN, BEGIN + SPAN + 8 * DAY) for _ in range(30)):
            duty.now = float(now)
            database.advance(now)
            rounds.append(f"{now}: {a_round(duty, database, copies, draw)}")
        database.advance(END)
        got = settle(duty, database.path)
        judged = duty.query("SELECT run, judged, status, listener FROM run")
    expected = verdicts(database.truth())
    wrong = [run for run in expected if got.get(run) != expected[run]]
    assert not wrong, "\n".join(
        [f"seed {seed}, run {wrong[0]}: {got.get(wrong[0])} instead of {expected[wrong[0]]}; {len(wrong)} are wrong"]
        + [f"  came {event}" for event in events if event.run == wrong[0]]
        + [f"  {row}" for row in judged if row[0] == wrong[0]]
        + [f"  round at {each}" for each in rounds]
    )
    assert got.keys() == expected.keys()
    assert len(got) == RUNS
    (tmp_path / "second").mkdir()
    with Duty(tmp_path / "second", CONFIGURATION) as single:
        assert settle(single, database.path) == got
