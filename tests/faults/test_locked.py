"""Another process holds the database locked for longer than anybody waits: nothing is lost, and it is said."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.test_faults import IMPATIENT
from tests.world import World, wait_until

RUN = 490001
LOCK = (
    "import sqlite3, sys\nconn = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)\n"
    "conn.execute('BEGIN ' + sys.argv[2])\nprint('locked', flush=True)\nsys.stdin.read()"
)
IN_A_HURRY = f"{IMPATIENT}\nfrom caf.store import database\ndatabase.connect.__kwdefaults__['busy_timeout'] = 0.3"
"""Otherwise ten seconds are waited for each time."""


def late(world: World) -> set[str]:
    """Give the duties that could not record how they do."""
    return {line.get("duty", "") for line in world.log() if "is locked by another process" in line.get("error", "")}


@contextmanager
def locked(world: World, kind: str) -> Iterator[None]:
    command = [sys.executable, "-c", LOCK, str(world.database), kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        try:
            yield
        finally:
            process.communicate("")


@pytest.mark.parametrize("kind", [pytest.param("IMMEDIATE", marks=pytest.mark.campaign), "EXCLUSIVE"])
def test_a_database_that_another_process_keeps_locked(tmp_path: Path, kind: str) -> None:
    """As `sqlite3 caf.db` with a transaction that somebody forgot to end."""
    world = World(tmp_path, [RUN]).quick()
    with world.running(before=IN_A_HURRY) as process:
        wait_until(lambda: world.state(RUN) == "DONE", what="the first job")
        with locked(world, kind):
            world.add_runs([490002])
            wait_until(lambda: late(world) >= {"discover", "organise"}, what="the log")
            if kind == "IMMEDIATE":  # it can be read
                assert world.caf("status", check=False).returncode in {0, 1}
            else:
                before = "from caf.store import database\ndatabase.connect.__kwdefaults__['busy_timeout'] = 0.3"
                program = f"{before}\nfrom caf.cli.main import main\nmain()"
                command = [sys.executable, "-c", program, "status", "--nagios", "--config", str(world.config)]
                done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
                assert done.returncode == 2
                assert done.stdout.startswith("CAF CRITICAL - ")
                assert "is locked by another process" in done.stdout
            assert process.poll() is None
            assert world.runs_started() == {RUN: 1}
        wait_until(lambda: world.state(490002) == "DONE", what="the second job")
        assert world.stop(process) == 0
    assert world.runs_started() == {RUN: 1, 490002: 1}
    assert world.caf("db", "check").returncode == 0
