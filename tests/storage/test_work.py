"""Whose the folder of working areas is."""

from pathlib import Path

import pytest

from caf.domain.errors import StorageError
from caf.storage.work import marker_of, own_work


def test_a_fresh_folder_is_made_and_marked(tmp_path: Path) -> None:
    work = str(tmp_path / "a" / "work")
    own_work(work, "aaaa", False)
    assert marker_of(work) == "aaaa"
    own_work(work, "aaaa", False)
    assert [path.name for path in (tmp_path / "a" / "work").iterdir()] == [".caf-database"]


def test_another_databases_folder_is_refused_until_it_is_taken_over(tmp_path: Path) -> None:
    work = str(tmp_path)
    own_work(work, "aaaa", False)
    with pytest.raises(StorageError, match=r"database aaaa, not to bbbb.*--take-over$"):
        own_work(work, "bbbb", False)
    assert marker_of(work) == "aaaa"
    own_work(work, "bbbb", True)
    assert marker_of(work) == "bbbb"


def test_a_folder_that_lost_its_mark_is_not_taken_for_a_fresh_one(tmp_path: Path) -> None:
    """What a database has used before and finds empty is a mount point without its file system."""
    work = str(tmp_path)
    with pytest.raises(StorageError, match="is mounted"):
        own_work(work, "aaaa", False, used_before=True)
    assert marker_of(work) is None
    own_work(work, "aaaa", True, used_before=True)
    assert marker_of(work) == "aaaa"


def test_an_empty_mark_belongs_to_nobody(tmp_path: Path) -> None:
    (tmp_path / ".caf-database").touch()
    own_work(str(tmp_path), "aaaa", False)
    assert marker_of(str(tmp_path)) == "aaaa"


def test_a_place_where_nothing_can_be_made_is_named() -> None:
    with pytest.raises(StorageError, match=r"cannot write /proc/work/\.caf-database: "):
        own_work("/proc/work", "aaaa", False)
