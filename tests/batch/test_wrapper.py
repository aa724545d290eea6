"""The wrapper under every POSIX shell that is here: it may die anywhere, be started often, and must never run twice."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from caf.batch.script import body, script
from caf.domain.errors import PreparationError
from caf.storage.records import read_records, revoke

SHELLS = [path for name in ("dash", "bash", "busybox") if (path := shutil.which(name))] or ["/bin/sh"]
TOKEN = "caf-0123abcd-7-1-89abcdef"
PAYLOAD = ["sh", "-c", "echo ran >>payload; exit 3"]


@pytest.fixture(params=SHELLS, ids=lambda path: Path(path).name)
def shell(request: pytest.FixtureRequest) -> str:
    """Each shell is called as `sh`, which makes bash and busybox behave as such."""
    return str(request.param)


def make_area(folder: Path, command: list[str] = PAYLOAD) -> Path:
    area = folder / "work" / "490001_Job" / "1"
    (area / "log").mkdir(parents=True)
    write(area, script(area=str(area), token=TOKEN, run=490001, job="Job", attempt=1, command=command))
    return area


def write(area: Path, text: str) -> None:
    (area / "caf.sh").write_text(text, encoding="utf-8")


def start(shell: str, area: Path, name: str = "caf.sh", **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["sh", str(area / name)], executable=shell, stderr=subprocess.PIPE, text=True, start_new_session=True, **options
    )


def run(shell: str, area: Path, name: str = "caf.sh", **options: Any) -> tuple[int, str]:
    with start(shell, area, name, **options) as process:
        _, said = process.communicate(timeout=30)
    return process.returncode, said


def runs(area: Path) -> int:
    payload = area / "payload"
    return len(payload.read_text().splitlines()) if payload.exists() else 0


def record(area: Path) -> dict[str, Any]:
    return read_records([str(area)])[0]


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if path.exists() and (text := path.read_text()).endswith("\n"):
            return text.strip()
        time.sleep(0.005)
    raise AssertionError(f"{path} did not appear")


def test_a_payload_runs_in_its_area_and_leaves_both_records(shell: str, tmp_path: Path) -> None:
    area = make_area(tmp_path, ["sh", "-c", "pwd; echo $CAF_RUN $CAF_JOB $CAF_ATTEMPT $CAF_TOKEN; echo no >&2; exit 3"])
    before = time.time()
    with start(shell, area) as process:
        process.communicate(timeout=30)
    assert process.returncode == 3
    assert (area / "log/stdout").read_text() == f"{area}\n490001 Job 1 {TOKEN}\n"
    assert (area / "log/stderr").read_text() == "no\n"
    found = record(area)
    assert found["claim"]
    assert not found["revoked"]
    began, ended = found["start"], found["exit"]
    assert began["token"] == ended["token"] == TOKEN
    assert began["pid"] == process.pid
    assert began["host"] == ended["host"] == os.uname().nodename
    assert began["boot"] == ended["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert began["start_ticks"] / os.sysconf("SC_CLK_TCK") == pytest.approx(began["uptime"], abs=5)
    assert began["uptime"] <= ended["uptime"]
    assert ended["code"] == 3
    assert ended["why"] is None
    assert before - 1 <= began["at"] <= ended["at"] <= time.time() + 1


def test_what_is_made_is_the_groups_too(shell: str, tmp_path: Path) -> None:
    area = make_area(tmp_path)
    run(shell, area)
    modes = {name: (area / name).stat().st_mode & 0o777 for name in ("claim", "start", "exit", "log/stdout", "payload")}
    assert modes == {"claim": 0o770, "start": 0o660, "exit": 0o660, "log/stdout": 0o660, "payload": 0o660}


def test_a_second_start_runs_nothing(shell: str, tmp_path: Path) -> None:
    area = make_area(tmp_path)
    assert run(shell, area)[0] == 3
    before = record(area)
    status, said = run(shell, area)
    assert status == 0
    assert "caf: attempt already claimed" in said
    assert runs(area) == 1
    assert record(area) == before


def test_of_twenty_started_at_once_one_runs(shell: str, tmp_path: Path) -> None:
    area = make_area(tmp_path)
    processes = [start(shell, area) for _ in range(20)]
    results = [(process.communicate(timeout=30)[1], process.returncode) for process in processes]
    assert sorted(code for _, code in results) == [0] * 19 + [3]
    assert runs(area) == 1


def deadly_lines() -> list[int]:
    """Every place between two lines of the body that are not comments, and the end."""
    lines = body().splitlines()
    return [i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")] + [len(lines)]


def with_death(text: str, before_line: int) -> str:
    header, lines = text.removesuffix(body()), body().splitlines()
    return header + "\n".join([*lines[:before_line], "kill -KILL $$", *lines[before_line:]]) + "\n"


def test_it_may_die_before_any_line_and_never_runs_twice(shell: str, tmp_path: Path) -> None:
    """After a death at any place the records tell no lie, and neither a new start nor a revoker makes a second run."""
    deaths = 0
    for line in deadly_lines():
        for successor in ("wrapper", "revoker"):
            area = make_area(tmp_path / f"{line}{successor}")
            intact = (area / "caf.sh").read_text()
            (area / "dying.sh").write_text(with_death(intact, line))
            status, _ = run(shell, area, "dying.sh")
            deaths += status == -signal.SIGKILL
            found, ran = record(area), runs(area)
            where = f"death before line {line}, then {successor}: {found}"
            assert ran <= 1, where
            assert not found["start"] or found["claim"], where
            assert not found["exit"] or (found["start"] and ran == 1), where
            assert not ran or found["start"], where
            if successor == "wrapper":
                run(shell, area)
                assert runs(area) == (ran if found["claim"] else 1), where
            else:
                assert revoke(str(area), TOKEN) == ("lost" if found["claim"] else "won"), where
                assert not run(shell, area)[0], where
                assert runs(area) == ran, where
    assert deaths > 40


def test_whoever_revokes_first_keeps_the_payload_from_ever_running(shell: str, tmp_path: Path) -> None:
    area = make_area(tmp_path)
    assert revoke(str(area), TOKEN) == "won"
    status, said = run(shell, area)
    assert (status, runs(area)) == (0, 0)
    assert "already claimed" in said
    assert record(area)["start"] is None


def test_a_revoker_racing_with_wrappers_wins_or_loses_but_never_both(shell: str, tmp_path: Path) -> None:
    for turn in range(10):
        area = make_area(tmp_path / str(turn))
        processes = [start(shell, area) for _ in range(3)]
        answer = revoke(str(area), TOKEN)
        for process in processes:
            process.communicate(timeout=30)
        assert runs(area) == {"won": 0, "lost": 1}[answer]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGXCPU])
def test_a_signal_to_the_group_ends_the_payload_and_is_recorded(shell: str, tmp_path: Path, number: int) -> None:
    area = make_area(tmp_path, ["sh", "-c", "echo >up; exec sleep 60"])
    with start(shell, area) as process:
        wait_for(area / "up")
        os.killpg(process.pid, number)
        process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert record(area)["exit"]["code"] == 128 + number


def test_a_payload_that_was_killed_alone_is_recorded(shell: str, tmp_path: Path) -> None:
    area = make_area(tmp_path, ["sh", "-c", "echo $$ >up; exec sleep 60"])
    with start(shell, area) as process:
        os.kill(int(wait_for(area / "up")), signal.SIGKILL)
        process.communicate(timeout=30)
    assert process.returncode == 137
    assert record(area)["exit"]["code"] == 137


def test_signals_to_the_wrapper_alone_leave_the_payload_in_peace(shell: str, tmp_path: Path) -> None:
    area = make_area(tmp_path, ["sh", "-c", "echo >up; read go <gate; exit 5"])
    os.mkfifo(area / "gate")
    with start(shell, area) as process:
        wait_for(area / "up")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU):
            os.kill(process.pid, number)
        (area / "gate").write_text("go\n")
        process.communicate(timeout=30)
    assert process.returncode == 5
    assert record(area)["exit"]["code"] == 5


def test_a_killed_wrapper_leaves_a_claim_and_no_exit(shell: str, tmp_path: Path) -> None:
    area = make_area(tmp_path, ["sh", "-c", "echo >up; read go <gate; echo ran >>payload"])
    os.mkfifo(area / "gate")
    with start(shell, area) as process:
        wait_for(area / "up")
        process.kill()
        process.wait(timeout=30)
        assert record(area)["start"]
        assert record(area)["exit"] is None
        assert run(shell, area)[0] == 0
        assert revoke(str(area), TOKEN) == "lost"
        (area / "gate").write_text("go\n")
        wait_for(area / "payload")
    assert runs(area) == 1


def test_the_payload_has_the_signals_that_the_wrapper_was_given(shell: str, tmp_path: Path) -> None:
    area = make_area(tmp_path, ["cat", "/proc/self/status"])
    run(shell, area)
    masks = dict(line.split(":\t") for line in (area / "log/stdout").read_text().splitlines() if ":\t" in line)
    assert int(masks["SigBlk"], 16) == 0
    assert int(masks["SigCgt"], 16) == 0
    ours = sum(1 << number - 1 for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1))
    assert int(masks["SigIgn"], 16) & ours == 0


def test_a_start_record_that_cannot_be_written_starts_nothing(shell: str, tmp_path: Path) -> None:
    """/dev/full stands for the full disk: it opens, and every write fails with ENOSPC."""
    area = make_area(tmp_path)
    (area / "start").symlink_to("/dev/full")
    status, said = run(shell, area)
    assert (status, runs(area)) == (75, 0)
    assert f"caf: cannot write {area}/start" in said
    assert record(area)["claim"]
    assert record(area)["start"] is None
    assert not (area / "exit").exists()


def test_a_start_record_that_does_not_read_back_starts_nothing(shell: str, tmp_path: Path) -> None:
    """As on a full NFS, where the write itself succeeds and what was written is not there."""
    area = make_area(tmp_path)
    (area / "start").symlink_to("/dev/null")
    assert run(shell, area)[0] == 75
    assert runs(area) == 0


def test_an_exit_record_that_cannot_be_written_is_said(shell: str, tmp_path: Path) -> None:
    area = make_area(tmp_path)
    (area / "exit").symlink_to("/dev/full")
    status, said = run(shell, area)
    assert (status, runs(area)) == (3, 1)
    assert f"caf: cannot write {area}/exit" in said
    assert record(area)["exit"] is None


def test_a_payload_whose_output_has_no_place_does_not_run(shell: str, tmp_path: Path) -> None:
    area = make_area(tmp_path)
    (area / "log").rmdir()
    assert run(shell, area)[0] == 75
    assert runs(area) == 0
    assert record(area)["exit"]["code"] == 75
    assert record(area)["exit"]["why"] == "cannot write log/stdout"


def test_a_missing_area_is_not_made(shell: str, tmp_path: Path) -> None:
    area = make_area(tmp_path)
    moved = tmp_path / "caf.sh"
    (area / "caf.sh").rename(moved)
    shutil.rmtree(area)
    status, said = run(shell, tmp_path)
    assert status == 75
    assert f"caf: cannot enter {area}" in said
    assert not area.exists()


def test_an_area_in_which_nothing_can_be_made_is_not_taken_for_a_claimed_one(shell: str, tmp_path: Path) -> None:
    """Nobody, not even root, makes a folder in /proc."""
    text = script(area="/proc", token=TOKEN, run=490001, job="Job", attempt=1, command=PAYLOAD)
    write(tmp_path, text)
    status, said = run(shell, tmp_path)
    assert status == 75
    assert "caf: cannot make /proc/claim" in said


def test_any_path_and_any_argument_arrive_as_they_are(shell: str, tmp_path: Path) -> None:
    words = ["a b", "it's", '"', "$HOME", "`id`", "\\n", "*", "", "-n", "é漢", "two\nlines", "#", "~", "a=b"]
    area = make_area(tmp_path / "a b'c \"d $x `y` é漢 *", ["/usr/bin/printf", "%s|", *words])
    assert run(shell, area)[0] == 0
    assert (area / "log/stdout").read_text() == "".join(f"{word}|" for word in words)


def test_an_empty_environment_is_enough(shell: str, tmp_path: Path) -> None:
    area = make_area(tmp_path, ["env"])
    assert run(shell, area, env={})[0] == 0
    lines = (area / "log/stdout").read_text().splitlines()
    assert any(line.startswith("PATH=/") or ":/usr/bin:" in line for line in lines)
    assert {"CAF_RUN=490001", "CAF_JOB=Job", "CAF_ATTEMPT=1", f"CAF_TOKEN={TOKEN}"} <= set(lines)


def test_the_users_environment_arrives_unchanged(shell: str, tmp_path: Path) -> None:
    mine = {"host": "h", "code": "c", "token": "t", "stat": "s", "PATH": os.environ["PATH"]}
    area = make_area(tmp_path, ["env"])
    run(shell, area, env=mine)
    lines = (area / "log/stdout").read_text().splitlines()
    assert {f"{name}={value}" for name, value in mine.items()} <= set(lines)
    assert not [line for line in lines if line.startswith("caf_")]


def test_options_of_the_shell_in_the_environment_change_nothing(shell: str, tmp_path: Path) -> None:
    area = make_area(tmp_path)
    (area / "exit").touch()
    run(shell, area, env={**os.environ, "SHELLOPTS": "errexit:noclobber:nounset"})
    assert record(area)["exit"]["code"] == 3


@pytest.mark.parametrize(("command", "code"), [(["exit", "0"], 127), (["nosuchprogram"], 127), (["./log"], 126)])
def test_what_is_no_program_is_recorded_as_the_shell_says_it(
    shell: str, tmp_path: Path, command: list[str], code: int
) -> None:
    """`exit` is a builtin: run as such it would end the wrapper without a record."""
    area = make_area(tmp_path, command)
    assert run(shell, area)[0] == code
    assert record(area)["exit"]["code"] == code


def test_the_payload_reads_nothing(shell: str, tmp_path: Path) -> None:
    area = make_area(tmp_path, ["cat"])
    with open(area / "caf.sh") as text:
        assert run(shell, area, stdin=text)[0] == 0
    assert (area / "log/stdout").read_text() == ""


@pytest.mark.parametrize(
    "change", [{"area": "relative"}, {"command": []}, {"command": [""]}, {"command": ["-c"]}, {"command": ["a\0b"]}]
)
def test_a_script_that_no_shell_could_run_is_refused(change: dict[str, Any]) -> None:
    good: dict[str, Any] = {"area": "/a", "token": TOKEN, "run": 1, "job": "Job", "attempt": 1, "command": ["true"]}
    assert script(**good).startswith("#!/bin/sh\n")
    with pytest.raises(PreparationError):
        script(**good | change)
