"""One supervisor at a time; nothing has to be cleaned up after a crash."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from caf.domain.errors import Refused
from caf.lock import held, holder
from tests.world import wait_until

HOLD = """
import sys, time
from pathlib import Path
from caf.lock import held
with held(Path(sys.argv[1]), 1_750_000_000.0):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(path: Path) -> "subprocess.Popen[str]":
    """Hold the lock in another process, until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    path = tmp_path / "caf.lock"
    with hold(path) as first:
        with pytest.raises(Refused) as refusal, held(path, 0.0):
            pass
        said = f"process {first.pid} on {os.uname().nodename} since 2025-06-15 15:06:40 UTC"
        assert said in str(refusal.value)
        assert holder(path) == said
        first.communicate("")
    assert holder(path) is None


def test_a_command_that_keeps_supervisors_out_is_not_called_one(tmp_path: Path) -> None:
    """Else a start during `caf db restore` is told of a supervisor that nobody finds."""
    path = tmp_path / "caf.lock"
    with held(path, 1_750_000_000.0, "caf db restore"):
        with pytest.raises(Refused) as refusal, held(path, 0.0):
            pass
        assert holder(path) is None
    who = f"process {os.getpid()} on {os.uname().nodename} since 2025-06-15 15:06:40 UTC"
    assert str(refusal.value) == (
        f"{path}: `caf db restore` is at work: {who}: wait until it has ended, then type the same again"
    )


def test_a_lock_whose_holder_was_killed_is_free(tmp_path: Path) -> None:
    path = tmp_path / "caf.lock"
    with hold(path) as first:
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert path.read_text() != ""
    assert holder(path) is None
    with held(path, 0.0):
        assert holder(path) is not None
    assert holder(path) is None


def test_what_a_holder_starts_does_not_hold_the_lock_on(tmp_path: Path) -> None:
    """Jobs outlive the supervisor; the next one must not be refused because of them."""
    path = tmp_path / "caf.lock"
    with held(path, 0.0):
        child = subprocess.Popen(["sleep", "60"])
    try:
        with held(path, 0.0):
            pass
    finally:
        child.kill()
        child.wait()


def test_whoever_asks_who_holds_the_lock_does_not_make_a_supervisor_fail(tmp_path: Path) -> None:
    """`caf status` takes the lock for an instant, a shared one."""
    path = tmp_path / "caf.lock"
    path.touch()
    ask = "import sys\nfrom pathlib import Path\nfrom caf.lock import holder\nwhile True: holder(Path(sys.argv[1]))"
    asking = [subprocess.Popen([sys.executable, "-c", ask, str(path)]) for _ in range(2)]
    try:
        for _ in range(50):
            with held(path, 0.0):
                pass
    finally:
        for process in asking:
            process.kill()
            process.wait()


def test_nobody_holds_a_lock_that_was_never_made(tmp_path: Path) -> None:
    assert holder(tmp_path / "caf.lock") is None


def test_a_holder_that_has_not_written_its_name_yet_is_refused_to_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "caf.lock"
    with hold(path) as first:
        os.truncate(path, 0)
        assert holder(path) == "a process that has not said which it is yet"
        with pytest.raises(Refused, match="has not said which it is yet"), held(path, 0.0):
            pass
        first.communicate("")


def test_the_lock_says_nothing_of_an_earlier_holder_with_a_longer_name(tmp_path: Path) -> None:
    path = tmp_path / "caf.lock"
    path.write_text("x" * 500)
    with held(path, 0.0):
        wait_until(lambda: f"process {os.getpid()} on " in (holder(path) or ""), what="the name")


def test_a_lock_whose_file_is_removed_or_replaced_is_lost(tmp_path: Path) -> None:
    """Whoever removes it by hand lets a second supervisor in: the first one must notice."""
    path = tmp_path / "caf.lock"
    with held(path, 0.0) as lock:
        assert lock.lost() is None
        path.unlink()
        assert lock.lost() == f"{path} was removed"
        path.touch()
        assert lock.lost() == f"{path} was replaced by another file"


def test_a_lock_is_never_held_on_a_file_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is removed between being opened and being locked; another then locks the file that the path leads to."""
    path = tmp_path / "caf.lock"
    take = fcntl.flock
    opened: list[int] = []

    def removed_before(descriptor: int, how: int) -> None:
        if not opened:
            opened.append(descriptor)
            path.unlink()
        take(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", removed_before)
    with held(path, 0.0) as lock:
        assert lock.lost() is None
        assert opened
        with pytest.raises(Refused), held(path, 0.0):
            pass


def test_a_lock_that_is_removed_again_and_again_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "caf.lock"
    monkeypatch.setattr(fcntl, "flock", lambda *_: path.unlink())
    with pytest.raises(Refused, match="is removed again and again"), held(path, 0.0):
        pass
