"""Archiving to a real XRootD server, with and without checksums of its own."""

import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from caf.domain.errors import StorageError, StorageTimeout
from caf.storage import archive_xrootd
from caf.storage.archive import MANIFEST, archive_step
from caf.storage.archive_place import PARTIAL, partial_name
from caf.storage.programs import Running
from tests.clusters import xrootd as cluster
from tests.clusters.xrootd import Server, needs_xrootd
from tests.storage.test_archive import OWNER, make

pytestmark = needs_xrootd
CONTENT = {"exit": b"token=x\nend\n", "log/stdout": b"", "root/out.root": os.urandom(3_000_000)}


@pytest.fixture(scope="module", params=[True, False], ids=["checksums", "no checksums"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with cluster.running(checksums=request.param) as server:
        yield server


@pytest.fixture(scope="module")
def plain() -> Iterator[Server]:
    with cluster.running() as server:
        yield server


@pytest.fixture
def area(tmp_path: Path) -> Path:
    return make(tmp_path / "area", CONTENT)


def place(server: Server) -> str:
    """Give the name of a folder that no other test archives into."""
    return f"test{len(list(server.data.iterdir()))}/490001/Fit/1"


def request(area: Path, server: Server, folder: str, **more: Any) -> dict[str, Any]:
    url = f"{server.url}//{folder}"
    return {"area": str(area), "url": url, "root": url, "exclude": [], "owner": OWNER, **more}


def archive(area: Path, server: Server, folder: str, **more: Any) -> dict[str, Any]:
    while not (answer := archive_step(request(area, server, folder, **more), 1.0))["done"]:
        pass
    return answer


def files_in(server: Server, folder: str) -> dict[str, bytes]:
    top = server.data / folder
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def test_everything_is_copied_and_the_manifest_says_what(area: Path, server: Server) -> None:
    folder = place(server)
    answer = archive(area, server, folder)
    size = sum(len(data) for data in CONTENT.values())
    assert answer == {"done": True, "left": 0, "files": len(CONTENT), "bytes": size, "left_out": []}
    found = files_in(server, folder)
    told = json.loads(found.pop(MANIFEST))
    assert {one["as"] if "as" in one else one["name"]: one["adler32"] for one in told["files"]} == {
        name: f"{zlib.adler32(data):08x}" for name, data in found.items()
    }
    assert found == CONTENT
    assert archive(area, server, folder) == answer


def test_odd_names_are_stored_readably_and_the_manifest_tells_them(tmp_path: Path, plain: Server) -> None:
    folder = place(plain)
    area = make(tmp_path / "area", {})
    area.mkdir()
    odd = ["a?b#c", "50% off", "é", "x&y=z;w", "'\"`$(x)", "-dash", "new\nline", "\udcff", "[x]{y}*", "a+b@c:d,e f"]
    for name in odd:
        (area / name).write_text(name.encode("utf-8", "surrogateescape").hex())
    archive(area, plain, folder)
    stored = files_in(plain, folder)
    told = {one["name"]: one.get("as", one["name"]) for one in json.loads(stored[MANIFEST])["files"]}
    for name in odd:
        assert stored[told[name]].decode() == name.encode("utf-8", "surrogateescape").hex()
    assert told["a?b#c"] == "a%3Fb%23c"
    assert told["a+b@c:d,e f"] == "a+b@c:d,e f"
    assert archive(area, plain, folder)["done"]


def test_what_is_there_and_the_same_is_not_copied_again(area: Path, plain: Server) -> None:
    folder = place(plain)
    archive(area, plain, folder)
    inodes = {name: (plain.data / folder / name).stat().st_ino for name in CONTENT}
    (plain.data / folder / MANIFEST).unlink()
    archive(area, plain, folder)
    assert {name: (plain.data / folder / name).stat().st_ino for name in CONTENT} == inodes


def test_what_is_there_and_not_the_same_is_replaced(area: Path, plain: Server) -> None:
    folder = place(plain)
    damaged = bytes(reversed(CONTENT["root/out.root"]))
    for name, data in {"exit": b"token=y\nend\n", "root/out.root": damaged, f"root/{partial_name()}": b"x"}.items():
        plain.file(f"{folder}/{name}", data)
    for path in [plain.data / folder, *(plain.data / folder).rglob("*")]:
        path.chmod(0o777)
    archive(area, plain, folder)
    found = files_in(plain, folder)
    del found[MANIFEST]
    assert found == CONTENT


@pytest.mark.parametrize("steps", [2, 9, 16])
def test_a_process_that_dies_is_followed_by_one_that_finishes(area: Path, plain: Server, steps: int) -> None:
    folder = place(plain)
    text = (
        "import json, os, sys; from caf.storage import archive_xrootd; archive_xrootd.PAUSE = 0.01;"
        "from caf.storage.archive import archive_step; request = json.loads(sys.argv[1]);"
        f"[archive_step(request, 0.0) for _ in range({steps})]; os._exit(9)"
    )
    command = [sys.executable, "-c", text, json.dumps(request(area, plain, folder))]
    assert subprocess.run(command, cwd=Path(__file__).parents[2], timeout=60, check=False).returncode == 9
    assert not (plain.data / folder / MANIFEST).exists()
    archive(area, plain, folder)
    found = files_in(plain, folder)
    del found[MANIFEST]
    assert found == CONTENT
    assert not any(PARTIAL.fullmatch(Path(name).name) for name in found)


def test_a_copy_that_is_not_the_same_is_never_given_its_name(
    area: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = place(server)
    real = archive_xrootd.Remote.put

    def damage(self: archive_xrootd.Remote, source: int, name: str, status: os.stat_result) -> Any:
        partial, value = yield from real(self, source, name, status)
        if name == "exit":
            path = server.data / folder / partial
            path.write_bytes(b"T" + path.read_bytes()[1:])
        return partial, value

    monkeypatch.setattr(archive_xrootd.Remote, "put", damage)
    with pytest.raises(StorageError, match=r"has adler32 .* it is removed and tried again") as told:
        archive(area, server, folder)
    assert told.value.transient
    assert not (server.data / folder / "exit").exists()
    assert not any(PARTIAL.fullmatch(Path(name).name) for name in files_in(server, folder))
    monkeypatch.undo()
    archive(area, server, folder)


def test_a_file_that_changes_while_it_is_copied_is_noticed(
    area: Path, plain: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = place(plain)
    real = archive_xrootd.Remote.put

    def meanwhile(self: archive_xrootd.Remote, source: int, name: str, status: os.stat_result) -> Any:
        answer = yield from real(self, source, name, status)
        if name == "log/stdout":
            (area / "exit").write_text("again")
        return answer

    monkeypatch.setattr(archive_xrootd.Remote, "put", meanwhile)
    with pytest.raises(StorageError, match="changed while it was archived"):
        archive(area, plain, folder)
    monkeypatch.undo()
    archive(area, plain, folder)
    assert files_in(plain, folder)["exit"] == b"again"


def test_what_may_not_be_written_is_told(area: Path, plain: Server) -> None:
    if os.geteuid() != 0:
        pytest.skip("the server runs as the one who makes the folders, so that nothing can be kept from it")
    sealed = plain.data / "sealed"
    sealed.mkdir()
    sealed.chmod(0o755)
    with pytest.raises(StorageError, match="permission denied: give this account the right to it") as told:
        archive(area, plain, "sealed/490001/Fit/1")
    assert not told.value.transient
    assert plain.url in str(told.value)
    assert "\n" not in str(told.value)


def test_a_full_server_is_told_and_no_half_file_stays(area: Path, plain: Server) -> None:
    if os.geteuid() != 0:
        pytest.skip("a small file system is mounted as root only")
    small = plain.data / "small"
    small.mkdir()
    options = "size=1m,mode=777"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(small)], check=True, timeout=30)
    try:
        with pytest.raises(StorageError, match=r"no space left on device.*: free some there") as told:
            archive(area, plain, "small/490001/Fit/1")
        assert told.value.transient
        assert "root/out.root" not in files_in(plain, "small/490001/Fit/1")
        assert not any(PARTIAL.fullmatch(path.name) for path in small.rglob("*"))
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True, timeout=30)


def test_a_server_that_is_away_is_told(area: Path, plain: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XRD_CONNECTIONWINDOW", "1")
    monkeypatch.setenv("XRD_CONNECTIONRETRY", "1")
    away = Server(plain.data, cluster.free_port(), plain.process)
    with pytest.raises(StorageError, match="Connection error: is the server up") as told:
        archive(area, away, "x")
    assert told.value.transient


def test_a_server_that_never_answers_is_given_up_in_short_steps(area: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_xrootd, "LIMIT", 0.2)
    with cluster.running() as server:
        server.stop()
        begun = time.monotonic()
        for _ in range(2):
            assert not archive_step(request(area, server, "x"), 0.3)["done"]
        assert time.monotonic() - begun < 1.9
        with pytest.raises(StorageTimeout, match="xrdfs was not done within 2 s"):
            archive(area, server, "x")


def test_another_areas_copy_is_ended_when_one_is_begun(
    area: Path, plain: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs: list[Running] = []

    class Kept(Running):
        def __init__(self, *args: Any, **keywords: Any) -> None:
            super().__init__(*args, **keywords)
            programs.append(self)

    monkeypatch.setattr(archive_xrootd, "Running", Kept)
    monkeypatch.setattr(archive_xrootd, "PAUSE", 0.001)
    archive_step(request(area, plain, place(plain)), 0.0)
    first = programs[-1]
    assert first._process.returncode is None
    archive(make(tmp_path / "other", {"exit": b"x"}), plain, "other")
    assert first._process.returncode is not None
