"""`caf demo`: a complete rehearsal with the real supervisor, real jobs and a replica in COOL's own schema."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from caf.demo.scene import RUNS, VALIDATED, Scene
from caf.domain.errors import CafError, Refused
from caf.paths import DATABASE
from caf.store.database import connect

PATIENCE = 120.0  # s for everything; it usually takes ten
PAUSE = 0.1
FINAL = {"DONE", "FAILED", "REJECTED", "CANCELLED"}
REST = FINAL | {"WAITING"}


class Progress(Protocol):
    """What shows how many jobs have come to rest, of how many; hidden while something else is printed."""

    def __call__(self, done: float, whole: float) -> None:
        """Show it."""

    def hide(self) -> None:
        """Take it away."""


def rehearse(directory: Path, progress: Progress) -> int:
    """Play everything in an empty folder and print what happened; 0 when all ended as rehearsed."""
    directory = directory.absolute()
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise Refused(f"{directory} is not an empty folder: name another one, as in: caf demo my-rehearsal")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        scene = Scene(directory, time.time_ns())
        scene.build()
    except OSError as error:
        raise CafError(f"{error.filename or directory}: the rehearsal cannot be set up: {error.strerror}") from None
    print(f"A rehearsal in {directory}: a COOL replica with {len(RUNS)} runs, their raw files, and real jobs.\n")
    begun = time.monotonic()
    with _supervisor(directory, progress) as follow:
        _play(directory, scene, follow)
    return _report(directory, time.monotonic() - begun)


@contextmanager
def _supervisor(directory: Path, progress: Progress) -> Iterator[Callable[[Callable[[], bool], str], None]]:
    """Run the supervisor with its log in a file; gives a function that waits for something and tells what is logged."""
    log = directory / "caf.log"
    command = [sys.executable, "-m", "caf", "run", "--config", str(directory / "listeners.toml")]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
    end = time.monotonic() + PATIENCE
    database, jobs = directory / "state" / DATABASE, sum(len(played.jobs) for played in RUNS)
    with log.open(encoding="utf-8", errors="replace") as told:

        def follow(reached: Callable[[], bool], what: str) -> None:
            while not reached():
                if lines := told.readlines():
                    progress.hide()
                    _tell(lines)
                progress(_at_rest(database), jobs)
                if process.poll() is not None:
                    raise CafError(f"the supervisor ended by itself (status {process.returncode}): see {log}")
                if time.monotonic() > end:
                    raise CafError(f"{what} did not happen within {PATIENCE:g} s: see {log}")
                time.sleep(PAUSE)
            progress.hide()
            _tell(told.readlines())

        try:
            yield follow
        finally:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _play(directory: Path, scene: Scene, follow: Callable[[Callable[[], bool], str], None]) -> None:
    """The plot: all that can be decided is done; a run ends late; an operator starts a job that waited."""
    late = next(played for played in RUNS if played.late)
    database = directory / "state" / DATABASE
    follow(lambda: _quiet(database, open_runs=1), "the first look at the runs and their jobs")
    print(f"\nRun {late.run} had not ended; its end-of-run record and its counters are written now.\n")
    scene.end_late_runs(time.time_ns())
    follow(lambda: _quiet(database, open_runs=0), f"the end of run {late.run}")
    run, job = VALIDATED
    command = ["jobs", "start", str(run), job, "--reason", "looks fine"]
    print(f"\nAn operator types: caf {shlex.join(command)}\n")
    config = ["--config", str(directory / "listeners.toml")]
    subprocess.run([sys.executable, "-m", "caf", *command, *config], check=True, timeout=60, stdout=subprocess.DEVNULL)
    follow(lambda: _quiet(database, open_runs=0) and _state(database, run, job) == "DONE", f"{job} of run {run}")


def _quiet(database: Path, *, open_runs: int) -> bool:
    """Tell whether every run but so many is decided, and every job has ended or waits for a person."""
    if not database.exists():
        return False
    try:
        with closing(connect(database)) as conn:
            runs = dict(conn.execute("SELECT status, runs FROM run_count").fetchall())
            jobs = dict(conn.execute("SELECT state, sum(jobs) FROM job_count GROUP BY state").fetchall())
            due = conn.execute("SELECT count(*) FROM run WHERE jobs_due = 1").fetchone()[0]
    except CafError:
        return False  # being made just now
    busy = sum(count for state, count in jobs.items() if state not in REST)
    return sum(runs.values()) == len(RUNS) and runs.get("OPEN", 0) == open_runs and not busy and not due


def _at_rest(database: Path) -> int:
    """Count the jobs that have ended or wait for a person."""
    try:
        with closing(connect(database)) as conn:
            return sum(row[1] for row in conn.execute("SELECT state, jobs FROM job_count") if row[0] in REST)
    except CafError:
        return 0  # being made just now


def _state(database: Path, run: int, job: str) -> str:
    with closing(connect(database)) as conn:
        return str(conn.execute("SELECT state FROM job WHERE run = ? AND job = ?", (run, job)).fetchone()[0])


def _tell(lines: list[str]) -> None:
    """Print what a newcomer should see of the log."""
    for line in lines:
        try:
            event: dict[str, Any] = json.loads(line)
        except ValueError:
            print(f"  {line.rstrip()}")
            continue
        name, run = str(event.get("event")), event.get("run")
        if name.startswith("run."):
            by = f" by {event['listener']}" if event.get("listener") else ""
            print(f"  run {run} is {name.removeprefix('run.').upper()}{by}")
        elif name == "job.moved" and event.get("became") in {"RUNNING", *FINAL}:
            why = f": {event['why']}" if event["became"] == "FAILED" else ""
            print(f"  run {run}, {event['job']}: {event['became']}{why}")
        elif event.get("level") in {"warning", "error"}:
            print(f"  {name}: {event.get('error') or event.get('why') or ''}")
        sys.stdout.flush()


def _report(directory: Path, seconds: float) -> int:
    """Compare what happened with what was rehearsed, and say where to look."""
    with closing(connect(directory / "state" / DATABASE)) as conn:
        runs = {row[0]: tuple(row[1:]) for row in conn.execute("SELECT run, status, listener FROM run")}
        jobs = {tuple(row[:2]): tuple(row[2:]) for row in conn.execute("SELECT run, job, state, result FROM job")}
    wrong = 0
    print(f"\nAfter {seconds:.0f} s everything is quiet:\n")
    for played in RUNS:
        status = "ACCEPTED" if played.listener else "UNCLAIMED"
        good = runs.get(played.run) == (status, played.listener)
        wrong += not good
        taken = f"taken by {played.listener}" if played.listener else "taken by no listener"
        print(f"  {played.run}  {played.what:31} {taken if good else f'NOT AS REHEARSED: {runs.get(played.run)}'}")
        expected = {(played.run, job): (state, result) for job, state, result in played.jobs}
        for key in sorted({*expected, *(key for key in jobs if key[0] == played.run)}, key=str):
            good = jobs.get(key) == expected.get(key)
            wrong += not good
            state, result = jobs.get(key, ("not made", None))
            note = f" ({result})" if state == "FAILED" else ""
            print(f"          {key[1]:31} {state}{note}{'' if good else f'  NOT AS REHEARSED: {expected.get(key)}'}")
    _advise(directory)
    print(
        "\nAll ended as rehearsed." if not wrong else f"\n{wrong} things did not end as rehearsed: see caf.log there."
    )
    return 1 if wrong else 0


def _advise(directory: Path) -> None:
    folder = os.path.relpath(directory)
    where = shlex.quote(folder if len(folder) < len(str(directory)) else str(directory))
    failed = next(played.run for played in RUNS if played.broken)
    caf = "caf" if shutil.which("caf") else shlex.quote(str(Path(sys.argv[0]).absolute()))
    print(f"\nThe failed job is meant to fail: its raw file is damaged. Look around, after: cd {where}\n")
    for command in (
        "status",
        "jobs list",
        f"jobs why {failed} LArL1CaloRampMaker",
        f"listeners explain {RUNS[4].run}",
        f"jobs start {RUNS[1].run} LArL1CaloRampMaker",
        "run --once        (once to run it, once more to judge it)",
    ):
        print(f"  {caf} {command}")
