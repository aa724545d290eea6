"""After-scripts: light commands that follow an outcome, and never change it."""

import asyncio
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from caf.domain.errors import StorageError
from caf.domain.jobs import Word
from caf.store import jobs
from caf.tasks import afterwards
from caf.tasks.afterwards import AGAIN, MARK, end_leftovers
from tests.tasks.stage import NOW, Stage, play
from tests.world import World, wait_until

FIRST, SECOND = 490001, 490002


def shell(text: str) -> list[str]:
    return ["sh", "-c", text]


def world(folder: Path, *, done: Sequence[list[str]] = (), failed: Sequence[list[str]] = (), more: str = "") -> World:
    made = World(folder, [FIRST, SECOND], job=f"{more}after = {{ done = {list(done)!r}, failed = {list(failed)!r} }}\n")
    for name in ("JOB", "ATTEMPT", "RUN", "OUTCOME", "RESULT", "TOKEN"):
        os.environ.pop(f"CAF_{name}", None)
    return made


async def end(stage: Stage, run: int, code: int = 0) -> None:
    """Have a job's payload end, and be judged."""
    await stage.organise()
    stage.run(run)
    stage.end(run, code)
    await stage.organise()
    assert stage.job(run)["state"] == ("FAILED" if code else "DONE")


def log(stage: Stage, run: int) -> list[str]:
    path = stage.area(run) / "log" / "after.log"
    return path.read_text().splitlines() if path.exists() else []


def rows(stage: Stage) -> list[tuple[Any, ...]]:
    return stage.world.query(
        "SELECT run, step, begun IS NOT NULL, ended IS NOT NULL, error FROM afterwards JOIN job ON id = job_id "
        "ORDER BY run, afterwards.attempt, step"
    )


def test_each_outcome_has_its_own_in_the_area_with_the_runs_names(tmp_path: Path) -> None:
    told = (
        "echo $CAF_RUN $CAF_JOB $CAF_ATTEMPT $CAF_OUTCOME $CAF_RESULT $(env | grep -c CAF_TOKEN) $PWD $*; echo oh >&2"
    )
    scripts = [[*shell(told), "sh", "{run:08d}", "{job} it's"], shell("echo second")]

    async def scene(stage: Stage) -> None:
        await end(stage, FIRST)
        await end(stage, SECOND, 3)
        assert (await afterwards.run_once(stage.house)).summary() == "3 after-scripts run"
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW))
        first, second = log(stage, FIRST), log(stage, SECOND)
        assert first[1:3] == [f"{FIRST} Fit 1 DONE ok 0 {stage.area(FIRST)} 00{FIRST} Fit it's", "oh"]
        assert first[0].startswith(f"--- {at} DONE: sh -c ")
        assert first[-1] == "second"
        assert second == [f"--- {at} FAILED: config/payload.sh", f"{SECOND} Fit 1 FAILED exit_code"]
        assert rows(stage) == [(FIRST, 1, 1, 1, None), (FIRST, 2, 1, 1, None), (SECOND, 1, 1, 1, None)]
        assert (await afterwards.run_once(stage.house)).ran == 0

    made = world(tmp_path, done=scripts, failed=[["config/payload.sh"]])
    (tmp_path / "templates" / "payload.sh").write_text(
        "#!/bin/sh\necho $CAF_RUN $CAF_JOB $CAF_ATTEMPT $CAF_OUTCOME $CAF_RESULT\n"
    )
    play(made, scene)


FAILURES = [
    (shell("echo first; echo 'no scan' >&2; exit 4"), "it ended with exit code 4; it says: no scan"),
    (shell("kill -SEGV $$"), "it ended with signal 11"),
    (["config/none.sh"], "it ended with exit code 127 (the command was not found); it says: "),
    (["log/stdout"], "it ended with exit code 126 (the command is not executable); it says: "),
    (shell("echo slow; sleep 60 & sleep 60"), "it did not end within 0.2s and was killed; it says: slow"),
]


def test_a_failure_is_told_and_changes_nothing_and_the_next_has_its_turn(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await end(stage, FIRST)
        before = stage.job(FIRST)
        assert (await afterwards.run_once(stage.house)).summary() == "6 after-scripts run, 5 failed"
        assert stage.job(FIRST) == before
        told = [row[-1] for row in rows(stage)]
        assert [words and words[: len(error)] for words, (_, error) in zip(told, FAILURES, strict=False)] == [
            error for _, error in FAILURES
        ]
        assert told[-1] is None
        why, history = (
            " ".join(stage.world.caf("jobs", command, str(FIRST), "Fit").stdout.split())
            for command in ("why", "history")
        )
        for step, (command, error) in enumerate(FAILURES, 1):
            assert f"after-script {step} ({command[0]}) failed: {error}" in why
            assert f"after-script {step} ({command[0]}) of attempt 1 failed: {error}" in history

    commands = [*(command for command, _ in FAILURES), ["true"]]
    play(world(tmp_path, done=commands, more='after_timeout = "200ms"\n'), scene)


def test_what_a_script_leaves_running_ends_with_it(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await end(stage, FIRST)
        await afterwards.run_once(stage.house)
        pid = int((stage.area(FIRST) / "pid").read_text())
        wait_until(lambda: not Path(f"/proc/{pid}/cwd").exists() or stat(pid) == "Z", 10, "its end")

    play(world(tmp_path, done=[shell("sleep 300 & echo $! >pid")]), scene)


def stat(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


def test_a_slow_one_holds_up_no_round_of_the_jobs_and_no_two_run_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    slow = shell(f"mkdir {tmp_path}/alone && touch up && read go <{tmp_path}/gate && rmdir {tmp_path}/alone")

    async def scene(stage: Stage) -> None:
        await end(stage, FIRST)
        running = asyncio.create_task(afterwards.run_once(stage.house))
        await asyncio.to_thread(wait_until, (stage.area(FIRST) / "up").exists, 20, "its start")
        await end(stage, SECOND)
        for run in (FIRST, SECOND):
            await asyncio.to_thread(wait_until, (stage.area(run) / "up").exists, 20, "its start")
            await asyncio.to_thread((tmp_path / "gate").write_text, "go\n")
        assert (await running).summary() == "2 after-scripts run"

    play(world(tmp_path, done=[slow]), scene)


def test_a_work_that_is_away_is_waited_for_and_others_are_not_held_up(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await end(stage, FIRST)
        (tmp_path / "work").rename(tmp_path / "away")
        (tmp_path / "work").mkdir()
        for turn in range(3):
            with pytest.raises(StorageError, match="is its file system mounted"):
                await afterwards.run_once(stage.house)
            done = await afterwards.run_once(stage.house)
            assert (done.ran, done.again_in) == (0, AGAIN * 2**turn)
            await stage.wait(AGAIN * 2**turn)
        assert list((tmp_path / "work").iterdir()) == []
        (tmp_path / "work").rmdir()
        (tmp_path / "away").rename(tmp_path / "work")
        assert (await afterwards.run_once(stage.house)).summary() == "1 after-script run"
        assert rows(stage) == [(FIRST, 1, 1, 1, None)]

    play(world(tmp_path, done=[["true"]]), scene)


def test_an_area_that_somebody_removed_is_told(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await end(stage, FIRST)
        stage.area(FIRST).rename(tmp_path / "removed")
        assert (await afterwards.run_once(stage.house)).summary() == "1 after-script run, 1 failed"
        assert rows(stage) == [(FIRST, 1, 0, 1, f"{stage.area(FIRST)} is not there any more")]
        assert not stage.area(FIRST).exists()

    play(world(tmp_path, done=[["true"]]), scene)


def test_a_job_that_is_reset_while_its_script_runs_is_not_disturbed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")

    async def scene(stage: Stage) -> None:
        await end(stage, FIRST, 3)
        running = asyncio.create_task(afterwards.run_once(stage.house))
        await asyncio.to_thread(wait_until, (stage.area(FIRST) / "up").exists, 20, "its start")
        await stage.house.database.call(jobs.act, FIRST, "Fit", Word.RESET, stage.clock[0], "ann")
        await stage.organise()
        assert (stage.job(FIRST)["state"], stage.job(FIRST)["attempt"]) == ("PENDING", 2)
        await asyncio.to_thread((tmp_path / "gate").write_text, "go\n")
        assert (await running).failed == 0
        assert log(stage, FIRST)[-1] == "FAILED exit_code 1"
        assert (stage.job(FIRST)["state"], stage.job(FIRST)["attempt"]) == ("PENDING", 2)
        assert not (stage.area(FIRST, 2) / "log" / "after.log").exists()

    slow = shell(f"touch up; read go <{tmp_path}/gate; echo $CAF_OUTCOME $CAF_RESULT $CAF_ATTEMPT")
    play(world(tmp_path, failed=[slow]), scene)


def test_one_that_was_interrupted_is_run_once_more_and_then_given_up(tmp_path: Path) -> None:
    """A round that is cancelled stands for a supervisor that ends; its script is killed with it."""

    async def scene(stage: Stage) -> None:
        await end(stage, FIRST)
        for _ in range(2):
            running = asyncio.create_task(afterwards.run_once(stage.house))
            await asyncio.to_thread(wait_until, (stage.area(FIRST) / "up").exists, 20, "its start")
            (stage.area(FIRST) / "up").unlink()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        assert (await afterwards.run_once(stage.house)).summary() == "2 after-scripts run, 1 failed"
        error = "interrupted 2 times by the end of the supervisor, and not run again"
        assert rows(stage) == [(FIRST, 1, 1, 1, error), (FIRST, 2, 1, 1, None)]
        assert len([line for line in log(stage, FIRST) if "sleep" in line]) == 2

    play(world(tmp_path, done=[shell("touch up; exec sleep 300"), ["true"]]), scene)


def test_what_is_left_of_one_is_found_by_its_mark_alone(tmp_path: Path) -> None:
    marked = [subprocess.Popen(["sleep", "300"], env={**os.environ, MARK: mark}) for mark in ("0a-1-1-1", "0a-1-1-11")]
    try:
        end_leftovers({"0a-1-1-1", "0a-2-1-1"})
        assert marked[0].wait(timeout=10) == -9
        assert marked[1].poll() is None
    finally:
        for process in marked:
            process.kill()
            process.wait()


def test_what_never_had_an_area_has_none(tmp_path: Path) -> None:
    """A failed preparation: there is no area to run anything in."""
    made = world(tmp_path, failed=[["true"]])
    (tmp_path / "templates" / "payload.sh").write_text("#NO_SUCH_TAG#\n")

    async def scene(stage: Stage) -> None:
        await stage.organise()
        assert stage.job(FIRST)["result"] == "preparation"
        assert rows(stage) == []

    play(made, scene)
