"""Disks that fill, and accounts that cleaning cannot help."""

import os
from pathlib import Path

import pytest

from caf.domain.errors import QuotaError
from caf.tasks import archive, clean
from tests.storage.disks import small
from tests.tasks.full import DAY, done, scene, standing
from tests.tasks.stage import Stage, play
from tests.world import World


def test_a_real_disk_that_runs_out_of_inodes_is_cleaned(tmp_path: Path) -> None:
    """Bytes are no trouble: a tmpfs with 200 inodes."""

    async def act(stage: Stage) -> None:
        await done(stage, size=10, files=43)
        full = os.statvfs(tmp_path / "work")
        assert full.f_favail < 0.15 * full.f_files
        assert (await clean.run_once(stage.house)).areas == 1
        free = os.statvfs(tmp_path / "work")
        assert free.f_favail >= 0.25 * free.f_files
        found = await standing(stage)
        assert found.account is not None
        fullest = found.account.fullest()
        assert fullest is not None
        assert fullest.counts == "files"

    with small(tmp_path / "work", "8m", 200):
        scene(tmp_path, act, more='provider = "filesystem"\n')


def test_a_path_that_cleaning_does_not_help_is_refused(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        with pytest.raises(QuotaError, match="does not hold the working areas"):
            await clean.run_once(stage.house)

    (tmp_path / "other").mkdir()
    scene(tmp_path, act, more='path = "other"\n')


@pytest.mark.campaign
def test_a_disk_that_fills_for_a_month_is_never_full_and_never_too_empty(tmp_path: Path) -> None:
    """Jobs every day, cleaning every few hours, on an account of ten areas."""

    async def act(stage: Stage) -> None:
        most = 0
        for day in range(30):
            run = 490001 + day
            stage.world.add_runs([run])
            await stage.discover()
            await stage.organise()
            stage.run(run)
            (stage.area(run) / "root" / "big").write_bytes(b"x" * 100_000)
            stage.end(run)
            await stage.organise()
            await archive.run_once(stage.house)
            for _ in range(2):
                await stage.wait(DAY / 2)
                await clean.run_once(stage.house)
            left = [number for number in stage.world.runs if stage.area(number).exists()]
            most = max(most, len(left))
            assert left == sorted(stage.world.runs)[-len(left) :]  # the oldest went
            assert len(left) >= min(day + 1, 6)
        assert most == 8
        found = await standing(stage)
        assert found.a_day == pytest.approx(100_000, rel=0.3)
        assert found.full_in is None
        assert list(found.by_job) == ["Fit"]

    made = World(tmp_path, [], job="removable = true\n")
    made.config.write_text(made.config.read_text() + '\n[quota]\nprovider = "tree"\nlimit = "1.05MB"\n')
    play(made, act)
