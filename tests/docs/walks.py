"""The walks of docs/operator.md: what stands in its blocks is typed in a real rehearsal, and this is what comes back.

A block of the language `console` that begins with "$ " holds such lines, each followed by what it prints. To write them
anew after a change: python -m tests.docs.walks. It plays `caf demo`, has a supervisor run there, types every command in
the order of the page, and puts what was printed into the page. Scenes set up what a rehearsal does not have by itself.
"""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from caf.batch.processes import survivors
from caf.domain.jobs import State
from caf.store.database import connect
from tests.docs.pages import TOP
from tests.world import wait_until

OPERATOR = TOP / "docs" / "operator.md"
COLUMNS, ROWS = 100, 60
HOST, PERSON = "calib1", "anna"
LONG = "L1CaloCalibD3PD"
ACTIVE = ("NEW", "STAGING", "PREPARED", "SUBMITTING", "PENDING", "RUNNING", "FINISHED", "CANCELLING")
QUOTA = """
[quota]
provider = "tree"
limit = "LIMIT"
keep = "1s"
keep_failed = "1s"
"""
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^##+ (.+)$", re.MULTILINE)


class Rehearsal:
    """A finished `caf demo` with a supervisor, and a terminal in its folder."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self._programs = programs
        (programs / "caf").write_text(f'#!/bin/sh\nexec {sys.executable} -m caf "$@"\n')
        (programs / "caf").chmod(0o755)

    def environment(self) -> dict[str, str]:
        """Give that of whoever types: anna, in the rehearsal's folder."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CAF_", "SUDO_"))}
        path = f"{self._programs}:{os.environ['PATH']}"
        return {**kept, "PATH": path, "PYTHONPATH": str(TOP), "SUDO_USER": PERSON, "NO_COLOR": "1", "TERM": "xterm"}

    def play(self) -> None:
        """Have `caf demo` make all this."""
        command = ["caf", "demo", str(self.folder)]
        subprocess.run(command, env=self.environment(), check=True, capture_output=True, timeout=180)

    @contextmanager
    def supervised(self) -> Iterator[None]:
        """Have a supervisor run here meanwhile."""
        with (self.folder / "walks.log").open("wb") as log:
            process = self._supervisor = subprocess.Popen(
                ["caf", "run"], cwd=self.folder, env=self.environment(), stdout=log, stderr=subprocess.STDOUT
            )
        try:
            wait_until(lambda: b"supervisor.ready" in (self.folder / "walks.log").read_bytes(), 60, "a supervisor")
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)

    def type(self, line: str) -> str:
        """Type a line in a terminal and give what it prints, once caf has done what follows from it."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        command = ["sh", "-c", line]
        environment = self.environment()
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        printed = b""
        try:
            while part := os.read(master, 65536):
                printed += part
        except OSError:  # how a terminal says that nobody writes any more
            pass
        process.wait(timeout=60)
        os.close(master)
        self.settle()
        text = printed.decode().replace("\r\n", "\n").replace(os.uname().nodename, HOST)
        return "".join(f"{one.rstrip()}\n" for one in text.splitlines()).rstrip("\n")

    def query(self, sql: str) -> list[tuple[object, ...]]:
        """Look into the database."""
        with closing(connect(self.folder / "state" / "caf.db")) as conn:
            return [tuple(row) for row in conn.execute(sql).fetchall()]

    def settle(self) -> None:
        """Wait until every job stands still, or is in doubt."""
        states = ", ".join(f"'{state}'" for state in ACTIVE)
        moving = (
            f"SELECT run, job, state FROM job WHERE state IN ({states}) AND (unknown_since IS NULL OR lost IS NOT NULL)"
            f" AND coalesce(not_before, 0) < {time.time() + 60} UNION ALL SELECT run, '', '' FROM run WHERE jobs_due"
        )
        wait_until(lambda: not self.query(moving), 60, "the end of all jobs")

    def have_a_round(self, duty: str) -> None:
        """Have the supervisor do a round of a duty now, as after `systemctl reload caf`."""
        ended = f"SELECT succeeded, failed FROM duty WHERE name = '{duty}'"
        known = self.query(ended)
        self._supervisor.send_signal(signal.SIGHUP)
        wait_until(lambda: self.query(ended) != known, 60, f"a round of {duty}")

    def edit(self, old: str, new: str) -> None:
        """Change listeners.toml, and wait until the supervisor goes by it."""
        known = self.query("SELECT max(id) FROM configuration")
        file = self.folder / "listeners.toml"
        text = file.read_text()
        assert old in text, old
        changed = file.with_suffix(".new")
        changed.write_text(text.replace(old, new))
        changed.replace(file)
        wait_until(lambda: self.query("SELECT max(id) FROM configuration") != known, 60, "the new configuration")


def lose_a_job(rehearsal: Rehearsal) -> None:
    """Have a job that was begun by another machine, which is not there any more."""
    run = 490009
    text = (rehearsal.folder / "listeners.toml").read_text()
    command = text[text.index(f"[jobs.{LONG}]") :]
    rehearsal.edit(command, command.replace('command = ["config/launcher.sh"]', 'command = ["sleep", "600"]', 1))
    rehearsal.edit("[caf]\n", '[caf]\nunknown_after = "1s"\n')
    subprocess.run(
        ["caf", "jobs", "start", str(run), LONG],
        cwd=rehearsal.folder,
        env=rehearsal.environment(),
        check=True,
        capture_output=True,
    )
    start = rehearsal.folder / "work" / f"{run}_{LONG}" / "1" / "start"
    wait_until(start.exists, 30, "a job that runs")
    start.write_text(start.read_text().replace(f"host={os.uname().nodename}", "host=calib0"))
    wait_until(lambda: bool(rehearsal.query("SELECT 1 FROM job WHERE unknown_since IS NOT NULL")), 30, "a doubt")
    for pid in survivors(str(rehearsal.query(f"SELECT token FROM job WHERE run = {run} AND job = '{LONG}'")[0][0])):
        os.kill(pid, 9)
    time.sleep(1.1)  # unknown_after


def fill_the_disk(rehearsal: Rehearsal) -> None:
    """Have the working areas fill nine tenths of a small account; those of one kind of job may be removed."""
    work = rehearsal.folder / "work"
    size = sum(path.lstat().st_size for path in work.rglob("*") if not path.is_dir())
    rehearsal.edit("[batch]\n", QUOTA.replace("LIMIT", f"{size * 10 // 9 // 1000}KB") + "\n[batch]\n")
    rehearsal.have_a_round("clean")


SCENES: dict[str, Callable[[Rehearsal], None]] = {"An unknown job": lose_a_job, "A full disk": fill_the_disk}
"""What is set up before the first block below a heading."""


def walk(text: str, rehearsal: Rehearsal) -> str:
    """Type all that a page has in its blocks; gives the page with what was printed."""
    pieces, end, heading = [], 0, ""
    for block in _BLOCK.finditer(text):
        if not block[1].startswith("$ "):
            continue
        above = _HEADING.findall(text[: block.start()])[-1]
        if above != heading and above in SCENES:
            SCENES[above](rehearsal)
        heading = above
        typed = [line for line in block[1].splitlines() if line.startswith("$ ")]
        printed = "".join(f"{line}\n{rehearsal.type(line[2:])}".rstrip("\n") + "\n" for line in typed)
        pieces += [text[end : block.start(1)], printed]
        end = block.end(1)
    return "".join([*pieces, text[end:]])


TABLES = ("$ caf history", "$ caf jobs history", "$ caf jobs list", "$ caf runs list")
_TOLD = re.compile(rf"\b(?:49\d{{4}}|{'|'.join(State)})\b")
_ROW_CELLS = 3
_CUT = "..."
_VARIES = (
    (r"caf-[0-9a-f]{8}(-\d+-\d+-[0-9a-f]{8})?", "TOKEN"),
    (r"\b\d+-\d+-[0-9a-f]{8}\b", "ID"),
    (r"(?<![\w.])/[^\s:,;`)]+", "PATH"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?", "DATE"),
    (r"\b\d+(\.\d+)?\s(ms|s|min|h|d|days?|kB|MB|GB|TB|B|bytes)\b", "MUCH"),
    (r"\b(now|(in )?MUCH( ago)?)\b", "MUCH"),
    (r"\(\w+ MUCH(, \w+ MUCH)+\)", "JOBS"),
    (r"\b\d+(\.\d+)? %", "PART"),
    (r"process \d+", "process"),
    (r"\d+ changes? of jobs", "changes of jobs"),
    (r"^49\d{4} \w+$", "JOB"),  # whichever ended first
)


def compared(text: str) -> list[list[str]]:
    """Give each command of a page with what it prints: its running text as one, each cell of a table by itself.

    Without what differs from day to day: times, sizes, paths, names of processes.
    """
    blocks = [block for block in _BLOCK.findall(text) if block.startswith("$ ")]
    return [_steady(part) for block in blocks for part in re.split(r"(?m)^(?=\$ )", block) if part]


def alike(one: list[str], other: list[str]) -> bool:
    """Tell whether two answers are the same, wherever a narrow terminal cut a cell of a table."""
    return len(one) == len(other) and all(map(_alike, one, other))


def _alike(one: str, other: str) -> bool:
    if one.endswith(_CUT) or other.endswith(_CUT):
        left, right = sorted((one.removesuffix(_CUT).rstrip(), other.removesuffix(_CUT).rstrip()), key=len)
        return right.startswith(left)
    return one == other


def _steady(text: str) -> list[str]:
    command, _, printed = text.partition("\n")
    if command.startswith(TABLES):  # how wide its columns are, and which have room, depends on how long ages are
        return [command, *_TOLD.findall(printed)]
    running, cells = [command], []
    for line in printed.splitlines():
        row = re.split(r"  +", line.strip())
        if len(row) >= _ROW_CELLS:
            cells += row
        else:  # of a paragraph, broken wherever its sizes and ages had it broken
            running += row
    return [_without_what_varies(part) for part in (" ".join(running), *cells)]


def _without_what_varies(text: str) -> str:
    text = " ".join(text.split())
    for pattern, instead in _VARIES:
        text = re.sub(pattern, instead, text)
    return text


@contextmanager
def rehearsed(folder: Path) -> Iterator[Rehearsal]:
    """Give a finished rehearsal with a supervisor at work, in an empty folder."""
    with tempfile.TemporaryDirectory() as programs:
        rehearsal = Rehearsal(folder, Path(programs))
        rehearsal.play()
        with rehearsal.supervised():
            yield rehearsal


def main() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as place, rehearsed(Path(place) / "caf-demo") as rehearsal:
        text = OPERATOR.read_text(encoding="utf-8")
        found = walk(text, rehearsal).replace(place, "/tmp")
    if OPERATOR.read_text(encoding="utf-8") != text:
        raise SystemExit(f"{OPERATOR} was changed meanwhile: once more")
    OPERATOR.write_text(found, encoding="utf-8")


if __name__ == "__main__":
    main()
