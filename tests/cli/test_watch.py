"""`caf watch` in a real terminal: it follows, fits, ends as it should, and gives the terminal back."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from caf import lock
from caf.cli import watch
from caf.cli.options import Place
from caf.cli.standing import Standing, standing
from caf.domain.jobs import Word
from caf.store import jobs
from tests.cli.pretend import NOW, RAMP, TOP, Site

ENTERED, LEFT = "\x1b[?1049h", "\x1b[?1049l"
CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    """A terminal with a command in it."""

    def __init__(self, site: Site, columns: int, rows: int, *words: str) -> None:
        self._ours, theirs = pty.openpty()
        self.resize(columns, rows)
        self.modes = termios.tcgetattr(theirs)
        self._theirs = theirs
        self.process = subprocess.Popen(
            [sys.executable, "-m", "caf", *words],
            cwd=site.folder,
            env={"PYTHONPATH": TOP, "PATH": "/usr/bin:/bin", "TERM": "xterm"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        self.shown = ""

    def resize(self, columns: int, rows: int) -> None:
        """Change its size; who started in it is told by hand, for it is nobody's controlling terminal."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        """Type something."""
        os.write(self._ours, keys.encode())

    def until(self, pattern: str, seconds: float = 60.0) -> str:
        """Read on until something is shown; gives all that was shown since the last time."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.shown):
            assert time.monotonic() < end, self.shown
            if select.select([self._ours], [], [], 0.2)[0]:
                self.shown += os.read(self._ours, 65536).decode()
        found, self.shown = self.shown, ""
        return found

    def ended(self) -> int:
        """Wait for its end, having read what was still shown; the terminal must be as it was."""
        status = self.process.wait(timeout=60)
        while select.select([self._ours], [], [], 0)[0]:
            self.shown += os.read(self._ours, 65536).decode()
        assert termios.tcgetattr(self._theirs) == self.modes
        return status

    def close(self) -> None:
        """End it, whatever it does."""
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)


@pytest.fixture
def terminal(site: Site) -> Iterator[Terminal]:
    made = Terminal(site, 80, 40, "watch", "--every", "1s")
    yield made
    made.close()


def frame(text: str) -> list[str]:
    """Give the lines of the last frame."""
    return CODES.sub("", text.rpartition("\x1b[H")[2]).replace("\r", "").split("\n")


def test_it_shows_the_status_follows_it_and_ends_on_q(site: Site, terminal: Terminal) -> None:
    first = terminal.until("why 490006")
    assert first.startswith(ENTERED)
    lines = frame(first)
    assert re.fullmatch(r"caf at 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC +q: end", lines[0])
    assert "1 failed" in first or "1 job failed" in first
    conn = site.open()
    jobs.act(conn, 490006, RAMP, Word.KILL, NOW, "me")
    conn.close()
    later = terminal.until("1 CANCELLED")
    assert "490006" not in frame(later)[-1]
    assert "\x1b[2J" not in first + later  # it would flicker
    terminal.type("q")
    assert terminal.ended() == 0
    assert terminal.shown.endswith(LEFT)


def test_it_follows_the_size_and_says_what_does_not_fit(terminal: Terminal) -> None:
    assert len(frame(terminal.until("why 490006"))) <= 40
    terminal.resize(60, 12)
    os.kill(terminal.process.pid, signal.SIGWINCH)
    small = frame(terminal.until("more"))
    assert len(small) <= 12
    assert max(map(len, small)) <= 60
    assert re.search(r"\.\.\. \d+ more (thing|line)s?: `caf status`", small[-1])
    terminal.resize(100, 40)
    os.kill(terminal.process.pid, signal.SIGWINCH)
    assert len(frame(terminal.until("why 490006"))) > 12


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP)]
)
def test_however_it_is_ended_the_terminal_is_given_back(terminal: Terminal, number: int, status: int) -> None:
    terminal.until("why 490006")
    os.kill(terminal.process.pid, number)
    assert terminal.ended() == status
    assert terminal.shown.endswith(LEFT)


def test_it_comes_back_after_ctrl_z(terminal: Terminal) -> None:
    terminal.until("why 490006")
    os.kill(terminal.process.pid, signal.SIGTSTP)
    shown = terminal.until(re.escape(LEFT))
    os.kill(terminal.process.pid, signal.SIGCONT)
    shown += terminal.until("why 490006")  # without a shell above it nothing stops it, so both may come at once
    assert ENTERED in shown.partition(LEFT)[2]
    terminal.type("q")
    assert terminal.ended() == 0


def test_into_a_pipe_it_prints_one_plain_status_after_another(site: Site) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "caf", "watch", "--every", "1s"],
        cwd=site.folder,
        env={"PYTHONPATH": TOP, "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines: list[str] = []
        while sum(line.startswith("caf at 20") for line in lines) < 2:
            lines.append(process.stdout.readline().rstrip("\n"))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert all(line.isprintable() for line in lines)
    assert "jobs:       6 WAITING, 1 PREPARED, 1 RUNNING, 1 FAILED" in lines


@pytest.mark.parametrize("every", ["0s", "fast"])
def test_a_period_that_would_burn_is_refused(site: Site, every: str) -> None:
    assert site.caf("watch", "--every", every).status == 2


def test_it_reads_again_only_if_something_was_written_or_what_was_read_is_old(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    real = standing

    def counting(place: Place, *rest: object) -> Standing:
        read.append(place)
        return real(place, *rest)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(watch, "standing", counting)
    source = watch.Source(Place.of(None, None))
    for second in range(5):
        source.look(NOW + second)
    assert len(read) == 1
    conn = site.open()
    jobs.act(conn, 490006, RAMP, Word.KILL, NOW, "me")
    assert source.look(NOW + 5).facts["jobs"]["CANCELLED"] == 1
    assert len(read) == 2
    with lock.held(site.state / "caf.lock", NOW):
        assert source.look(NOW + 6).facts["supervisor"] is not None
    source.look(NOW + 7)
    source.look(NOW + 7 + watch.OLDEST)
    assert len(read) == 5
    conn.close()
    source.close()


def test_another_database_in_its_place_is_followed(site: Site) -> None:
    """As after a restore."""
    source = watch.Source(Place.of(None, None))
    assert source.look(NOW).facts["runs"]
    other = (site.state / "caf.db").rename(site.state / "old.db")
    assert source.look(NOW + 1).facts["database"] is False
    copied = other.read_bytes()
    (site.state / "new.db").write_bytes(copied)
    (site.state / "new.db").rename(site.state / "caf.db")
    assert source.look(NOW + 2).facts["runs"]
    source.close()
