"""The clean duty: what must go and may goes, the oldest first; everything else stays, and it is said why."""

import asyncio
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from caf.attention import needs
from caf.domain.cleaning import Area
from caf.domain.errors import CafError, QuotaError, Refused, StorageError
from caf.domain.jobs import Word
from caf.storage.child import FileChild
from caf.store import jobs, pins, quota, removals
from caf.tasks import archive, clean
from caf.tasks.clean import remove
from caf.tasks.house import CALLS
from tests.tasks.full import BIG, DAY, RUNS, done, scene, standing, there
from tests.tasks.stage import Stage, play
from tests.world import World


def rows(stage: Stage) -> list[tuple[Any, ...]]:
    return stage.world.query(
        "SELECT job.run, area.planned, area.begun, area.removed, area.error FROM area JOIN job ON job.id = job_id"
    )


def test_below_the_high_mark_nothing_goes_and_areas_are_weighed_once(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        await done(stage)
        assert (await clean.run_once(stage.house)).areas == 0
        weighed = stage.world.query("SELECT weighed, sizes >= 1000000, files > 5 FROM area")
        assert weighed == [(stage.clock[0], 1, 1)] * 3
        await stage.wait(DAY)
        await clean.run_once(stage.house)
        assert stage.world.query("SELECT weighed, sizes >= 1000000, files > 5 FROM area") == weighed
        found = await standing(stage)
        assert found.account is not None
        assert found.removable is not None
        assert (found.nothing_left, found.error, found.removable.sizes > 3 * BIG) == (False, None, True)

    scene(tmp_path, act, limit="10MB")


def test_above_it_the_oldest_goes_until_the_low_mark_is_reached(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        await done(stage)
        result = await clean.run_once(stage.house)
        assert re.fullmatch(r"1 working area removed, 1\.\d+ MB", str(result.summary()))
        assert there(stage) == [490002, 490003]
        now = stage.clock[0]
        assert rows(stage) == [(490001, now, now, now, None), *[(run, None, None, None, None) for run in RUNS[1:]]]
        (said,) = stage.world.query("SELECT who, run, job, attempt, became, why FROM audit WHERE became = 'REMOVED'")
        assert said[:5] == ("clean", 490001, "Fit", 1, "REMOVED")
        assert "% full, and 85 % is the most: the oldest went, down to 75 %" in said[5]
        await stage.wait(1)
        assert (await clean.run_once(stage.house)).areas == 0

    scene(tmp_path, act)


def test_without_a_quota_nothing_is_measured_or_removed(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        await done(stage)
        assert (await clean.run_once(stage.house)).summary() is None
        assert await stage.house.database.call(quota.standing) is None
        assert there(stage) == list(RUNS)

    play(World(tmp_path, RUNS, job="removable = true\n"), act)


@pytest.mark.parametrize("kind", ["no archive", "pinned", "active"])
def test_what_may_not_go_stays_and_a_person_is_told(tmp_path: Path, kind: str) -> None:
    """However full it is; once."""

    async def act(stage: Stage) -> None:
        await done(stage)
        call = stage.house.database.call
        for run in RUNS:
            if kind == "pinned":
                await call(pins.pin, run, "Fit", stage.clock[0] + DAY, stage.clock[0], "anna", "look")
            if kind == "active":
                await call(jobs.act, run, "Fit", Word.HOLD, stage.clock[0], "anna")
        await clean.run_once(stage.house)
        assert there(stage) == list(RUNS)
        found = await standing(stage)
        assert (found.nothing_left, found.error) == (True, None)
        (asked,) = [one for one in await call(needs, stage.clock[0], "me", None) if one.what == "quota"]
        assert asked.critical
        assert "none of them may" in asked.text
        if kind == "pinned":
            await stage.wait(DAY)
            assert (await clean.run_once(stage.house)).areas == 1
            assert not [
                one for one in await call(needs, stage.clock[0], "me", None) if one.critical and one.what == "quota"
            ]

    scene(tmp_path, act, job="" if kind == "no archive" else "removable = true\n")


@pytest.mark.parametrize(
    "harm", ["none", "copy gone", "one file gone", "file shorter", "area written to", "odd name", "place gone"]
)
def test_an_archive_is_looked_at_again_before_the_area_goes(tmp_path: Path, harm: str) -> None:
    """It may be the last copy by now: then it is archived again first."""
    (tmp_path / "kept").mkdir()

    async def act(stage: Stage) -> None:
        await done(stage)
        copy = tmp_path / "kept" / "490001" / "1"
        if harm == "copy gone":
            copy.rename(tmp_path / "elsewhere")
        elif harm == "one file gone":
            (copy / "root" / "out").unlink()
        elif harm == "file shorter":
            (copy / "root" / "big").write_bytes(b"x")
        elif harm == "area written to":
            (stage.area(490001) / "root" / "note.txt").write_text("made by hand")
        elif harm == "odd name":  # which the database cannot keep as it is
            (stage.area(490001) / "root" / os.fsdecode(b"caf\xe9\n\x1b[31m")).touch()
        elif harm == "place gone":
            (tmp_path / "kept").rename(tmp_path / "elsewhere")
        if harm == "place gone":
            with pytest.raises(CafError, match="is its file system mounted"):
                await clean.run_once(stage.house)
            assert there(stage) == list(RUNS)
            return
        await clean.run_once(stage.house)
        assert (490001 in there(stage)) == (harm != "none")
        if harm == "none":
            return
        await archive.run_once(stage.house)
        await stage.wait(1)
        await clean.run_once(stage.house)
        assert 490001 not in there(stage)
        assert (copy / "root" / "big").stat().st_size == BIG
        assert harm != "area written to" or (copy / "root" / "note.txt").read_text() == "made by hand"

    scene(tmp_path, act, job=f'archive = "{tmp_path}/kept/{{run}}"\n')


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("echo nonsense", "nothing of .* that can be understood: nonsense"),
        ("echo 'fs: Connection timed out' >&2; exit 1", "ended with 1: fs: Connection timed out"),
        ("exec sleep 600", "was not done within 0.3 s"),
        (None, "is not installed"),
    ],
)
def test_what_cannot_be_read_is_no_reason_to_remove(tmp_path: Path, script: str | None, error: str) -> None:
    client = tmp_path / "fs"
    if script is not None:
        client.write_text(f"#!/bin/sh\n{script}\n")
        client.chmod(0o755)

    async def act(stage: Stage) -> None:
        await done(stage)
        with pytest.raises(QuotaError, match=error):
            await clean.run_once(stage.house)
        assert there(stage) == list(RUNS)
        assert "so nothing is removed" in str((await standing(stage)).error)

    scene(tmp_path, act, more=f'provider = "afs"\nclient = ["{client}"]\ntimeout = "300ms"\n')


def test_a_share_alone_takes_one_area_a_round(tmp_path: Path) -> None:
    """`fs listquota` is of no use above 2 TiB; `fs quota` does not say how much is to go."""
    client = tmp_path / "fs"
    client.write_text("#!/bin/sh\n[ $1 = quota ] || exit 1\necho '97% of quota used.'\n")
    client.chmod(0o755)

    async def act(stage: Stage) -> None:
        await done(stage)
        for left in ([490002, 490003], [490003], []):
            await clean.run_once(stage.house)
            assert there(stage) == left
            await stage.wait(1000)

    scene(tmp_path, act, more=f'provider = "afs"\nclient = ["{client}"]\n')


async def meant(stage: Stage) -> Area:
    """Have jobs done, and give the first area, whose removal is meant."""
    await done(stage)
    await clean.run_once(stage.house)
    call, now = stage.house.database.call, stage.clock[0]
    areas, _ = await call(removals.page, frozenset({"Fit"}), now, removals.FIRST)
    await call(removals.intend, areas[:1], "it was full", now)
    return areas[0]


@pytest.mark.parametrize("begun", [False, True])
def test_a_removal_that_was_begun_is_finished_and_one_that_was_only_meant_is_not(tmp_path: Path, begun: bool) -> None:
    """By a supervisor that has died since; it is not full any more."""

    async def act(stage: Stage) -> None:
        area = await meant(stage)
        call, now = stage.house.database.call, stage.clock[0]
        if begun:
            assert await call(removals.begin, area, now)
            going = stage.area(490001).parent / ".removing.1"
            stage.area(490001).rename(going)
            (going / "root" / "big").unlink()
            with pytest.raises(Refused, match="is left to be kept"):
                await call(pins.pin, 490001, "Fit", now + DAY, now, "anna", "too late")
        await clean.run_once(stage.house)
        assert (stage.area(490001).parent.exists(), (await standing(stage)).going_on) == (not begun, False)
        assert stage.world.query("SELECT count(*) FROM area WHERE removed IS NOT NULL") == [(int(begun),)]

    scene(tmp_path, act, limit="10MB")


@pytest.mark.parametrize("word", ["pin", "reset"])
def test_a_person_who_is_quicker_than_the_duty_wins(tmp_path: Path, word: str) -> None:
    async def act(stage: Stage) -> None:
        area = await meant(stage)
        call, now = stage.house.database.call, stage.clock[0]
        if word == "pin":
            await call(pins.pin, 490001, "Fit", now + DAY, now, "anna", "look")
        else:
            await call(jobs.act, 490001, "Fit", Word.RESET, now, "anna")
        assert not await call(removals.begin, area, now)

    scene(tmp_path, act, limit="10MB")


def test_an_area_that_somebody_removed_is_gone_for_the_database_too(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        await stage.organise()
        stage.run(490001)
        stage.end(490001)
        await stage.organise()
        stage.area(490001).rename(tmp_path / "elsewhere")
        await clean.run_once(stage.house)
        ((removed, why),) = stage.world.query("SELECT removed, why FROM area")
        assert removed == stage.clock[0]
        assert "caf did not remove it" in why

    scene(tmp_path, act, limit="10MB")


def test_a_foreign_folder_in_its_place_stays_and_is_told(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        await done(stage)
        (stage.area(490001) / "job.json").write_text('{"run": 1}')
        with pytest.raises(CafError, match="it is not what was to be removed"):
            await clean.run_once(stage.house)
        assert (stage.area(490001) / "root" / "big").exists()
        await stage.wait(1)
        with pytest.raises(CafError, match="it is not what was to be removed"):
            await clean.run_once(stage.house)

    scene(tmp_path, act)


def test_a_folder_of_areas_that_is_another_supervisors_is_not_touched(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        await done(stage)
        await stage.house.files.call("mark_work", str(tmp_path / "work"), stage.house.database_id, 5, timeout=30)
        with pytest.raises(StorageError, match="does another supervisor run"):
            await clean.run_once(stage.house)
        assert there(stage) == list(RUNS)

    scene(tmp_path, act)


def test_a_file_system_that_hangs_costs_the_duty_its_child_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child stands still in the middle of a removal, as in a dead mount; the next one finishes it."""
    monkeypatch.setattr(remove, "STEP", 0.1)
    monkeypatch.setattr(remove, "QUICK", 0.3)
    begin = removals.begin

    async def act(stage: Stage) -> None:
        await done(stage)
        async with FileChild(CALLS) as child:
            stage.house.clean_files = child

            def and_stop(*given: Any) -> bool:
                assert child.pid is not None
                os.kill(child.pid, signal.SIGSTOP)
                return begin(*given)

            monkeypatch.setattr(removals, "begin", and_stop)
            with pytest.raises(StorageError, match="is a file system down"):
                await clean.run_once(stage.house)
            assert await asyncio.wait_for(stage.house.files.call("marker_of", str(tmp_path), timeout=5), 5) is None
            monkeypatch.setattr(removals, "begin", begin)
            monkeypatch.setattr(remove, "QUICK", 60.0)
            assert [row[1:4] for row in rows(stage) if row[2] is not None] == [(stage.clock[0], stage.clock[0], None)]
            await stage.wait(3700)
            await clean.run_once(stage.house)
            assert there(stage) == [490002, 490003]
            assert child.pid is None  # between two rounds there is none

    scene(tmp_path, act)
