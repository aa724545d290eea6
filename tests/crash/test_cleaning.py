"""The supervisor dies at every statement of its cleaning; the next one finishes it, and only what may go is gone."""

import shutil
import sqlite3
from pathlib import Path

import anyio
import pytest

from caf.config import load
from caf.opening import open_house
from caf.tasks import archive, clean
from tests.crash.dying import OnStatement, deaths, die_after, forked, once
from tests.world import World

RUNS = [490001, 490002, 490003]


def world(folder: Path) -> World:
    """Three jobs that are done and archived, on an account that is full with them; one of them is pinned."""
    folder.mkdir()
    (folder / "kept").mkdir()
    made = World(folder, RUNS, body="head -c 1000000 /dev/zero >root/big", job='archive = "kept/{run}"\n')
    assert once(made) == 0
    made.payloads_over()
    assert once(made) == 0
    made.caf("quota", "pin", "490001", "Fit", "--until", "2099-01-01", "--reason", "look")
    made.config.write_text(made.config.read_text() + '\n[quota]\nprovider = "tree"\nlimit = "3MB"\nkeep = "1ms"\n')
    return made


def duty_alone(folder: Path, on_statement: OnStatement | None = None) -> int:
    """Do one round of the duty in a forked process, each of whose statements may be its last; gives its status."""
    return forked(lambda: anyio.run(_round, folder), on_statement)


async def _round(folder: Path) -> None:
    async with open_house(load(folder / "listeners.toml"), folder / "state", False) as (house, _):
        await archive.run_once(house)
        await clean.run_once(house)


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=[pytest.mark.campaign, pytest.mark.timeout(600)])])
def test_death_at_a_statement_leaves_nothing_half_known(tmp_path: Path, every: int) -> None:
    made = world(tmp_path / "full")

    def attempt(number: int) -> int:
        folder = tmp_path / str(number)
        shutil.copytree(made.folder, folder, symlinks=True)
        shutil.rmtree(folder / "kept")
        (folder / "kept").symlink_to(made.folder / "kept")
        return duty_alone(folder, die_after(number))

    half_done = 0
    for number in deaths(attempt, every, least=30):
        folder = tmp_path / str(number)
        known = areas(folder)
        half_done += known != dict.fromkeys(RUNS, "there")
        assert set(known.values()) <= {"there", "meant", "begun", "removed"}
        for run, state in known.items():  # what is gone is known to be gone, or to be going
            assert (folder / "work" / f"{run}_Fit" / "1" / "job.json").exists() or state in {"begun", "removed"}, number
        assert duty_alone(folder) == 0
        assert areas(folder) == {490001: "there", 490002: "removed", 490003: "there"}, number
        left = sorted(path.name for path in (folder / "work").iterdir() if not path.name.startswith(".caf-"))
        assert left == ["490001_Fit", "490003_Fit"], number
        assert (folder / "work" / "490001_Fit" / "1" / "root" / "big").exists()
        shutil.rmtree(folder)
    assert half_done > 0  # or nothing of what matters has been tried


def areas(folder: Path) -> dict[int, str]:
    """Give how far each area's removal is, as the database has it."""
    state = "CASE WHEN removed IS NOT NULL THEN 'removed' WHEN begun IS NOT NULL THEN 'begun' WHEN planned IS NOT NULL "
    with sqlite3.connect(folder / "state" / "caf.db") as conn:
        return dict(
            conn.execute(f"SELECT run, {state} THEN 'meant' ELSE 'there' END FROM area JOIN job ON job.id = job_id")
        )
