"""The log of after-scripts: writing it shows that the area can be used."""

import os
from pathlib import Path

import pytest

from caf.domain.errors import StorageError
from caf.storage.after_log import begin_entry, last_words
from caf.storage.work import mark_work

DATABASE = "0123abcd"


@pytest.fixture
def area(tmp_path: Path) -> Path:
    mark_work(str(tmp_path / "work"), DATABASE, 1)
    area = tmp_path / "work" / "490001_Job" / "1"
    (area / "log").mkdir(parents=True)
    return area


def begin(area: Path, line: str = "--- one") -> int:
    return begin_entry(str(area.parents[1]), DATABASE, str(area), line)


def test_entries_follow_each_other_and_the_last_words_are_of_the_last(area: Path) -> None:
    log = area / "log/after.log"
    start = begin(area)
    log.write_text(log.read_text() + "something is wrong\n\n \x1b[31m\n")
    assert last_words(str(area), start) == "[31m"
    start = begin(area, "--- two")
    assert log.read_text().startswith("--- one\nsomething")
    assert last_words(str(area), start) == ""
    with log.open("ab") as file:
        file.write(b"x" * 100_000 + b"\nthe end \xff\n\n")
    assert last_words(str(area), start) == "the end \N{REPLACEMENT CHARACTER}"


def test_a_log_folder_that_the_payload_has_removed_is_made(area: Path) -> None:
    (area / "log").rmdir()
    assert begin(area) == len("--- one\n")


def test_an_area_that_is_gone_is_not_one_whose_file_system_is(area: Path) -> None:
    """The first will not come back, the second will."""
    (area / "log").rmdir()
    area.rmdir()
    with pytest.raises(StorageError, match="is not there any more") as gone:
        begin(area)
    assert not gone.value.transient
    (area.parents[1] / ".caf-database").unlink()
    with pytest.raises(StorageError, match="is its file system mounted") as away:
        begin(area)
    assert away.value.transient


@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_what_a_payload_has_put_in_the_place_of_the_log_holds_nobody_up(area: Path, kind: str, tmp_path: Path) -> None:
    log = area / "log/after.log"
    if kind == "pipe":
        os.mkfifo(log)
    elif kind == "link":
        log.symlink_to(tmp_path / "x")
    else:
        log.mkdir()
    with pytest.raises(StorageError, match="cannot write"):
        begin(area)
    assert not (tmp_path / "x").exists()
    assert last_words(str(area), 0) == ""
