"""Clusters of daemons that tests share: brought up by the first worker that asks, taken down after the last."""

import fcntl
import os
import random
import shlex
import shutil
import socket
import subprocess
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REQUIRED = os.environ.get("CAF_CLUSTERS") == "required"
"""Set where a machine is to have all of them: what is missing then fails instead of being skipped."""
PORTS = range(20_000, 30_000)  # below those that Linux gives out by itself


def lack(reason: str) -> None:
    """Skip, or fail where clusters are required."""
    if REQUIRED:
        pytest.fail(f"{reason}; CAF_CLUSTERS says that it must be here")
    pytest.skip(reason)


def need(programs: Sequence[str], *, root: bool = True) -> None:
    """Make sure that the programs are here, and that this is root."""
    if missing := [program for program in programs if shutil.which(program) is None]:
        lack(f"{', '.join(missing)} not installed: sh tests/packages.sh gets what the clusters need")
    if root and os.geteuid() != 0:
        lack("only root can start the daemons of a batch system")


def folder_for(name: str, run: Path) -> Path:
    """Give a cluster's folder: short, as sockets are made in it, and the same for all workers of a run of tests."""
    return Path(tempfile.gettempdir()) / f"caf-{name}-{zlib.crc32(str(run).encode()):08x}"


def run_of(factory: pytest.TempPathFactory) -> Path:
    """Give the folder that all workers of this run of tests share."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def free_ports(count: int) -> int:
    """Give the first of some free ports in a row."""
    while True:
        first = random.randrange(PORTS.start, PORTS.stop - count)
        if all(_is_free(port) for port in range(first, first + count)):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def taking_turns(folder: Path) -> Iterator[None]:
    """Have a cluster alone for a while: tests stop its daemons, and end all jobs."""
    with open(f"{folder}.turn", "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


@contextmanager
def shared(folder: Path, up: Sequence[str], down: Sequence[str]) -> Iterator[None]:
    """Have a cluster in its folder up; it goes down when nobody has it any more, also when this process is killed."""
    command = ["bash", str(HERE / "shared.sh"), str(folder), shlex.join(up), shlex.join(down)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as keeper:
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        assert keeper.stderr is not None
        try:
            if keeper.stdout.readline().strip() != "up":
                keeper.stdin.close()
                raise AssertionError(f"{folder.name} did not come up: {keeper.stderr.read()}")
            yield
        finally:
            keeper.stdin.close()
            keeper.wait(timeout=60)
            for left in (f"{folder}.making", f"{folder}.users", f"{folder}.turn"):
                if not folder.exists():
                    Path(left).unlink(missing_ok=True)
