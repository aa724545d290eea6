"""The one SQL statement against a plain, slow reading of the same replica, run by run with the verified browser."""

import json
import sqlite3
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caf.demo.replica import MULTI, OPEN_ENDED, SINGLE, Replica
from caf.demo.run_writer import DERIVED_RUN_PARS, LBLB, SOR, STRATEGY
from caf.domain.errors import CafError
from caf.sources.cool import Conditions, Record, read_runs

NOW = 1_714_500_000_000_000_000
RUNS = range(1, 9)

runs = st.integers(RUNS.start, RUNS.stop)
records = st.lists(
    st.tuples(runs, st.sampled_from([0, 0, 0, 3]), st.integers(0, 3), st.sampled_from([0, 1, 4]), st.booleans()),
    max_size=9,
)
strategies = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9), st.sampled_from([0, 1])), max_size=6)
blocks = st.lists(st.tuples(runs, st.integers(0, 4)), max_size=8)


def try_to_store(replica: Replica, path: str, since: int, until: int, payload: dict[str, Any], channel: int) -> None:
    try:
        replica.store(path, since, until, payload, channel)
    except CafError as error:  # a single-version folder refuses overlaps: then it just holds less
        if "overlaps" not in str(error):
            raise


def write(path: str, started: set[int], tags: Any, gains: Any, lumi: Any, versioning: int) -> None:
    Path(path).unlink(missing_ok=True)
    with Replica.create(path, "CONDBR2", NOW) as replica:
        replica.folder(SOR.path, SOR.payload)
        replica.folder(LBLB.path, LBLB.payload)
        replica.folder(DERIVED_RUN_PARS.path, DERIVED_RUN_PARS.payload, versioning)
        replica.folder(STRATEGY.path, STRATEGY.payload, versioning, "time")
        for run in started:
            texts = dict.fromkeys(("RunType", "DAQConfiguration", "DetectorMask", "T0ProjectTag"), "1")
            payload = {"RunNumber": run, "SORTime": NOW + run, "RecordingEnabled": True, **texts}
            try_to_store(replica, SOR.path, run << 32, (run + 1) << 32, payload, 0)
        for number, (run, block, length, channel, endless) in enumerate(tags):
            since, until = run << 32 | block, OPEN_ENDED if endless else ((run + length) << 32) + block + 1
            payload = {"timingRegime": f"r{number}", "tierZeroTag": f"t{number}"}
            try_to_store(replica, DERIVED_RUN_PARS.path, since, until, payload, channel)
        for number, (begin, length, channel) in enumerate(gains):
            payload = {"name": f"g{number}"}
            try_to_store(replica, STRATEGY.path, NOW + begin, NOW + begin + length, payload, channel)
        for run, block in lumi:
            key = run << 32 | block
            try_to_store(replica, LBLB.path, key, key + 1, {"StartTime": NOW, "EndTime": NOW + key}, 0)


def slowly(conditions: Conditions, run: int) -> dict[str, Any]:
    """Say what a snapshot should hold of a run, from single questions to the browser."""
    derived = conditions.folder(DERIVED_RUN_PARS.path)
    everything = list(conditions.browse(derived))
    own = [each for each in everything if each.since >> 32 == run]
    found: Record | None = next(iter(own or conditions.find(derived, run << 32)), None)
    gain = conditions.find(conditions.folder(STRATEGY.path), NOW + run, "0")
    lumi = [each for each in conditions.browse(conditions.folder(LBLB.path)) if each.since >> 32 == run]
    last = max(lumi, key=lambda each: each.since, default=None)
    notes: dict[str, Any] = {"lumi_blocks": {"final": False}} if last else {}
    if found and found.since >> 32 != run:
        final = any(each.since >> 32 > run for each in everything)
        notes["tier0_tag"] = notes["regime"] = {"final": final, "from": found.since >> 32}
    return {
        "tier0_tag": value(found, "tierZeroTag"),
        "extra": {"regime": value(found, "timingRegime")},
        "gain_strategy": value(gain[0] if gain else None, "name"),
        "lumi_blocks": last and last.since & 0xFFFFFFFF,
        "last_lb_end": value(last, "EndTime"),
        "notes": notes or None,
    }


def value(record: Record | None, column: str) -> Any:
    assert record is None or isinstance(record.payload, dict)
    return record.payload[column] if record and isinstance(record.payload, dict) else None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(runs, min_size=1), records, strategies, blocks, st.sampled_from([SINGLE, MULTI]))
def test_the_statement_agrees_with_a_plain_reading(
    tmp_path: Path, started: set[int], tags: Any, gains: Any, lumi: Any, versioning: int
) -> None:
    path, into = str(tmp_path / "r.db"), str(tmp_path / "snapshot.db")
    write(path, started, tags, gains, lumi, versioning)
    regime = {"folder": DERIVED_RUN_PARS.path, "column": "timingRegime", "per_run": True}
    read_runs([path], "CONDBR2", 0, {"regime": regime}, into)
    connection = sqlite3.connect(into)
    connection.row_factory = sqlite3.Row
    found = {row["run"]: dict(row) for row in connection.execute("SELECT * FROM run")}
    connection.close()
    assert set(found) == started
    with Conditions(path, "CONDBR2") as conditions:
        for run, row in found.items():
            row |= {name: row[name] and json.loads(row[name]) for name in ("extra", "notes")}
            wanted = slowly(conditions, run)
            assert {name: row[name] for name in wanted} == wanted
