"""caf's own COOL writer makes what the library makes, and what it writes is read back."""

import re
import sqlite3
from pathlib import Path

import pytest

from caf.demo.cool_schema import SQLITE_TYPES, stamp
from caf.demo.replica import MULTI, OPEN_ENDED, FolderSpec, Replica
from caf.demo.run_writer import DERIVED_RUN_PARS, SOR, STRATEGY, TDAQ_FOLDERS, TRIGGER_FOLDERS, RunWriter
from caf.domain.errors import CafError
from caf.sources.cool import Conditions, read_runs
from tests.sources.library import library

COOL = library()
NOW = 1_714_500_000_123_456_789
LATER = NOW + 3600 * 10**9
START = 1_714_400_000_000_000_000


def plain(statement: str) -> str:
    """The shell's .schema adds IF NOT EXISTS; blanks do not count."""
    return re.sub(r"\s+", " ", statement.replace("IF NOT EXISTS ", "")).rstrip("; ").strip()


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize(("schema", "folders"), [("TDAQ", TDAQ_FOLDERS), ("TRIGGER", TRIGGER_FOLDERS)])
def test_the_schema_is_the_librarys_statement_by_statement(
    schema: str, folders: tuple[FolderSpec, ...], tmp_path: Path
) -> None:
    with Replica.create(str(tmp_path / "r.db"), "CONDBR2", NOW) as replica:
        replica.create_folders(folders)
    made = [
        plain(str(row[0]))
        for row in rows(tmp_path / "r.db", "SELECT sql FROM sqlite_master WHERE sql <> '' ORDER BY rowid")
    ]
    library = (COOL / "schema" / f"COOLONL_{schema}_CONDBR2.sql").read_text(encoding="utf-8")
    wanted = [plain(line) for line in library.splitlines() if line.strip()]
    assert made == wanted


@pytest.mark.parametrize(("schema", "folders"), [("TDAQ", TDAQ_FOLDERS), ("TRIGGER", TRIGGER_FOLDERS)])
def test_the_catalogue_is_the_librarys_row_by_row(schema: str, folders: tuple[FolderSpec, ...], tmp_path: Path) -> None:
    with Replica.create(str(tmp_path / "r.db"), "CONDBR2", NOW) as replica:
        replica.create_folders(folders)
    real = COOL / "synthetic" / f"COOLONL_{schema}_CONDBR2.db"
    columns = [str(row[1]) for row in rows(real, "PRAGMA table_info(CONDBR2_NODES)")]
    lasting = ", ".join(column for column in columns if column not in ("NODE_INSTIME", "LASTMOD_DATE"))
    for query in (
        f"SELECT {lasting} FROM CONDBR2_NODES ORDER BY rowid",
        "SELECT * FROM CONDBR2_DB_ATTRIBUTES WHERE DB_ATTRIBUTE_NAME NOT LIKE 'CVS%' ORDER BY rowid",
        "SELECT * FROM coral_sqlite_fk ORDER BY rowid",
        "SELECT SEQUENCE_NAME, CURRENT_VALUE FROM CONDBR2_NODES_SEQ",
        "SELECT SEQUENCE_NAME, CURRENT_VALUE FROM CONDBR2_F0001_TAGS_SEQ",
        "SELECT * FROM CONDBR2_TAG2TAG_SEQ",
        "SELECT * FROM CONDBR2_TAGS_SEQ",
    ):
        assert rows(tmp_path / "r.db", query) == rows(real, query)


def test_multi_version_cuts_are_the_librarys(tmp_path: Path) -> None:
    """What the library was asked to store in /MV/STACK gives the same ids, intervals, originals and heads."""
    real = COOL / "synthetic" / "COOLTEST.db"
    asked = rows(real, "SELECT IOV_SINCE, IOV_UNTIL, v, CHANNEL_ID FROM COOLTEST_F0010_IOVS WHERE OBJECT_ID % 6 = 1")
    first = rows(real, "SELECT OBJECT_ID FROM COOLTEST_F0010_IOVS WHERE OBJECT_ID % 6 = 1")
    assert first == sorted(first)
    with Replica.create(str(tmp_path / "r.db"), "COOLTEST", NOW) as replica:
        replica.folder("/MV", "v:Int32", MULTI)
        for since, until, value, channel in asked:
            replica.store("/MV", int(str(since)), int(str(until)), {"v": value}, int(str(channel)))
    same = "SELECT OBJECT_ID, CHANNEL_ID, IOV_SINCE, IOV_UNTIL, USER_TAG_ID, ORIGINAL_ID, NEW_HEAD_ID, v"
    made = rows(tmp_path / "r.db", f"{same} FROM COOLTEST_F0001_IOVS ORDER BY OBJECT_ID")
    assert made == rows(real, f"{same} FROM COOLTEST_F0010_IOVS WHERE USER_TAG_ID = 0 ORDER BY OBJECT_ID")
    last = "SELECT CHANNEL_ID, LAST_OBJECT_ID FROM"
    assert rows(tmp_path / "r.db", f"{last} COOLTEST_F0001_CHANNELS") == rows(real, f"{last} COOLTEST_F0010_CHANNELS")


@pytest.mark.parametrize(("path", "table"), [(DERIVED_RUN_PARS.path, "F0008"), (STRATEGY.path, "F0012")])
def test_a_folder_written_anew_holds_the_librarys_rows(path: str, table: str, tmp_path: Path) -> None:
    """The library's user objects, stored again in their order, give all of its rows, remainders and sequences."""
    real = str(COOL / "synthetic" / "COOLONL_TRIGGER_CONDBR2.db")
    with Conditions(real, "CONDBR2") as conditions, Replica.create(str(tmp_path / "r.db"), "CONDBR2", NOW) as replica:
        replica.create_folders(TRIGGER_FOLDERS)
        for record in sorted(conditions.browse(conditions.folder(path)), key=lambda each: (each.channel, each.since)):
            assert isinstance(record.payload, dict)
            replica.store(path, record.since, OPEN_ENDED, record.payload, record.channel)
    real_file, made = Path(real), tmp_path / "r.db"
    columns = [str(row[1]) for row in rows(real_file, f"PRAGMA table_info(CONDBR2_{table}_IOVS)")]
    lasting = ", ".join(column for column in columns if column not in ("SYS_INSTIME", "LASTMOD_DATE"))
    for query in (
        f"SELECT {lasting} FROM CONDBR2_{table}_IOVS ORDER BY OBJECT_ID",
        f"SELECT * FROM CONDBR2_{table}_CHANNELS",
        f"SELECT SEQUENCE_NAME, CURRENT_VALUE FROM CONDBR2_{table}_IOVS_SEQ",
    ):
        assert rows(made, query) == rows(real_file, query)


def test_storing_after_an_open_ended_object_ends_it_in_place(tmp_path: Path) -> None:
    with Replica.create(str(tmp_path / "r.db"), "CONDBR2", NOW) as replica:
        replica.folder("/F", "v:Int32")
        assert replica.store("/F", 10, OPEN_ENDED, {"v": 1}) == 1
    with Replica.open(str(tmp_path / "r.db"), "CONDBR2", LATER) as replica:
        assert replica.store("/F", 20, 30, {"v": 2}) == 2
    found = rows(tmp_path / "r.db", "SELECT IOV_SINCE, IOV_UNTIL, SYS_INSTIME, LASTMOD_DATE FROM CONDBR2_F0001_IOVS")
    assert found == [(10, 20, stamp(NOW), stamp(LATER)), (20, 30, stamp(LATER), stamp(LATER))]
    assert len(stamp(NOW)) == 33


def test_an_overlap_in_a_single_version_folder_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    with Replica.create(str(tmp_path / "r.db"), "CONDBR2", NOW) as replica:
        replica.folder("/F", "v:Int32")
        replica.store("/F", 10, 20, {"v": 1})
        replica.store("/F", 40, 50, {"v": 2})
    for since, until in ((10, 11), (5, 11), (19, 25), (30, 60), (45, OPEN_ENDED)):
        with (
            pytest.raises(CafError, match="overlaps"),
            Replica.open(str(tmp_path / "r.db"), "CONDBR2", LATER) as replica,
        ):
            replica.store("/F", since, until, {"v": 3})
    with Replica.open(str(tmp_path / "r.db"), "CONDBR2", LATER) as replica:
        assert replica.store("/F", 20, 40, {"v": 3}) == 3  # between older ones is allowed
    assert rows(tmp_path / "r.db", "SELECT LAST_OBJECT_ID FROM CONDBR2_F0001_CHANNELS") == [(2,)]
    assert len(rows(tmp_path / "r.db", "SELECT 1 FROM CONDBR2_F0001_IOVS")) == 3


def test_every_type_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    payload = {
        "Bool": True, "UChar": 255, "Int16": -5, "UInt16": 65535, "Int32": -(2**31), "UInt32": 2**32 - 1,
        "UInt63": 2**63 - 1, "Int64": -(2**63), "Float": 0.5, "Double": 0.1, "String255": "é", "String4k": "",
        "String64k": "x", "String16M": "y", "Blob64k": b"\x00\x01", "Blob16M": b"",
    }  # fmt: skip
    assert set(payload) == set(SQLITE_TYPES)
    with Replica.create(str(tmp_path / "r.db"), "CONDBR2", NOW) as replica:
        replica.folder("/T", ",".join(f"{kind}:{kind}" for kind in payload))
        replica.store("/T", 0, 1, payload)
        replica.store("/T", 1, 2, dict.fromkeys(payload))
        for column, value in {"UInt32": -1, "String255": "x" * 256, "Bool": 2, "Int16": "1", "Float": None}.items():
            if value is not None:
                with pytest.raises(CafError, match="does not fit"):
                    replica.store("/T", 2, 3, {**payload, column: value})
        with pytest.raises(CafError, match="has the columns"):
            replica.store("/T", 2, 3, {"Bool": True})
    with Conditions(str(tmp_path / "r.db"), "CONDBR2") as conditions:
        full, empty = conditions.browse(conditions.folder("/T"))
    assert full.payload == payload
    assert empty.payload == {name: "" if name.startswith("String") else None for name in payload}


def test_what_is_not_committed_is_not_there(tmp_path: Path) -> None:
    class Broken(Exception):
        pass

    def write_and_break() -> None:
        with Replica.create(str(tmp_path / "r.db"), "CONDBR2", NOW) as replica:
            replica.folder("/F", "v:Int32")
            replica.commit()
            replica.store("/F", 0, 1, {"v": 1})
            raise Broken

    with pytest.raises(Broken):
        write_and_break()
    assert rows(tmp_path / "r.db", "SELECT * FROM CONDBR2_F0001_IOVS") == []


def test_two_databases_live_in_one_file(tmp_path: Path) -> None:
    for database in ("CONDBR2", "COMP200"):
        with Replica.create(str(tmp_path / "r.db"), database, NOW) as replica:
            replica.folder(f"/{database}", "v:Int32")
    with Conditions(str(tmp_path / "r.db"), "COMP200") as conditions:
        assert [node.path for node in conditions.nodes()] == ["/", "/COMP200"]


def test_a_run_that_ends_late_is_added_to_later(tmp_path: Path) -> None:
    path = str(tmp_path / "r.db")
    with Replica.create(path, "CONDBR2", NOW) as replica:
        writer = RunWriter(replica)
        writer.strategy(0, "GainOne")
        writer.strategy(START + 500, "CalibGainsEt")
        for run in (490001, 490002):
            writer.start_run(run, START + run, run_type="LarCalibL1Calo", detector_mask=0xC << 64)
        writer.derived(490001, "L1CaloEnergyScan")
        writer.lumi_blocks(490001, [START, START + 60 * 10**9, START + 120 * 10**9])
    assert run_rows(path, tmp_path)[490001]["end"] is None
    with Replica.open(path, "CONDBR2", LATER) as replica:
        writer = RunWriter(replica)
        writer.end_run(490002, START + 490002 + 7 * 10**9, 5)
        writer.counters(490002, "L1CaloCombined", l1_events=3, ef_events=2, recorded_events=1)
        writer.lumi_blocks(490001, [START + 120 * 10**9, START + 180 * 10**9], first=3)
        writer.end_run(490001, START + 490001 + 9 * 10**9, 3, clean_stop=False, daq_configuration="Schema=2:Data=2")
        writer.derived(490002, "L1CaloPprPhos4ScanPars", "Calib2")
    found = run_rows(path, tmp_path)
    assert found[490001] | {
        "end": START + 490001 + 9 * 10**9, "duration": 9, "clean_stop": 0, "lumi_blocks": 3, "notes": None,
        "daq_configuration": "Schema=2:Data=2", "tier0_tag": "L1CaloEnergyScan", "l1_events": None,
        "last_lb_end": START + 180 * 10**9, "error_bits": 0, "gain_strategy": "CalibGainsEt",
        "detector_mask": "000000000000000c0000000000000000",
    } == found[490001]  # fmt: skip
    assert found[490002] | {
        "partition": "L1CaloCombined", "l1_events": 3, "l2_events": 0, "ef_events": 2, "recorded_events": 1,
        "lumi_blocks": 5, "tier0_tag": "L1CaloPprPhos4ScanPars", "error_bits": 4, "recorded": 1, "clean_stop": 1,
    } == found[490002]  # fmt: skip


def run_rows(path: str, folder: Path) -> dict[int, dict[str, object]]:
    into = str(folder / "snapshot.db")
    read_runs([path], "CONDBR2", 0, {}, into)
    connection = sqlite3.connect(into)
    connection.row_factory = sqlite3.Row
    try:
        return {row["run"]: dict(row) for row in connection.execute("SELECT * FROM run")}
    finally:
        connection.close()


def test_a_run_cannot_end_before_it_began_and_a_replica_must_be_there(tmp_path: Path) -> None:
    with Replica.create(str(tmp_path / "r.db"), "CONDBR2", NOW) as replica:
        writer = RunWriter(replica)
        with pytest.raises(CafError, match="no start-of-run record"):
            writer.end_run(1, START, 1)
        with pytest.raises(CafError, match="no folder"):
            replica.store("/NOWHERE", 0, 1, {})
        with pytest.raises(CafError, match="not an interval"):
            replica.store(SOR.path, 2, 1, {})
    with pytest.raises(CafError, match="missing"):
        Replica.open(str(tmp_path / "none.db"), "CONDBR2", NOW)
