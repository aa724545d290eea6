"""What is read of runs when records are missing, late, odd, inherited, or kept in another way than usual."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from caf.demo.replica import MULTI, OPEN_ENDED, SINGLE, Replica
from caf.demo.run_writer import DERIVED_RUN_PARS, EOR, EVENT_COUNTERS, LBLB, SOR, STRATEGY, RunWriter
from caf.domain.errors import SourceError
from caf.sources.cool import read_runs

NOW = 1_714_500_000_000_000_000
HOUR = 3600 * 10**9
RUN = 490001
TAG = {"timingRegime": "Calib1", "tierZeroTag": "L1CaloEnergyScan"}
SOR_PARAMS = (
    "RunNumber:UInt32,SORTime:UInt63,RunType:String255,DAQConfiguration:String255,DetectorMask:Int64,"
    "FilenameTag:String255,RecordingEnabled:Bool,DataSource:String255"
)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "r.db")


def read(*paths: str, database: str = "CONDBR2", **attributes: dict[str, Any]) -> dict[int, dict[str, Any]]:
    into = paths[0] + ".snapshot"
    read_runs(list(paths), database, 0, attributes, into)
    connection = sqlite3.connect(into)
    connection.row_factory = sqlite3.Row
    try:
        return {row["run"]: dict(row) for row in connection.execute("SELECT * FROM run ORDER BY run")}
    finally:
        connection.close()


def start(replica: Replica, *runs: int) -> RunWriter:
    writer = RunWriter(replica)
    for run in runs:
        writer.start_run(run, NOW + (run - RUN) * HOUR, run_type="LarCalibL1Calo", detector_mask=1)
    return writer


def sor(run: int, **values: Any) -> dict[str, Any]:
    record = {"RunNumber": run, "SORTime": NOW, "RunType": "t", "DAQConfiguration": "d", "DetectorMask": "1"}
    return {**record, "T0ProjectTag": "p", "RecordingEnabled": True, **values}


def notes(row: dict[str, Any]) -> Any:
    return None if row["notes"] is None else json.loads(row["notes"])


def test_a_run_that_has_only_started_has_nulls_for_the_rest(path: str) -> None:
    with Replica.create(path, "CONDBR2", NOW) as replica:
        start(replica, RUN)
    row = read(path)[RUN]
    known = {"run", "run_type", "daq_configuration", "detector_mask", "project_tag", "recorded", "start", "error_bits"}
    assert {name for name, value in row.items() if value is not None} == known
    assert row["error_bits"] == 0b101


def test_an_own_trigger_record_is_the_runs_own_even_when_empty(path: str) -> None:
    with Replica.create(path, "CONDBR2", NOW) as replica:
        writer = start(replica, RUN, RUN + 1)
        writer.derived(RUN, "L1CaloEnergyScan")
        writer.derived(RUN + 1, "")
    found = read(path)
    assert [found[run]["tier0_tag"] for run in found] == ["L1CaloEnergyScan", ""]
    assert [found[run]["notes"] for run in found] == [None, None]


@pytest.mark.parametrize("versioning", [SINGLE, MULTI])
def test_an_inherited_trigger_record_is_provisional_until_a_later_one_is_there(versioning: int, path: str) -> None:
    with Replica.create(path, "CONDBR2", NOW) as replica:
        replica.folder(DERIVED_RUN_PARS.path, DERIVED_RUN_PARS.payload, versioning)
        writer = start(replica, RUN, RUN + 2, RUN + 3, RUN + 5)
        writer.derived(RUN + 2, "L1CaloEnergyScan")
    found = read(path)
    assert found[RUN]["tier0_tag"] is None
    assert notes(found[RUN]) is None
    assert notes(found[RUN + 2]) is None
    for run in (RUN + 3, RUN + 5):
        assert found[run]["tier0_tag"] == "L1CaloEnergyScan"
        assert notes(found[run]) == {"tier0_tag": {"from": RUN + 2, "final": False}}
    with Replica.open(path, "CONDBR2", NOW) as replica:
        RunWriter(replica).derived(RUN + 5, "L1CaloPprPhos4ScanPars")
    found = read(path)
    assert found[RUN + 3]["tier0_tag"] == "L1CaloEnergyScan"
    assert notes(found[RUN + 3]) == {"tier0_tag": {"from": RUN + 2, "final": True}}
    assert found[RUN + 5]["tier0_tag"] == "L1CaloPprPhos4ScanPars"
    assert notes(found[RUN + 5]) is None


def test_of_several_channels_the_lowest_that_has_a_record_counts(path: str) -> None:
    with Replica.create(path, "CONDBR2", NOW) as replica:
        start(replica, RUN, RUN + 1, RUN + 2)
        folder = DERIVED_RUN_PARS.path
        replica.store(folder, RUN << 32, OPEN_ENDED, {**TAG, "tierZeroTag": "four"}, 4)
        replica.store(folder, RUN << 32, (RUN + 1) << 32, {**TAG, "tierZeroTag": "two"}, 2)
        replica.store(folder, (RUN + 2) << 32, OPEN_ENDED, {**TAG, "tierZeroTag": "nine"}, 9)
        replica.channel(folder, 0)
    found = read(path)
    assert [found[run]["tier0_tag"] for run in found] == ["two", "four", "nine"]
    assert [notes(found[run]) for run in found] == [None, {"tier0_tag": {"final": True, "from": RUN}}, None]


@pytest.mark.parametrize("versioning", [SINGLE, MULTI])
def test_the_gain_strategy_is_that_of_the_runs_start(versioning: int, path: str) -> None:
    """Half-open: one that begins at the very start counts, one that ends there does not."""
    with Replica.create(path, "CONDBR2", NOW) as replica:
        replica.folder(STRATEGY.path, STRATEGY.payload, versioning, "time")
        start(replica, RUN, RUN + 1, RUN + 2, RUN + 3)
        replica.store(STRATEGY.path, NOW + 1, NOW + HOUR, {"name": "A"})
        replica.store(STRATEGY.path, NOW + HOUR, NOW + 2 * HOUR + 1, {"name": "B"})
        replica.store(STRATEGY.path, NOW, OPEN_ENDED, {"name": "of another channel"}, 1)
    found = read(path)
    assert [found[run]["gain_strategy"] for run in found] == [None, "B", "B", None]


def test_a_strategy_rewritten_in_a_multi_version_folder_is_the_heads(path: str) -> None:
    with Replica.create(path, "CONDBR2", NOW) as replica:
        replica.folder(STRATEGY.path, STRATEGY.payload, MULTI, "time")
        start(replica, RUN, RUN + 1, RUN + 2)
        replica.store(STRATEGY.path, 0, OPEN_ENDED, {"name": "A"})
        replica.store(STRATEGY.path, NOW + HOUR - 1, NOW + HOUR + 1, {"name": "B"})
    found = read(path)
    assert [found[run]["gain_strategy"] for run in found] == ["A", "B", "A"]


def test_missing_folders_make_attributes_null_but_the_start_of_run_must_be_there(path: str) -> None:
    with Replica.create(path, "CONDBR2", NOW) as replica:
        replica.folder(SOR.path, SOR.payload)
        replica.store(SOR.path, RUN << 32, (RUN + 1) << 32, sor(RUN))
    row = read(path)[RUN]
    assert row["run_type"] == "t"
    assert row["tier0_tag"] is row["gain_strategy"] is row["end"] is row["lumi_blocks"] is row["partition"] is None
    assert row["error_bits"] == 0b101
    other = path + ".other"
    with Replica.create(other, "CONDBR2", NOW) as replica:
        replica.folder("/TDAQ/RunCtrl/SOR_Params", SOR_PARAMS)
    with pytest.raises(SourceError, match=r"no folder /TDAQ/RunCtrl/SOR .*did you mean /TDAQ/RunCtrl/SOR_Params"):
        read(other)


def test_missing_columns_are_null_or_taken_from_the_end_of_run(path: str) -> None:
    with Replica.create(path, "CONDBR2", NOW) as replica:
        replica.folder(SOR.path, "SORTime:UInt63")
        replica.folder(EOR.path, "EORTime:UInt63,RunType:String4k,RecordingEnabled:UInt32,TotalTime:String255")
        replica.folder(DERIVED_RUN_PARS.path, "timingRegime:String255", MULTI)
        replica.folder(EVENT_COUNTERS.path, "RunNumber:UInt32,PartitionName:Int32,L1Events:UInt32")
        replica.store(
            EVENT_COUNTERS.path, RUN << 32, (RUN << 32) + 8, {"RunNumber": 7, "PartitionName": 5, "L1Events": 6}
        )
        counts = {"RunNumber": RUN, "PartitionName": None, "L1Events": None}
        replica.store(EVENT_COUNTERS.path, (RUN + 1) << 32, (RUN + 1 << 32) + 8, counts)
        replica.store(SOR.path, RUN << 32, (RUN + 1) << 32, {"SORTime": NOW})
        replica.store(SOR.path, (RUN + 1) << 32, (RUN + 2) << 32, {"SORTime": NOW})
        record = {"EORTime": NOW + HOUR, "RunType": "", "RecordingEnabled": 1, "TotalTime": "3600"}
        replica.store(EOR.path, RUN << 32, (RUN << 32) + 8, record)
    found = read(path)
    row = found[RUN]
    assert (row["run_type"], row["recorded"], row["duration"], row["lumi_blocks"]) == ("", 1, 3600, 7)
    assert row["detector_mask"] is row["project_tag"] is row["clean_stop"] is row["tier0_tag"] is None
    assert (row["partition"], row["l1_events"]) == ("5", 6)  # by the key, whatever number the record names
    assert found[RUN + 1]["run_type"] is found[RUN + 1]["partition"] is found[RUN + 1]["l1_events"] is None


@pytest.mark.parametrize(
    ("stored", "read_as"),
    [
        ("0000000000000000c10069fffffffff7", 0xC10069FFFFFFFFF7),
        ("0x7C00000000", 0x7C00000000),
        ("0XfF", 255),
        (" 0d00069fffffffff0 ", 0xD00069FFFFFFFFF0),
        ("0", 0),
        ("0" * 40 + "f" * 32, 2**128 - 1),
        ("1" + "0" * 32, None),
        ("", None),
        ("0x", None),
        ("xyz", None),
        ("12 34", None),
        ("g" * 32, None),
    ],
)
def test_masks_in_text_are_hexadecimal(stored: str, read_as: int | None, path: str) -> None:
    with Replica.create(path, "CONDBR2", NOW) as replica:
        replica.folder(SOR.path, SOR.payload)
        replica.store(SOR.path, RUN << 32, (RUN + 1) << 32, sor(RUN, DetectorMask=stored))
    assert read(path)[RUN]["detector_mask"] == (None if read_as is None else f"{read_as:032x}")


def test_the_number_in_the_record_is_trusted_and_the_latest_of_the_lowest_channel_counts(path: str) -> None:
    with Replica.create(path, "CONDBR2", NOW) as replica:
        for spec in (SOR, EOR, EVENT_COUNTERS):
            replica.folder(spec.path, spec.payload)
        replica.store(SOR.path, 5 << 32, 6 << 32, sor(RUN, RunType="of channel 1"), 1)
        replica.store(SOR.path, 9 << 32, 10 << 32, sor(RUN, RunType="latest"))
        replica.store(SOR.path, 7 << 32, 8 << 32, sor(RUN, RunType="early"))
        replica.store(SOR.path, (RUN + 1) << 32, (RUN + 2) << 32, sor(RUN + 1, RunNumber=None))
        end = {"EORTime": NOW + HOUR, "TotalTime": 3600, "CleanStop": True}
        replica.store(EOR.path, 11 << 32, (11 << 32) + 4, {**sor(RUN), **end})
        counts = dict.fromkeys(("L1Events", "L2Events", "EFEvents", "RecordedEvents"), 1)
        replica.store(EVENT_COUNTERS.path, RUN << 32, (RUN << 32) + 4, {"PartitionName": "P", **counts})
    found = read(path)
    assert sorted(found) == [RUN, RUN + 1]
    assert (found[RUN]["run_type"], found[RUN]["end"], found[RUN]["partition"]) == ("latest", NOW + HOUR, "P")
    assert found[RUN]["lumi_blocks"] == 3


@pytest.mark.parametrize(
    ("until", "blocks"),
    [
        ((RUN << 32) + 1, 0),
        ((RUN << 32) + 31, 30),
        ((RUN + 1) << 32, 2),
        (OPEN_ENDED, 2),
        ((RUN << 32) + 2**32 - 1, 2),
        (((RUN + 3) << 32) + 5, 2),
    ],
)
def test_lumi_blocks_are_the_closed_intervals_else_the_largest_seen(until: int, blocks: int, path: str) -> None:
    with Replica.create(path, "CONDBR2", NOW) as replica:
        writer = start(replica, RUN)
        writer.lumi_blocks(RUN, [NOW, NOW + 1, NOW + 2])
        replica.store(LBLB.path, (RUN << 32) + 2**31, (RUN << 32) + 2**31 + 1, {"StartTime": 7, "EndTime": 8})
        end = {"EORTime": NOW + HOUR, "TotalTime": 3600, "CleanStop": True}
        replica.store(EOR.path, RUN << 32, until, {**sor(RUN), **end})
    row = read(path)[RUN]
    assert (row["lumi_blocks"], row["last_lb_end"], row["notes"], row["error_bits"]) == (blocks, NOW + 2, None, 0)


def test_lumi_blocks_of_a_run_going_on_are_provisional_together_with_what_it_inherits(path: str) -> None:
    with Replica.create(path, "CONDBR2", NOW) as replica:
        writer = start(replica, RUN, RUN + 1)
        writer.derived(RUN, "L1CaloEnergyScan")
        writer.lumi_blocks(RUN + 1, [NOW, NOW + 1])
    row = read(path)[RUN + 1]
    assert row["notes"] == f'{{"lumi_blocks":{{"final":false}},"tier0_tag":{{"final":false,"from":{RUN}}}}}'


def test_a_later_daq_configuration_wins_where_there_is_one(path: str) -> None:
    with Replica.create(path, "CONDBR2", NOW) as replica:
        writer = start(replica, RUN, RUN + 1)
        writer.end_run(RUN, NOW + HOUR, 1, daq_configuration="Schema=9:Data=9")
        end = {"EORTime": NOW + HOUR, "TotalTime": 3600, "CleanStop": True}
        replica.store(EOR.path, (RUN + 1) << 32, ((RUN + 1) << 32) + 1, {**sor(RUN + 1, DAQConfiguration=""), **end})
    found = read(path)
    assert [found[run]["daq_configuration"] for run in found] == ["Schema=9:Data=9", "Schema=1:Data=1"]


def test_text_that_is_not_utf_8_is_replaced_and_the_rest_kept(path: str) -> None:
    with Replica.create(path, "CONDBR2", NOW) as replica:
        start(replica, RUN, RUN + 1)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE CONDBR2_F0003_IOVS SET RunType = CAST(x'4ce9' AS TEXT) WHERE RunNumber = ?", (RUN,))
    connection.execute("UPDATE CONDBR2_F0003_IOVS SET RunType = 'Schéma' WHERE RunNumber = ?", (RUN + 1,))
    connection.commit()
    connection.close()
    found = read(path)
    assert [found[run]["run_type"] for run in found] == ["L\ufffd", "Schéma"]
    assert found[RUN]["project_tag"] == "data24_calib"


def comp200(replica: Replica, *runs: int, **values: Any) -> None:
    replica.folder("/TDAQ/RunCtrl/SOR_Params", SOR_PARAMS)
    record = {"RunType": "Physics", "DAQConfiguration": "", "DetectorMask": 1, "FilenameTag": "f", "DataSource": None}
    for run in runs:
        payload = {**record, "RunNumber": run, "SORTime": NOW + run, "RecordingEnabled": True, **values}
        replica.store("/TDAQ/RunCtrl/SOR_Params", run << 32, OPEN_ENDED, payload)


def test_run_1_recording_is_inverted_before_run_58788_only(path: str) -> None:
    with Replica.create(path, "COMP200", NOW) as replica:
        comp200(replica, 58786, 58787, 58788, 58789)
        comp200(replica, 58790, RecordingEnabled=None)
    found = read(path, database="COMP200")
    assert [found[run]["recorded"] for run in found] == [0, 0, 1, 1, None]
    assert found[58790]["data_source"] == ""


def test_run_1_masks_are_integers_of_up_to_64_bits(path: str) -> None:
    with Replica.create(path, "COMP200", NOW) as replica:
        comp200(replica, 1, DetectorMask=281474976710647)
        comp200(replica, 2, DetectorMask=-1)
        comp200(replica, 3, DetectorMask=None)
    found = read(path, database="COMP200")
    masks = [found[run]["detector_mask"] for run in found]
    assert masks == [f"{281474976710647:032x}", f"{2**64 - 1:032x}", None]


def test_run_1_lumi_blocks_without_sense_are_ignored(path: str) -> None:
    folder = "/TDAQ/RunCtrl/LB_Params"
    with Replica.create(path, "COMP200", NOW) as replica:
        comp200(replica, 7, 8, 9)
        replica.folder(folder, "RunNumber:UInt32,LuminosityBlock:UInt32", timestamp="time")
        rows = [
            (10, 20, 7, 1),
            (20, 30, 7, 2),
            (30, 40, 7, 2**32 - 1),
            (40, 50, 0, 5),
            (50, 60, 8, 1),
            (60, OPEN_ENDED, 9, 4),
        ]
        for since, until, run, block in rows:
            replica.store(
                folder, NOW + since, min(NOW + until, OPEN_ENDED), {"RunNumber": run, "LuminosityBlock": block}
            )
    found = read(path, database="COMP200")
    assert [found[run]["lumi_blocks"] for run in found] == [2, 1, 4]
    # Run 8's only block ends where another run's begins: the next run closed it, so its end is not known.
    assert [found[run]["last_lb_end"] for run in found] == [NOW + 30, None, None]
    assert {row["error_bits"] for row in found.values()} == {1}
    assert {row["notes"] for row in found.values()} == {'{"lumi_blocks":{"final":false}}'}


def separate(path: str, number: int, payload: list[str]) -> None:
    """Move a folder's payload to a table of its own, as a copy of an Oracle folder may have it."""
    table = f"CONDBR2_F{number:04d}"
    columns = ", ".join(f'"{name}"' for name in payload)
    connection = sqlite3.connect(path)
    connection.executescript(
        f"""ALTER TABLE {table}_IOVS RENAME TO old;
        CREATE TABLE {table}_PAYLOAD AS SELECT OBJECT_ID + 100 AS PAYLOAD_ID, '' AS P_SYS_INSTIME, {columns} FROM old;
        CREATE TABLE {table}_IOVS AS SELECT OBJECT_ID, CHANNEL_ID, IOV_SINCE, IOV_UNTIL, USER_TAG_ID, ORIGINAL_ID,
            NEW_HEAD_ID, OBJECT_ID + 100 AS PAYLOAD_ID FROM old;
        UPDATE CONDBR2_NODES SET FOLDER_PAYLOAD_INLINE = 1, FOLDER_PAYLOAD_EXTREF = '{table}_PAYLOAD',
            NODE_SCHEMA_VERSION = '2.8.0' WHERE NODE_ID = {number};
        DROP TABLE old;"""
    )
    connection.close()


def test_a_separate_payload_gives_the_same_runs(path: str) -> None:
    with Replica.create(path, "CONDBR2", NOW) as replica:
        writer = start(replica, RUN, RUN + 1, RUN + 2)
        writer.derived(RUN, "L1CaloEnergyScan")
        writer.derived(RUN + 2, "Physics", "Physics")
        writer.strategy(0, "GainOne")
        writer.lumi_blocks(RUN, [NOW, NOW + 1])
        writer.end_run(RUN, NOW + HOUR, 1)
        writer.counters(RUN, "ATLAS", l1_events=1, ef_events=2, recorded_events=3)
        numbers = {
            spec: replica._folder(spec.path) for spec in (SOR, EOR, EVENT_COUNTERS, LBLB, DERIVED_RUN_PARS, STRATEGY)
        }
    regime = {"folder": DERIVED_RUN_PARS.path, "column": "timingRegime", "per_run": True}
    inline = read(path, regime=regime)
    for prefix, _, columns in numbers.values():
        separate(path, int(prefix[-4:]), [name for name, _ in columns])
    assert read(path, regime=regime) == inline
    assert inline[RUN + 1]["tier0_tag"] == "L1CaloEnergyScan"


def test_each_folder_is_taken_from_the_first_file_that_has_it(tmp_path: Path) -> None:
    first, second = str(tmp_path / "1.db"), str(tmp_path / "2.db")
    with Replica.create(first, "CONDBR2", NOW) as replica:
        replica.folder(STRATEGY.path, STRATEGY.payload, timestamp="time")
        replica.store(STRATEGY.path, 0, OPEN_ENDED, {"name": "first"})
    with Replica.create(second, "CONDBR2", NOW) as replica:
        start(replica, RUN).strategy(0, "second")
    assert read(first, second)[RUN]["gain_strategy"] == "first"
    assert read(second, first)[RUN]["gain_strategy"] == "second"
    result = read_runs([first, second], "CONDBR2", 0, {}, str(tmp_path / "s.db"))
    assert result["folders"][STRATEGY.path] == first
    assert result["folders"][SOR.path] == second
    assert {**result, "folders": None} == {"folders": None, "differing": False, "runs": 1, "first": RUN, "last": RUN}


def test_a_replica_without_runs_is_no_error(path: str) -> None:
    with Replica.create(path, "CONDBR2", NOW) as replica:
        RunWriter(replica)
    result = read_runs([path], "CONDBR2", 0, {}, path + ".snapshot")
    assert (result["runs"], result["first"], result["last"]) == (0, None, None)


def test_folders_in_more_files_than_sqlite_can_attach_are_refused_clearly(tmp_path: Path) -> None:
    files = []
    for number in range(12):
        files.append(str(tmp_path / f"{number}.db"))
        with Replica.create(files[-1], "CONDBR2", NOW) as replica:
            replica.folder(f"/F{number}", "v:Int32")
            if not number:
                start(replica, RUN)
    many: dict[str, Any] = {f"a{number}": {"folder": f"/F{number}", "column": "v"} for number in range(12)}
    with pytest.raises(SourceError, match="lie in more than 10 replicas"):
        read_runs(files, "CONDBR2", 0, many, str(tmp_path / "snapshot.db"))
