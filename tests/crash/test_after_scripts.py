"""The supervisor dies at every SQL statement while after-scripts run, and while the jobs before them are judged."""

import shutil
import sqlite3
from collections import Counter
from pathlib import Path

import anyio
import pytest

from caf.config import load
from caf.opening import open_house
from caf.tasks import afterwards
from tests.crash.dying import Again, OnStatement, deaths, die_after, forked, once, to_the_end
from tests.world import World

RUNS = [490001, 490002]


def world(folder: Path) -> World:
    """Jobs whose payloads are over, and whose scripts each write a line and end at once."""
    folder.mkdir()
    script = '["sh", "-c", "echo $CAF_RUN $1 >>../../../scripts", "sh"'
    made = World(folder, RUNS, job=f'after = {{ done = [{script}, "one"], {script}, "two"]] }}\n')
    assert once(made) == 0
    made.payloads_over()
    return made


def duty_alone(folder: Path, on_statement: OnStatement | None = None) -> int:
    """Do one round of the duty in a forked process, each of whose statements may be its last; gives its status."""
    return forked(lambda: anyio.run(_round, folder), on_statement)


async def _round(folder: Path) -> None:
    async with open_house(load(folder / "listeners.toml"), folder / "state", False) as (house, _):
        await afterwards.run_once(house)


def check(folder: Path, where: int) -> int:
    """Check that all went well in the end; gives how many scripts ran more often than once."""
    ran = Counter((folder / "scripts").read_text().splitlines())
    assert set(ran) == {f"{run} {word}" for run in RUNS for word in ("one", "two")}, where
    assert ran.total() <= 5, where
    with sqlite3.connect(folder / "state" / "caf.db") as conn:
        rows = conn.execute("SELECT ended IS NOT NULL, error FROM afterwards").fetchall()
    assert rows == [(1, None)] * 4, where
    return ran.total() - 4


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=[pytest.mark.campaign, pytest.mark.timeout(300)])])
def test_death_at_a_statement_misses_no_script_and_repeats_only_the_one_that_ran(tmp_path: Path, every: int) -> None:
    """Every fifth one for every day."""
    made = world(tmp_path / "judged")
    assert once(made) == 0
    with sqlite3.connect(made.database) as conn:  # as if nothing had been run yet
        conn.execute("UPDATE afterwards SET begun = NULL, ended = NULL, tries = 0")
        conn.execute("UPDATE attempt SET archive_due = NULL")
    (made.folder / "scripts").unlink()
    repeated = 0

    def attempt(number: int) -> int:
        shutil.copytree(made.folder, tmp_path / str(number))
        return duty_alone(tmp_path / str(number), die_after(number))

    for number in deaths(attempt, every, least=50):
        folder = tmp_path / str(number)
        assert duty_alone(folder) == 0
        repeated += check(folder, number)
        shutil.rmtree(folder)
    assert repeated > 0  # or nothing of what matters has been tried


@pytest.mark.campaign
@pytest.mark.timeout(1200)
def test_death_while_jobs_are_judged_and_their_scripts_run(tmp_path: Path) -> None:
    """Whole rounds: an outcome and its scripts are noted together or not at all."""
    made = world(tmp_path / "world")
    again = Again(made)

    def attempt(number: int) -> int:
        return once(again.world(), die_after(number))

    for number in deaths(attempt, 3, least=80):
        to_the_end(made)
        assert once(made) == 0  # what is left of the scripts
        check(made.folder, number)
        assert {job[:2] for job in made.jobs().values()} == {("DONE", "ok")}
        assert set(made.runs_started().values()) == {1}
