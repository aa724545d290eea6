"""The check that needs nothing of caf but its heartbeat file, in every shell that an administrator may have."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "caf-alive"
SHELLS = [shell for shell in (["dash"], ["bash", "--posix"], ["busybox", "sh"]) if shutil.which(shell[0])]
OK, WARNING, CRITICAL = 0, 1, 2


def beat(folder: Path, age: int = 0, state: str = "runs") -> Path:
    file = folder / "heartbeat"
    file.write_text(f"time={int(time.time()) - age}\nstate={state}\nhost=node7\npid=4711\nversion=1\n")
    return file


def ask(shell: list[str], *words: object) -> tuple[int, str]:
    """Run it with nothing but a shell, date and id to be found."""
    done = subprocess.run(
        [*shell, SCRIPT, *map(str, words)], capture_output=True, text=True, timeout=10, env={"PATH": os.environ["PATH"]}
    )
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    return done.returncode, done.stdout.strip()


pytestmark = pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])


def test_a_fresh_heartbeat_is_good(shell: list[str], tmp_path: Path) -> None:
    code, said = ask(shell, beat(tmp_path))
    assert code == OK
    assert said.startswith("CAF OK - alive ")
    assert said.endswith(" s ago (process 4711 on node7)")
    assert ask(shell, beat(tmp_path, age=250))[0] == OK


def test_an_old_one_is_critical_and_how_old_is_ones_own_choice(shell: list[str], tmp_path: Path) -> None:
    code, said = ask(shell, beat(tmp_path, age=330))
    assert code == CRITICAL
    assert said.startswith("CAF CRITICAL - no heartbeat for 33")
    assert said.endswith("s (process 4711 on node7): systemctl status caf")
    assert ask(shell, beat(tmp_path, age=330), 400)[0] == OK
    assert ask(shell, beat(tmp_path, age=30), 10)[0] == CRITICAL


def test_one_that_was_stopped_in_order_is_not_alive_either(shell: list[str], tmp_path: Path) -> None:
    code, said = ask(shell, beat(tmp_path, age=5, state="stopped"))
    assert code == CRITICAL
    assert "caf was stopped in order" in said
    assert said.endswith(": systemctl start caf")


def test_a_clock_that_is_behind_is_a_warning(shell: list[str], tmp_path: Path) -> None:
    code, said = ask(shell, beat(tmp_path, age=-3600))
    assert code == WARNING
    assert "set the clocks right" in said


@pytest.mark.parametrize(
    "text", ["", "\n", "time=\n", "time=soon\n", "time=1e9\n", "\0\0", "time=-5\n", "time=" + "9" * 40]
)
def test_rubbish_is_critical(text: str, shell: list[str], tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    file.write_text(text)
    assert ask(shell, file)[0] == CRITICAL


def test_a_missing_file_or_a_wrong_word_is_critical(shell: list[str], tmp_path: Path) -> None:
    code, said = ask(shell, tmp_path / "none")
    assert code == CRITICAL
    assert "is not there" in said
    assert ask(shell, tmp_path)[0] == CRITICAL
    assert "is not a number of seconds" in ask(shell, beat(tmp_path), "5m")[1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody who may not read")
def test_a_file_that_may_not_be_read_says_so(shell: list[str], tmp_path: Path) -> None:
    folder = Path("/tmp") / f"caf-alive-{os.getpid()}"
    folder.mkdir(mode=0o755)
    try:
        shutil.copy(SCRIPT, folder)
        beat(folder).chmod(0o600)
        command = ["setpriv", "--reuid=65534", "--clear-groups", *shell, f"{folder}/caf-alive", f"{folder}/heartbeat"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    finally:
        shutil.rmtree(folder)
    assert done.returncode == CRITICAL
    assert "cannot be read by " in done.stdout
