"""Any folder's column can become an attribute of runs; a slip in its configuration is said with what is near."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from caf.demo.replica import MULTI, OPEN_ENDED, Replica
from caf.demo.run_writer import SOR, RunWriter
from caf.domain.errors import SourceError
from caf.sources.cool import read_runs
from tests.sources.library import library

NOW = 1_714_500_000_000_000_000
RUN = 490001
COOLTEST = library() / "synthetic" / "COOLTEST.db"


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Make a replica with three runs, one second apart, and a folder of each kind."""
    path = str(tmp_path / "r.db")
    with Replica.create(path, "CONDBR2", NOW) as replica:
        writer = RunWriter(replica)
        for number in range(3):
            writer.start_run(RUN + number, NOW + number * 10**9, run_type="t", detector_mask=1)
        replica.folder("/BY/RUN", "value:Int32,order:String255", MULTI)
        replica.folder("/BY/TIME", "value:Int32", MULTI, timestamp="time")
        replica.folder("/BY/NOTHING", "value:Int32", timestamp="x")
        replica.folder("/EMPTY", "value:Int32")
        replica.store("/BY/RUN", RUN << 32 | 5, (RUN + 1) << 32, {"value": 1, "order": 'a"b\\c é\n'}, 3)
        replica.store("/BY/RUN", (RUN + 1) << 32, OPEN_ENDED, {"value": 2, "order": ""}, 3)
        replica.channel("/BY/RUN", 3, "three")
        replica.store("/BY/RUN", RUN << 32, (RUN + 1) << 32, {"value": 7, "order": None}, 8)
        replica.store("/BY/TIME", NOW, NOW + 10**9, {"value": 10})
        replica.store("/BY/TIME", NOW + 10**9, OPEN_ENDED, {"value": 11})
        replica.store("/BY/NOTHING", (RUN + 1) << 32, OPEN_ENDED, {"value": 12})
    return path


def extras(path: str, **attributes: dict[str, Any]) -> list[Any]:
    into = path + ".snapshot"
    read_runs([path], "CONDBR2", 0, attributes, into)
    connection = sqlite3.connect(into)
    try:
        found = connection.execute("SELECT extra, notes FROM run ORDER BY run").fetchall()
    finally:
        connection.close()
    return [(extra and json.loads(extra), notes and json.loads(notes)) for extra, notes in found]


def test_values_are_json_by_name_with_null_for_the_unknown(path: str) -> None:
    found = extras(
        path,
        zeta={"folder": "/BY/RUN", "column": "value", "channel": "three"},
        alpha={"folder": "/BY/RUN", "column": "order"},
        eight={"folder": "/BY/RUN", "column": "order", "channel": 8},
        nothing={"folder": "/EMPTY", "column": "value", "channel": 0},
    )
    assert [extra for extra, _ in found] == [
        {"alpha": 'a"b\\c é\n', "eight": "", "nothing": None, "zeta": 1},
        {"alpha": "", "eight": None, "nothing": None, "zeta": 2},
        {"alpha": "", "eight": None, "nothing": None, "zeta": 2},
    ]
    assert [list(extra) for extra, _ in found] == [["alpha", "eight", "nothing", "zeta"]] * 3
    assert {notes for _, notes in found} == {None}


def test_any_name_will_do(path: str) -> None:
    name = 'it\'s "odd" {x} é'
    found = extras(path, **{name: {"folder": "/BY/RUN", "column": "value", "per_run": True, "channel": 3}})
    assert found[2] == ({name: 2}, {name: {"from": RUN + 1, "final": False}})


def test_only_a_folder_written_for_each_run_makes_a_value_provisional(path: str) -> None:
    found = extras(
        path,
        run={"folder": "/BY/RUN", "column": "value", "per_run": True, "channel": 3},
        time={"folder": "/BY/TIME", "column": "value", "per_run": True},
    )
    assert [notes for _, notes in found] == [None, None, {"run": {"from": RUN + 1, "final": False}}]


def test_a_time_based_folder_is_read_at_the_start_and_one_that_does_not_say_by_run(path: str) -> None:
    found = extras(
        path,
        time={"folder": "/BY/TIME", "column": "value"},
        run={"folder": "/BY/NOTHING", "column": "value"},
    )
    assert [extra for extra, _ in found] == [
        {"run": None, "time": 10},
        {"run": 12, "time": 11},
        {"run": 12, "time": 11},
    ]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"folder": "/BY/RUM", "column": "value"}, r"attribute a: CONDBR2 has no folder /BY/RUM; did you mean /BY/RUN"),
        ({"folder": "/BY/RUN", "column": "Value"}, r"attribute a: /BY/RUN has no column Value; did you mean value\?"),
        ({"folder": "/BY/RUN", "column": "value", "channel": "tree"}, r"no channel tree; did you mean three\?"),
        ({"folder": "/BY/RUN", "column": "value", "channel": 4}, "no channel 4; there is 3, 8"),
        ({"folder": "/BY/RUN", "column": "value", "tag": "X"}, "attribute a: .* has no tag X; there is HEAD"),
        ({"folder": "/BY/NOTHING", "column": "value", "tag": "X"}, "attribute a: .* single-version folder"),
        ({"folder": "/BY", "column": "value"}, "attribute a: CONDBR2 has no folder /BY"),
    ],
)
def test_a_slip_in_the_configuration_names_the_attribute_and_what_is_near(
    asked: dict[str, Any], said: str, path: str
) -> None:
    with pytest.raises(SourceError, match=said):
        extras(path, a=asked)
    assert not Path(path + ".snapshot").exists()


def test_every_type_and_storage_the_library_knows_becomes_json(tmp_path: Path) -> None:
    """COOLTEST.db given a run-control folder: all types, a separate payload, a vector (its first item)."""
    path = str(tmp_path / "r.db")
    source, copy = sqlite3.connect(COOLTEST), sqlite3.connect(path)
    source.backup(copy)
    source.close()
    names = [name for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for name in names:
        if name.startswith("COOLTEST_") and not name.startswith("COOLTEST_F"):
            copy.execute(f"ALTER TABLE {name} RENAME TO CONDBR2_{name.removeprefix('COOLTEST_')}")
    change = (
        "UPDATE CONDBR2_DB_ATTRIBUTES SET DB_ATTRIBUTE_VALUE = replace(DB_ATTRIBUTE_VALUE, 'COOLTEST_', 'CONDBR2_')"
    )
    copy.execute(change)
    copy.execute("UPDATE CONDBR2_NODES_SEQ SET CURRENT_VALUE = 100")
    copy.commit()
    copy.close()
    with Replica.open(path, "CONDBR2", NOW) as replica:
        replica.folder(SOR.path, SOR.payload)
        for run, start in ((0, 5), (1, 2**32 + 5)):
            record: dict[str, Any] = {
                "RunNumber": run,
                "SORTime": start,
                "RunType": "",
                "DAQConfiguration": "",
                "DetectorMask": "",
            }
            record |= {"T0ProjectTag": "", "RecordingEnabled": None}
            replica.store(SOR.path, run << 32, (run + 1) << 32, record)
    kinds = ("Bool", "UChar", "Int64", "UInt63", "Float", "Double", "String255", "Blob64k")
    attributes = {kind: {"folder": "/TYPES/ALL", "column": f"f_{kind}"} for kind in kinds}
    attributes |= {f"{each}_v": {"folder": f"/SV/{each}", "column": "v"} for each in ("SEPARATE", "VECTOR")}
    found = [extra for extra, _ in extras(path, **attributes)]
    golden = json.loads((COOLTEST.parents[1] / "golden" / "COOLTEST__COOLTEST.json").read_text(encoding="utf-8"))
    payloads = {folder["path"]: folder["payloads"] for folder in golden["folders"]}
    first = {kind: payloads["/TYPES/ALL"]["1"][f"f_{kind}"] for kind in kinds}
    first["Blob64k"] = first["Blob64k"]["blob"]
    assert {kind: found[0][kind] for kind in kinds} == first
    assert found[0]["Bool"] is True
    for kind in kinds:
        last = payloads["/TYPES/ALL"]["3"][f"f_{kind}"]
        assert found[1][kind] == (last["blob"] if isinstance(last, dict) else last)
    assert first["Float"] is not None
    assert [found[0]["SEPARATE_v"], found[0]["VECTOR_v"]] == [0, 1]
    assert [found[1]["SEPARATE_v"], found[1]["VECTOR_v"]] == [1, None]  # an empty vector has no first item
