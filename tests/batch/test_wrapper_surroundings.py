"""The wrapper where disks are full, folders are missing, names are odd and the environment is somebody else's."""

import os
import shutil
from pathlib import Path

import pytest

from caf.batch.script import script
from tests.batch.wrapped import PAYLOAD, TOKEN, every_shell, make_area, record, run, runs, write

pytestmark = every_shell


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
    mine = {"host": "h", "code": "c", "token": "t", "ticks": "s", "PATH": os.environ["PATH"]}
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
