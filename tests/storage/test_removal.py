"""Removing an area touches nothing but that area, whatever stands in it or in its place."""

import json
import os
import resource
import socket
import subprocess
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest

from caf.domain.errors import StorageError
from caf.storage import removal
from caf.storage.removal import GOING, remove_area
from caf.storage.survey import removed_in
from caf.storage.weighing import weigh_areas, weigh_tree
from caf.storage.work import mark_work
from tests.storage.disks import mounted

DATABASE = "0123abcd"
FACTS = {"database_id": DATABASE, "job_id": 7, "run": 490001, "job": "Fit", "attempt": 1}
DONE = {"done": True, "found": False, "entries": 0}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder of working areas with one area, and something outside of it that must stay."""
    work = tmp_path / "work"
    mark_work(str(work), DATABASE, 3)
    area = work / "490001_Fit" / "1"
    for name in ("config", "log", "root/plots", "empty"):
        (area / name).mkdir(parents=True)
    for name in ("job.json", "log/stdout", "root/a.root", "root/plots/gains.pdf", ".hidden"):
        (area / name).write_text("x" * 1000)
    (area / "job.json").write_text(json.dumps(FACTS))
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("precious")
    return work


def area_of(work: Path) -> Path:
    return work / "490001_Fit" / "1"


def request(work: Path, **more: Any) -> dict[str, Any]:
    return {**FACTS, "work": str(work), "generation": 3, **more}


def remove(work: Path, **more: Any) -> dict[str, Any]:
    return remove_area(request(work, **more), 60)


def precious(work: Path) -> str:
    return (work.parent / "precious" / "file").read_text()


def test_all_of_an_area_goes_and_nothing_else(work: Path) -> None:
    (work / "490001_Fit" / "2").mkdir()
    said = remove(work)
    assert (said["done"], said["found"], said["entries"]) == (True, True, 11)
    assert sorted(path.name for path in work.rglob("*")) == [".caf-database", ".caf-removed", "2", "490001_Fit"]
    assert remove(work) == DONE


def test_the_folder_of_all_attempts_goes_with_the_last_one(work: Path) -> None:
    remove(work)
    assert sorted(os.listdir(work)) == [".caf-database", ".caf-removed"]


def test_which_attempts_are_gone_stays_known_from_the_first_step_on(work: Path) -> None:
    """An older copy of the database would begin them anew; what an interrupted writer has left harms no line."""
    assert removed_in(str(work)) == []
    (work / ".caf-removed").write_text("490001 Other 1\nrubbish\n12 No")
    remove_area(request(work), 0)
    assert removed_in(str(work)) == [(490001, "Fit", 1), (490001, "Other", 1)]
    while not remove(work)["done"]:
        pass
    assert removed_in(str(work)) == [(490001, "Fit", 1), (490001, "Other", 1)]


def test_links_go_and_where_they_lead_stays(work: Path) -> None:
    area, outside = area_of(work), work.parent / "precious"
    (area / "root" / "dir").symlink_to(outside)
    (area / "root" / "file").symlink_to(outside / "file")
    (area / "root" / "up").symlink_to("../../../..")
    (area / "root" / "loop").symlink_to("loop")
    os.link(outside / "file", area / "root" / "hard")
    os.mkfifo(area / "root" / "pipe")
    with socket.socket(socket.AF_UNIX) as one, chdir(area):  # a whole path may be longer than a socket's can be
        one.bind("s")
    assert remove(work)["done"]
    assert precious(work) == "precious"
    assert not area.exists()


@pytest.mark.parametrize("place", ["490001_Fit", "490001_Fit/1"])
def test_a_link_in_the_areas_place_is_refused(work: Path, place: str) -> None:
    """Somebody moved it elsewhere, or leads us there."""
    real = work.parent / "moved"
    (work / place).rename(real)
    (work / place).symlink_to(real)
    with pytest.raises(StorageError, match="is a link or no folder"):
        remove(work)
    assert list(real.rglob("gains.pdf"))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"database_id": "ffffffff"}, "is of database 0123abcd, not of ffffffff"),
        ({"generation": 2}, "another one was started since"),
        ({"job_id": 8}, "has a job.json of attempt 1 of Fit of run 490001"),
    ],
)
def test_an_area_that_is_not_the_one_that_was_meant_stays(work: Path, change: dict[str, Any], why: str) -> None:
    with pytest.raises(StorageError, match=why):
        remove(work, **change)
    assert (area_of(work) / "root" / "plots" / "gains.pdf").exists()


@pytest.mark.parametrize("text", [None, "", "{", "[1]", "null", '{"run": 490001}', "[" * 100_000])
def test_an_area_that_does_not_say_whose_it_is_stays(work: Path, text: str | None) -> None:
    facts = area_of(work) / "job.json"
    facts.unlink()
    if text is not None:
        facts.write_text(text)
    with pytest.raises(StorageError, match=r"it is not what was to be removed, and stays"):
        remove(work)
    assert (area_of(work) / "root" / "a.root").exists()


def test_a_folder_that_lost_its_mark_is_not_touched(work: Path) -> None:
    """As one whose file system is not mounted; what is missing there is not gone."""
    (work / ".caf-database").unlink()
    with pytest.raises(StorageError, match=r"has lost its mark.*mounted"):
        remove(work)
    with pytest.raises(StorageError, match=r"has lost its mark.*mounted"):
        weigh_areas(str(work), DATABASE, [(490001, "Fit", 1)])


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_what_is_mounted_within_is_not_entered(work: Path, kind: str) -> None:
    """A bind mount has the same device as its surroundings."""
    source = work.parent / "precious"
    words = ("-t", "tmpfs", "tmpfs") if kind == "tmpfs" else ("--bind", str(source))
    with mounted(area_of(work) / "root" / "mnt", *words) as point:
        (point / "file").write_text("precious")
        with pytest.raises(StorageError, match="on another file system that is mounted there"):
            remove(work)
        inside = work / "490001_Fit" / f"{GOING}1" / "root" / "mnt" / "file"
        assert inside.read_text() == "precious"
    assert remove(work)["done"]
    assert precious(work) == "precious"


def test_an_area_that_is_a_mount_itself_is_refused(work: Path) -> None:
    with (
        mounted(area_of(work), "--bind", str(work.parent / "precious")),
        pytest.raises(StorageError, match="mounted there"),
    ):
        remove(work)
    assert precious(work) == "precious"


def test_it_goes_on_where_it_was_interrupted_with_what_is_left(work: Path) -> None:
    """job.json goes last: whatever is left says whose it is. No time at all: a step does one folder at least."""
    steps = 0
    while not remove_area(request(work), 0.0)["done"]:
        steps += 1
        assert not area_of(work).exists()
        left = work / "490001_Fit" / f"{GOING}1"
        assert not left.exists() or not os.listdir(left) or (left / "job.json").exists()
        assert steps < 100
    assert steps > 1
    assert sorted(os.listdir(work)) == [".caf-database", ".caf-removed"]


def test_what_is_left_without_a_job_json_goes_only_if_it_is_empty(work: Path) -> None:
    """It died between the last two steps; anything else is not ours."""
    going = work / "490001_Fit" / f"{GOING}1"
    area_of(work).rename(going)
    (going / "job.json").unlink()
    with pytest.raises(StorageError, match=r"holds no job\.json"):
        remove(work)
    subprocess.run(["find", str(going), "-mindepth", "1", "-delete"], check=True, timeout=30)
    assert remove(work)["done"]


def test_an_area_beside_what_is_left_of_one_is_refused(work: Path) -> None:
    (work / "490001_Fit" / f"{GOING}1").mkdir()
    with pytest.raises(StorageError, match="is there beside 1"):
        remove(work)
    assert (area_of(work) / "root" / "a.root").exists()


def test_very_deep_and_very_wide_trees_go(work: Path) -> None:
    """Deeper than Python recurses, and than files may be open by default; more entries than are listed at once."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    deep = os.open(area_of(work) / "root", os.O_RDONLY)
    for _ in range(700):
        os.mkdir("d", dir_fd=deep)
        below = os.open("d", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = below
    os.close(deep)
    before, removal.AT_ONCE = removal.AT_ONCE, 50
    try:
        for number in range(333):
            (area_of(work) / "log" / str(number)).touch()
        weight = weigh_areas(str(work), DATABASE, [(490001, "Fit", 1)])[0]
        assert weight["files"] == 11 + 700 + 333
        assert remove(work)["done"]
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 256
    finally:
        removal.AT_ONCE = before
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert sorted(os.listdir(work)) == [".caf-database", ".caf-removed"]


def test_folders_that_the_payload_closed_to_itself_go(work: Path) -> None:
    """By whoever owns them; root may do everything, so it does this as nobody."""
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", "65534:65534", str(work)], check=True, timeout=30)
    work.parent.chmod(0o711)
    (area_of(work) / "root" / "plots").chmod(0o000)
    (area_of(work) / "log").chmod(0o555)
    child = os.fork()
    if child == 0:
        os.chdir(work.parent)
        if os.getuid() == 0:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
        status = 1
        try:
            status = 0 if remove_area({**request(work), "work": "work"}, 60)["done"] else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert sorted(os.listdir(work)) == [".caf-database", ".caf-removed"]


def test_a_weight_is_what_find_says(work: Path) -> None:
    area = area_of(work)
    os.link(area / "root" / "a.root", area / "root" / "again")
    (area / "root" / "out").symlink_to(work.parent / "precious")
    (found,) = weigh_areas(str(work), DATABASE, [(490001, "Fit", 1)])
    listed = subprocess.run(
        ["find", str(area), "-printf", "%i %y %s %b\n"], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    rows = [tuple(line.split()) for line in set(listed.splitlines())]
    assert found["sizes"] == sum(int(size) for _, kind, size, _ in rows if kind != "d")
    assert found["disk"] == 512 * sum(int(blocks) for *_, blocks in rows)
    assert found["files"] == len(rows)


def test_what_is_mounted_within_weighs_nothing(work: Path) -> None:
    before = weigh_tree(str(area_of(work)))["sizes"]
    with mounted(area_of(work) / "root" / "mnt", "-t", "tmpfs", "tmpfs") as point:
        (point / "file").write_text("x" * 5000)
        assert weigh_tree(str(area_of(work)))["sizes"] == before


def test_areas_that_are_not_there_or_are_links_are_told_apart(work: Path) -> None:
    (work / "490002_Fit").mkdir()
    (work / "490002_Fit" / "1").symlink_to(work.parent / "precious")
    areas = [(490001, "Fit", 1), (490001, "Fit", 2), (490002, "Fit", 1), (490003, "Fit", 1)]
    found = weigh_areas(str(work), DATABASE, areas)
    assert [one["found"] for one in found] == [True, False, True, False]
    assert [bool(one["error"]) for one in found] == [False, False, True, False]
