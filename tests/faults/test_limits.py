"""What a process may have is used up under the supervisor, files or processes: said, and over once there is more."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.test_faults import IMPATIENT
from tests.clusters.shared import lack, need
from tests.world import World, wait_until

RUN = 490001
SOMEBODY = 54_321  # of whom nobody else has processes
SOMEBODYS = [f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups"]
RIGHTS = "+dac_override,+dac_read_search,+fowner"  # for Python itself, and this test's folder, may be closed to others
AS_SOMEBODY = f"""
import os, sys
program = {IMPATIENT!r} + "\\nimport sys; from caf.cli.main import main; main()"
options = [*{SOMEBODYS!r}, "--inh-caps={RIGHTS}", "--ambient-caps={RIGHTS}"]
os.execvp("setpriv", ["setpriv", *options, sys.executable, "-c", program, *sys.argv[1:]])
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Have a folder that others can find a program in: pytest's own are closed to them."""
    with tempfile.TemporaryDirectory(prefix="caf-limits-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def lowered(pid: int, limit: str, number: int, *be: str) -> Iterator[None]:
    """Have a process live with less for a while; what a user's process may have is for that user to say."""
    program = [*be, "prlimit", "--pid", str(pid)]
    told = subprocess.run(
        [*program, f"--{limit}", "-o", "SOFT", "--noheadings"], capture_output=True, check=True, text=True
    )
    subprocess.run([*program, f"--{limit}={number}:"], check=True)
    try:
        yield
    finally:
        subprocess.run([*program, f"--{limit}={told.stdout.strip()}:"], check=True)


def said(world: World, *texts: str) -> bool:
    """Tell whether `caf status` says one of these of a duty that fails."""
    status = " ".join(world.caf("status", check=False).stdout.split())
    return " fails" in status and any(text in status for text in texts)


def new_run(world: World) -> int:
    run = max(world.runs) + 1
    world.add_runs([run])
    return run


@pytest.mark.campaign
def test_all_files_that_may_be_open_are(tmp_path: Path) -> None:
    world = World(tmp_path, [RUN]).quick()
    with world.running(before=IMPATIENT) as process:
        wait_until(lambda: world.state(RUN) == "DONE", what="the first job")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        with lowered(process.pid, "nofile", 3):
            for child in children:  # so that new ones are to be started
                os.kill(int(child), 9)
            run = new_run(world)
            words = "Too many open files", "unable to open", "used up"
            wait_until(lambda: any(w in str(line) for line in world.log() for w in words), what="the log")
            assert world.caf("status", "--nagios", check=False).returncode in {0, 1, 2}
            assert process.poll() is None
        wait_until(lambda: world.state(run) == "DONE", 60, "the second job")
        assert world.stop(process) == 0
    assert world.runs_started() == {RUN: 1, run: 1}
    assert world.caf("db", "check").returncode == 0


@pytest.mark.campaign
def test_all_processes_that_may_run_do(open_folder: Path) -> None:
    """The limit is one of a user's processes and threads together, and does not hold for root."""
    if os.geteuid() != 0:
        lack("only root can be somebody else")
    need(["setpriv", "prlimit"])
    world = World(open_folder, [RUN]).quick()
    with world.running(before=AS_SOMEBODY) as process:
        wait_until(lambda: world.state(RUN) == "DONE", what="the first job")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        with lowered(process.pid, "nproc", 1, "setpriv", *SOMEBODYS):
            for child in children:
                os.kill(int(child), 9)
            run = new_run(world)
            wait_until(lambda: said(world, "Resource temporarily unavailable", "start new thread"), what="the status")
            assert process.poll() is None
            assert world.state(run) in {None, "NEW", "PREPARED", "SUBMITTING"}
        wait_until(lambda: world.state(run) == "DONE", 60, "the second job")
        assert world.stop(process) == 0
    assert world.runs_started() == {RUN: 1, run: 1}
