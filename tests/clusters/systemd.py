"""A real systemd with caf installed as docs/administrator.md tells; see systemd.sh."""

import shutil
import subprocess
import sys
import sysconfig
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.clusters.shared import HERE, folder_for, lack, need, shared

PROGRAMS = ("bash", "flock", "unshare", "nsenter", "mmdebstrap")
TOP = HERE.parents[1]
MAKE_ROOT = HERE / "debian-root.sh"
ROOT = Path(f"/var/cache/caf-tests/debian-12-{zlib.crc32(MAKE_ROOT.read_bytes()):08x}")
"""Made once, kept for later runs."""
PYTHON, PACKAGES, SOURCE, WHEEL = "/opt/python", "/opt/packages", "/opt/source", "/opt/wheel"


@dataclass(frozen=True)
class Systemd:
    """A booted one; `call` runs something inside."""

    folder: Path

    def ask(self, *command: str, text: str = "", timeout: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run a command inside, as root, to whatever end."""
        pid = (self.folder / "pid").read_text().strip()
        enter = ["nsenter", "-t", pid, "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--root", "--wd", "--"]
        clean = ["env", "-i", "HOME=/root", "TERM=dumb", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        return subprocess.run([*enter, *clean, *command], input=text, capture_output=True, text=True, timeout=timeout)

    def call(self, *command: str, text: str = "", timeout: float = 60) -> str:
        """Run a command that must succeed; gives what it says."""
        done = self.ask(*command, text=text, timeout=timeout)
        assert done.returncode == 0, f"{command}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def sh(self, script: str, timeout: float = 60) -> str:
        """Run a script of the shell that must succeed to its last line."""
        return self.call("sh", "-eu", text=script, timeout=timeout)

    def show(self, name: str, unit: str = "caf") -> str:
        """Give a property of a unit."""
        return self.call("systemctl", "show", "--value", "-p", name, unit).strip()

    def journal(self, unit: str = "caf") -> str:
        """Give what a unit has logged."""
        return self.sh(f"journalctl --sync; journalctl -u {unit} -o cat --no-pager")


def interpreter() -> tuple[str, list[str]]:
    """Give the Python inside and what must be seen for it: this machine's, or, if that is in /usr, the root's own."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if Path(sys.base_prefix) != Path("/usr"):
        return f"{PYTHON}/bin/{name}", [f"{sys.base_prefix}={PYTHON}"]
    if not (ROOT / "usr" / "bin" / name).exists():
        lack(f"{name} is this machine's own and not Debian 12's: use a Python that is not in /usr")
    return f"/usr/bin/{name}", []


def build_wheel(source: Path, target: Path) -> Path:
    """Build caf as it is installed; gives the wheel."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command += ["--disable-pip-version-check", "--wheel-dir", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = target.glob("*.whl")
    return wheel


@contextmanager
def running(run: Path) -> Iterator[Systemd]:
    """Have one for a run of tests, with caf's files to be installed in SOURCE and WHEEL."""
    need(PROGRAMS)
    folder = folder_for("systemd", run)
    wheels = Path(f"{folder}.wheel")
    _make_root()
    if not wheels.exists():
        build_wheel(TOP, wheels)
    _, binds = interpreter()
    binds += [f"{sysconfig.get_path('purelib')}={PACKAGES}", f"{TOP}={SOURCE}", f"{wheels}={WHEEL}"]
    script = str(HERE / "systemd.sh")
    try:
        with shared(
            folder, ["bash", script, "up", str(folder), str(ROOT), *binds], ["bash", script, "down", str(folder)]
        ):
            booted = Systemd(folder)
            _try_python(booted)
            yield booted
    finally:
        shutil.rmtree(wheels, ignore_errors=True)


def _try_python(booted: Systemd) -> None:
    """Have this machine's Python find its library inside; one that is made for another system may not run there."""
    booted.call("sh", "-c", f"echo {PYTHON}/lib >/etc/ld.so.conf.d/python.conf; ldconfig")
    done = booted.ask(interpreter()[0], "-c", "import ctypes, sqlite3, ssl")
    if done.returncode != 0:
        lack(f"this machine's Python does not run on Debian 12: {done.stderr.strip()}")


def _make_root() -> None:
    done = subprocess.run(["bash", str(MAKE_ROOT), str(ROOT)], capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        lack(f"no Debian root for systemd could be made, for that takes a Debian mirror: {last}")
