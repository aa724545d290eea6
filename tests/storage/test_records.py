"""Records of attempts: whole or nothing; and revoking, which must never lie."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf.domain.errors import StorageError
from caf.storage.records import read_records, revoke, stirred
from caf.storage.work import mark_work

DATABASE = "0123abcd"
TOKEN = f"caf-{DATABASE}-7-1-89abcdef"
START = f"token={TOKEN}\nhost=node1\nboot=57e9-ac2e\npid=41\nticks=119083\nuptime=1190.83\nend\n"
EXIT = f"token={TOKEN}\ncode=3\nhost=node1\nboot=57e9-ac2e\nuptime=1200.5\nend\n"


@pytest.fixture
def area(tmp_path: Path) -> Path:
    mark_work(str(tmp_path / "work"), DATABASE, 1)
    area = tmp_path / "work" / "490001_Job" / "1"
    area.mkdir(parents=True)
    return area


def read(area: Path) -> dict[str, Any]:
    return read_records([str(area)])[0]


def test_both_records_are_parsed(area: Path) -> None:
    (area / "claim").mkdir()
    (area / "start").write_text(START)
    (area / "exit").write_text(EXIT)
    os.utime(area / "claim", (1000.25, 1000.25))
    os.utime(area / "start", (1000.5, 1000.5))
    os.utime(area / "exit", (2000.75, 2000.75))
    common = {"token": TOKEN, "host": "node1", "boot": "57e9-ac2e"}
    assert read(area) == {
        "exists": True,
        "claim": True,
        "claimed_at": 1000.25,
        "revoked": False,
        "start": {**common, "pid": 41, "start_ticks": 119083, "uptime": 1190.83, "at": 1000.5, "batch_id": None},
        "exit": {**common, "code": 3, "uptime": 1200.5, "why": None, "copy": None, "at": 2000.75},
        "torn": False,
        "error": None,
    }


def test_an_area_without_anything_and_one_that_is_not_there(area: Path, tmp_path: Path) -> None:
    there, gone = read_records([str(area), str(tmp_path / "none")])
    assert (there["exists"], there["claim"], there["start"], there["exit"]) == (True, False, None, None)
    assert (gone["exists"], gone["claim"], gone["error"]) == (False, False, None)


@pytest.mark.parametrize("name", ["start", "exit"])
def test_a_record_counts_only_when_it_is_whole(area: Path, name: str) -> None:
    """Every beginning of a record, as a full disk or a look in between would show it, is no record."""
    text = {"start": START, "exit": EXIT}[name]
    for length in range(len(text)):
        (area / name).write_text(text[:length])
        assert read(area)[name] is None
    (area / name).write_text(text)
    assert read(area)[name]


@pytest.mark.parametrize(
    "text",
    [
        EXIT.replace("code=3", "code=three"),
        EXIT.replace("code=3", "code=99999999999999999999999"),
        EXIT.replace("code=3\n", ""),
        EXIT.replace("code=3", "code=3\ncode=0"),
        EXIT.replace("code=3", "garbage"),
        EXIT + EXIT,
        EXIT.replace("uptime=1200.5", "uptime=soon"),
        "\0" * 100 + "\nend\n",
    ],
)
def test_garbage_is_no_record(area: Path, text: str) -> None:
    (area / "exit").write_text(text)
    assert read(area)["exit"] is None


@given(st.binary())
def test_no_bytes_upset_the_reader(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    area = tmp_path_factory.mktemp("area")
    (area / "start").write_bytes(data + b"\nend\n")
    (area / "exit").write_bytes(data)
    assert read(area)["error"] is None


def test_a_record_of_a_node_without_proc_has_no_start_time(area: Path) -> None:
    (area / "start").write_text(START.replace("119083", "").replace("1190.83", "").replace("57e9-ac2e", ""))
    start = read(area)["start"]
    assert (start["pid"], start["start_ticks"], start["uptime"], start["boot"]) == (41, None, None, "")


def test_why_a_payload_did_not_run_is_told(area: Path) -> None:
    (area / "exit").write_text(EXIT.replace("end\n", "why=cannot write log/stdout\nend\n"))
    assert read(area)["exit"]["why"] == "cannot write log/stdout"


def test_a_link_to_itself_is_no_record(area: Path) -> None:
    """A payload that makes one must not make its area unreadable for ever."""
    (area / "exit").symlink_to("exit")
    found = read(area)
    assert (found["exit"], found["error"]) == (None, None)


def test_a_pipe_instead_of_a_record_holds_nobody_up(area: Path) -> None:
    os.mkfifo(area / "exit")
    (area / "start").mkdir()
    assert (read(area)["exit"], read(area)["start"]) == (None, None)


def test_an_area_that_cannot_be_read_proves_nothing(area: Path, tmp_path: Path) -> None:
    """A name that is too long stands for any error that is not "it is not there"; the others are still read."""
    bad, good = read_records([str(tmp_path / ("x" * 300)), str(area)])
    assert "File name too long" in bad.pop("error")
    assert set(bad.values()) == {None}
    assert good["exists"]


def test_the_first_revoker_wins_and_the_next_sees_it(area: Path) -> None:
    assert revoke(str(area), TOKEN) == "won"
    assert (area / "claim" / "revoked").read_text() == f"{TOKEN}\n"
    assert revoke(str(area), TOKEN) == "revoked"
    assert (read(area)["claim"], read(area)["revoked"]) == (True, True)


def test_a_claim_of_somebody_else_cannot_be_revoked(area: Path) -> None:
    """Whole or not, its start record is there: it may run, or be about to."""
    (area / "claim").mkdir()
    for text in (START, START[:20], ""):
        (area / "start").write_text(text)
        assert revoke(str(area), TOKEN) == "lost"
        assert (read(area)["revoked"], read(area)["torn"]) == (False, text != START)


def test_a_claim_without_a_start_record_is_barred_from_ever_having_one(area: Path) -> None:
    (area / "claim").mkdir()
    assert revoke(str(area), TOKEN) == "won"
    assert (read(area)["revoked"], read(area)["torn"], read(area)["start"]) == (True, False, None)
    with pytest.raises(IsADirectoryError):
        (area / "start").write_text(START)
    assert revoke(str(area), TOKEN) == "revoked"


def test_a_death_between_barring_and_marking_is_made_up_for(area: Path) -> None:
    (area / "claim").mkdir()
    (area / "start").mkdir()
    assert revoke(str(area), TOKEN) == "won"
    assert read(area)["revoked"]


@pytest.mark.parametrize("parents", [1, 2])
def test_an_area_that_is_not_there_is_made_with_its_claim(area: Path, parents: int) -> None:
    """So that a node that sees the folder late starts nothing in it."""
    area.rmdir()
    if parents == 2:
        area.parent.rmdir()
    assert revoke(str(area), TOKEN) == "won"
    assert read(area)["revoked"]


@pytest.mark.parametrize("mark", [None, "ffffffff"])
def test_an_unmounted_work_folder_is_not_taken_for_a_missing_area(area: Path, mark: str | None) -> None:
    """Nothing is proved below an empty mount point, or in another database's folder: the payload may be running."""
    area.rmdir()
    area.parent.rmdir()
    marker = area.parents[1] / ".caf-database"
    if mark:
        marker.write_text(mark)
    else:
        marker.unlink()
    with pytest.raises(StorageError, match="check that the file system is mounted"):
        revoke(str(area), TOKEN)
    assert not area.parent.exists()


def test_an_error_of_the_file_system_is_not_a_lost_claim() -> None:
    with pytest.raises(StorageError, match="cannot make"):
        revoke("/dev/null/1", TOKEN)


def test_an_area_is_stirred_by_all_that_comes_or_goes(area: Path) -> None:
    path = str(area)
    assert stirred([(path, False, False)]) == [False]
    assert stirred([(path, True, False)]) == [True]
    (area / "claim").mkdir()
    assert stirred([(path, False, False), (path, True, False)]) == [True, False]
    (area / "start").write_text("torn")
    assert stirred([(path, True, False), (path, True, True)]) == [True, False]
    (area / "claim" / "revoked").mkdir()
    assert stirred([(path, True, True)]) == [True]
    (area / "claim" / "revoked").rmdir()
    (area / "exit").write_text("")
    assert stirred([(path, True, True), (path + "/exit", False, False)]) == [True, True]
