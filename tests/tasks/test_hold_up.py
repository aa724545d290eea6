"""What hangs or is away holds up only who needs it."""

from pathlib import Path

import pytest

from caf.domain.errors import CafError, StorageTimeout
from tests.tasks.stage import Stage, play
from tests.world import World

FIRST, SECOND = 490001, 490002


def test_work_that_is_not_mounted_makes_nothing_fail(tmp_path: Path) -> None:
    """Jobs wait, and areas are neither made in an empty mount point nor judged by it."""
    world = World(tmp_path, [FIRST])
    away = tmp_path / "away"

    async def scene(stage: Stage) -> None:
        (tmp_path / "work").rename(away)
        (tmp_path / "work").mkdir()
        with pytest.raises(CafError, match="is its file system mounted"):
            await stage.organise()
        assert stage.job(FIRST)["state"] == "NEW"
        assert list((tmp_path / "work").iterdir()) == []
        (tmp_path / "work").rmdir()
        away.rename(tmp_path / "work")
        await stage.organise()
        assert stage.job(FIRST)["state"] == "PENDING"

    play(world, scene)


def test_a_log_that_cannot_be_searched_in_time_holds_up_no_other_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch of two takes too long, and so does the first alone; the second is judged in the same round."""
    world = World(tmp_path, [FIRST, SECOND])

    async def scene(stage: Stage) -> None:
        await stage.organise()
        for run in (FIRST, SECOND):
            stage.run(run)
            stage.end(run)
        many = stage.house.files.many

        async def slow(calls: list[tuple[str, list[dict[str, str]]]], *, timeout: float) -> list[object]:
            if any(name == "inspect" and str(FIRST) in args[0]["area"] for name, args in calls):
                raise StorageTimeout("inspect was not done within 60 s")
            answers: list[object] = await many(calls, timeout=timeout)
            return answers

        monkeypatch.setattr(stage.house.files, "many", slow)
        with pytest.raises(CafError, match="not done within"):
            await stage.organise()
        assert (stage.job(FIRST)["state"], stage.job(SECOND)["state"]) == ("FINISHED", "DONE")
        monkeypatch.setattr(stage.house.files, "many", many)
        await stage.wait(301)
        await stage.organise()
        assert stage.job(FIRST)["state"] == "DONE"

    play(world, scene)


def test_raw_files_that_hang_hold_up_no_job_without_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second job of the run waits for no raw files: it goes its way."""
    world = World(tmp_path, [FIRST])
    text = world.config.read_text()
    begin, end = text.index("[jobs.Fit]"), text.index("[batch]")
    world.config.write_text(
        text[:end]
        + text[begin:end].replace("jobs.Fit", "jobs.Plain").replace("templates", "raw = []\ntemplates", 1)
        + text[end:]
    )

    async def scene(stage: Stage) -> None:
        real = stage.house.files.call

        async def call(name: str, *args: object, timeout: float, **keywords: object) -> object:
            if name == "find_all":
                raise StorageTimeout("find_all was not done within 60 s")
            return await real(name, *args, timeout=timeout, **keywords)

        monkeypatch.setattr(stage.house.files, "call", call)
        await stage.organise()
        states = dict(world.query("SELECT job, state FROM job"))
        assert states == {"Fit": "NEW", "Plain": "PENDING"}
        assert "not done within" in world.query("SELECT reason FROM job WHERE job = 'Fit'")[0][0]

    play(world, scene)
