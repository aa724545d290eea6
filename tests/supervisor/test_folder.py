"""What the supervisor keeps of where it was started: no folder that anybody could miss, no streams that were closed."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.world import World, wait_until

pytestmark = pytest.mark.usefixtures("from_nothing")


def test_it_holds_no_folder_and_what_it_was_told_by_relative_paths_stays_where_it_was(tmp_path: Path) -> None:
    """Whoever started it may go elsewhere, and have a file system unmounted that the shell was in."""
    world = World(tmp_path, [490001]).quick()
    home = tmp_path / "home"
    home.mkdir()
    command = [sys.executable, "-m", "caf", "run", "--config", "../listeners.toml", "--state", "../elsewhere"]
    with (tmp_path / "caf.log").open("wb") as log:
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        process = subprocess.Popen(command, cwd=home, env=env, stdout=log, stderr=log, start_new_session=True)

    def logged(event: str) -> list[dict[str, Any]]:
        return [line for line in world.log() if line["event"] == event]

    try:
        wait_until(lambda: bool(logged("supervisor.ready")) or process.poll() is not None, what="readiness")
        assert os.readlink(f"/proc/{process.pid}/cwd") == "/"
        home.rmdir()
        wait_until(world.started.exists, what="the payload's start")
        loaded = len(logged("config.loaded"))
        world.edit("slots = 4", "slots = 3")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(logged("config.loaded")) > loaded, what="the new file")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
    assert (tmp_path / "elsewhere" / "caf.db").exists()
    assert not (tmp_path / "state").exists()


def test_streams_that_were_closed_are_nobody_elses(tmp_path: Path) -> None:
    """Else the database, or a client's pipe, would get their numbers, and children write into it."""
    world = World(tmp_path, [490001]).quick()
    command = [sys.executable, "-m", "caf", "run", "--config", str(world.config)]
    process = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command], start_new_session=True)
    try:
        wait_until(world.started.exists, what="the payload's start")
        wait_until(lambda: world.state(490001) == "DONE", what="the job's end")
        assert {os.readlink(f"/proc/{process.pid}/fd/{number}") for number in range(3)} == {"/dev/null"}
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0
