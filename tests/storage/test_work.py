"""Whose the folder of working areas is, and which database worked there last."""

import stat
from pathlib import Path

import pytest

from caf.domain.errors import StorageError
from caf.storage.work import LONGEST, mark_of, mark_work, marker_of, note_newest

TOKEN = "caf-aaaa0000-17-2-0123abcd"


def test_a_fresh_folder_is_made_for_the_group_and_marked(tmp_path: Path) -> None:
    work = tmp_path / "a" / "work"
    assert mark_of(str(work)) == {"owner": None, "generation": 0, "newest": None, "filled": False}
    mark_work(str(work), "aaaa", 1)
    assert marker_of(str(work)) == "aaaa"
    assert mark_of(str(work)) == {"owner": "aaaa", "generation": 1, "newest": None, "filled": False}
    assert [path.name for path in work.iterdir()] == [".caf-database"]
    assert stat.S_IMODE(work.stat().st_mode) == 0o2770


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    mark_work(str(tmp_path), "aaaa", 1)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o750


def test_the_newest_token_is_noted_in_place(tmp_path: Path) -> None:
    work = str(tmp_path)
    mark_work(work, "aaaa", 7)
    inode = (tmp_path / ".caf-database").stat().st_ino
    for token in (TOKEN, TOKEN.replace("-17-", "-1700000-"), TOKEN):
        note_newest(work, "aaaa", 7, token)
        assert mark_of(work) == {"owner": "aaaa", "generation": 7, "newest": token, "filled": False}
    assert (tmp_path / ".caf-database").stat().st_ino == inode
    assert (tmp_path / ".caf-database").stat().st_size < LONGEST


@pytest.mark.parametrize(("owner", "generation"), [("bbbb", 7), ("aaaa", 8), ("aaaa", 70)])
def test_a_supervisor_that_is_not_the_last_one_started_notes_nothing(
    tmp_path: Path, owner: str, generation: int
) -> None:
    """A copy of its database is in use elsewhere: its lock is beside the copy, its working areas are the same."""
    mark_work(str(tmp_path), owner, generation)
    with pytest.raises(StorageError, match="another one was started with a copy of its database"):
        note_newest(str(tmp_path), "aaaa", 7, TOKEN)
    assert mark_of(str(tmp_path))["newest"] is None


def test_a_mark_that_is_gone_is_not_made_anew_by_a_note(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        note_newest(str(tmp_path), "aaaa", 7, TOKEN)
    assert marker_of(str(tmp_path)) is None


@pytest.mark.parametrize("text", ["", "\n", "\ngeneration=3\n"])
def test_an_empty_mark_belongs_to_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / ".caf-database").write_text(text)
    assert marker_of(str(tmp_path)) is mark_of(str(tmp_path))["owner"] is None


@pytest.mark.parametrize("text", ["aaaa\n", "aaaa", "aaaa\ngeneration=many\nnewest=\n", "aaaa\n\xff\n"])
def test_a_mark_that_says_only_whose_it_is(tmp_path: Path, text: str) -> None:
    (tmp_path / ".caf-database").write_bytes(text.encode("latin-1"))
    (tmp_path / "490001_Fit").mkdir()
    assert mark_of(str(tmp_path)) == {"owner": "aaaa", "generation": 0, "newest": None, "filled": False}


def test_a_folder_that_lost_its_mark_is_told_from_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / ".caf-database").touch()
    assert mark_of(str(tmp_path))["filled"] is False
    (tmp_path / "490001_Fit").mkdir()
    assert mark_of(str(tmp_path))["filled"] is True


def test_a_place_where_nothing_can_be_made_is_named() -> None:
    with pytest.raises(StorageError, match=r"cannot write /proc/work/\.caf-database: "):
        mark_work("/proc/work", "aaaa", 1)
