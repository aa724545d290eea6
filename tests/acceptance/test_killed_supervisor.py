"""The first promise, with the real program: no run is missed and no job runs twice, however often it is killed."""

import random
import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.world import FINAL, World, wait_until

pytestmark = pytest.mark.usefixtures("from_nothing")


@pytest.mark.parametrize(
    ("kills", "jobs"), [(5, 12), pytest.param(30, 60, marks=[pytest.mark.campaign, pytest.mark.timeout(240)])]
)
def test_kills_while_jobs_run_start_every_payload_exactly_once(tmp_path: Path, kills: int, jobs: int) -> None:
    """Killed at any time and started again: the same final table, every payload started once, every job ended."""
    dice = random.Random(20150601)
    runs = list(range(490001, 490001 + jobs))
    world = World(tmp_path, runs, body="sleep 0.$(($CAF_RUN % 7 + 2))", slots=3)
    for kill in range(kills):
        mark = len(world.runs_started())
        process = world.supervisor()
        # Some die while they start up, some once new payloads have begun, some a random while later.
        if kill % 3:
            wait_until(partial(_more_started, world, mark, runs), what="a start")
        try:
            process.wait(timeout=dice.uniform(0.0, 0.6))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    process = world.supervisor()
    wait_until(lambda: _all_ended(world, runs), 60, "the end of all jobs")
    assert world.stop(process) == 0
    assert {run: job[:2] for run, job in world.jobs().items()} == dict.fromkeys(runs, ("DONE", "ok"))
    assert world.runs_started() == dict.fromkeys(runs, 1)
    assert set(world.starts().values()) == {1}
    # Whatever token did not start its payload was revoked, so that it never can.
    for token, job_id, attempt in world.query("SELECT token, job_id, attempt FROM attempt"):
        if token not in world.starts():
            run, job = world.query("SELECT run, job FROM job WHERE id = ?", job_id)[0]
            area = tmp_path / "work" / f"{run}_{job}" / str(attempt)
            assert (area / "claim" / "revoked").exists() or not (area / "claim").exists()


def _more_started(world: World, mark: int, runs: list[int]) -> bool:
    return len(world.runs_started()) > mark or _all_ended(world, runs)


def _all_ended(world: World, runs: list[int]) -> bool:
    jobs = world.jobs()
    return len(jobs) == len(runs) and all(state in FINAL for state, _, _ in jobs.values())
