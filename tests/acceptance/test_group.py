"""Operators are other Unix users than the supervisor: whoever is in its group can do all, nobody else anything."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import pytest

from tests.world import World, wait_until

TOP = Path(__file__).resolve().parents[2]
GROUP = 62000  # numbers that belong to nobody: a system need not have names for them
SETPRIV = shutil.which("setpriv")
# An interpreter in root's own folders is closed to others; the system's can use the same packages.
INTERPRETERS = (sys.executable, "/usr/bin/python3")
PACKAGES = f"{TOP}:{sysconfig.get_paths()['purelib']}"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "PYTHONPATH": PACKAGES, "PYTHONDONTWRITEBYTECODE": "1"}
PROBE = (
    "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import typer, pydantic, aiosqlite'], check=True)"
)

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or SETPRIV is None, reason="only root can be other users, and only with setpriv"
)


@dataclass
class User:
    """Somebody at a shell with a strict umask, which must not matter."""

    number: int
    groups: list[int] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, *words: str) -> list[str]:
        groups = ["--groups", ",".join(map(str, self.groups))] if self.groups else ["--clear-groups"]
        return [str(SETPRIV), f"--reuid={self.number}", f"--regid={self.number}", *groups, *words]

    def caf(self, world: World, *words: str) -> "subprocess.CompletedProcess[str]":
        """Type a command."""
        command = self.command(python(), "-m", "caf", *words, "--config", str(world.config))
        environment = {**ENVIRONMENT, **self.environment}
        done = subprocess.run(
            command, cwd="/", env=environment, umask=0o077, capture_output=True, text=True, timeout=60, check=False
        )
        assert "Traceback" not in done.stderr
        return done

    def supervise(self, world: World) -> "subprocess.Popen[bytes]":
        """Start the supervisor, and wait until it is ready."""
        command = self.command(python(), "-m", "caf", "run", "--config", str(world.config))
        with (world.folder / "caf.log").open("wb") as log:
            process = subprocess.Popen(command, cwd="/", env=ENVIRONMENT, umask=0o077, stdout=log, stderr=log)
        text = world.folder / "caf.log"
        wait_until(lambda: "supervisor.ready" in text.read_text() or process.poll() is not None, what="readiness")
        assert process.poll() is None, text.read_text()
        return process


ONLY_READ = {"source.db", "snapshot.db"}  # what was read of the run database: the supervisor's alone to write


CAF = User(61001, [GROUP])
ANNA = User(61002, [GROUP])
BERT = User(61003, [GROUP, 61099], {"SUDO_USER": "bert"})
STRANGER = User(61004, [61099])


@cache
def python() -> str:
    """Give a Python that other users can run, and run again from there."""
    for interpreter in INTERPRETERS:
        probe = CAF.command(interpreter, "-c", PROBE)
        done = subprocess.run(probe, cwd="/", env=ENVIRONMENT, capture_output=True, timeout=60, check=False)
        if done.returncode == 0:
            return interpreter
    pytest.skip("no Python is there for other users")


@pytest.fixture
def world() -> Iterator[World]:
    """A world that belongs to CAF and its group, and whose jobs wait for a person."""
    folder = Path(tempfile.mkdtemp())  # pytest's own is closed to others
    try:
        world = World(folder, [490001, 490002], job="validate = true\n").quick()
        for path in (folder, *folder.rglob("*")):
            os.chown(path, CAF.number, GROUP)
            path.chmod(0o2770 if path.is_dir() else path.stat().st_mode & 0o770 | 0o060)
        folder.chmod(0o2775)  # what is closed to strangers are the state folder and the working areas
        folder.joinpath("listeners.toml").chmod(0o664)
        yield world
    finally:
        shutil.rmtree(folder)


def test_the_group_can_do_everything_and_nobody_else_anything(world: World) -> None:
    process = CAF.supervise(world)
    try:
        wait_until(lambda: world.state(490002) == "WAITING", what="jobs")
        for user, run in ((ANNA, "490001"), (BERT, "490002")):
            assert "WAITING" in user.caf(world, "jobs", "list").stdout
            assert user.caf(world, "jobs", "start", run, "Fit", "--reason", "looks good").returncode == 0
            wait_until(partial(world.has_done, int(run)), what="DONE")
            assert "good #RUN" in user.caf(world, "jobs", "log", run, "Fit").stdout
            assert user.caf(world, "jobs", "mark", run, "Fit", "good", "--reason", "looked at it").returncode == 0
            assert user.caf(world, "jobs", "hold", run, "Fit").returncode == 0
            assert user.caf(world, "status").stderr == ""
        whos = {who for (who,) in world.query("SELECT who FROM audit WHERE why LIKE 'start by%'")}
        assert whos == {"uid 61002", "bert"}
        refusals(world)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
    modes(world)


def refusals(world: World) -> None:
    """A stranger gets one clear line, whatever is asked."""
    for words in (
        ["status"],
        ["jobs", "list"],
        ["jobs", "start", "490001", "Fit"],
        ["jobs", "reset", "--state", "DONE", "--yes"],
        ["jobs", "lost", "490001", "Fit", "--reason", "x"],
        ["ack", "--state", "FAILED", "--yes"],
        ["jobs", "log", "490001", "Fit"],
        ["history"],
    ):
        done = STRANGER.caf(world, *words)
        assert (done.returncode, done.stdout) == (1, ""), words
        assert len(done.stderr.splitlines()) == 1
        assert f"{world.folder / 'state'}: belongs to uid 61001, group gid 62000" in done.stderr
        assert "have yourself put into the group" in done.stderr


def modes(world: World) -> None:
    """Everything that caf and its jobs made is the group's to read and write, and nobody else's at all."""
    made = [
        path
        for top in ("state", "work")
        for path in (world.folder / top, *(world.folder / top).rglob("*"))
        if not path.is_symlink()
    ]
    assert {"caf.db", "caf.db-journal", "caf.lock", "stdout", "start", "exit", "job.json"} <= {one.name for one in made}
    for path in made:
        found = path.stat()
        mode = stat.S_IMODE(found.st_mode)
        assert found.st_gid == GROUP, path
        assert mode & 0o007 == 0, path
        assert mode & 0o060 == (0o040 if path.name in ONLY_READ else 0o060), path
        if path.is_dir():
            assert mode & 0o2070 == 0o2070, path


def test_a_journal_that_an_operator_makes_is_the_supervisors_too(world: World) -> None:
    """SQLite gives it the database's mode, whatever the umask; the folder gives it the group."""
    with_supervisor(world, lambda: world.state(490002) == "WAITING")
    journal = world.folder / "state" / "caf.db-journal"
    journal.unlink()
    assert ANNA.caf(world, "jobs", "start", "490001", "Fit").returncode == 0
    found = journal.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (ANNA.number, GROUP, 0o660)
    with_supervisor(world, lambda: world.state(490001) == "DONE")
    assert BERT.caf(world, "jobs", "reject", "490002", "Fit", "--reason", "noise").returncode == 0
    assert world.state(490002) == "REJECTED"


def with_supervisor(world: World, until: Callable[[], bool]) -> None:
    process = CAF.supervise(world)
    try:
        wait_until(until, what="what it is for")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()


def test_a_database_that_is_closed_to_the_group_says_who_can_open_it(world: World) -> None:
    with_supervisor(world, lambda: world.state(490002) == "WAITING")
    world.database.chmod(0o640)
    assert "WAITING" in ANNA.caf(world, "jobs", "list").stdout
    done = ANNA.caf(world, "jobs", "start", "490001", "Fit")
    assert (done.returncode, done.stdout) == (1, "")
    assert "is read-only: check the file's and the folder's owner and mode" in done.stderr
    world.database.chmod(0o600)
    done = ANNA.caf(world, "jobs", "list")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "nor may the group: uid 61001 can allow it by `chmod g+" in done.stderr
