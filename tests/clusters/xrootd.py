"""A real XRootD server on loopback, for as long as a test wants it."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

NEEDED = ("xrootd", "xrdfs", "xrdcp")
MISSING = [program for program in NEEDED if shutil.which(program) is None]

needs_xrootd = pytest.mark.skipif(
    bool(MISSING), reason=f"{', '.join(MISSING)} not installed: sh tests/packages.sh gets XRootD's server and client"
)

CONFIGURATION = """
xrd.protocol xrootd *
xrd.port {port}
xrd.network nodnr
all.export /
oss.localroot {folder}/data
all.adminpath {folder}/admin
all.pidpath {folder}/run
"""
CHECKSUMS = "xrootd.chksum max 2 adler32\n"


@dataclass
class Server:
    """One server. Its files are those below `data`; it runs as a user who may not read everything."""

    data: Path
    port: int
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        return f"root://localhost:{self.port}"

    def file(self, path: str, content: str | bytes = "events\n", *, age: float = 3600.0) -> str:
        """Write a file, last changed so many seconds ago, and give its URL."""
        target = self.data / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        then = time.time() - age
        os.utime(target, (then, then))
        return f"{self.url}//{path.lstrip('/')}"

    def stop(self) -> None:
        """Have it take connections, and never answer."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)


@contextmanager
def running(*, checksums: bool = True) -> Iterator[Server]:
    """Have a server; nothing of it is left afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="caf-xrd-"))  # short, for sockets are made in it; pytest's own is private
    try:
        for name in ("data", "admin", "run"):
            (folder / name).mkdir()
            (folder / name).chmod(0o777)
        folder.chmod(0o755)
        yield from _serve(folder, CHECKSUMS if checksums else "")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _serve(folder: Path, more: str) -> Iterator[Server]:
    port = free_port()
    (folder / "xrootd.cfg").write_text(CONFIGURATION.format(port=port, folder=folder) + more)
    command = ["xrootd", "-c", str(folder / "xrootd.cfg")]
    if os.geteuid() == 0:  # it refuses to be root
        command += ["-R", pwd.getpwnam("nobody").pw_name]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder / "run", stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _until_it_listens(port, process, folder / "log")
        yield Server(folder / "data", port, process)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


def _until_it_listens(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        assert process.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < deadline, log.read_text(errors="replace")
        with suppress(OSError), socket.create_connection(("localhost", port), timeout=1):
            return
        time.sleep(0.02)
