"""Jobs that are due when the configuration changes under them."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from caf import supervisor
from caf.store import making
from tests.world import World


def test_a_run_whose_listener_was_taken_out_gets_the_jobs_that_it_was_accepted_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It died between the verdict and the making of jobs; then somebody renamed the listener."""
    world = World(tmp_path, [490001])

    def dies(conn: sqlite3.Connection, *_more: Any) -> int:
        raise OSError("died")

    with monkeypatch.context() as patched:
        patched.setattr(making, "make_all", dies)
        assert supervisor.main(world.config, once=True) == 1
    assert world.query("SELECT status, jobs_due FROM run") == [("ACCEPTED", 1)]
    text = world.config.read_text()
    world.config.write_text(text.replace("listeners.Scan", "listeners.Other").replace('["Scan"]', '["Other"]'))
    assert supervisor.main(world.config, once=True) == 0
    assert world.query("SELECT run, job, listener, configuration_id FROM job") == [(490001, "Fit", "Scan", 1)]
    assert world.query("SELECT jobs_due FROM run") == [(0,)]


def test_a_reset_takes_the_configuration_of_today_and_nobody_elses_job_changes(tmp_path: Path) -> None:
    """Whoever corrects listeners.toml and types reset expects the correction to count."""
    world = World(tmp_path, [490001, 490002], body="exit 3")
    supervisor.main(world.config, once=True)
    world.payloads_over()
    supervisor.main(world.config, once=True)
    assert {job[:2] for job in world.jobs().values()} == {("FAILED", "exit_code")}
    world.config.write_text(
        world.config.read_text().replace(
            '["config/payload.sh"]', '["sh", "-c", "echo good \\\\#RUN >log/stdout; echo out >root/out"]'
        )
    )
    world.caf("jobs", "reset", "490001", "Fit")
    for _ in range(2):
        supervisor.main(world.config, once=True)
        world.payloads_over()
    supervisor.main(world.config, once=True)
    made_with = dict(world.query("SELECT run, configuration_id FROM job"))
    assert made_with == {490001: 2, 490002: 1}
    assert world.query("SELECT attempt, renew FROM job WHERE run = 490001") == [(2, 0)]


def test_jobs_of_two_configurations_are_counted_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One due for each is more than one at once: both wait for a person."""
    world = World(tmp_path, [490001])
    with monkeypatch.context() as patched:
        patched.setattr(making, "make_all", lambda *_: 1 / 0)
        assert supervisor.main(world.config, once=True) == 1
    text = world.config.read_text().replace("max_new_jobs = 1000", "max_new_jobs = 1")
    world.config.write_text(text.replace("listeners.Scan", "listeners.Other").replace('["Scan"]', '["Other"]'))
    world.add_runs([490002])
    assert supervisor.main(world.config, once=True) == 0
    assert world.query("SELECT run, configuration_id, state FROM job ORDER BY run") == [
        (490001, 1, "WAITING"),
        (490002, 2, "WAITING"),
    ]
