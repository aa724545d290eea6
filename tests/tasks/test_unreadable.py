"""A stored configuration that this caf cannot read holds up the jobs under it, and nobody else."""

from pathlib import Path
from typing import Any

from caf.domain.jobs import Word
from caf.store import jobs, pauses
from tests.tasks.stage import NOW, Stage, play
from tests.world import World

OLD, NEW = 490001, 490002


async def another_caf(stage: Stage) -> None:
    """Have one run's job stand under a configuration of another version."""

    def change(conn: Any) -> None:
        conn.execute("INSERT INTO configuration VALUES (99, 'x', '[caf]\nwarp = 9', '/x/listeners.toml', 0, 0)")
        conn.execute("UPDATE job SET configuration_id = 99 WHERE run = ?", (OLD,))

    await stage.house.database.call(change)


def test_one_that_is_new_waits_and_the_other_goes_on(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await another_caf(stage)
        await stage.organise()
        assert stage.job(NEW)["state"] == "PENDING"
        job = stage.job(OLD)
        assert (job["state"], job["unknown_since"]) == ("NEW", NOW)
        assert "its configuration, number 99, cannot be read by caf" in job["reason"]
        assert "listeners.toml:1: source: is missing" in job["reason"]
        assert job["reason"].endswith(f"`caf jobs reset {OLD} Fit` gives it today's")
        await stage.wait(700)
        await stage.organise()
        assert (stage.job(OLD)["state"], stage.job(OLD)["unknown_since"]) == ("NEW", NOW)
        await stage.house.database.call(jobs.act, OLD, "Fit", Word.RESET, NOW, "ann")
        await stage.organise()
        assert stage.job(OLD)["state"] == "PENDING"

    play(World(tmp_path, [OLD, NEW]), scene)


def test_one_that_is_ready_waits_and_leaves_its_slot_to_others(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        call = stage.house.database.call
        await call(pauses.pause, None, NOW, "ann", "upgrade")
        await stage.organise()
        await another_caf(stage)
        await call(pauses.resume, None, NOW, "ann")
        await stage.organise()
        assert (stage.job(OLD)["state"], stage.job(NEW)["state"]) == ("PREPARED", "PENDING")
        assert "cannot be read by caf" in stage.job(OLD)["reason"]

    play(World(tmp_path, [OLD, NEW], slots=1), scene)


def test_one_that_runs_is_followed_and_judged_once_it_can_be(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        stage.batch.keeps_walltime = False
        await another_caf(stage)
        for run in (OLD, NEW):
            stage.run(run)
        await stage.organise()
        assert {stage.job(run)["state"] for run in (OLD, NEW)} == {"RUNNING"}
        for run in (OLD, NEW):
            stage.end(run)
        await stage.organise()
        assert (stage.job(OLD)["state"], stage.job(NEW)["state"]) == ("FINISHED", "DONE")
        assert "cannot be read by caf" in stage.job(OLD)["reason"]

        def mend(conn: Any) -> None:
            conn.execute("UPDATE job SET configuration_id = 1")

        await stage.house.database.call(mend)
        await stage.wait(700)
        await stage.organise()
        assert (stage.job(OLD)["state"], stage.job(OLD)["unknown_since"]) == ("DONE", None)

    play(World(tmp_path, [OLD, NEW]), scene)
