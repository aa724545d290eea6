"""A real state folder: runs absorbed from a snapshot, jobs made of them and moved, all by caf.store's own functions."""

import fcntl
import json
import os
import pty
import sqlite3
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from caf.cli import main as command
from caf.config import parse
from caf.domain.discovery import Rules
from caf.domain.jobs import State
from caf.domain.runs import SECOND
from caf.sources import snapshot
from caf.store import configurations, discovery, jobs, making
from caf.store.database import connect

TOP = str(Path(__file__).parents[2])
NOW = 1_700_000_000.0
HOSTILE = "Phys\x1b[31mics\u202e\n"
RAMP, D3PD = "LArL1CaloRampMaker", "L1CaloCalibD3PD"
CONFIGURATION = """
[source]
replicas = ["cool/*.db"]

[[corrections]]
runs = "490002"
set = { gain_strategy = "CalibGainsEt" }
reason = "it was not written that day"

[listeners.Scan]
first_run = 490001
min_events = 1700

[listeners.Scan.match]
run_type = "LarCalibL1Calo"
gain_strategy = ["CalibGainsEt", "GainOneOvEmbFcalHighEta"]
end = { known = true }

[listeners.Standalone]
match = { run_type = { contains = "Phys" }, tier0_tag = { not_in = ["L1CaloEnergyScan"] } }

[jobs.LArL1CaloRampMaker]
listeners = ["Scan"]
command = ["true"]

[jobs.L1CaloCalibD3PD]
listeners = ["Scan", "Standalone"]
validate = true
command = ["true"]

[batch]
slots = 2
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command printed, and how it ended."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        """Read what it printed."""
        return json.loads(self.out)


class Site:
    """A folder with listeners.toml and state/caf.db, and the command line as it is typed there."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.config = folder / "listeners.toml"
        self.state = folder / "state"
        self._patch, self._capsys = monkeypatch, capsys

    def caf(self, *words: str) -> Answer:
        """Type a command."""
        self._patch.setattr(sys, "argv", ["caf", *words])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            command.main()
        out, err = self._capsys.readouterr()
        assert "Traceback" not in out + err
        return Answer(int(end.value.code or 0), out, err)

    def python(self, *words: str, before: str = "") -> "subprocess.CompletedProcess[str]":
        """Type a command in a fresh interpreter, after some code."""
        code = f"import sys; sys.argv[0] = 'caf'\n{before}\nfrom caf.cli.main import main\nmain()"
        return subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=self.folder,
            env={"PYTHONPATH": TOP, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def terminal(self, columns: int, *words: str, **environment: str) -> list[str]:
        """Type a command in a terminal so wide; gives the lines that it shows."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-m", "caf", *words],
            cwd=self.folder,
            env={"PYTHONPATH": TOP, "PATH": "/usr/bin:/bin", **environment},
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # so a terminal ends whose other side is closed
            while block := os.read(ours, 65536):
                shown += block
        os.close(ours)
        process.wait(timeout=60)
        return shown.decode().splitlines()

    def open(self) -> sqlite3.Connection:
        """Open the database as the supervisor does."""
        self.state.mkdir(exist_ok=True)
        return connect(self.state / "caf.db", create=True)

    def area(self, run: int, job: str, attempt: int = 1) -> Path:
        """Make an attempt's working area."""
        area = self.folder / "work" / f"{run}_{job}" / str(attempt)
        (area / "log").mkdir(parents=True)
        return area


def a_run(number: int, **given: Any) -> dict[str, Any]:
    """Give a snapshot's row of a run that Scan takes."""
    start = 1_699_990_000 * SECOND + number
    row = {
        "run": number,
        "run_type": "LarCalibL1Calo",
        "partition": "L1CaloCombined",
        "detector_mask": f"{0x7C00000000:032x}",
        "recorded": 1,
        "start": start,
        "end": start + 600 * SECOND,
        "stored_events": 2000,
        "tier0_tag": "L1CaloEnergyScan",
        "gain_strategy": "CalibGainsEt",
        "extra": json.dumps({"timing_regime": "late"}),
    }
    return row | given


RUNS = (
    a_run(490001),
    a_run(490002, gain_strategy="Nonsense", stored_events=12),
    a_run(490003, end=None),
    a_run(490004, run_type=HOSTILE, partition="tel\x07l", tier0_tag="", extra=None),
    a_run(490005, run_type="cismono", notes=json.dumps({"tier0_tag": {"final": False, "from": 490001}})),
    a_run(490006),
    a_run(490010),
)


def absorb(conn: sqlite3.Connection, folder: Path, runs: tuple[dict[str, Any], ...], now: float) -> int:
    """Do what a round of discover does."""
    path = folder / "snapshot.db"
    written = snapshot.create(str(path))
    for row in runs:
        names = ", ".join(f'"{name}"' for name in row)
        written.execute(f"INSERT INTO run ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
    written.close()
    configuration = parse(CONFIGURATION, folder / "listeners.toml")
    number = configurations.keep(
        conn, CONFIGURATION, sha256(CONFIGURATION.encode()).hexdigest(), str(configuration.path), now
    )
    rules = Rules(
        number, configuration.listeners_in_force(), configuration.corrections_in_force(), int(86_400 * SECOND)
    )
    discovery.attach(conn, str(path))
    discovery.absorb(conn, rules, -1, 1000, now, int(now * SECOND))
    discovery.detach(conn)
    # These runs are old, and nobody is to be called.
    discovery.keep_source(conn, discovery.Absorbed({}, [], [], int(now * SECOND), 1e10), now)
    due = making.due_runs(conn)
    new = [
        making.NewJob(
            row["run"],
            name,
            row["listener"],
            waits="the job asks for validation"
            if configuration.jobs[name].needs_validation
            else ("12 of 1700 events: a person must validate it" if row["needs_validation"] else None),
        )
        for row in due
        for name in configuration.jobs_for(row["listener"])
    ]
    making.make(conn, number, new, [row["run"] for row in due], now)
    return number


Move = Callable[..., None]


def move(conn: sqlite3.Connection, run: int, job: str, *states: State, **last: Any) -> None:
    """Take a job along legal states, as the organise duty does; `last` belongs to the last change."""
    for place, target in enumerate(states):
        row = jobs.find(conn, run, job)
        if target is State.SUBMITTING:
            jobs.claim_tokens(conn, [row["id"]], NOW)
            continue
        more: dict[str, Any] = {"why": "as it goes"} | (last if place == len(states) - 1 else {})
        change = jobs.Change(row["id"], State(row["state"]), row["attempt"], target, **more)
        assert jobs.apply(conn, [change], more.pop("now", NOW)) == [True]
