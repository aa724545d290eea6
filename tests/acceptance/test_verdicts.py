"""`caf run --once` on replicas that the real COOL library wrote: every run gets the verdict that it was meant to get.

The expectation is worked out here, from the listeners' table as the group has used it since 2014 and from what each run
was meant to be. None of caf's own code has a part in that.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.sources.library import library

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "one file": ("ALL_IN_ONE",),
    "split files": ("COOLOFL_GLOBAL_{database}", "COOLONL_TDAQ_{database}", "COOLONL_TRIGGER_{database}"),
}
SECOND = 10**9
MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
MOST_LUMI_BLOCKS = 8  # that were written of a run in LBLB

COMBINED, LAR, TILE = "L1CaloCombined", "LArgL1CaloCombined", "TileL1CaloCombined"
SCAN, PHOS4 = "L1CaloEnergyScan", "L1CaloPprPhos4ScanPars"


@dataclass(frozen=True)
class Row:
    """One line of the table of listeners; None is an empty field, which requires nothing."""

    name: str
    run_type: str | None
    partitions: tuple[str, ...]
    tag: str | None
    not_tags: tuple[str, ...]
    strategies: tuple[str, ...] | None
    has_events: bool
    min_events: int


OVERRIDES = ("GainOneOvEmecFcalLowEta", "GainOneOvEmbFcalHighEta")
ALONE = ("L1CaloStandalone", "L1CaloCalibration")
SEVEN = (
    Row("LArEnergyScan", "LarCalibL1Calo", (COMBINED, LAR), SCAN, (), OVERRIDES, False, 1700),
    Row("LArEnergyScanHV", "LarCalibL1Calo", (COMBINED, LAR), SCAN, (), ("CalibGainsEt",), False, 1700),
    Row("TileEnergyScan", "cismono", (COMBINED, TILE), SCAN, (), None, True, 1700),
    Row("L1CaloPhos4Scan", None, (COMBINED, LAR, TILE), PHOS4, (), None, True, 0),
    Row("LArCalibL1Calo", "LarCalibL1Calo", (COMBINED, LAR), None, (SCAN, PHOS4), None, False, 0),
    Row("TileCalibL1Calo", "cismono", (COMBINED, TILE), None, (SCAN, PHOS4), None, True, 0),
    Row("L1CaloStandalone", "Physics", ALONE, None, (), None, True, 0),
)
JOBS = {
    "LArL1CaloRampMaker": {"LArEnergyScan", "LArEnergyScanHV"},
    "TileL1CaloRampMaker": {"TileEnergyScan"},
    "LArL1CaloHV": {"LArEnergyScanHV"},
    "Phos4ShapeMaker": {"L1CaloPhos4Scan"},
    "L1CaloCalibD3PD": {row.name for row in SEVEN} - {"LArEnergyScanHV"},
}
VALIDATED = {"L1CaloCalibD3PD"}


@cache
def truth() -> Any:
    """How the runs were meant."""
    return json.loads((library() / "golden" / "truth.json").read_text(encoding="utf-8"))


@cache
def stored_events() -> dict[int, int]:
    """COMP200's stored events by run, as the library itself reads them; truth.json does not say which were written."""
    golden = json.loads((library() / "golden" / "COOLONL_TDAQ_COMP200__COMP200.json").read_text(encoding="utf-8"))
    (sfo,) = (folder for folder in golden["folders"] if folder["path"].endswith("FinalSFOStat"))
    objects = max((query["result"] for query in sfo["queries"]), key=len)
    return {since >> 32: sfo["payloads"][str(number)]["StoredEvents"] for number, _, since, _ in objects}


def strategy_at(database: str, start: int) -> str:
    """The receivers' gain strategy that was set last before the run's start."""
    name: str = [name for since, name in truth()["gain_strategies"][database] if since <= start][-1]
    return name


def seen(meant: dict[str, Any], database: str, replica_time: int) -> dict[str, Any]:
    """What can be known of a run from the records that were written of it; times still in ns. None: not known."""
    ended, counted, blocks = meant["has_eor"], meant["has_evc"], meant["has_lb"]
    written = min(meant["nlb"], MOST_LUMI_BLOCKS)
    last_block = meant["sor"] + written * MINUTE if blocks else None
    end = meant["eor"] if ended else None
    moments = [moment for moment in (meant["sor"], end, last_block) if moment is not None]
    settled = replica_time > max(moments) + 24 * HOUR
    patched = settled and not ended and last_block is not None
    if patched:
        end = last_block
    stored = stored_events().get(meant["run"]) if database == "COMP200" else None
    counts = {name: meant[key] if counted else None for name, key in COUNTERS.items()} | {"stored_events": stored}
    known = [count for count in counts.values() if count is not None]
    return {
        "settled": settled,
        "run": meant["run"],
        "run_type": meant["runtype"],
        "partition": meant["partition"] if counted else None,
        "daq_configuration": meant["daq"],
        "detector_mask": int(meant["mask_str"], 16) if database == "CONDBR2" else meant["mask"] % 2**63,
        "project_tag": meant["project"],
        "recorded": meant["recording"],
        "start": meant["sor"],
        "end": end,
        "duration": meant["total"] if ended else written * 60 if patched else None,
        "clean_stop": meant["clean"] if ended else None,
        "lumi_blocks": meant["nlb"] if ended else written if blocks else None,
        **counts,
        "events": stored or counts["recorded_events"],
        "has_events": any(known) if known else None,
        "tier0_tag": meant["tierzerotag"],
        "gain_strategy": strategy_at(database, meant["sor"]),
        "data_source": "DAQ" if database == "COMP200" else None,
        "error_bits": (not ended) * 1 + (not blocks) * 4 + patched * 16,
    }


COUNTERS = {"l1_events": "l1", "l2_events": "l2", "ef_events": "ef", "recorded_events": "recorded"}


def takes(row: Row, run: dict[str, Any]) -> bool | None:
    """Whether a listener takes a run; None while that is not known."""

    def among(name: str, wanted: tuple[str, ...]) -> bool | None:
        return None if run[name] is None else run[name] in wanted

    answers: list[bool | None] = [run["recorded"], run["clean_stop"], None if run["end"] is None else True]
    answers.append(among("partition", row.partitions))
    if row.run_type:
        answers.append(among("run_type", (row.run_type,)))
    if row.tag:
        answers.append(among("tier0_tag", (row.tag,)))
    if row.strategies:
        answers.append(among("gain_strategy", row.strategies))
    if row.not_tags:
        answers.append(run["tier0_tag"] not in row.not_tags)
    if row.has_events:
        answers.append(run["has_events"])
    if row.min_events and run["events"] is None and not run["settled"]:
        answers.append(None)
    if run["settled"]:
        answers = [answer is True for answer in answers]
    return False if False in answers else None if None in answers else True


def verdict(run: dict[str, Any]) -> tuple[str, str | None, bool | None]:
    """Status, listener, and whether a person must validate it."""
    answers = {row: takes(row, run) for row in SEVEN}
    if None in answers.values():
        return "OPEN", None, None
    takers = [row for row, answer in answers.items() if answer]
    if len(takers) != 1:
        return ("CONFLICT" if takers else "UNCLAIMED"), None, None
    (row,) = takers
    return "ACCEPTED", row.name, bool(row.min_events) and (run["events"] or 0) < row.min_events


def as_json(run: dict[str, Any]) -> dict[str, Any]:
    """The attributes as `caf runs list --json` promises them."""

    def moment(ns: int | None) -> str | None:
        if ns is None:
            return None
        second, rest = divmod(ns, SECOND)
        return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"

    shown = {name: value for name, value in run.items() if name != "settled"}
    mask = f"0x{run['detector_mask']:032x}"
    return {**shown, "detector_mask": mask, "start": moment(run["start"]), "end": moment(run["end"])}


def place(folder: Path, database: str, files: tuple[str, ...], replica_time: int) -> Path:
    """The group's own listeners.toml beside the replicas; only first_run, replicas and database are not as shipped."""
    (folder / "cool").mkdir()
    for name in files:
        path = folder / "cool" / f"{name.format(database=database)}.db"
        shutil.copyfile(library() / "synthetic" / path.name, path)
        os.utime(path, ns=(replica_time, replica_time))
    text = (ROOT / "listeners.toml").read_text(encoding="utf-8")
    text, firsts = re.subn(r"(?m)^first_run = 210001\b", "first_run = 0", text)
    text, databases = re.subn(r'(?m)^database = "\w+"', f'database = "{database}"', text)
    text, replicas = re.subn(r"(?m)^replicas = .*\]", f'replicas = ["{folder}/cool/*.db"]', text)
    text, templates = re.subn(r'"deploy/templates"', f'"{ROOT}/deploy/templates"', text)
    assert (firsts, databases, replicas, templates) == (7, 1, 1, 1)
    config = folder / "listeners.toml"
    config.write_text(text, encoding="utf-8")
    return config


def caf(config: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "caf", *arguments, "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def late(database: str) -> int:
    """A replica written so late that every run in it has settled."""
    return int(max(meant["eor"] for meant in truth()[database]) + 30 * 24 * HOUR)


def fresh(database: str) -> int:
    """A replica written while its last run was going: only the older half of its runs has settled."""
    return int(max(meant["sor"] for meant in truth()[database]) + 2 * MINUTE)


@pytest.mark.parametrize(
    ("files", "written"),
    [("one file", late), ("split files", late), ("one file", fresh)],
    ids=["one file", "split files", "runs still going"],
)
@pytest.mark.parametrize("database", ["CONDBR2", "COMP200"])
def test_every_run_gets_the_verdict_that_it_was_meant_to_get(
    tmp_path: Path, database: str, files: str, written: Callable[[str], int]
) -> None:
    """Verdicts, all attributes, and the jobs that follow from them."""
    replica_time = written(database)
    config = place(tmp_path, database, FILES[files], replica_time)
    caf(config, "run", "--once")
    found = {run["run"]: run for run in json.loads(caf(config, "runs", "list", "--json"))}
    meant = {run["run"]: seen(run, database, replica_time) for run in truth()[database]}
    wanted = {number: verdict(run) for number, run in meant.items()}
    assert {n: (run["status"], run["listener"], run["needs_validation"]) for n, run in found.items()} == wanted
    shown = {number: as_json(run) for number, run in meant.items()}
    assert {n: {name: run[name] for name in shown[n]} for n, run in found.items()} == shown
    assert {frozenset(run) for run in found.values()} == {
        frozenset(as_json(meant[min(meant)])) | {"status", "listener", "needs_validation"}
    }
    # The expectation itself is worth something: there are runs of every kind in it.
    statuses = {status for status, _, _ in wanted.values()}
    assert statuses == {"ACCEPTED", "UNCLAIMED"} | ({"OPEN"} if written is fresh else set())
    assert {needs for _, _, needs in wanted.values()} == {None, False, True}
    _check_jobs(config, wanted)


def _check_jobs(config: Path, wanted: dict[int, tuple[str, str | None, bool | None]]) -> None:
    """Every accepted run has the jobs of its listener; those that a person must validate wait."""
    jobs = {(job["run"], job["job"]): job["state"] for job in json.loads(caf(config, "jobs", "list", "--json"))}
    due = {(n, job): v for n, v in wanted.items() for job, listeners in JOBS.items() if v[1] in listeners}
    flood = len(due) > 50  # the shipped max_new_jobs
    assert jobs == {
        (n, job): "WAITING" if flood or needs or job in VALIDATED else "NEW" for (n, job), (_, _, needs) in due.items()
    }


@pytest.mark.parametrize("database", ["CONDBR2", "COMP200"])
def test_the_expectation_knows_the_deliberate_cases(database: str) -> None:
    """What the oracle above says of runs whose fate is known from their description alone."""
    cases = {case: run for run in truth()[database] for case in run.get("case", ())}

    def of(case: str, replica_time: int) -> tuple[str, str | None, bool | None]:
        return verdict(seen(next(run for name, run in cases.items() if name.startswith(case)), database, replica_time))

    assert of("minimum events exactly 1700", late(database)) == ("ACCEPTED", "TileEnergyScan", False)
    assert of("unclean stop", late(database)) == ("UNCLAIMED", None, None)
    assert of("recording ", late(database)) == ("UNCLAIMED", None, None)
    assert of("ongoing run", fresh(database)) == ("OPEN", None, None)
    assert of("ongoing run", late(database)) == ("UNCLAIMED", None, None)
    assert of("zero events", late(database)) == ("UNCLAIMED", None, None)
