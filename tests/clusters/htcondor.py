"""A real HTCondor on loopback, for as long as the tests of a run want it; see condor.sh."""

import os
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.clusters.shared import HERE, folder_for, free_ports, lack, need, shared
from tests.world import wait_until

PROGRAMS = ("bash", "flock", "setsid", "unshare", "nsenter", "mount")
NOT_TO_BE_HAD = 77
PLAIN = dict(os.environ)
"""The environment before any test has touched it."""


@dataclass(frozen=True)
class HTCondor:
    """A pool of one machine: a partitionable slot of 32 processors. Jobs run as a user of their own."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Give what has clients talk to it."""
        return {"PATH": f"{self.folder}/bin:{PLAIN['PATH']}"}

    def call(self, *command: str, **more: str) -> str:
        """Run a client by hand, with more in its environment."""
        environment = {**PLAIN, **self.environment, **more}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def room(self, name: str) -> Path:
        """Make a folder in which the jobs' user may do everything, whoever made what is in it."""
        room = self.folder / "rooms" / name
        room.mkdir(parents=True)
        user = int((self.folder / "uid").read_text())
        entries = ((1, 7, -1), (2, 7, user), (4, 7, -1), (0x10, 7, -1), (0x20, 0, -1))  # see acl(5)
        rights = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
        for kind in ("access", "default"):
            os.setxattr(room, f"system.posix_acl_{kind}", rights)
        return room

    def pids(self, program: str, *words: str) -> list[int]:
        """Give this pool's processes that run a program with these words among its arguments."""
        mine = (self.folder / "init").read_text().strip()
        namespace = os.readlink(f"/proc/{mine}/ns/pid")
        found = []
        for entry in os.listdir("/proc"):
            with suppress(OSError):
                if entry.isdecimal() and os.readlink(f"/proc/{entry}/ns/pid") == namespace:
                    arguments = Path("/proc", entry, "cmdline").read_text().split("\0")
                    if Path(arguments[0]).name == program and set(words) <= set(arguments):
                        found.append(int(entry))
        return found

    def stop(self) -> None:
        """Have the schedd take connections, and never answer."""
        self._signal(signal.SIGSTOP)
        wait_until(lambda: all(_state(pid) in "Tt" for pid in self.pids("condor_schedd")), what="the stop")

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.pids("condor_schedd"):
            os.kill(pid, number)

    @contextmanager
    def limited(self, name: str, jobs: int) -> Iterator[None]:
        """Have the schedd go by a limit on how many jobs there are; afterwards by one that nobody reaches."""
        self._limit(name, jobs)
        try:
            yield
        finally:
            self._limit(name, 1_000_000)

    def _limit(self, name: str, jobs: int) -> None:
        (self.folder / "config" / f"99-{name}").write_text(f"{name} = {jobs}\n")
        self.call("condor_reconfig", "-schedd", CAF_CONDOR_AS="0:0")
        asked = ("condor_config_val", "-schedd", name)
        wait_until(lambda: self.call(*asked).strip() == str(jobs), what="the schedd's reading of its configuration")

    def clear(self) -> None:
        """End all jobs, and wait until the queue is empty."""
        with suppress(AssertionError):  # there may be none
            self.call("condor_rm", "-all")
        wait_until(
            lambda: "ClusterId" not in self.call("condor_q", "-json", "-attributes", "ClusterId"), what="the end"
        )
        shutil.rmtree(self.folder / "rooms", ignore_errors=True)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@contextmanager
def running(run: Path, name: str = "htcondor") -> Iterator[HTCondor]:
    """Have a pool of this name for a run of tests."""
    need(PROGRAMS)
    script = str(HERE / "condor.sh")
    made = subprocess.run(["sh", script, "root"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600)
    if made.returncode == NOT_TO_BE_HAD:
        lack(made.stderr.strip())
    assert made.returncode == 0, made.stderr
    folder = folder_for(name, run)
    with shared(folder, ["sh", script, "up", str(folder), str(free_ports(1))], ["sh", script, "down", str(folder)]):
        yield HTCondor(folder)
