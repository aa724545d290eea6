"""Scratch and copies under every shell that is here: outputs come back whole or not at all, and nothing runs twice."""

import os
import resource
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from caf.batch.aside import Aside
from caf.batch.script import body, script
from caf.storage.records import revoke
from tests.batch.wrapped import SHELLS, TOKEN, every_shell, record, run, start, wait_for, write

GAINS = {"Gains.pdf": "root/Gains_490001.pdf"}


def make_area(folder: Path, command: list[str], aside: Aside, token: str = TOKEN) -> Path:
    area = folder / "work" / "490001_Job" / "1"
    for name in ("config", "log", "root", "pool", "post"):
        (area / name).mkdir(parents=True)
    (area / "job.json").write_text("{}\n")
    (folder / "node").mkdir()
    text = script(area=str(area), token=token, run=490001, job="Job", attempt=1, command=command, aside=aside)
    write(area, text)
    return area


def node(area: Path) -> dict[str, str]:
    """Give the environment of a node that has its scratch beside `work`."""
    gone = ("_CONDOR_SCRATCH_DIR", "SLURM_TMPDIR")
    kept = {name: value for name, value in os.environ.items() if name not in gone}
    return {**kept, "TMPDIR": str(area.parents[2] / "node")}


def left_on(area: Path) -> list[Path]:
    return list((area.parents[2] / "node").iterdir())


def made(area: Path) -> list[str]:
    """Give the files of an area, but for what caf itself keeps there."""
    own = {"caf.sh", "start", "exit", "job.json", "log/stdout", "log/stderr"}
    return sorted({str(path.relative_to(area)) for path in area.rglob("*") if path.is_file()} - own)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that everybody may reach; those of pytest are its user's alone."""
    with tempfile.TemporaryDirectory(prefix="caf-test-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@every_shell
class TestScratch:
    def test_a_payload_runs_in_the_nodes_scratch_of_which_nothing_is_left(self, shell: str, tmp_path: Path) -> None:
        area = make_area(tmp_path, ["config/launcher.sh", "a b"], Aside(scratch=True, copies=GAINS))
        launcher = area / "config" / "launcher.sh"
        launcher.write_text('#!/bin/sh\npwd; ls; echo "$1"; cat job.json; echo no >&2; echo gains >Gains.pdf; exit 3\n')
        launcher.chmod(0o750)
        assert run(shell, area, env=node(area)) == (3, "")
        words = (area / "log/stdout").read_text().split("\n")
        assert words[0] == str(tmp_path / "node" / TOKEN)
        assert words[1:-1] == ["config", "job.json", "log", "pool", "post", "root", "a b", "{}"]
        assert (area / "log/stderr").read_text() == "no\n"
        assert made(area) == ["config/launcher.sh", "root/Gains_490001.pdf"]
        assert (record(area)["exit"]["code"], record(area)["exit"]["why"], record(area)["exit"]["copy"]) == (
            3,
            None,
            None,
        )
        assert left_on(area) == []

    def test_what_a_payload_may_not_write_to_any_more_is_removed_too(self, shell: str, open_folder: Path) -> None:
        area = make_area(open_folder, ["sh", "-c", "mkdir a a/b; chmod 555 a/b a"], Aside(scratch=True))
        assert run_as_nobody(shell, area)[0] == 0
        assert left_on(area) == []

    def test_the_batch_systems_own_scratch_comes_first(self, shell: str, tmp_path: Path) -> None:
        area = make_area(tmp_path, ["pwd"], Aside(scratch=True))
        for name in ("condor", "slurm"):
            (tmp_path / name).mkdir()
        places = {"_CONDOR_SCRATCH_DIR": str(tmp_path / "condor"), "SLURM_TMPDIR": str(tmp_path / "slurm")}
        run(shell, area, env={**node(area), **places})
        assert (area / "log/stdout").read_text() == f"{tmp_path}/condor/{TOKEN}\n"
        for name in ("exit", "start"):
            (area / name).unlink()
        (area / "claim").rmdir()
        run(shell, area, env={**node(area), **places, "_CONDOR_SCRATCH_DIR": "relative"})
        assert (area / "log/stdout").read_text() == f"{tmp_path}/slurm/{TOKEN}\n"

    def test_without_any_scratch_nothing_is_started_and_the_record_says_why(self, shell: str, tmp_path: Path) -> None:
        token = f"caf-0123abcd-7-1-{os.getpid():08x}"
        area = make_area(tmp_path, ["touch", str(tmp_path / "ran")], Aside(scratch=True, copies=GAINS), token)
        for place in (Path("/tmp"), tmp_path / "node"):
            (place / token).touch()
        try:
            assert run(shell, area, env=node(area))[0] == 75
        finally:
            Path("/tmp", token).unlink()
        assert record(area)["exit"]["why"] == "no scratch on this node: /tmp: File exists"
        assert record(area)["exit"]["copy"] is None
        assert not (tmp_path / "ran").exists()

    def test_a_scratch_that_cannot_be_filled_is_removed_and_nothing_is_started(
        self, shell: str, tmp_path: Path
    ) -> None:
        area = make_area(tmp_path, ["touch", str(tmp_path / "ran")], Aside(scratch=True))
        shutil.rmtree(area / "config")
        assert run(shell, area, env=node(area))[0] == 75
        why = record(area)["exit"]["why"]
        assert why == f"cannot fill the scratch {tmp_path}/node/{TOKEN}: No such file or directory"
        assert left_on(area) == []
        assert not (tmp_path / "ran").exists()

    def test_the_log_comes_back_by_itself_and_only_where_there_is_one(self, shell: str, tmp_path: Path) -> None:
        aside = Aside(scratch=True, log="log/athena.log")
        area = make_area(tmp_path / "1", ["sh", "-c", "echo line >log/athena.log; exit 1"], aside)
        run(shell, area, env=node(area))
        assert (area / "log/athena.log").read_text() == "line\n"
        other = make_area(tmp_path / "2", ["true"], aside)
        run(shell, other, env=node(other))
        assert (record(other)["exit"]["copy"], made(other)) == (None, [])

    def test_a_second_start_and_one_that_was_revoked_touch_no_scratch(self, shell: str, tmp_path: Path) -> None:
        area = make_area(tmp_path, ["true"], Aside(scratch=True, copies=GAINS))
        assert revoke(str(area), TOKEN) == "won"
        (area / "Gains.pdf").touch()
        assert run(shell, area, env=node(area))[0] == 0
        assert (left_on(area), made(area)) == ([], ["Gains.pdf", "claim/revoked"])


@every_shell
class TestCopies:
    def test_without_scratch_they_are_taken_from_the_area_itself(self, shell: str, tmp_path: Path) -> None:
        area = make_area(tmp_path, ["sh", "-c", "echo gains >Gains.pdf"], Aside(copies=GAINS))
        assert run(shell, area)[0] == 0
        assert made(area) == ["Gains.pdf", "root/Gains_490001.pdf"]
        assert record(area)["exit"]["copy"] is None

    def test_any_name_comes_back_as_it_is(self, shell: str, tmp_path: Path) -> None:
        names = ["a b", "it's", '"', "$HOME", "`id`", "back\\n", "-n", "--help", "é漢", "#", "~", "a=b", "; ls", "a: b"]
        copies = {name: f"root/{name}" for name in names} | {"-x": "-y", "end": "deep/er/end"}
        payload = ["sh", "-c", 'for name; do printf "%s\\n" "$name" >"./$name"; done', "sh", *copies]
        for folder, scratch in ((tmp_path / "aside", True), (tmp_path / "here", False)):
            area = make_area(folder, payload, Aside(scratch=scratch, copies=copies))
            assert run(shell, area, env=node(area))[0] == 0
            assert record(area)["exit"]["copy"] is None
            assert {target: (area / target).read_text() for target in copies.values()} == {
                target: f"{source}\n" for source, target in copies.items()
            }

    def test_a_pattern_brings_all_files_that_it_matches_under_their_names(self, shell: str, tmp_path: Path) -> None:
        names = ["a b.pdf", "-c.pdf", "two\nlines.pdf", "[d].pdf", "*.pdf"]
        payload = [
            "sh",
            "-c",
            'mkdir "my plots" "my plots/e.pdf"; cd "my plots"; for n; do echo >"./$n"; done',
            "sh",
            *names,
        ]
        aside = Aside(scratch=True, copies={"my plots/*.pdf": "root/all/"})
        area = make_area(tmp_path, [*payload, "f.txt", ".g.pdf"], aside)
        assert run(shell, area, env=node(area))[0] == 0
        assert made(area) == sorted(f"root/all/{name}" for name in names)
        assert record(area)["exit"]["copy"] is None

    @pytest.mark.parametrize(
        ("makes", "copies", "why"),
        [
            (":", GAINS, "Gains.pdf to root/Gains_490001.pdf: it is not there"),
            ("mkdir Gains.pdf", GAINS, "Gains.pdf to root/Gains_490001.pdf: it is no file"),
            ("mkfifo Gains.pdf", GAINS, "Gains.pdf to root/Gains_490001.pdf: it is no file"),
            ("ln -s Gains.pdf Gains.pdf", GAINS, "Gains.pdf to root/Gains_490001.pdf: it is not there"),
            (
                "mkdir root/Gains_490001.pdf; : >Gains.pdf",
                GAINS,
                "Gains.pdf to root/Gains_490001.pdf: a folder has this name",
            ),
            (": >a; : >root/b", {"a": "root/b/c"}, "a to root/b/c: File exists"),
            (":", {"*.pdf": "root/"}, "*.pdf to root/: nothing matches"),
            (":", {"a": "x", "b": "y", "c": "z"}, "a to x: it is not there; 2 more failed"),
        ],
    )
    def test_the_record_says_which_failed_and_why(
        self, shell: str, tmp_path: Path, makes: str, copies: dict[str, str], why: str
    ) -> None:
        area = make_area(tmp_path, ["sh", "-c", makes], Aside(copies=copies))
        assert run(shell, area) == (0, "")
        assert record(area)["exit"]["copy"].replace("Not a directory", "File exists") == why
        assert record(area)["exit"]["code"] == 0

    def test_the_others_come_back_where_one_fails(self, shell: str, tmp_path: Path) -> None:
        area = make_area(
            tmp_path, ["sh", "-c", ": >a; : >c"], Aside(copies={"a": "root/a", "b": "root/b", "c": "root/c"})
        )
        run(shell, area)
        assert made(area) == ["a", "c", "root/a", "root/c"]
        assert record(area)["exit"]["copy"] == "b to root/b: it is not there"

    def test_what_may_not_be_written_is_said(self, shell: str, open_folder: Path) -> None:
        area = make_area(open_folder, ["sh", "-c", "echo gains >Gains.pdf; chmod 555 root"], Aside(copies=GAINS))
        run_as_nobody(shell, area)
        assert record(area)["exit"]["copy"] == "Gains.pdf to root/Gains_490001.pdf: Permission denied"

    def test_a_full_disk_is_said_and_the_record_still_fits(self, shell: str, tmp_path: Path) -> None:
        if os.geteuid() != 0:
            pytest.skip("a small file system is mounted as root only")
        small = tmp_path / "work"
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(small)], check=True, timeout=30)
        try:
            payload = ["sh", "-c", "head -c 2000000 /dev/zero >Gains.pdf; echo few >few"]
            area = make_area(tmp_path, payload, Aside(scratch=True, copies={**GAINS, "few": "root/few"}))
            assert run(shell, area, env=node(area)) == (0, "")
            assert record(area)["exit"]["copy"] == "Gains.pdf to root/Gains_490001.pdf: No space left on device"
            assert (made(area), left_on(area)) == (["root/few"], [])
        finally:
            subprocess.run(["umount", str(small)], check=True, timeout=30)

    def test_a_write_that_fails_half_way_leaves_nothing_that_looks_whole(self, shell: str, tmp_path: Path) -> None:
        """By a limit on the size of files, which anybody can set."""
        area = make_area(tmp_path, ["true"], Aside(copies=GAINS))
        (area / "Gains.pdf").write_bytes(b"x" * 1_000_000)
        (area / "root/Gains_490001.pdf").write_text("of an earlier look\n")
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        # Python ignores the signal that goes with it, and so does what it starts.
        run(
            shell,
            area,
            restore_signals=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard)),
        )
        assert record(area)["exit"]["copy"] == "Gains.pdf to root/Gains_490001.pdf: File too large"
        assert made(area) == ["Gains.pdf", "root/Gains_490001.pdf"]
        assert (area / "root/Gains_490001.pdf").read_text() == "of an earlier look\n"


def stub(folder: Path, first: str) -> None:
    """Put a `cp` before the real one that does something first."""
    folder.mkdir()
    (folder / "cp").write_text(f'#!/bin/sh\n{first}\nexec {shutil.which("cp")} "$@"\n')
    (folder / "cp").chmod(0o755)


def run_as_nobody(shell: str, area: Path) -> tuple[int, str]:
    """Root may write anywhere; without the right to become another this is whoever runs the tests."""
    if os.geteuid() != 0:
        return run(shell, area, env=node(area))
    for path in (area, *area.rglob("*"), area.parents[2] / "node"):
        os.chown(path, 65534, 65534)
    return run(shell, area, env=node(area), user=65534, group=65534, extra_groups=[])


@every_shell
class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGXCPU])
    def test_a_signal_to_all_ends_the_payload_and_nothing_is_left(
        self, shell: str, tmp_path: Path, number: int
    ) -> None:
        payload = ["sh", "-c", f"echo half >Gains.pdf; echo >{tmp_path}/up; exec sleep 60"]
        area = make_area(tmp_path, payload, Aside(scratch=True, copies=GAINS))
        with start(shell, area, env=node(area)) as process:
            wait_for(tmp_path / "up")
            os.killpg(process.pid, number)
            process.communicate(timeout=30)
        assert process.returncode == record(area)["exit"]["code"] == 128 + number
        assert left_on(area) == []
        assert made(area) == ["root/Gains_490001.pdf"]


WITHOUT_OWN = [path for path in SHELLS if Path(path).name != "busybox"]
"""busybox has a cp of its own, which no stub comes before."""


@pytest.mark.parametrize("shell", WITHOUT_OWN, ids=lambda path: Path(path).name)
class TestInterrupted:
    def test_a_copy_that_is_killed_leaves_nothing_that_looks_whole(self, shell: str, tmp_path: Path) -> None:
        area = make_area(tmp_path, ["sh", "-c", "echo gains >Gains.pdf"], Aside(copies=GAINS))
        stub(tmp_path / "bin", "kill -KILL $$")
        run(shell, area, env={**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"})
        said = record(area)["exit"]["copy"].replace("Killed", "its copying was ended")  # as some shells say
        assert said == "Gains.pdf to root/Gains_490001.pdf: its copying was ended"
        assert made(area) == ["Gains.pdf"]

    def test_a_signal_while_copies_are_made_ends_none_of_them(self, shell: str, tmp_path: Path) -> None:
        area = make_area(tmp_path, ["sh", "-c", "echo gains >Gains.pdf"], Aside(copies=GAINS))
        os.mkfifo(tmp_path / "gate")
        stub(tmp_path / "bin", f"echo >{tmp_path}/up; read go <{tmp_path}/gate")
        with start(shell, area, env={**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}) as process:
            wait_for(tmp_path / "up")
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
                os.killpg(process.pid, number)
            (tmp_path / "gate").write_text("go\n")
            process.communicate(timeout=30)
        assert (process.returncode, record(area)["exit"]["copy"]) == (0, None)
        assert (area / "root/Gains_490001.pdf").read_text() == "gains\n"


def deadly(text: str) -> list[int]:
    """Give every line of the body before which a command may stand."""
    lines = text.splitlines()
    return [i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")] + [len(lines)]


@every_shell
def test_it_may_die_before_any_line_and_never_runs_twice_nor_copies_half(shell: str, tmp_path: Path) -> None:
    """The quick one: every line in one of the shells."""
    assert die(shell, tmp_path, SHELLS.index(shell), len(SHELLS)) > 70 // len(SHELLS)


@pytest.mark.campaign
@every_shell
def test_it_may_die_before_any_line_in_each_shell(shell: str, tmp_path: Path) -> None:
    assert die(shell, tmp_path, 0, 1) > 70


def die(shell: str, folder: Path, first: int, every: int) -> int:
    """Die before lines of the body, with scratch and copies; gives how many deaths there were.

    The records tell no lie, what has its name is whole, and no second run touches it.
    """
    aside = Aside(scratch=True, copies={**GAINS, "many/*": "pool/"}, log="log/athena.log")
    whole = body(*aside.parts())
    lines = whole.splitlines()
    payload = [
        "sh",
        "-c",
        'echo ran >>"$0"; mkdir many; echo many >many/a; echo gains >Gains.pdf; echo >log/athena.log',
    ]
    deaths = 0
    for turn, line in enumerate(deadly(whole)[first::every]):
        where = f"death before line {line}: {lines[line] if line < len(lines) else 'the end'}"
        area = make_area(folder / str(line), [*payload, str(folder / str(line) / "ran")], aside)
        header = (area / "caf.sh").read_text().removesuffix(whole)
        (area / "dying.sh").write_text(header + "\n".join([*lines[:line], "kill -KILL $$", *lines[line:]]) + "\n")
        deaths += run(shell, area, "dying.sh", env=node(area))[0] == -signal.SIGKILL
        found, ran = record(area), times(area)
        assert ran <= 1, where
        assert not found["exit"] or (found["start"] and ran == 1), where
        assert not ran or found["start"], where
        check_whole(area, where, over=bool(found["exit"]))
        left = left_on(area)
        if turn % 2:
            run(shell, area, env=node(area))
            assert times(area) == (ran if found["claim"] else 1), where
        else:
            revoke(str(area), TOKEN)
            run(shell, area, env=node(area))
            assert times(area) == ran, where
        assert left_on(area) == left, where
        check_whole(area, where, over=False)
    return deaths


def times(area: Path) -> int:
    ran = area.parents[2] / "ran"
    return len(ran.read_text().splitlines()) if ran.exists() else 0


def check_whole(area: Path, where: str, *, over: bool) -> None:
    wanted = {"root/Gains_490001.pdf": "gains\n", "pool/a": "many\n", "log/athena.log": "\n"}
    for name, text in wanted.items():
        assert (area / name).read_text() == text if (area / name).exists() else not over, f"{name} after {where}"


def test_a_job_without_scratch_and_copies_has_nothing_of_them_in_its_script() -> None:
    facts: dict[str, Any] = {"area": "/a", "token": TOKEN, "run": 1, "job": "Job", "attempt": 1, "command": ["true"]}
    text = script(**facts, aside=Aside(log="log/athena.log"))
    assert text == script(**facts)
    assert not [line for line in text.splitlines() if "scratch" in line or "copy" in line or line.startswith("#:")]
    assert len(SHELLS) > 0
