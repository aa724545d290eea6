"""Raw files: the run's own, and only those."""

import os
from pathlib import Path

import pytest

from caf.domain.errors import PreparationError, StorageError
from caf.storage.raw import expand, find_raw


def make(folder: Path, *names: str) -> list[str]:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * len(name))
    return [str(folder / name) for name in names]


def found(pattern: Path, run: int = 490001) -> list[str]:
    return [file["path"] for file in find_raw([str(pattern)], run)["files"]]


def test_a_run_is_put_into_a_pattern() -> None:
    assert expand("/a/{run}/{run:08d}/*_{run:07d}*", 490001) == "/a/490001/00490001/*_0490001*"


@pytest.mark.parametrize("pattern", ["/a/{rnu}", "/a/{run:8d}", "/a/{a,b}", "/a/}"])
def test_a_slip_in_a_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(PreparationError, match="no other brace"):
        expand(pattern, 1)


def test_the_rucio_layout_is_found(tmp_path: Path) -> None:
    """As in 2016: `<path>/<8 digits>/<dataset>.RAW/<files>`, where a file's name need not hold the number."""
    wanted = make(tmp_path, "00490001/data15.RAW/_0001.data", "00490001/data15.RAW/data15.00490001._0002.data")
    make(tmp_path, "00490001/data15.ESD/_0001.data", "00490002/data15.RAW/_0001.data")
    answer = find_raw([expand(f"{tmp_path}/{{run:08d}}/*RAW*/*", 490001)], 490001)
    assert [file["path"] for file in answer["files"]] == sorted(wanted)
    assert [file["size"] for file in answer["files"]] == [os.stat(path).st_size for path in sorted(wanted)]
    assert answer["pattern"] == f"{tmp_path}/00490001/*RAW*/*"


def test_a_number_counts_only_between_other_characters(tmp_path: Path) -> None:
    wanted = make(tmp_path, "a.490001.RAW", "b_00490001_c", "c490001")
    make(tmp_path, "a.1490001.RAW", "a.4900012.RAW", "a.49000.RAW", "a.0014900010.RAW", "other")
    assert found(tmp_path / "*") == sorted(wanted)


def test_the_first_pattern_that_yields_wins(tmp_path: Path) -> None:
    make(tmp_path, "b/490001.RAW", "c/490001.RAW", "a/490002.RAW")
    answer = find_raw([f"{tmp_path}/{folder}/*" for folder in "abc"], 490001)
    assert answer["pattern"] == f"{tmp_path}/b/*"
    assert len(answer["files"]) == 1


def test_only_regular_files_count_and_links_are_followed(tmp_path: Path) -> None:
    (wanted,) = make(tmp_path, "store/490001.RAW")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "490001.link").symlink_to(wanted)
    (tmp_path / "x" / "490001.broken").symlink_to(tmp_path / "none")
    (tmp_path / "x" / "490001.folder").mkdir()
    os.mkfifo(tmp_path / "x" / "490001.pipe")
    answer = find_raw([f"{tmp_path}/x/*"], 490001)
    status = os.stat(wanted)
    link = f"{tmp_path}/x/490001.link"
    assert answer["files"] == [{"path": link, "size": status.st_size, "mtime": status.st_mtime}]


def test_an_empty_file_is_given_with_its_size(tmp_path: Path) -> None:
    (tmp_path / "490001.RAW").touch()
    (file,) = find_raw([f"{tmp_path}/*"], 490001)["files"]
    assert (file["path"], file["size"]) == (f"{tmp_path}/490001.RAW", 0)


def test_why_nothing_was_found_is_told_for_each_pattern(tmp_path: Path) -> None:
    make(tmp_path, "a/490002.RAW")
    (tmp_path / "b" / "490001").mkdir(parents=True)
    answer = find_raw([f"{tmp_path}/a/*", f"{tmp_path}/b/*", f"{tmp_path}/c/d/490001/*"], 490001)
    assert answer["files"] == []
    assert answer["pattern"] is None
    assert answer["why"].split("; ") == [
        f"{tmp_path}/a/* matches 1 entries, none with the number 490001",
        f"{tmp_path}/b/* matches 1 entries but no regular file",
        f"{tmp_path}/c/d/490001/* matches nothing",
        f"nearest folder that exists: {tmp_path}",
    ]


def test_no_pattern_is_told_too() -> None:
    assert find_raw([], 1)["why"] == "no pattern is given"


def test_a_file_that_cannot_be_looked_at_is_an_error_and_not_an_absence(tmp_path: Path) -> None:
    (tmp_path / "490001").symlink_to(tmp_path / "490001")
    with pytest.raises(StorageError, match=r"cannot look at .*symbolic links"):
        find_raw([f"{tmp_path}/*"], 490001)
