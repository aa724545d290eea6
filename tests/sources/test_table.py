"""A table's rows become runs; a row that cannot be read costs nobody but itself."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caf.domain.errors import SourceError
from caf.domain.runs import RECORDED_ATTRIBUTES
from caf.sources import snapshot
from caf.sources.table import MAX_PROBLEMS, read_table


def read(
    folder: Path, text: str, name: str = "runs.csv", first_run: int = 0
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Write a table, read it, and return the result and the rows without their nulls."""
    (folder / name).write_bytes(text.encode("utf-8", errors="surrogateescape"))
    result = read_table(str(folder / name), first_run, str(folder / "snapshot.db"))
    connection = sqlite3.connect(folder / "snapshot.db")
    connection.row_factory = sqlite3.Row
    try:
        rows = [dict(row) for row in connection.execute("SELECT * FROM run ORDER BY run")]
    finally:
        connection.close()
    return result, [{name: value for name, value in row.items() if value is not None} for row in rows]


def test_the_snapshot_has_every_attribute_that_a_source_records() -> None:
    assert set(snapshot.NAMES) == {*RECORDED_ATTRIBUTES, "last_lb_end", "extra", "notes"}


def test_every_attribute_is_read_from_csv(tmp_path: Path) -> None:
    text = (
        "run,run_type,start,end,recorded,clean_stop,detector_mask,l1_events,partition,duration,last_lb_end\n"
        '490001,"LarCalib, L1Calo",2024-04-30T18:00:00Z,2024-04-30T19:00:00.5+00:00,true,0,0x7C00000000,1700,,3600,\n'
        "490002,cismono,2024-04-30 20:00:00,,FALSE,1,281474976710647,0,L1CaloCombined,,2024-04-30T18:00:00Z\n"
    )
    result, rows = read(tmp_path, text)
    start = 1714500000 * 10**9
    assert rows == [
        {
            "run": 490001, "run_type": "LarCalib, L1Calo", "start": start, "end": start + 3600 * 10**9 + 5 * 10**8,
            "recorded": 1, "clean_stop": 0, "detector_mask": f"{0x7C00000000:032x}", "l1_events": 1700,
            "duration": 3600,
        },
        {
            "run": 490002, "run_type": "cismono", "start": start + 7200 * 10**9, "recorded": 0, "clean_stop": 1,
            "detector_mask": f"{281474976710647:032x}", "l1_events": 0, "partition": "L1CaloCombined",
            "last_lb_end": start,
        },
    ]  # fmt: skip
    assert result == {"runs": 2, "first": 490001, "last": 490002, "problems": []}


def test_every_attribute_is_read_from_json_lines(tmp_path: Path) -> None:
    lines = [
        {"run": 1, "run_type": "", "start": "2024-04-30T18:00:00Z", "recorded": True, "detector_mask": 2**127},
        {"run": "2", "run_type": None, "recorded": 0, "detector_mask": "0xff", "l1_events": 5.0},
    ]
    result, rows = read(tmp_path, "\n".join(json.dumps(line) for line in lines) + "\n\n", "runs.jsonl")
    assert rows == [
        {"run": 1, "run_type": "", "start": 1714500000 * 10**9, "recorded": 1, "detector_mask": f"{2**127:032x}"},
        {"run": 2, "recorded": 0, "detector_mask": f"{255:032x}", "l1_events": 5},
    ]
    assert result["problems"] == []


def test_unknown_columns_become_attributes_of_their_own(tmp_path: Path) -> None:
    text = "run,zeta,shift,ok,version,scan,late,huge\n1,é,-1.5,True,007,12,,1e999\n2,,,,,,,\n"
    _, rows = read(tmp_path, text)
    assert json.loads(rows[0]["extra"]) == {
        "zeta": "é", "shift": -1.5, "ok": True, "version": "007", "scan": 12, "huge": "1e999"
    }  # fmt: skip
    assert list(json.loads(rows[0]["extra"])) == sorted(json.loads(rows[0]["extra"]))
    assert rows[1] == {"run": 2}
    _, rows = read(tmp_path, '{"run": 1, "b": [1]}\n{"run": 2, "b": false, "a": "x", "c": null}\n', "runs.json")
    assert [row.get("extra") for row in rows] == ['{"a":"x","b":false}']


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("start,x", "start: 'x' is not an ISO time"),
        ("start,17", "start: '17' is not an ISO time"),
        ("start,9999-12-31T23:59:59", "a number or time is beyond what can be stored"),
        ("recorded,yes", "recorded: 'yes' is not true, false, 1 or 0"),
        ("l1_events,many", "l1_events: 'many' is not an integer"),
        ("l1_events,1_000", "l1_events: '1_000' is not an integer"),
        ("l1_events,1.5", "l1_events: '1.5' is not an integer"),
        ("l1_events,9223372036854775808", "l1_events: '9223372036854775808' is not an integer"),
        ("detector_mask,c0", "detector_mask: 'c0' is not a mask"),
        ("detector_mask,-1", "detector_mask: '-1' is not a mask"),
        (f"detector_mask,{2**128}", "is not a mask"),
        ("run_type,a,b", "4 fields where the header has 3"),
        ('run_type,"a', "not CSV"),
    ],
)
def test_a_row_that_cannot_be_read_is_named_and_the_others_are_read(field: str, said: str, tmp_path: Path) -> None:
    name, value = field.split(",", 1)
    result, rows = read(tmp_path, f"run,duration,{name}\n1,2,\n2,3,{value}\n3,4,\n")
    assert [row["run"] for row in rows] == [1, 3]
    [problem] = result["problems"]
    assert problem.startswith("runs.csv:3: ")
    assert said in problem


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x", "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"run": NaN}', "NaN is no JSON number"),
        ("{}", "no run number"),
        ('{"run": -1}', "run: -1 is not a run number"),
        ('{"run": true}', "run: True is not an integer"),
        ('{"run": 1.5}', "run: 1.5 is not an integer"),
        ('{"run": 5, "run_type": 1}', "run_type: 1 is not a text"),
        ('{"run": 5, "start": 1}', "start: 1 is not an ISO time"),
        ('{"run": 5, "detector_mask": true}', "detector_mask: True is not a mask"),
        ('{"run": 5, "new": 1e999}', "new: inf is neither"),
        ('{"run": 5, "run_type": ["' + "x" * 999 + '"]}', "xxx... is not a text"),
        ('{"run": 5, "\\ud800": {}}', "?: {} is neither"),
        ('{"run": 5, "new": {}}', "new: {} is neither text, number nor true or false"),
    ],
)
def test_a_json_line_that_cannot_be_read_is_named_and_the_others_are_read(line: str, said: str, tmp_path: Path) -> None:
    result, rows = read(tmp_path, f'{{"run": 1}}\n{line}\n{{"run": 3}}\n', "runs.jsonl")
    assert [row["run"] for row in rows] == [1, 3]
    assert len(result["problems"]) == 1
    assert result["problems"][0].startswith("runs.jsonl:2: ")
    assert said in result["problems"][0]


def test_of_a_run_that_stands_twice_the_last_row_counts(tmp_path: Path) -> None:
    result, rows = read(tmp_path, "run,run_type\n7,a\n8,b\n7,c\n")
    assert rows == [{"run": 7, "run_type": "c"}, {"run": 8, "run_type": "b"}]
    assert result["problems"] == ["runs.csv:4: run 7 stands in an earlier line too; this line counts"]


def test_a_last_line_still_being_written_is_read_only_if_it_can_be(tmp_path: Path) -> None:
    result, rows = read(tmp_path, "run,start\n7,2024-04-30T18:00:00Z\n8,2024-04")
    assert [row["run"] for row in rows] == [7]
    assert result["problems"][0].startswith("runs.csv:3: the last line has no end yet")
    result, rows = read(tmp_path, "run,start\n7,2024-04-30T18:00:00Z\n8,2024-04-30T18:00:00Z")
    assert [row["run"] for row in rows] == [7, 8]
    assert result["problems"] == []
    result, rows = read(tmp_path, '{"run": 7}\n{"run": 8, "ru', "runs.jsonl")
    assert [row["run"] for row in rows] == [7]
    assert "has no end yet" in result["problems"][0]


def test_first_run_blank_lines_windows_lines_and_a_byte_order_mark_are_no_problem(tmp_path: Path) -> None:
    result, rows = read(tmp_path, "\ufeffrun, run_type\r\n\r\n5,a\r\n6, b \r\n", first_run=6)
    assert rows == [{"run": 6, "run_type": "b"}]
    assert result["problems"] == []


def test_text_that_is_not_utf_8_is_replaced(tmp_path: Path) -> None:
    assert read(tmp_path, "run,run_type,x\n1,L\udce9,L\udce9\n")[1][0]["run_type"] == "L\ufffd"
    assert read(tmp_path, '{"run": 1, "run_type": "\\ud800", "\\ud800": 1}\n', "r.jsonl")[1] == [
        {"run": 1, "run_type": "?", "extra": '{"?":1}'}
    ]


def test_a_column_that_caf_computes_is_left_out_and_named(tmp_path: Path) -> None:
    result, rows = read(tmp_path, "run,events\n1,5\n")
    assert rows == [{"run": 1}]
    assert "column events is left out: caf computes it" in result["problems"][0]
    result, rows = read(tmp_path, '{"run": 1}\n{"run": 2, "events": 5}\n{"run": 3, "events": 5}\n', "runs.jsonl")
    assert rows == [{"run": 1}, {"run": 2}, {"run": 3}]
    [problem] = result["problems"]
    assert problem.startswith("runs.jsonl:2: column events is left out")


def test_very_many_problems_are_counted(tmp_path: Path) -> None:
    result, _ = read(tmp_path, "run\n" + "x\n" * (MAX_PROBLEMS + 7))
    assert len(result["problems"]) == MAX_PROBLEMS + 1
    assert result["problems"][-1] == "runs.csv: and 7 more such lines"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("runs.csv", "", "is empty"),
        ("runs.csv", "Run,start\n1,\n", "has no column run"),
        ("runs.csv", "run,start,start\n", "two columns 'start'"),
        ("runs.csv", '"run\n', "does not name columns"),
        ("runs.jsonl", '{"Run": 1}\n{"Run": 2}\n', "has no column run"),
    ],
)
def test_a_table_without_runs_numbers_is_refused(name: str, text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=said):
        read(tmp_path, text, name)
    assert not (tmp_path / "snapshot.db").exists()


def test_a_table_that_is_not_there_is_explained(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is missing"):
        read_table(str(tmp_path / "none.csv"), 0, str(tmp_path / "snapshot.db"))
    with pytest.raises(SourceError, match="Is a directory"):
        read_table(str(tmp_path), 0, str(tmp_path / "snapshot.db"))
    (tmp_path / "runs.csv").write_text("run\n")
    with pytest.raises(SourceError, match=r"snapshot .* cannot be made"):
        read_table(str(tmp_path / "runs.csv"), 0, str(tmp_path / "none" / "snapshot.db"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.text(alphabet='run,"\\{}:[]0189.ex-T\n\r é\x00', max_size=30), max_size=8),
    st.sampled_from(["csv", "jsonl"]),
)
def test_no_text_whatever_breaks_the_reader(tmp_path: Path, lines: list[str], kind: str) -> None:
    """Every line is a run, a problem, blank or below: nothing is raised but SourceError."""
    text = "run,start,x\n" + "\n".join(lines) if kind == "csv" else '{"run": 0}\n' + "\n".join(lines)
    result, rows = read(tmp_path, text, f"runs.{kind}")
    assert result["runs"] == len(rows)
    given_lines = sum(1 for line in text.split("\n")[1:] if line.strip()) + (kind == "jsonl")
    assert result["runs"] + len(result["problems"]) == given_lines
