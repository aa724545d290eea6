"""The supervisor dies at every SQL statement while after-scripts run, and while the jobs before them are judged."""

import os
import shutil
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from caf import log, supervisor
from caf.config import load
from caf.store import database
from caf.tasks import afterwards
from tests.crash.test_every_statement import DoneHere, _die_after, _once, _statements, _to_the_end
from tests.world import World

RUNS = [490001, 490002]


def world(folder: Path) -> World:
    """Jobs whose payloads are over, and whose scripts each write a line and end at once."""
    folder.mkdir()
    script = '["sh", "-c", "echo $CAF_RUN $1 >>../../../scripts", "sh"'
    made = World(folder, RUNS, job=f'after = {{ done = [{script}, "one"], {script}, "two"]] }}\n')
    assert _once(made) == 0
    made.payloads_over()
    return made


def duty_alone(folder: Path, on_statement: Callable[[], None] | None = None) -> int:
    """Do one round of the duty in a forked process, each of whose statements may be its last; gives its status."""
    child = os.fork()
    if child == 0:
        try:
            sys.settrace(None)
            log.configure()
            vars(supervisor)["FileChild"] = DoneHere
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            connect = database.connect

            def traced(path: Path, **more: bool) -> sqlite3.Connection:
                conn = connect(path, **more)
                if on_statement is not None:
                    conn.set_trace_callback(lambda _statement: on_statement())
                return conn

            database.connect = traced  # type: ignore[assignment]
            anyio.run(_round, folder)
            os._exit(0)
        finally:
            os._exit(70)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


async def _round(folder: Path) -> None:
    async with supervisor._house(load(folder / "listeners.toml"), folder / "state", False) as (house, _):
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
    assert _once(made) == 0
    with sqlite3.connect(made.database) as conn:  # as if nothing had been run yet
        conn.execute("UPDATE afterwards SET begun = NULL, ended = NULL, tries = 0")
        conn.execute("UPDATE attempt SET archive_due = NULL")
    (made.folder / "scripts").unlink()
    deaths = repeated = 0
    while True:
        folder = tmp_path / str(deaths)
        shutil.copytree(made.folder, folder)
        status = duty_alone(folder, _die_after(deaths))
        if status == 0:
            break
        assert status == -signal.SIGKILL
        assert duty_alone(folder) == 0
        repeated += check(folder, deaths)
        shutil.rmtree(folder)
        deaths += every
    assert deaths > 50
    assert repeated > 0  # or nothing of what matters has been tried


@pytest.mark.campaign
@pytest.mark.timeout(1200)
def test_death_while_jobs_are_judged_and_their_scripts_run(tmp_path: Path) -> None:
    """Whole rounds: an outcome and its scripts are noted together or not at all."""
    total = _statements(world(tmp_path / "reference"), tmp_path / "count")
    for count in range(0, total, 3):
        made = world(tmp_path / str(count))
        assert _once(made, _die_after(count)) == -signal.SIGKILL
        _to_the_end(made)
        assert _once(made) == 0  # what is left of the scripts
        check(made.folder, count)
        assert {job[:2] for job in made.jobs().values()} == {("DONE", "ok")}
        assert set(made.runs_started().values()) == {1}
        shutil.rmtree(made.folder)
