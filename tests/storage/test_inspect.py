"""What an ended attempt has left."""

import os
from pathlib import Path
from typing import Any

import pytest

from caf.domain.errors import StorageError
from caf.storage import inspect as inspect_module
from caf.storage.inspect import CHUNK, inspect

GOOD = 'leaving with code 0: "successful run"'


@pytest.fixture
def area(tmp_path: Path) -> Path:
    area = tmp_path / "area"
    for name in ("log", "root"):
        (area / name).mkdir(parents=True)
    return area


def look(area: Path, **changes: Any) -> dict[str, Any]:
    request = {"area": str(area), "log": "log/athena.log", "log_has": [GOOD], "log_lacks": ["FATAL"], "outputs": []}
    return inspect(request | changes)


def test_a_good_attempt_lacks_nothing(area: Path) -> None:
    (area / "log/athena.log").write_text(f"hello\n{GOOD}\n")
    (area / "root/a.root").write_text("x")
    (area / "pool").mkdir()
    (area / "pool/x").touch()
    assert look(area, outputs=["root/a.root", "pool"]) == {
        "missing_log": False,
        "log_lacks": [],
        "log_holds": [],
        "missing": [],
        "empty": [],
        "tail": f"hello\n{GOOD}",
        "out_of_memory": "",
    }


def test_what_is_missing_empty_or_forbidden_is_told_apart(area: Path) -> None:
    (area / "log/athena.log").write_text("py FATAL out of luck\n")
    (area / "root/empty.root").touch()
    (area / "root/folder").mkdir()
    answer = look(area, outputs=["root/none.root", "root/empty.root", "root/folder", "root/empty.root/x"])
    assert (answer["missing_log"], answer["log_lacks"], answer["log_holds"]) == (False, [GOOD], ["FATAL"])
    assert answer["missing"] == ["root/none.root", "root/empty.root/x"]
    assert answer["empty"] == ["root/empty.root", "root/folder"]


def test_a_missing_log_is_not_a_log_without_the_text(area: Path) -> None:
    (area / "log/stderr").write_text("sh: athena: not found\n")
    answer = look(area)
    assert (answer["missing_log"], answer["log_lacks"], answer["log_holds"]) == (True, [GOOD], [])
    assert answer["tail"] == "sh: athena: not found"


def test_without_a_log_of_its_own_the_standard_output_is_read(area: Path) -> None:
    (area / "log/stdout").write_text(GOOD)
    assert look(area, log=None)["log_lacks"] == []


@pytest.mark.parametrize("before", [CHUNK - 1, CHUNK - 20, CHUNK, CHUNK - len(GOOD), 2 * CHUNK - 5, 0])
def test_a_text_is_found_wherever_the_pieces_end(area: Path, before: int) -> None:
    (area / "log/athena.log").write_bytes(b"x" * before + GOOD.encode() + b"y" * 100)
    assert look(area)["log_lacks"] == []


def test_every_split_of_a_text_is_found(area: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect_module, "CHUNK", 7)
    for before in range(30):
        (area / "log/athena.log").write_bytes(b"." * before + b"abcdefghij" + b"." * 3)
        answer = look(area, log_has=["abcdefghij", "a", "abcdefghik", "j..."], log_lacks=["hij", "zz"])
        assert (answer["log_lacks"], answer["log_holds"]) == (["abcdefghik"], ["hij"])


def test_text_is_compared_as_bytes_in_a_log_of_any_encoding(area: Path) -> None:
    (area / "log/athena.log").write_bytes(b"\xff\xfe Gr\xc3\xbc\xc3\x9fe \xff\n")
    assert look(area, log_has=["Grüße"])["log_lacks"] == []


def test_the_tail_prefers_lines_that_tell(area: Path) -> None:
    lines = ["ERROR first", "ERROR a", "fine", "FATAL b", "ok", "some error", "0 errors, no error at all", "bye", ""]
    (area / "log/athena.log").write_text("\n".join(lines))
    assert look(area)["tail"] == "ERROR a\nFATAL b\nsome error"


def test_of_a_traceback_its_last_line_tells(area: Path) -> None:
    trace = 'Traceback (most recent call last):\n  File "fit.py", line 3, in <module>\n    1 / 0\n'
    (area / "log/athena.log").write_text(f"begin\n{trace}ZeroDivisionError: division by zero\nleaving\n")
    assert look(area)["tail"] == "ZeroDivisionError: division by zero"


def test_standard_error_tells_where_the_log_does_not(area: Path) -> None:
    (area / "log/athena.log").write_text("hello\nall is well\n")
    assert look(area)["tail"] == "hello\nall is well"
    (area / "log/stderr").write_text("config/fit.sh: 3: athena: not found\nbye\n")
    assert look(area)["tail"] == "config/fit.sh: 3: athena: not found"


def test_one_error_said_many_times_is_told_once(area: Path) -> None:
    (area / "log/athena.log").write_text("ERROR first\n" + "ERROR again\n" * 50)
    assert look(area)["tail"] == "ERROR first\nERROR again"


@pytest.mark.parametrize(
    "line", ["MemoryError", "terminate called after throwing 'std::bad_alloc'", "fork: Cannot allocate memory"]
)
def test_what_speaks_of_memory_is_told(area: Path, line: str) -> None:
    (area / "log/stderr").write_text(f"{line}\n")
    (area / "log/athena.log").write_text("ERROR algorithm failed\n")
    assert look(area)["out_of_memory"] == line
    assert look(area)["tail"] == "ERROR algorithm failed"


def test_the_tail_is_short_and_fit_for_a_terminal(area: Path) -> None:
    text = "\x1b[31mERROR\x1b[0m \x07one\ttwo\r\n" + "ERROR " + "x" * 10_000 + "\n" + "ERROR \udcff\u202e end\n"
    (area / "log/athena.log").write_bytes(text.encode("utf-8", "surrogateescape") * 3)
    tail = look(area)["tail"]
    assert len(tail) <= 500
    first, second, third = tail.split("\n")
    assert first == "ERROR one two"
    assert second.endswith("xxx…")
    assert third == "ERROR � end"


def test_the_end_of_a_huge_log_is_enough_for_the_tail(area: Path) -> None:
    with open(area / "log/athena.log", "wb") as file:
        file.truncate(3 * CHUNK)
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast words\n")
    assert look(area, log_has=["last words"])["log_lacks"] == []
    assert look(area)["tail"] == "last words"


def test_an_attempt_without_any_output_has_no_tail(area: Path) -> None:
    assert look(area)["tail"] == ""


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "root/link", "root/folder/outside"])
def test_nothing_outside_the_area_is_looked_at(area: Path, name: str) -> None:
    (area.parent / "outside").write_text(GOOD)
    (area / "root/link").symlink_to(area.parent / "outside")
    (area / "root/folder").symlink_to(area.parent)
    with pytest.raises(StorageError, match="leads out of the working area"):
        look(area, outputs=[name])
    with pytest.raises(StorageError, match="leads out of the working area"):
        look(area, log=name)


def test_a_link_within_the_area_is_followed(area: Path) -> None:
    (area / "root/real").write_text("x")
    (area / "root/link").symlink_to("real")
    assert look(area, outputs=["root/link"])["missing"] == []


def test_a_pipe_in_place_of_a_log_holds_nobody_up(area: Path) -> None:
    os.mkfifo(area / "log/athena.log")
    os.mkfifo(area / "root/pipe")
    answer = look(area, outputs=["root/pipe"])
    assert (answer["missing_log"], answer["missing"]) == (True, ["root/pipe"])


def test_what_could_not_be_copied_stands_in_the_exit_record(area: Path) -> None:
    """It is looked for where the job copies anything, and an unreadable record proves nothing."""
    record = "token=x\ncode=0\nhost=n\nboot=b\nuptime=1.0\n{}end\n"
    assert look(area, copies=True)["copy"] == ""
    (area / "exit").write_text(record.format(""))
    assert look(area, copies=True)["copy"] == ""
    (area / "exit").write_text(record.format("copy=a to root/a=b: No space left on device\n"))
    assert look(area, copies=True)["copy"] == "a to root/a=b: No space left on device"
    assert "copy" not in look(area)
    (area / "claim").symlink_to("x" * 300)
    with pytest.raises(StorageError, match="File name too long") as unreadable:
        look(area, copies=True)
    assert unreadable.value.transient
