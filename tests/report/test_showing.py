"""What attempts have to show is copied beside the page: nothing from outside the area, and nothing that is active."""

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from caf.domain.errors import StorageError
from caf.domain.jobs import Result
from caf.storage.publish import SHOWN
from caf.storage.showing import LOG_TAIL, MOST, copy_shown
from caf.storage.work import mark_work
from caf.tasks import showing
from caf.tasks.house import CALLS
from tests.report.press import CONFIGURATION, DONE, FAILED, NOW, RAMP, Press, a_run, at_press

PNG = b"\x89PNG\r\n\x1a\nrest"
HTML = "<html><script>alert(1)</script></html>"


class Site:
    """A marked folder of working areas with one area, and the page's folder."""

    def __init__(self, folder: Path) -> None:
        self.work, self.www = folder / "work", folder / "www"
        mark_work(str(self.work), "d1", 1)
        self.area = self.work / "1_J" / "1"
        (self.area / "root").mkdir(parents=True)
        (self.area / "log").mkdir()
        self.www.mkdir()

    def copy(self, *show: str, largest: int = 1000, **more: Any) -> list[dict[str, Any]]:
        request: dict[str, Any] = {"work": str(self.work), "database_id": "d1", "area": str(self.area)}
        request |= {"folder": str(self.www)}
        request |= {"place": "1_J/1", "show": list(show), "log": "log/stdout", "largest": largest}
        return copy_shown({**request, **more})

    def copied(self) -> list[str]:
        return sorted(path.name for path in (self.www / SHOWN).rglob("*") if path.is_file())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Have one."""
    return Site(tmp_path)


def test_plots_texts_and_the_ends_of_logs_are_copied(site: Site) -> None:
    (site.area / "root" / "Gains.png").write_bytes(PNG)
    (site.area / "root" / "bad gains.txt").write_text("two\n")
    (site.area / "root" / "plots.pdf").write_bytes(b"%PDF-1.7 x")
    (site.area / "log" / "stdout").write_bytes(b"x" * LOG_TAIL + b"end\n")
    (site.area / "log" / "stderr").write_text("")
    told = site.copy("root/Gains.png", "root/*.txt", "root/plots.pdf")
    assert [(one["name"], one["kind"]) for one in told] == [
        ("root/Gains.png", "plot"),
        ("root/bad gains.txt", "text"),
        ("root/plots.pdf", "pdf"),
        ("log/stdout", "log"),
    ]
    assert site.copied() == ["1-Gains.png", "2-bad_gains_txt.txt", "3-plots.pdf", "log.txt"]
    assert (site.www / told[0]["file"]).read_bytes() == PNG
    assert told[1]["head"] == "two\n"
    assert (site.www / told[3]["file"]).read_bytes().endswith(b"end\n")
    assert (site.www / told[3]["file"]).stat().st_size == LOG_TAIL
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in (site.www / SHOWN).rglob("*"))


@pytest.mark.parametrize("name", ["x.html", "x.svg", "x.js", "x.png", "x.jpg", "x.xhtml", "x", "x.txt.html", ".html"])
def test_what_a_browser_would_run_becomes_text(site: Site, name: str) -> None:
    (site.area / "root" / name).write_text(HTML)
    (told,) = site.copy(f"root/{name}")
    assert told["kind"] == "text"
    assert [Path(one).suffix for one in site.copied()] == [".txt"]


def test_what_is_neither_picture_nor_text_is_not_copied(site: Site) -> None:
    (site.area / "root" / "pool.root").write_bytes(b"root\0\0\1")
    (site.area / "root" / "latin").write_bytes(b"caf\xe9")
    (site.area / "root" / "fake.pdf").write_bytes(b"\0\1\2")
    told = site.copy("root/pool.root", "root/latin", "root/fake.pdf")
    assert [one["kind"] for one in told] == ["none"] * 3
    assert site.copied() == []


@pytest.mark.parametrize("way", ["file", "folder", "area/..", "pattern", "deep"])
def test_no_link_leads_out_of_the_area(site: Site, tmp_path: Path, way: str) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key.txt").write_text("secret")
    (site.area / "inner").mkdir()
    os.symlink(secret / "key.txt", site.area / "root" / "key.txt")
    os.symlink(secret, site.area / "root" / "folder")
    os.symlink("../../../../secret", site.area / "inner" / "up")
    shown = {
        "file": "root/key.txt",
        "folder": "root/folder/key.txt",
        "area/..": "../../../secret/key.txt",
        "pattern": "*/*/key.txt",
        "deep": "inner/up/*",
    }[way]
    assert all(one["kind"] == "none" for one in site.copy(shown))
    assert site.copied() == []


def test_logs_that_are_links_are_not_copied(site: Site, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    os.symlink(tmp_path / "secret", site.area / "log" / "stdout")
    os.symlink(tmp_path / "secret", site.area / "log" / "stderr")
    assert site.copy() == []


def test_a_pipe_a_folder_and_what_is_not_there_are_told(site: Site) -> None:
    os.mkfifo(site.area / "root" / "pipe.txt")
    (site.area / "root" / "folder.png").mkdir()
    told = site.copy("root/pipe.txt", "root/folder.png", "root/lost.png", "root/*.pdf", "nowhere/x")
    assert [one["kind"] for one in told] == ["none"] * 5
    assert [one["note"] for one in told][2:] == ["is not there"] * 3


def test_what_is_too_large_or_too_many_is_told(site: Site) -> None:
    (site.area / "root" / "large.png").write_bytes(PNG + b"x" * 1000)
    for number in range(MOST + 5):
        (site.area / "root" / f"n{number:03}.txt").write_text("x")
    large, *others = site.copy("root/large.png", "root/*.txt")
    assert "is larger (1012 bytes) than [report] largest" in large["note"]
    assert len(site.copied()) == MOST - 1
    assert others[-1]["note"] == f"more than {MOST} files: the others are not shown"


def test_an_area_that_was_removed_is_told_and_one_that_is_away_waits(site: Site) -> None:
    told = site.copy("root/Gains.png", area=str(site.work / "2_J" / "1"))
    assert told == [{"name": "root/Gains.png", "kind": "none", "note": "its working area is not there any more"}]
    with pytest.raises(StorageError, match="is its file system mounted") as raised:
        site.copy("x", area=str(site.work / "2_J" / "1"), database_id="another")
    assert raised.value.transient


def test_the_duty_copies_what_ended_shows_it_and_removes_it_with_age(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100), a_run(490101))
        area = press.area(490100)
        (area / "root" / "Gains_490100.png").write_bytes(PNG)
        press.area(490101)
        await press.lead(490100, RAMP, *DONE)
        await press.lead(490101, RAMP, *FAILED, result=Result.LOG, why="x")
        await press.report()
        files = {one["name"]: one for one in press.run(490100)["jobs"][0]["attempts"][0]["files"]}
        assert files["root/Gains_490100.png"]["kind"] == "plot"
        assert files["root/lost.png"] == {"name": "root/lost.png", "kind": "none", "note": "is not there"}
        assert press.run(490101)["jobs"][0]["attempts"][0]["files"][-1]["kind"] == "log"
        plot = press.www / files["root/Gains_490100.png"]["file"]
        assert plot.read_bytes() == PNG
        press.clock[0] = NOW + 91 * 86_400
        await press.report()
        assert not plot.exists()
        assert not plot.parent.parent.exists()
        attempt = press.run(490100)["jobs"][0]["attempts"][0]
        assert (attempt["files"], attempt["files_removed"]) == (None, int(press.clock[0]))

    at_press(tmp_path, scene)


def test_what_cannot_be_copied_now_is_tried_again_and_holds_nothing_up(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100))
        await press.lead(490100, RAMP, *DONE)
        work = Path(press.house.configuration.caf.work)
        os.rename(work, tmp_path / "away")
        await press.report()
        attempt = press.run(490100)["jobs"][0]["attempts"][0]
        assert (attempt["files"], attempt["files_error"]) == (
            None,
            f"{work} is not this database's: is its file system mounted?",
        )
        os.rename(tmp_path / "away", work)
        press.area(490100)
        await press.report()
        assert press.run(490100)["jobs"][0]["attempts"][0]["files"] is None, "it waits a minute"
        press.clock[0] += 61
        await press.report()
        assert press.run(490100)["jobs"][0]["attempts"][0]["files"][-1]["name"] == "log/stdout"

    at_press(tmp_path, scene)


def test_a_copy_that_will_not_go_keeps_neither_the_others_nor_the_page(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100), a_run(490101))
        for run in (490100, 490101):
            press.area(run)
            await press.lead(run, RAMP, *DONE)
        await press.report()
        places = [press.www / SHOWN / f"{run}_{RAMP}" / "1" for run in (490100, 490101)]
        places[0].rename(tmp_path / "moved")
        places[0].symlink_to(tmp_path / "moved")
        press.clock[0] = NOW + 91 * 86_400
        before = press.status()["written"]
        with pytest.raises(StorageError, match="Cannot call rmtree on a symbolic link"):
            await press.report()
        assert press.status()["written"] > before
        assert [path.exists() for path in places] == [True, False]

    at_press(tmp_path, scene)


def copy_or_hang(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Copy an attempt's files, or take too long."""
    if (Path(request["area"]) / "slow").exists():
        time.sleep(60)
    return copy_shown(request)


def test_one_whose_files_take_too_long_does_not_take_the_others_along_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(showing, "LIMIT", 0.3)
    monkeypatch.setitem(CALLS, "copy_shown", "tests.report.test_showing:copy_or_hang")

    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100), a_run(490101))
        for run in (490100, 490101):
            (press.area(run) / ("slow" if run == 490100 else "quick")).touch()
            await press.lead(run, RAMP, *DONE)
        await press.report()
        assert press.run(490101)["jobs"][0]["attempts"][0]["files"] is None
        monkeypatch.setattr(showing, "LIMIT", 3.0)
        for _ in range(2):
            press.clock[0] += 300
            await press.report()
        assert press.run(490100)["jobs"][0]["attempts"][0]["files"] is None
        assert press.run(490101)["jobs"][0]["attempts"][0]["files"][-1]["name"] == "log/stdout"

    at_press(tmp_path, scene)


def plan_script(conn: sqlite3.Connection) -> None:
    columns = "job_id, attempt, step, outcome, command, timeout, made"
    conn.execute(f"INSERT INTO afterwards ({columns}) VALUES (1, 1, 1, 'DONE', '[]', 9, 1)")


def test_files_wait_for_the_scripts_that_may_make_them(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100))
        press.area(490100)
        await press.lead(490100, RAMP, *DONE)
        await press.database.call(plan_script)
        await press.report()
        assert press.run(490100)["jobs"][0]["attempts"][0]["files"] is None
        await press.database.call(lambda conn: conn.execute("UPDATE afterwards SET ended = 2").close())
        await press.report()
        assert press.run(490100)["jobs"][0]["attempts"][0]["files"] is not None

    at_press(tmp_path, scene)


def test_without_show_only_the_logs_are_copied(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100))
        press.area(490100)
        await press.lead(490100, RAMP, *DONE)
        await press.report()
        assert [one["kind"] for one in press.run(490100)["jobs"][0]["attempts"][0]["files"]] == ["log"]

    at_press(tmp_path, scene, CONFIGURATION.replace("show = ", "# show = "))
