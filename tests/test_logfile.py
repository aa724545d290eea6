"""The log's file: both ways of logrotate, full disks, vanished folders, writers that hang or die; nobody waits."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from caf import logfile
from caf.logfile import LogFile
from tests.world import wait_until


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LogFile]:
    monkeypatch.setattr(logfile, "AGAIN", 0.0)
    made = LogFile(tmp_path / "caf.log")
    yield made
    made.close()


def written(path: Path, *lines: str) -> Callable[[], bool]:
    return lambda: path.exists() and path.read_text() == "".join(f"{line}\n" for line in lines)


def test_lines_are_appended_for_the_owner_and_the_group_to_read(file: LogFile) -> None:
    file.path.write_text("before\n")
    file.write(b"one\n")
    file.write(b"two\n")
    wait_until(written(file.path, "before", "one", "two"))
    file.path.unlink()
    file.write(b"three\n")
    wait_until(written(file.path, "three"))
    assert file.path.stat().st_mode & 0o777 == 0o640


def test_a_file_that_was_moved_away_is_made_anew(file: LogFile) -> None:
    """As logrotate does with `create` or `nocreate`."""
    file.write(b"one\n")
    wait_until(written(file.path, "one"))
    file.path.rename(file.path.with_name("caf.log.1"))
    file.write(b"two\n")
    wait_until(written(file.path, "two"))
    assert written(file.path.with_name("caf.log.1"), "one")()


def test_a_file_that_was_truncated_goes_on_from_its_beginning(file: LogFile) -> None:
    """As logrotate does with `copytruncate`: no hole of zeros."""
    file.write(b"a long first line\n")
    wait_until(written(file.path, "a long first line"))
    os.truncate(file.path, 0)
    file.write(b"two\n")
    wait_until(written(file.path, "two"))


def test_a_folder_that_vanishes_is_said_and_back_again_it_is_used(file: LogFile, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    file.path = folder / "caf.log"
    file.write(b"one\n")
    wait_until(written(file.path, "one"))
    folder.rename(tmp_path / "gone")
    file.write(b"two\n")
    wait_until(lambda: file.look() == f"{file.path}: No such file or directory", what="the trouble")
    assert file.lost == 1
    folder.mkdir()
    wait_until(lambda: file.look() is None, what="the end of it")
    file.write(b"three\n")
    wait_until(written(file.path, "three"))


def test_a_full_disk_is_said_and_loses_lines_of_the_file_only(file: LogFile, tmp_path: Path) -> None:
    file.path = tmp_path / "caf.log"
    file.path.symlink_to("/dev/full")
    for _ in range(3):
        file.write(b"one\n")
    wait_until(lambda: file.look() != "" and file.lost == 3, what="the loss")
    assert file.trouble == f"{file.path}: No space left on device"
    file.path.unlink()
    file.write(b"two\n")
    wait_until(lambda: file.look() is None, what="the end of it")
    assert written(file.path, "two")()


def test_a_writer_that_hangs_holds_up_nobody(file: LogFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system that does not answer; when it does again the file has what was kept for it."""
    monkeypatch.setattr(logfile, "HELD_UP", 0.2)
    file.write(b"one\n")
    wait_until(written(file.path, "one"))
    assert file._process is not None
    os.kill(file._process.pid, signal.SIGSTOP)
    longest = 0.0
    for number in range(20_000):
        began = time.monotonic()
        file.write(b"%06d: %s\n" % (number, b"x" * 200))
        longest = max(longest, time.monotonic() - began)
    assert longest < 0.5
    assert file.lost > 0
    wait_until(lambda: file.look() is not None, what="the trouble")
    assert file.trouble == f"{file.path}: the file system does not answer"
    os.kill(file._process.pid, signal.SIGCONT)
    wait_until(lambda: file.look() is None, what="the end of it")
    lines = file.path.read_text().splitlines()
    assert len(lines) + file.lost == 20_001
    assert [line[:6] for line in lines[1:]] == [f"{number:06d}" for number in range(len(lines) - 1)]


def test_a_writer_that_was_killed_is_replaced(file: LogFile) -> None:
    file.write(b"one\n")
    wait_until(written(file.path, "one"))
    assert file._process is not None
    file._process.kill()
    file._process.wait()
    file.write(b"two\n")
    file.write(b"three\n")
    wait_until(lambda: file.path.read_text().endswith("three\n"), what="the new one")
    wait_until(lambda: file.look() is None, what="the end of it")


def test_a_half_line_is_ended_before_the_next_one(tmp_path: Path) -> None:
    appender = logfile.Appender(str(tmp_path / "log"))
    appender.write(b"one\n")
    appender._torn = True  # a disk that was full in the middle of a line
    appender.write(b"two\n")
    assert (tmp_path / "log").read_text() == "one\n\ntwo\n"


def test_a_pipe_in_its_place_is_said(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    appender = logfile.Appender(str(tmp_path / "log"))
    appender.write(b"one\n")
    assert appender.trouble == f"{tmp_path / 'log'}: No such device or address"


def test_a_supervisor_that_is_killed_has_its_last_lines_in_the_file(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom caf import log\n"
        "log.configure(); log.keep_in(Path(sys.argv[1])); lines = log.get_log()\n"
        "[lines.info('run.accepted', run=n) for n in range(500)]\nlog.look()\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    path = tmp_path / "caf.log"
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: path.exists() and len(path.read_text().splitlines()) == 500, what="all lines")
    assert json.loads(path.read_text().splitlines()[-1])["run"] == 499
    assert done.stderr == ""
