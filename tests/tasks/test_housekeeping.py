"""Housekeeping: a backup when one is due, its copy in the second place, and what becomes of failures."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from caf.config import load
from caf.domain.errors import StoreError
from caf.store import backups
from caf.tasks import housekeeping
from tests.tasks.stage import NOW, Stage, play
from tests.world import World

DAY = 86_400.0


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, [490001], caf='backup = "second"\nkeep_backups = 2\n')


def kept(world: World, place: str = "state/backups") -> list[str]:
    folder = world.folder / place
    return sorted(os.listdir(folder)) if folder.exists() else []


def hang(*_arguments: object) -> None:
    """Do what a call does on a file system that does not answer."""
    signal.pause()


async def record(stage: Stage) -> dict[str, Any]:
    return await stage.house.database.call(backups.record)


def test_one_a_day_in_both_places_and_the_newest_two_stay(world: World) -> None:
    async def scene(stage: Stage) -> None:
        first = await housekeeping.run_once(stage.house)
        assert (first.summary() or "").startswith("backup of 0.")
        assert kept(world) == kept(world, "second") == [backups.kept_name(stage.house.database_id, NOW)]
        await stage.wait(DAY - 1)
        assert (await housekeeping.run_once(stage.house)).summary() is None
        for _ in range(3):
            await stage.wait(DAY)
            await housekeeping.run_once(stage.house)
        names = [backups.kept_name(stage.house.database_id, NOW - 1 + day * DAY) for day in (3, 4)]
        assert kept(world) == kept(world, "second") == names
        known = await record(stage)
        assert (known["made"]["at"], known["made"]["runs"], known["error"]) == (NOW - 1 + 4 * DAY, 1, None)
        assert known["second"]["copied"]["at"] == known["made"]["at"]
        assert backups.verify(world.folder / "second" / names[-1]).runs == 1

    play(world, scene)


@pytest.mark.parametrize("why", ["gone", "of the future"])
def test_a_backup_that_is_gone_or_of_a_clock_that_was_wrong_is_made_anew(world: World, why: str) -> None:
    async def scene(stage: Stage) -> None:
        await housekeeping.run_once(stage.house)
        if why == "gone":
            (world.folder / "state" / "backups" / kept(world)[0]).unlink()
        await stage.wait(-DAY if why == "of the future" else 1)
        assert (await housekeeping.run_once(stage.house)).summary() is not None

    play(world, scene)


def test_a_second_place_that_cannot_be_used_fails_the_round_and_the_first_is_made_all_the_same(world: World) -> None:
    (world.folder / "second").write_text("a file")

    async def scene(stage: Stage) -> None:
        for _ in range(2):
            with pytest.raises(StoreError, match=r"^the backup was not copied: cannot copy the backup to .*second"):
                await housekeeping.run_once(stage.house)
            assert len(kept(world)) == 1
            await stage.wait(60)
        known = await record(stage)
        assert (known["error"], known["second"]["copied"]) == (None, None)
        (world.folder / "second").unlink()
        done = await housekeeping.run_once(stage.house)
        assert done.summary() == f"copied to {world.folder / 'second'}"
        assert (await record(stage))["second"]["error"] is None

    play(world, scene)


def test_a_second_place_that_hangs_holds_up_only_the_round_and_is_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child does it, which is killed: here it hangs in its call."""
    monkeypatch.setitem(housekeeping.CALLS, "copy_backup", "tests.tasks.test_housekeeping:hang")
    monkeypatch.setattr(housekeeping, "SHARE", 3 / 1800)  # 3 s of a round's time

    async def scene(stage: Stage) -> None:
        ticks = 0

        async def others() -> None:
            nonlocal ticks
            while True:
                await stage.house.database.call(lambda conn: conn.execute("SELECT 1").fetchone())
                ticks += 1
                await anyio.sleep(0.05)

        began = time.monotonic()
        async with anyio.create_task_group() as group:
            group.start_soon(others)
            with pytest.raises(StoreError, match="copy_backup"):
                await housekeeping.run_once(stage.house)
            group.cancel_scope.cancel()
        assert time.monotonic() - began < 20
        assert ticks > 5
        assert len(kept(world)) == 1

    play(world, scene)


def test_one_that_cannot_be_made_is_told_and_what_there_is_stays(world: World) -> None:
    async def scene(stage: Stage) -> None:
        await housekeeping.run_once(stage.house)
        (good,) = kept(world)
        (world.folder / "state" / "backups").rename(world.folder / "moved")
        (world.folder / "state" / "backups").write_text("a file")
        await stage.wait(2 * DAY)
        with pytest.raises(StoreError, match=r"^no backup was made: cannot write a backup into"):
            await housekeeping.run_once(stage.house)
        known = await record(stage)
        assert known["made"]["at"] == NOW
        assert known["error"].startswith("no backup was made")
        assert kept(world, "second") == [good]

    play(world, scene)


def test_without_a_second_place_none_is_asked_for_and_an_old_one_is_forgotten(world: World) -> None:
    async def scene(stage: Stage) -> None:
        await housekeeping.run_once(stage.house)
        world.edit('backup = "second"\n', "")
        stage.house.configuration = load(world.config)
        await housekeeping.run_once(stage.house)
        assert (await record(stage))["second"] is None

    play(world, scene)


def test_what_is_old_is_removed_first(world: World) -> None:
    def sent(conn: Any) -> None:
        conn.execute(
            "INSERT INTO outbox (address, kind, created, message_id, subject, body, next, sent) "
            "VALUES ('a', 'digest', 0, 'm', '', '', 0, 1)"
        )

    async def scene(stage: Stage) -> None:
        await stage.house.database.call(sent)
        done = await housekeeping.run_once(stage.house)
        assert (done.summary() or "").startswith("1 old rows removed, backup of")

    play(world, scene)
