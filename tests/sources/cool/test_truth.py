"""The synthetic replicas, written by the real library, are read back as the runs that they were meant to be."""

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from caf.sources.cool import Conditions, read_runs, read_settled
from caf.sources.cool.reading import Payload
from tests.sources.library import library

COOL = library()
SYNTHETIC = COOL / "synthetic"

LBLB_MOST, LB_PARAMS_MOST = 8, 6  # the synthetic files hold no more lumi blocks of a run
REGIME = {
    "folder": "/TRIGGER/L1Calo/V1/Conditions/DerivedRunPars",
    "column": "timingRegime",
    "per_run": True,
}


def rows(path: Path) -> dict[int, dict[str, Any]]:
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    try:
        return {row["run"]: dict(row) for row in connection.execute("SELECT * FROM run ORDER BY run")}
    finally:
        connection.close()


def split_files(database: str) -> list[str]:
    return [
        str(SYNTHETIC / f"{schema}_{database}.db") for schema in ("COOLOFL_GLOBAL", "COOLONL_TDAQ", "COOLONL_TRIGGER")
    ]


def strategy_at(truth: dict[str, Any], database: str, start: int) -> str:
    steps = truth["gain_strategies"][database]
    name: str = steps[bisect_right([since for since, _ in steps], start) - 1][1]
    return name


def expected(meant: dict[str, Any], database: str, truth: dict[str, Any]) -> dict[str, Any]:
    """What a reader must say of a run, from how the run was meant and from what was written of it."""
    eor, counters = meant["has_eor"], meant["has_evc"]
    run_1 = database == "COMP200"
    mask = int(meant["mask_str"], 16) if not run_1 else meant["mask"] % 2**63
    row = {
        "run": meant["run"],
        "run_type": meant["runtype"],
        "partition": meant["partition"] if counters else None,
        "daq_configuration": meant["daq"],
        "detector_mask": f"{mask:032x}",
        "project_tag": meant["project"],
        "recorded": int(meant["recording"]),
        "start": meant["sor"],
        "end": meant["eor"] if eor else None,
        "duration": meant["total"] if eor else None,
        "clean_stop": int(meant["clean"]) if eor else None,
        "lumi_blocks": meant["nlb"] if eor else min(meant["nlb"], LBLB_MOST) if meant["has_lb"] else None,
        "l1_events": meant["l1"] if counters else None,
        "l2_events": meant["l2"] if counters else None,
        "ef_events": meant["ef"] if counters else None,
        "recorded_events": meant["recorded"] if counters else None,
        "tier0_tag": meant["tierzerotag"],
        "gain_strategy": strategy_at(truth, database, meant["sor"]),
        "error_bits": (0 if eor else 1) + (0 if meant["has_lb"] else 4),
        "extra": None,
        "notes": None if eor or not meant["has_lb"] else '{"lumi_blocks":{"final":false}}',
    }
    if run_1:
        assert meant["recording"] == (meant["rec_stored"] != (meant["run"] < 58788))
    return row


@pytest.mark.parametrize("database", ["CONDBR2", "COMP200"])
@pytest.mark.parametrize("split", [False, True], ids=["one file", "split files"])
def test_every_synthetic_run_is_read_as_it_was_meant(database: str, split: bool, tmp_path: Path) -> None:
    truth = json.loads((COOL / "golden" / "truth.json").read_text(encoding="utf-8"))
    files = split_files(database) if split else [str(SYNTHETIC / "ALL_IN_ONE.db")]
    result = read_settled(files, database, 0, {}, str(tmp_path / "snapshot.db"))
    found = rows(tmp_path / "snapshot.db")
    assert sorted(found) == sorted(meant["run"] for meant in truth[database])
    assert len(found) == 50
    for meant in truth[database]:
        wanted = expected(meant, database, truth)
        row = found[meant["run"]]
        assert {name: row[name] for name in wanted} == wanted
        if meant["has_lb"]:
            minutes = (row["last_lb_end"] - meant["sor"]) / 60e9
            assert minutes == min(meant["nlb"], LBLB_MOST)
        else:
            assert row["last_lb_end"] is None
    runs = sorted(found)
    assert (result["runs"], result["first"], result["last"]) == (50, runs[0], runs[-1])
    assert [mark[0] for mark in result["marks"]] == files


def test_stored_events_of_run_1_come_from_the_sfo(tmp_path: Path) -> None:
    """FinalSFOStat's rows, as the library itself reads them."""
    golden = json.loads((COOL / "golden" / "COOLONL_TDAQ_COMP200__COMP200.json").read_text(encoding="utf-8"))
    sfo = next(folder for folder in golden["folders"] if folder["path"].endswith("FinalSFOStat"))
    everything = max(sfo["queries"], key=lambda query: len(query["result"]))["result"]
    stored = {since >> 32: sfo["payloads"][str(number)]["StoredEvents"] for number, _, since, _ in everything}
    assert len(stored) > 30
    read_runs(split_files("COMP200"), "COMP200", 0, {}, str(tmp_path / "snapshot.db"))
    found = rows(tmp_path / "snapshot.db")
    assert {run: row["stored_events"] for run, row in found.items()} == {run: stored.get(run) for run in found}
    assert {row["data_source"] for row in found.values()} == {"DAQ"}


def test_run_1_lumi_blocks_come_from_lb_params_where_the_trigger_folder_is_missing(tmp_path: Path) -> None:
    truth = json.loads((COOL / "golden" / "truth.json").read_text(encoding="utf-8"))
    result = read_runs([str(SYNTHETIC / "COOLONL_TDAQ_COMP200.db")], "COMP200", 0, {}, str(tmp_path / "snapshot.db"))
    found = rows(tmp_path / "snapshot.db")
    assert "/TRIGGER/LUMI/LBLB" not in result["folders"]
    for meant in truth["COMP200"]:
        row = found[meant["run"]]
        if not meant["has_eor"]:
            assert row["lumi_blocks"] == min(meant["nlb"], LB_PARAMS_MOST)
            assert json.loads(row["notes"]) == {"lumi_blocks": {"final": False}}
        if meant["has_lb"] and meant["has_eor"]:
            assert (row["last_lb_end"] - meant["sor"]) / 60e9 == min(meant["nlb"], LB_PARAMS_MOST)
        else:  # a last lumi block that is open, or was closed by the next run only, says nothing about the end
            assert row["last_lb_end"] is None
        assert row["tier0_tag"] is None
        assert row["gain_strategy"] is None


def test_first_run_is_the_first_that_is_read(tmp_path: Path) -> None:
    result = read_runs(split_files("CONDBR2"), "CONDBR2", 490117, {}, str(tmp_path / "snapshot.db"))
    assert result["first"] == 490117
    assert result["runs"] == sum(run >= 490117 for run in rows(tmp_path / "snapshot.db"))


def as_browsed(path: str, database: str, asked: dict[str, Any], runs: Iterable[int]) -> dict[int, Payload | None]:
    """For each run the payload of the first record in it, else of the one that covers its first key."""
    channel, tag = asked.get("channel"), asked.get("tag", "")
    found: dict[int, Payload | None] = {}
    with Conditions(path, database) as conditions:
        folder = conditions.folder(asked["folder"])
        for run in runs:
            last = (run << 32) + 2**32 - 1
            records = list(conditions.browse(folder, run << 32, last, f"name:{channel}" if channel else "all", 0, tag))
            records = [each for each in records if each.since >> 32 == run] or records
            payload = records[0].payload if records else None
            assert not isinstance(payload, list)
            found[run] = payload
    return found


@pytest.mark.parametrize("database", ["CONDBR2", "COMP200"])
def test_a_configured_attribute_is_any_folders_column(database: str, tmp_path: Path) -> None:
    """DerivedRunPars is multi-version in one database and single-version in the other."""
    file = str(SYNTHETIC / "ALL_IN_ONE.db")
    read_runs([file], database, 0, {"timing_regime": REGIME}, str(tmp_path / "snapshot.db"))
    found = rows(tmp_path / "snapshot.db")
    browsed = as_browsed(file, database, REGIME, found)
    assert {row["extra"] for row in found.values()} == {'{"timing_regime":"Physics"}', '{"timing_regime":"Calib1"}'}
    for run, payload in browsed.items():
        assert payload is not None
        assert json.loads(found[run]["extra"]) == {"timing_regime": payload["timingRegime"]}


@pytest.mark.parametrize("tag", ["HEAD", "DetStatusLBSUMM-pass1", "DetStatusLBSUMM-pass2", "DetStatusLBSUMM-UPD1"])
def test_a_configured_attribute_follows_its_tag_and_named_channel(tag: str, tmp_path: Path) -> None:
    """HEAD, a locked tag, an ordinary one and a user tag."""
    code = {"folder": "/GLOBAL/DETSTATUS/LBSUMM", "column": "Code", "channel": "L1CAL", "tag": tag}
    asked = {"dead": {**code, "column": "deadFrac"}, "code": code, "note": {**code, "column": "Comment"}}
    read_runs(split_files("CONDBR2"), "CONDBR2", 0, asked, str(tmp_path / "snapshot.db"))
    found = rows(tmp_path / "snapshot.db")
    browsed = as_browsed(split_files("CONDBR2")[0], "CONDBR2", code, found)
    assert any(browsed.values())
    for run, payload in browsed.items():
        wanted = payload or {"Code": None, "deadFrac": None, "Comment": None}
        extra = {"code": wanted["Code"], "dead": wanted["deadFrac"], "note": wanted["Comment"]}
        assert json.loads(found[run]["extra"]) == extra
