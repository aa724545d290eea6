"""A stand-in for LSF, as there is none to be had: the clients' words and ways, a daemon behind them, and faults.

It is not LSF: what it does was written from what was seen of OpenLava and Volclava, and from IBM's documentation.
"""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.world import wait_until

HERE = Path(__file__).parent
PROGRAMS = ("bsub", "bjobs", "bhist", "bkill", "lsid", "bqueues")


@dataclass(frozen=True)
class Lsf:
    """One that is up. `flavour`: ibm (10.1), lsf9, volclava or openlava."""

    folder: Path
    pid: int

    @property
    def environment(self) -> dict[str, str]:
        """Give what has clients talk to it."""
        return {"LSF_ENVDIR": str(self.folder), "PATH": f"{self.folder}/bin:{os.environ['PATH']}"}

    def control(self, **asked: Any) -> dict[str, Any]:
        """Set `faults` (how likely they are), `settings`; have it `down` for s, hosts `unknown` for s; `clear` it."""
        with socket.socket(socket.AF_UNIX) as server:
            server.settimeout(30)
            server.connect(str(self.folder / "mbatchd.socket"))
            server.sendall(json.dumps({"control": asked}).encode() + b"\n")
            with server.makefile("rb") as answer:
                told: dict[str, Any] = json.loads(answer.readline())
                return told

    def clear(self) -> None:
        """Have it behave, and end all jobs."""
        self.go_on()
        self.control(clear=True)

    def stop(self) -> None:
        """Have it take connections, and never answer."""
        os.kill(self.pid, signal.SIGSTOP)
        wait_until(lambda: self._state() in "Tt", what="the stop")

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _state(self) -> str:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]


@contextmanager
def running(folder: Path, flavour: str = "ibm", conf: str = "LSF_UNIT_FOR_LIMITS=MB\n") -> Iterator[Lsf]:
    """Have one in this folder, whose path is short: there is a socket in it."""
    (folder / "bin").mkdir(parents=True)
    (folder / "lsf.conf").write_text(conf)
    for program in PROGRAMS:
        file = folder / "bin" / program
        command = shlex.join([sys.executable, "-I", "-S", str(HERE / "client.py"), program])
        file.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        file.chmod(0o755)
    daemon = [sys.executable, "-m", "tests.clusters.lsf.mbatchd", str(folder), flavour]
    at, pipe = HERE.parents[2], subprocess.PIPE
    with subprocess.Popen(daemon, cwd=at, stdin=pipe, stdout=pipe, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            lsf = Lsf(folder, process.pid)
            yield lsf
            lsf.clear()
            wait_until(lambda: all(job[2] in {"DONE", "EXIT"} for job in lsf.control()["jobs"]), what="the end of jobs")
        finally:
            process.kill()
