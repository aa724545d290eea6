"""What holds for all tests: as in a terminal, on all processors, with temporary files in memory."""

import fcntl
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests import warm

for number, disposition in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
    if signal.getsignal(number) is signal.SIG_IGN:  # inherited, and every child would inherit it in turn
        signal.signal(number, disposition)

# Hundreds of processes are started: each would compile all of caf for itself where the environment says so.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

MEMORY = Path("/dev/shm")
ROOM = 4 << 30  # bytes that have to be free there, and in the machine's memory
DISK = "CAF_TESTS_DISK"
"""In the environment while temporary files are in memory: where they would be otherwise."""
_failed = pytest.StashKey[bool]()
_place = pytest.StashKey[tuple[Path, int]]()


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """Put the umask back: a supervisor that is run in the tests' own process sets it."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture
def from_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have supervisors start, and end, as an interpreter of their own does."""
    monkeypatch.setattr(warm, "SUPERVISORS", False)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Let `pytest` alone, or with `-m`, use all processors; whoever names tests gets them one by one, and at once."""
    everything = config.args_source is config.ArgsSource.TESTPATHS and not config.option.keyword
    return len(os.sched_getaffinity(0)) if everything and config.option.capture != "no" else 0


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Put temporary files in memory, where no file waits for a disk, unless somebody says where they are to be.

    Real servers are several users', and some have a /dev/shm of their own: theirs stay on disk.
    """
    chosen = config.option.basetemp or {"TMPDIR", "PYTEST_DEBUG_TEMPROOT", DISK} & set(os.environ)
    servers = "clusters" in config.option.markexpr.replace("not clusters", "")
    if chosen or servers or not _has_room():
        return
    for left in MEMORY.glob("caft-*"):
        _remove_left(left)
    place = Path(tempfile.mkdtemp(prefix="caft-", dir=MEMORY))
    lock = os.open(place, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_SH)
    place.chmod(0o1777)  # as /tmp: tests have other users too
    os.environ[DISK], os.environ["TMPDIR"] = tempfile.gettempdir(), str(place)
    tempfile.tempdir = None
    config.option.basetemp = place / "t"  # short: sockets and lines have their lengths
    config.stash[_place] = place, lock


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: pytest.ExitCode, config: pytest.Config
) -> None:
    """Keep on disk what failed tests left."""
    if _place in config.stash and exitstatus == pytest.ExitCode.TESTS_FAILED:
        place = config.stash[_place][0]
        kept = Path(os.environ[DISK]) / place.name
        with suppress(shutil.Error):  # of what is no file
            shutil.copytree(place, kept, symlinks=True)
        terminalreporter.line(f"what failed tests left of {place} is kept in {kept}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing in memory."""
    if _place in config.stash:
        place, lock = config.stash[_place]
        shutil.rmtree(place, ignore_errors=True)
        os.close(lock)
        del os.environ["TMPDIR"]
        tempfile.tempdir = os.environ.pop(DISK)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_failed] = item.stash.get(_failed, False) or report.failed
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Remove at once what a test that passed leaves in memory."""
    yield
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if DISK in os.environ and folder is not None and not item.stash.get(_failed, False):
        shutil.rmtree(folder, ignore_errors=True)


def _has_room() -> bool:
    try:
        free = os.statvfs(MEMORY)
        kilobytes = dict(line.split()[:2] for line in Path("/proc/meminfo").read_text().splitlines())["MemAvailable:"]
    except (OSError, KeyError):
        return False
    return min(free.f_bavail * free.f_frsize, int(kilobytes) << 10) >= ROOM and os.access(MEMORY, os.W_OK)


def _remove_left(place: Path) -> None:
    """Remove the folder of a run that was killed; one that goes on has it locked."""
    with suppress(OSError):
        lock = os.open(place, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(place, ignore_errors=True)
        finally:
            os.close(lock)
