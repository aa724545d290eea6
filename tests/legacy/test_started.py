"""Jobs taken over, and what becomes of them when a person starts them."""

import sqlite3
from pathlib import Path

from caf.config import load
from caf.domain.jobs import Word
from caf.legacy.taking_over import take_over
from caf.store import jobs
from tests.legacy import old_database
from tests.legacy.old_database import a_job, a_run
from tests.tasks.stage import NOW, Stage, play
from tests.world import World

RUN, OTHER, NEW = 490001, 490002, 490003


def test_a_started_job_follows_todays_configuration_and_a_strange_one_cannot_run(tmp_path: Path) -> None:
    """The duty must not stumble over a job that listeners.toml does not have."""
    world = World(tmp_path, [])  # caf has not looked at the run database yet, as docs/moving.md says
    old = old_database.make(tmp_path / "rundb.db")
    a_run(old, RUN, listener="Scan")
    a_run(old, OTHER, listener="Gone")
    a_job(old, RUN, "NEW", job="Fit")
    a_job(old, OTHER, "RUN", job="Forgotten")
    old.close()

    def bring(conn: sqlite3.Connection) -> None:
        take_over(conn, tmp_path / "rundb.db", load(world.config), "ann", NOW)

    def start(conn: sqlite3.Connection) -> None:
        jobs.act(conn, RUN, "Fit", Word.START, NOW, "ann")
        jobs.act(conn, OTHER, "Forgotten", Word.START, NOW, "ann")

    async def scene(stage: Stage) -> None:
        await stage.house.database.call(bring)
        world.add_runs([RUN, OTHER, NEW])
        await stage.discover()
        await stage.organise()
        assert len(stage.batch.submitted) == 1  # of the new run alone
        await stage.house.database.call(start)
        await stage.organise()
        assert stage.job(RUN)["state"] == "PENDING"
        assert (stage.job(OTHER)["state"], stage.job(OTHER)["result"]) == ("FAILED", "preparation")
        assert "Forgotten is not in listeners.toml" in stage.job(OTHER)["reason"]
        assert len(stage.batch.submitted) == 2

    play(world, scene)
