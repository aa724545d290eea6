"""Programs of others: ended in time with all that they started, and never left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from caf.domain.errors import StorageError, StorageTimeout
from caf.storage import programs
from caf.storage.programs import Running, Said, run, run_all
from tests.storage.children import alive

HERE = dict(os.environ)


def sh(text: str, limit: float = 20.0) -> Said:
    return run(["sh", "-c", text], HERE, limit)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_it_says_and_how_it_ends_is_given() -> None:
    assert sh("echo out; echo err >&2; exit 7") == Said(7, "out\n", "err\n")


def test_it_has_no_standard_input() -> None:
    assert sh("cat; echo over").out == "over\n"


def test_one_that_closes_its_outputs_is_waited_for() -> None:
    assert sh("exec >&- 2>&-; sleep 0.2; exit 3").code == 3


def test_one_that_is_late_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    with pytest.raises(StorageTimeout, match=r"sh was not done within 0.5 s"):
        sh(f"sleep 1000 & echo $! >{tmp_path}/pid; wait", limit=0.5)
    until(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_what_it_leaves_running_goes_with_it_and_is_not_waited_for(tmp_path: Path) -> None:
    begun = time.monotonic()
    assert sh(f"sleep 1000 & echo $! >{tmp_path}/pid; echo done").out == "done\n"
    assert time.monotonic() - begun < 10
    until(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_one_that_never_stops_talking_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "LONGEST", 1 << 20)
    with pytest.raises(StorageError, match="said more than 1048576 bytes"):
        sh("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done")


def test_one_that_is_not_there_is_told() -> None:
    with pytest.raises(StorageError, match="xrdfs-none is not installed on this machine"):
        run(["xrdfs-none", "x"], HERE, 1.0)


def test_several_run_at_once_and_answer_in_order() -> None:
    begun = time.monotonic()
    commands = [["sh", "-c", f"sleep 0.3; echo {number}"] for number in range(16)]
    assert [said.out for said in run_all(commands, HERE, 20.0)] == [f"{number}\n" for number in range(16)]
    assert time.monotonic() - begun < 16 * 0.3


def test_where_one_is_late_none_is_left(tmp_path: Path) -> None:
    text = f"echo $$ >>{tmp_path}/pids; exec sleep 1000"
    with pytest.raises(StorageTimeout):
        run_all([["sh", "-c", text]] * 3, HERE, 0.5)
    until(lambda: not any(alive(int(pid)) for pid in (tmp_path / "pids").read_text().split()))


def test_one_under_way_tells_when_it_is_asked(tmp_path: Path) -> None:
    program = Running(["sh", "-c", f"until [ -e {tmp_path}/go ]; do sleep 0.01; done; echo gone"], HERE, 20.0)
    assert program.go_on(0.1) is None
    (tmp_path / "go").touch()
    said = None
    while said is None:
        said = program.go_on(0.1)
    assert said.out == "gone\n"
    program.kill()  # harmless


def test_it_dies_with_whoever_started_it(tmp_path: Path) -> None:
    """The file child may be killed at any time; what it had started must not go on copying."""
    text = (
        "import os; from caf.storage.programs import run;"
        f"run(['sh', '-c', 'echo $$ >{tmp_path}/pid; exec sleep 1000'], dict(os.environ), 100.0)"
    )
    with subprocess.Popen([sys.executable, "-c", text], cwd=Path(__file__).parents[2]) as process:
        until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().endswith("\n"))
        process.send_signal(signal.SIGKILL)
    until(lambda: not alive(int((tmp_path / "pid").read_text())))
