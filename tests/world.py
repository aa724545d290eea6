"""A small world to run caf in: a replica with runs, raw files, a payload that says when it starts, and the real caf."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from caf.batch.processes import survivors
from caf.demo.replica import Replica
from caf.demo.run_writer import RunWriter
from caf.domain.runs import SECOND
from tests import warm

MINUTE = 60 * SECOND
Supervisor = subprocess.Popen[bytes] | warm.Started
FINAL = {"DONE", "FAILED", "REJECTED", "CANCELLED"}

CONFIGURATION = """
[caf]
max_new_jobs = 1000
record_grace = "1s"
{caf}
[duties]
discover = "1s"
organise = "1s"

[source]
replicas = ["cool/*.db"]

[listeners.Scan]
raw = ["raw/{{run:08d}}/*"]
[listeners.Scan.match]
run_type = "scan"

[jobs.Fit]
listeners = ["Scan"]
templates = ["payload.sh"]
command = ["config/payload.sh"]
retry_after = "1s"
success = {{ log_has = ["good #RUN"], outputs = ["root/out"] }}
{job}
[batch]
kind = "local"
slots = {slots}
"""

PAYLOAD = """#!/bin/sh
echo "$CAF_RUN $CAF_JOB $CAF_ATTEMPT $CAF_TOKEN" >>{started}
{body}
echo out >root/out
echo "good #RUN"
"""


class World:
    """A folder with all that a supervisor needs."""

    def __init__(
        self, folder: Path, runs: Sequence[int], *, body: str = ":", slots: int = 4, job: str = "", caf: str = ""
    ) -> None:
        self.folder = folder
        self.started = folder / "started.txt"
        self.runs: list[int] = []
        for name in ("cool", "raw", "templates"):
            (folder / name).mkdir()
        (folder / "listeners.toml").write_text(CONFIGURATION.format(slots=slots, job=job, caf=caf))
        payload = folder / "templates" / "payload.sh"
        payload.write_text(PAYLOAD.format(started=self.started, body=body))
        payload.chmod(0o755)
        self.add_runs(runs)

    def add_runs(self, runs: Sequence[int], run_type: str = "scan") -> None:
        """Write complete runs of long ago into the replica, and a raw file for each."""
        self.runs += runs
        path = self.folder / "cool" / "replica.db"
        write = Replica.open if path.exists() else Replica.create
        with write(str(path), "CONDBR2", time.time_ns()) as replica:
            writer = RunWriter(replica)
            for run in runs:
                start = 1_700_000_000 * SECOND + run * MINUTE
                writer.start_run(run, start, run_type=run_type, detector_mask=1)
                writer.end_run(run, start + MINUTE, lumi_blocks=1)
                writer.counters(run, "L1CaloCombined", l1_events=10, ef_events=10, recorded_events=10)
                folder = self.folder / "raw" / f"{run:08d}"
                folder.mkdir(exist_ok=True)
                (folder / "events.RAW").write_text("1 2 3\n")
                os.utime(folder / "events.RAW", ns=(start, start + MINUTE))  # old enough to be whole

    def quick(self) -> Self:
        """Have a round of each duty ten times a second."""
        for duty in ("discover", "organise"):
            self.edit(f'{duty} = "1s"', f'{duty} = "100ms"')
        return self

    @property
    def config(self) -> Path:
        return self.folder / "listeners.toml"

    @property
    def database(self) -> Path:
        return self.folder / "state" / "caf.db"

    def caf(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one command of caf's in a process of its own."""
        words = [*arguments, "--config", str(self.config)]
        if warm.can_be():
            done = warm.run(words, timeout=60)
        else:
            command = [sys.executable, "-m", "caf", *words]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def edit(self, old: str, new: str) -> None:
        """Change listeners.toml where it says `old`."""
        text = self.config.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the file"
        self.config.write_text(text.replace(old, new))

    def supervisor(self, *, before: str = "", environment: Mapping[str, str] | None = None) -> Supervisor:
        """Start the supervisor, its log in a file. `before` is Python that its process does first."""
        main = "import sys; from caf.cli.main import main; main()"
        words, env = ["run", "--config", str(self.config)], {**os.environ, **(environment or {})}
        with (self.folder / "caf.log").open("ab") as log:
            self._log_begins = log.tell()
            if not before and warm.SUPERVISORS and warm.can_be(env):
                return warm.Started(
                    words, stdout=log.fileno(), stderr=log.fileno(), start_new_session=True, environment=env
                )
            program = ["-c", f"{before}\n{main}"] if before else ["-m", "caf"]
            return subprocess.Popen(
                [sys.executable, *program, *words], stdout=log, stderr=log, start_new_session=True, env=env
            )

    @contextmanager
    def running(self, **options: Any) -> Iterator[Supervisor]:
        """Have a supervisor that is ready; it is killed at the end of the block if it has not ended by itself."""
        process = self.supervisor(**options)
        try:
            wait_until(lambda: "supervisor.ready" in self.new_log() or process.poll() is not None, what="readiness")
            assert process.poll() is None, self.new_log()
            yield process
        finally:
            process.kill()
            process.wait()

    def stop(self, process: Supervisor) -> int:
        """End the supervisor in order, once it is up, and give its exit status."""
        wait_until(lambda: "supervisor.ready" in self.new_log(), what="readiness")
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=30)

    def query(self, sql: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Look into the database; a journal that a death has left behind is rolled back by whoever looks first."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=rw", uri=True, timeout=10)) as conn:
            return conn.execute(sql, arguments).fetchall()

    def jobs(self) -> dict[int, tuple[str, str | None, int]]:
        """Give state, result and attempt of each run's job."""
        if not self.database.exists() or self.database.stat().st_size == 0:
            return {}
        rows = self.query("SELECT run, state, result, attempt FROM job")
        return {run: (state, result, attempt) for run, state, result, attempt in rows}

    def state(self, run: int) -> str | None:
        """Give the state of a run's job; None if there is none yet."""
        return self.jobs().get(run, (None,))[0]

    def duty(self, name: str) -> dict[str, Any]:
        """Give how a duty does, as `caf status --json` says; an empty object before its first round."""
        duties = json.loads(self.caf("status", "--json", check=False).stdout)["duties"]
        return next((duty for duty in duties if duty["name"] == name), {})

    def payloads_over(self) -> None:
        """Wait until every payload that was started has left its exit record."""
        claims = [path for path in (self.folder / "work").glob("*/*/claim") if not (path / "revoked").exists()]
        wait_until(lambda: all((path.parent / "exit").exists() for path in claims), 20, "the end of the payloads")

    def end_payloads(self) -> None:
        """End whatever still runs in this world, for the end of a test."""
        if self.database.exists():
            for (token,) in self.query("SELECT token FROM attempt"):
                for pid in survivors(token):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

    def starts(self) -> Counter[str]:
        """Count how often each attempt's payload started, by token."""
        lines = self.started.read_text().splitlines() if self.started.exists() else []
        return Counter(line.split()[3] for line in lines)

    def runs_started(self) -> Counter[int]:
        """Count how many payloads started for each run."""
        lines = self.started.read_text().splitlines() if self.started.exists() else []
        return Counter(int(line.split()[0]) for line in lines)

    def has_done(self, run: int) -> bool:
        """Tell whether a run's job is DONE."""
        return self.state(run) == "DONE"

    def has_started(self, runs: int) -> bool:
        """Tell whether payloads of at least so many runs have started."""
        return len(self.runs_started()) >= runs

    def new_log(self) -> str:
        """Give what the supervisor that was started last has logged."""
        return (self.folder / "caf.log").read_bytes()[self._log_begins :].decode()

    def log(self) -> list[dict[str, Any]]:
        """Give the supervisor's log."""
        return [json.loads(line) for line in (self.folder / "caf.log").read_text().splitlines()]


def wait_until(condition: Callable[[], bool], seconds: float = 30.0, what: str = "it") -> None:
    """Poll until a condition about another process holds; fail after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {seconds:g} s"
        os.sched_yield()
        time.sleep(0.02)
