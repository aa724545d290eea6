"""A real Slurm on loopback, for as long as the tests of a run want it; see slurm-up.sh."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.clusters.shared import HERE, folder_for, free_ports, need, shared
from tests.world import wait_until

PROGRAMS = ("bash", "flock", "setpriv", "munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
ACCOUNTING = ("slurmdbd", "sacct", "mariadbd", "mariadb", "mariadb-install-db")


PLAIN = {name: text for name, text in os.environ.items() if not name.startswith(("SLURM", "SBATCH", "SQUEUE"))}
"""The environment before any test has touched it."""


@dataclass(frozen=True)
class Slurm:
    """A cluster: 2 nodes of 32 processors; partitions short, express (goes first) and closed (starts nothing)."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Give what has clients talk to it."""
        return {"SLURM_CONF": f"{self.folder}/etc/slurm.conf", "MUNGE_SOCKET": f"{self.folder}/run/munge.socket"}

    def call(self, *command: str) -> str:
        """Run a client by hand."""
        environment = {**PLAIN, **self.environment}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop(self, daemon: str = "slurmctld") -> None:
        """Have the controller, or another daemon, take connections and never answer."""
        os.kill(self._pid(daemon), signal.SIGSTOP)
        status = Path(f"/proc/{self._pid(daemon)}/stat")
        wait_until(lambda: status.read_text().rpartition(")")[2].split()[0] in "Tt", what="the stop")

    def go_on(self, daemon: str = "slurmctld") -> None:
        os.kill(self._pid(daemon), signal.SIGCONT)

    def _pid(self, daemon: str) -> int:
        return int((self.folder / "run" / f"{daemon}.pid").read_text())

    def resume(self, node: str) -> None:
        """Take a node that was set down into use again, if it has not come back by itself."""
        with suppress(AssertionError):
            self.call("scontrol", "update", f"nodename={node}", "state=resume")
        state = ("sinfo", "-h", f"--nodes={node}", "-o", "%T")
        wait_until(lambda: "down" not in self.call(*state), what=f"{node}'s return")

    @contextmanager
    def limited(self, limit: str) -> Iterator[None]:
        """Have a limit in force, such as maxsubmitjobsperuser=1, for everybody."""
        qos = ("sacctmgr", "--immediate", "--quiet", "modify", "qos", "normal", "set")
        self.call(*qos, limit, "flags=DenyOnLimit")
        try:
            yield
        finally:
            self.call(*qos, f"{limit.rpartition('=')[0]}=-1")

    def clear(self) -> None:
        """End all jobs."""
        self.call("scancel", "--quiet", "--user=root")


@contextmanager
def running(run: Path, name: str, *options: str) -> Iterator[Slurm]:
    """Have a cluster of this name for a run of tests."""
    need(PROGRAMS + (ACCOUNTING if "--acct" in options else ()))
    folder = folder_for(name, run)
    up = ["bash", str(HERE / "slurm-up.sh"), str(folder), "--port", str(free_ports(6)), *options]
    with shared(folder, up, ["bash", str(HERE / "slurm-down.sh"), str(folder), "--purge"]):
        yield Slurm(folder)
