"""The wrapper under every shell that is here: it may die anywhere, be started often, and must never run twice."""

import os
import signal
import time
from pathlib import Path

import pytest

from caf.batch.script import body
from caf.storage.records import revoke
from tests.batch.wrapped import TOKEN, every_shell, make_area, record, run, runs, start, wait_for

pytestmark = every_shell


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


def test_the_start_time_is_found_behind_any_program_name(shell: str, tmp_path: Path) -> None:
    """The name stands in parentheses before it, and may itself hold blanks and parentheses."""
    named = tmp_path / "s (h) 1 2"
    named.symlink_to(shell)
    area = make_area(tmp_path, ["sh", "-c", "cat /proc/$PPID/stat"])
    with start(str(named), area) as process:
        process.communicate(timeout=30)
    line = (area / "log/stdout").read_text()
    assert "(s (h) 1 2)" in line
    assert record(area)["start"]["start_ticks"] == int(line.rpartition(")")[2].split()[19])


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
                begun = (area / "start").exists()
                assert found["torn"] is (begun and not found["start"]), where
                assert revoke(str(area), TOKEN) == ("lost" if begun else "won"), where
                assert not run(shell, area)[0], where
                assert runs(area) == ran, where
    assert deaths > 40


def test_one_that_is_revoked_between_its_claim_and_its_start_record_runs_nothing(shell: str, tmp_path: Path) -> None:
    """However long it stood still there: it finds that it cannot write the record, and ends."""
    area = make_area(tmp_path)
    text = (area / "caf.sh").read_text()
    stands_still = "mkdir start claim/revoked\n# The start record."
    (area / "caf.sh").write_text(text.replace("# The start record.", stands_still, 1))
    status, said = run(shell, area)
    assert (status, runs(area)) == (75, 0)
    assert "cannot write" in said
    assert (record(area)["start"], record(area)["torn"], record(area)["revoked"]) == (None, False, True)


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
