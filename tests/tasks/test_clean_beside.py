"""The clean duty where things go on beside it: removed by hand, put back from a backup, stuck, too slow."""

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from caf.attention import needs
from caf.domain.errors import CafError
from caf.duty import Duty
from caf.storage.child import FileChild
from caf.store import found, pins, removals
from caf.tasks import clean
from caf.tasks.clean import remove
from caf.tasks.clean.shift import Cleaned, Round
from caf.tasks.house import CALLS
from tests.tasks.full import DAY, RUNS, done, scene, there, world
from tests.tasks.stage import Stage, play


async def _weighed(stage: Stage) -> None:
    """Have all areas weighed, and none removed."""
    call, now = stage.house.database.call, stage.clock[0]
    for run in RUNS:
        await call(pins.pin, run, "Fit", now + DAY, now, "anna", "look")
    await clean.run_once(stage.house)
    for run in RUNS:
        await call(pins.unpin, run, "Fit", now, "anna", None)


@pytest.mark.parametrize("away", [False, True])
def test_one_that_is_removed_by_hand_once_it_is_in_the_plan_is_gone_too(tmp_path: Path, away: bool) -> None:
    """Nothing can be compared with its archive then; but only if the folder of all areas is there."""
    (tmp_path / "kept").mkdir()

    async def act(stage: Stage) -> None:
        await done(stage)
        await _weighed(stage)
        real = stage.area(490001).parent if not away else tmp_path / "work"
        call, now = stage.house.database.call, stage.clock[0]
        areas, _ = await call(removals.page, frozenset(), now, removals.FIRST)
        await call(removals.intend, areas[:1], "it was full", now)
        real.rename(tmp_path / "elsewhere")
        assert stage.house.configuration.quota is not None
        round_ = Round(stage.house, stage.house.configuration.quota, stage.house.files, now + 60, Cleaned())
        assert not await remove.remove(round_, areas[0])
        ((began, removed, why, error),) = stage.world.query("SELECT begun, removed, why, error FROM area LIMIT 1")
        assert (began, removed is None, error is None) == (None, away, not away)
        assert away or "caf did not remove it" in why

    scene(tmp_path, act, job=f'archive = "{tmp_path}/kept/{{run}}"\n')


def test_one_whose_removal_does_not_end_is_not_counted_among_the_newest(tmp_path: Path) -> None:
    """Else the newest, which is to stay, would be taken for an older one."""

    async def act(stage: Stage) -> None:
        await done(stage)
        await _weighed(stage)
        call, now = stage.house.database.call, stage.clock[0]
        areas, _ = await call(removals.page, frozenset({"Fit"}), now, removals.FIRST)
        await call(removals.intend, areas[:1], "it was full", now)
        assert await call(removals.begin, areas[0], now)
        (stage.area(490001) / "job.json").write_text('{"run": 1}')
        for _ in range(2):
            with pytest.raises(CafError, match="it is not what was to be removed"):
                await clean.run_once(stage.house)
            await stage.wait(60)
        assert there(stage) == [490001, 490003]

    scene(tmp_path, act, job="removable = true\nkeep_newest = 1\n", limit="1MB")


def test_an_area_that_takes_too_long_is_put_off_however_short_the_rounds_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round that is abandoned could not note it, and the next one would begin with the same."""
    short = world(tmp_path)
    short.config.write_text(short.config.read_text().replace("[duties]", '[duties]\ntimeout = "2s"'))
    asked = removals.to_weigh

    async def act(stage: Stage) -> None:
        await done(stage)
        async with FileChild(CALLS) as child:
            stage.house.clean_files = child
            await child.call("marker_of", str(tmp_path), timeout=5)

            def and_stop(*given: Any) -> Any:
                assert child.pid is not None
                os.kill(child.pid, signal.SIGSTOP)
                return asked(*given)

            monkeypatch.setattr(removals, "to_weigh", and_stop)
            await Duty("clean", lambda: 60.0, clean.run_once).round(stage.house)
        assert stage.world.query("SELECT error IS NOT NULL FROM area") == [(1,), (0,), (0,)]

    play(short, act)


@pytest.mark.parametrize("kept", ["unknown", "NEW", "PENDING"])
def test_a_database_from_before_an_area_went_does_not_run_its_job_again(tmp_path: Path, kept: str) -> None:
    """The area is gone that said so; its archive would be written over, too."""
    backup = tmp_path / "backup.db"

    def copy(conn: sqlite3.Connection) -> None:
        with closing(sqlite3.connect(backup)) as target:
            conn.backup(target)

    def put_back(conn: sqlite3.Connection) -> None:
        with closing(sqlite3.connect(backup)) as source:
            source.backup(conn)
        if kept == "unknown":
            conn.execute("DROP TRIGGER job_stays")
            conn.execute("DELETE FROM job WHERE run = 490001")

    async def act(stage: Stage) -> None:
        call = stage.house.database.call
        if kept == "PENDING":
            await stage.organise()
        await call(copy)
        await done(stage)
        await clean.run_once(stage.house)
        assert there(stage) == [490002, 490003]
        handed_over = len(stage.batch.submitted)
        await call(put_back)
        await call(found.begin, 0, compare=True)
        await stage.house.files.call("mark_work", str(tmp_path / "work"), stage.house.database_id, 1, timeout=30)
        stage.house.generation, stage.house.compare = 1, True
        stage.house.still.clear()
        if kept == "unknown":
            await stage.organise()
            assert stage.house.compare
            assert [need.what for need in await call(needs, stage.clock[0], "me", None)].count("stray") == 0
            await call(lambda conn: conn.execute("UPDATE run SET jobs_due = 1 WHERE run = 490001").close())
            await stage.discover()
        for _ in range(3):
            await stage.organise()
            await stage.wait(60)
        assert len(stage.batch.submitted) == handed_over
        job = stage.job(490001)
        assert (job["state"], job["attempt"]) == ("WAITING", 2)
        assert "attempt 1 was over, and its area was cleaned away" in job["reason"]
        assert stage.job(490002)["state"] == "DONE"

    scene(tmp_path, act)
