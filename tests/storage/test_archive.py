"""Archiving to a file system: what is said to be archived is there, and the same."""

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from caf.domain.errors import StorageError
from caf.storage import archive_posix
from caf.storage.archive import MANIFEST, NAMED, archive_step
from caf.storage.archive_place import PARTIAL, partial_name
from caf.storage.archive_survey import opened

OWNER = {"database_id": "d", "run": 490001, "job": "Fit", "attempt": 1}
CONTENT = {
    "exit": b"token=x\nend\n",
    "log/stdout": b"",
    "root/out.root": os.urandom(3_000_000),
    "root/Gains 1.pdf": b"%PDF",
    "config/caf.sh": b"#!/bin/sh\n",
}


@pytest.fixture
def area(tmp_path: Path) -> Path:
    return make(tmp_path / "work" / "490001_Fit" / "1", CONTENT)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    (tmp_path / "archive").mkdir()
    return tmp_path / "archive" / "490001" / "Fit" / "1"


def make(folder: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def request(area: Path, kept: Path, *exclude: str, **more: Any) -> dict[str, Any]:
    root = str(kept.parents[2])
    return {"area": str(area), "url": str(kept), "root": root, "exclude": list(exclude), "owner": OWNER, **more}


def archive(area: Path, kept: Path, *exclude: str, seconds: float = 0.0) -> dict[str, Any]:
    """Archive step by step; gives the last step's answer."""
    while not (answer := archive_step(request(area, kept, *exclude), seconds))["done"]:
        pass
    return answer


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be a user to whom something can be forbidden."""
    mine = os.geteuid()
    os.seteuid(65534 if mine == 0 else mine)
    try:
        yield
    finally:
        os.seteuid(mine)


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def manifest(kept: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((kept / MANIFEST).read_text())
    return found


def test_everything_is_copied_and_the_manifest_says_what(area: Path, kept: Path) -> None:
    answer = archive(area, kept)
    size = sum(len(data) for data in CONTENT.values())
    assert answer == {"done": True, "left": 0, "files": len(CONTENT), "bytes": size, "left_out": []}
    found = files_in(kept)
    told = json.loads(found.pop(MANIFEST))
    assert found == CONTENT
    assert told["owner"] == OWNER
    sums = {one["name"]: (one["size"], one["adler32"]) for one in told["files"]}
    assert sums == {name: (len(data), f"{zlib.adler32(data):08x}") for name, data in CONTENT.items()}


def test_times_and_the_right_to_run_are_kept(area: Path, kept: Path) -> None:
    os.utime(area / "exit", (1e9, 1e9))
    (area / "config/caf.sh").chmod(0o750)
    archive(area, kept)
    assert (kept / "exit").stat().st_mtime == 1e9
    assert (kept / "config/caf.sh").stat().st_mode & 0o777 == 0o750


def test_each_step_is_short_and_tells_what_is_left(area: Path, kept: Path) -> None:
    lefts = []
    while not (answer := archive_step(request(area, kept), 0.0))["done"]:
        lefts.append(answer["left"])
    assert lefts[0] == len(CONTENT)
    assert lefts == sorted(lefts, reverse=True)
    assert len(lefts) > 2 * 3 + len(CONTENT)  # the large file alone takes three steps each way


def test_what_is_excluded_is_not_copied_but_said(area: Path, kept: Path) -> None:
    make(area, {"core.123": b"x", "root/core.9": b"x", "pool/a/b": b"x", "root/tmp/x": b"x", "root/x.tmp": b"x"})
    archive(area, kept, "core.*", "pool/", "root/tmp", "./root/*.tmp")
    assert files_in(kept).keys() == {*CONTENT, MANIFEST}
    assert manifest(kept)["excluded"] == ["core.*", "pool/", "root/tmp", "./root/*.tmp"]


def test_links_are_never_followed_out_of_the_area(area: Path, kept: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "other").write_text("x")
    for name, target in {
        "out": tmp_path / "secret",
        "up": Path("../../../secret"),
        "far": tmp_path / "folder",
        "inside": Path("root/out.root"),
        "around": Path("root"),
        "nowhere": Path("none"),
        "self": Path("self"),
    }.items():
        (area / name).symlink_to(target)
    answer = archive(area, kept)
    assert files_in(kept).keys() == {*CONTENT, MANIFEST, "inside"}
    assert (kept / "inside").read_bytes() == CONTENT["root/out.root"]
    assert manifest(kept)["links"] == [["around", "root"], ["nowhere", "none"], ["self", "self"]]
    assert [name for name, _ in answer["left_out"]] == ["far", "out", "up"]
    assert "leads out of the area" in answer["left_out"][0][1]


def test_a_link_that_turns_outward_while_it_is_read_is_not_followed(area: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "out.root").write_text("secret")
    shutil.rmtree(area / "root")
    (area / "root").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="changed while it was archived"), opened(str(area), "root/out.root"):
        pass


def test_what_is_no_file_is_left_out_and_named(area: Path, kept: Path) -> None:
    os.mkfifo(area / "root" / "pipe")
    with socket.socket(socket.AF_UNIX) as one:
        here = os.getcwd()
        os.chdir(area)
        one.bind("socket")
        os.chdir(here)
    assert archive(area, kept)["left_out"] == [("root/pipe", "is a pipe"), ("socket", "is a socket")]


def test_of_very_many_that_are_left_out_only_some_are_told(area: Path, kept: Path) -> None:
    """They are logged; the manifest has all."""
    for number in range(NAMED + 5):
        (area / "root" / f"{number:04}").symlink_to("/")
    assert len(archive(area, kept)["left_out"]) == NAMED
    assert len(manifest(kept)["left_out"]) == NAMED + 5


def test_empty_folders_are_remembered(area: Path, kept: Path) -> None:
    (area / "pool").mkdir()
    archive(area, kept)
    assert manifest(kept)["folders"] == ["config", "log", "pool", "root"]


def test_names_that_are_no_text_are_copied(area: Path, kept: Path) -> None:
    odd = os.path.join(os.fsencode(area), b"root/\xff\n?")
    Path(os.fsdecode(odd)).write_bytes(b"odd")
    archive(area, kept)
    assert Path(os.fsdecode(os.path.join(os.fsencode(kept), b"root/\xff\n?"))).read_bytes() == b"odd"


class TestInterrupted:
    """Killed at any point, it is taken up again and comes to the same."""

    def test_what_is_there_and_the_same_is_not_copied_again(
        self, area: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        archive(area, kept)
        inodes = {name: (kept / name).stat().st_ino for name in CONTENT}
        (kept / MANIFEST).unlink()
        archive(area, kept)
        assert {name: (kept / name).stat().st_ino for name in CONTENT} == inodes

    def test_once_the_manifest_is_there_nothing_is_read_again(
        self, area: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = archive(area, kept)

        def never(*_: Any) -> Any:
            raise AssertionError

        monkeypatch.setattr(archive_posix.Folder, "checksum", never)
        monkeypatch.setattr(archive_posix.Folder, "put", never)
        assert archive(area, kept) == first

    @pytest.mark.parametrize("steps", [1, 3, 5, 8, 11, 14, 17, 20])
    def test_a_process_that_dies_is_followed_by_one_that_finishes(self, area: Path, kept: Path, steps: int) -> None:
        text = (
            "import json, os, sys; from caf.storage.archive import archive_step;"
            f"[archive_step(json.loads(sys.argv[1]), 0.0) for _ in range({steps})]; os._exit(9)"
        )
        top = Path(__file__).parents[2]
        command = [sys.executable, "-c", text, json.dumps(request(area, kept))]
        assert subprocess.run(command, cwd=top, timeout=60, check=False).returncode == 9
        assert not (kept / MANIFEST).exists()
        archive(area, kept)
        found = files_in(kept)
        del found[MANIFEST]
        assert found == CONTENT

    def test_leftovers_of_other_interruptions_are_removed_and_nothing_else(self, area: Path, kept: Path) -> None:
        left = make(kept, {partial_name(): b"x", f"root/{partial_name()}": b"x", "root/.caf-x.part": b"mine"})
        archive(area, kept)
        assert (left / "root/.caf-x.part").exists()
        assert not any(PARTIAL.fullmatch(path.name) for path in kept.rglob("*"))

    def test_what_is_there_and_not_the_same_is_replaced(self, area: Path, kept: Path) -> None:
        make(kept, {"exit": b"token=y\nend\n", "log/stdout": b"more"})
        archive(area, kept)
        found = files_in(kept)
        del found[MANIFEST]
        assert found == CONTENT

    def test_an_area_that_changed_since_is_archived_anew(self, area: Path, kept: Path) -> None:
        archive(area, kept)
        (area / "log/stdout").write_text("after\n")
        archive(area, kept)
        assert (kept / "log/stdout").read_text() == "after\n"
        assert sum(one["size"] for one in manifest(kept)["files"]) == sum(map(len, CONTENT.values())) + 6

    def test_another_area_is_begun_without_the_one_before(self, area: Path, kept: Path) -> None:
        assert not archive_step(request(area, kept), 0.0)["done"]
        other = make(area.with_name("2"), {"exit": b"x"})
        archive(other, kept.with_name("2"))
        archive(area, kept)
        assert files_in(kept.with_name("2")).keys() == {"exit", MANIFEST}


class TestChanging:
    """What changes while it is copied is noticed, and no manifest says that it was archived."""

    def until(self, area: Path, kept: Path, left: int) -> None:
        while archive_step(request(area, kept), 0.0)["left"] > left:
            pass

    @pytest.mark.parametrize("name", ["root/out.root", "config/caf.sh"])
    def test_a_file_that_is_written_is_noticed(self, area: Path, kept: Path, name: str) -> None:
        """Also one that was copied already."""
        self.until(area, kept, 1)
        with (area / name).open("ab") as file:
            file.write(b"more")
        with pytest.raises(StorageError, match="changed while it was archived") as told:
            archive(area, kept)
        assert told.value.transient
        assert not (kept / MANIFEST).exists()
        archive(area, kept)
        assert (kept / name).read_bytes() == CONTENT[name] + b"more"

    def test_a_file_that_goes_is_noticed(self, area: Path, kept: Path) -> None:
        self.until(area, kept, 2)
        (area / "root/out.root").unlink()
        with pytest.raises(StorageError, match="No such file") as told:
            archive(area, kept)
        assert told.value.transient
        archive(area, kept)
        assert "root/out.root" not in {one["name"] for one in manifest(kept)["files"]}

    def test_a_file_that_comes_is_noticed(self, area: Path, kept: Path) -> None:
        self.until(area, kept, 2)
        (area / "late").write_text("x")
        with pytest.raises(StorageError, match="changed while it was archived"):
            archive(area, kept)
        archive(area, kept)
        assert (kept / "late").exists()

    def test_a_copy_that_is_not_the_same_is_never_given_its_name(
        self, area: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = archive_posix.Folder.put

        def damage(self: archive_posix.Folder, source: int, name: str, status: os.stat_result) -> Any:
            partial, value = yield from real(self, source, name, status)
            if name == "root/out.root":
                with (kept / partial).open("r+b") as file:
                    file.write(b"x" if CONTENT[name][:1] != b"x" else b"y")
            return partial, value

        monkeypatch.setattr(archive_posix.Folder, "put", damage)
        with pytest.raises(StorageError, match=r"has adler32 .* it is removed and tried again") as told:
            archive(area, kept)
        assert told.value.transient
        assert not (kept / "root/out.root").exists()
        assert not any(PARTIAL.fullmatch(path.name) for path in kept.rglob("*"))
        monkeypatch.undo()
        archive(area, kept)


class TestRefused:
    """What the archive refuses is said in one line with what to do, and leaves no half file."""

    def test_an_archive_that_is_not_mounted_is_not_made(self, area: Path, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="is not there: is its file system mounted") as told:
            archive(area, tmp_path / "none" / "490001" / "Fit" / "1")
        assert told.value.transient
        assert not (tmp_path / "none").exists()

    @pytest.fixture
    def small(self, tmp_path: Path) -> Iterator[Path]:
        if os.geteuid() != 0:
            pytest.skip("a small file system is mounted as root only")
        folder = tmp_path / "small"
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], check=True, timeout=30)
        yield folder
        subprocess.run(["umount", str(folder)], check=True, timeout=30)

    def test_a_full_archive_is_told(self, area: Path, small: Path) -> None:
        kept = small / "490001" / "Fit" / "1"
        with pytest.raises(StorageError, match="No space left on device: free some there") as told:
            archive(area, kept)
        assert told.value.transient
        assert "\n" not in str(told.value)
        (area / "root/out.root").write_bytes(b"less")
        archive(area, kept)
        assert not any(PARTIAL.fullmatch(path.name) for path in kept.rglob("*"))

    @pytest.mark.parametrize(
        ("number", "text", "transient"),
        [
            (errno.EDQUOT, "have the quota raised", True),
            (errno.EACCES, "give this account the right to write there", False),
            (errno.EROFS, "name another place", False),
            (errno.EIO, "Input/output error", True),
        ],
    )
    def test_each_refusal_has_its_advice(
        self, area: Path, kept: Path, monkeypatch: pytest.MonkeyPatch, number: int, text: str, transient: bool
    ) -> None:
        def refuse(_fd: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(StorageError, match=text) as told:
            archive(area, kept)
        assert told.value.transient is transient
        assert str(kept) in str(told.value)

    def test_a_file_that_may_not_be_read_is_not_left_out_in_silence(self) -> None:
        with tempfile.TemporaryDirectory() as folder:  # pytest's own is closed to others
            area, kept = make(Path(folder, "area"), CONTENT), Path(folder, "archive", "1", "Fit", "1")
            kept.parents[2].mkdir()
            for path in (Path(folder), kept.parents[2]):
                path.chmod(0o777)
            (area / "exit").chmod(0)
            with as_nobody(), pytest.raises(StorageError, match=r"cannot read .*/exit: Permission denied"):
                archive(area, kept)

    def test_the_archive_of_another_is_not_touched(self, area: Path, kept: Path) -> None:
        archive(area, kept)
        theirs = {**OWNER, "database_id": "another"}
        with pytest.raises(StorageError, match="is the archive of database_id d, run 490001, job Fit, attempt 1"):
            archive_step(request(area, kept, owner=theirs), 10.0)
        (kept / MANIFEST).write_text("not caf's")
        with pytest.raises(StorageError, match="is none of caf's: move the folder away"):
            archive(area, kept)

    def test_an_archive_inside_the_area_is_refused(self, area: Path) -> None:
        with pytest.raises(StorageError, match="is inside the working area"):
            archive(area, area / "root" / "1")

    def test_an_area_with_a_file_of_the_manifests_name_is_refused(self, area: Path, kept: Path) -> None:
        (area / MANIFEST).write_text("x")
        with pytest.raises(StorageError, match="leave it out by archive_exclude"):
            archive(area, kept)
        archive(area, kept, f"./{MANIFEST}")

    def test_an_area_that_is_gone_is_told(self, area: Path, kept: Path) -> None:
        shutil.rmtree(area)
        with pytest.raises(StorageError, match=r"cannot archive .*No such file"):
            archive(area, kept)
