"""How soon caf acts: python -m tests.benchmarks.latency.

First: a complete run appears in the replica while `caf run` is at work. How long is it until its job is handed to the
batch system, and until the payload starts? Most of it is waiting for the next look at the run database. So several
supervisors run at once, each with a world of its own, and their runs come at times spread evenly over the interval.

Second: the supervisor is killed with kill -9 while local jobs run, and half of the payloads end before it is started
again. How long is it from the new start until all jobs are followed again, and those are DONE? Each payload must have
been started once.

Times are of the wall clock, as whoever waits sees them. It is the real program, its database on a real disk.
"""

import argparse
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from caf.config.units import read_duration
from tests.world import Supervisor, World, wait_until

FIRST, NEW = 490001, 490002
LOOK = 0.2  # s between two looks whether a payload has started
UP = 60.0  # s that a supervisor may take to be up and to have done a first round
GATE = "read line <{gate}-$((CAF_RUN % 2)) || :"


def until_submission(folder: Path, interval: str, organise: str, supervisors: int) -> None:
    """Time new runs with this time between two looks at the run database, and print the spread."""
    seconds = read_duration(interval)
    worlds = []
    with ExitStack() as stack:
        for number in range(supervisors):
            place = folder / f"{interval}-{number}"
            place.mkdir()
            world = World(place, [FIRST])
            world.edit('discover = "1s"\norganise = "1s"', f'discover = "{interval}"\norganise = "{organise}"')
            stack.enter_context(world.running())
            wait_until(partial(world.has_done, FIRST), UP, "the first job")
            worlds.append(world)
        waits = _new_runs(worlds, seconds)
    for what, found in zip(("submission", "start of the payload"), zip(*waits, strict=True), strict=True):
        print(
            f"a look every {interval:>4}: from the run in the replica to the {what:20}: "
            f"median {statistics.median(found):.2f} s, least {min(found):.2f}, most {max(found):.2f}  "
            f"({len(found)} runs)",
            flush=True,
        )


def _new_runs(worlds: Sequence[World], seconds: float) -> list[tuple[float, float]]:
    """Give each world its new run at a time of its own within the interval; gives seconds to submission and start."""
    starts = {world: _moment(world, seconds, number, len(worlds)) for number, world in enumerate(reversed(worlds))}
    begun: dict[World, float] = {}
    found: list[tuple[float, float]] = []
    waiting = list(worlds)
    end = time.time() + 3 * seconds + UP
    while waiting:
        if time.time() > end:
            raise SystemExit(f"{len(waiting)} new runs were not begun in {3 * seconds + UP:g} s")
        for world in list(waiting):
            if world not in begun:
                if time.time() >= starts[world]:
                    world.add_runs([NEW])
                    begun[world] = time.time()
            elif world.runs_started()[NEW]:
                asked = world.query("SELECT asked FROM attempt JOIN job ON job.id = job_id WHERE run = ?", NEW)[0][0]
                found.append((asked - begun[world], world.started.stat().st_mtime - begun[world]))
                waiting.remove(world)
        time.sleep(LOOK)
    return found


def _moment(world: World, seconds: float, number: int, many: int) -> float:
    """Give the next moment that is at this world's place between two looks; the last to be started is the first."""
    looked = float(world.query("SELECT started FROM duty WHERE name = 'discover'")[0][0])
    place = looked + seconds * (number + 0.5) / many
    return place + seconds * max(0, math.ceil((time.time() - place) / seconds))


def after_a_kill(folder: Path, jobs: int, times: int) -> None:
    """Time how soon a new supervisor takes up what a killed one has left, and print it."""
    parts = ("ready", "all jobs followed", "those that ended meanwhile DONE")
    found = [_recover(folder / f"kill-{number}", jobs) for number in range(times)]
    for what, seconds in zip(parts, zip(*found, strict=True), strict=True):
        each = " ".join(f"{one:.2f}" for one in seconds)
        print(
            f"kill -9, {jobs} local jobs, started again: {what:32} after {statistics.median(seconds):.2f} s  ({each})"
        )


def _recover(folder: Path, jobs: int) -> tuple[float, float, float]:
    folder.mkdir()
    runs = range(FIRST, FIRST + jobs)
    early = [run for run in runs if run % 2 == 0]
    gates = [folder / "gate-0", folder / "gate-1"]
    for gate in gates:
        os.mkfifo(gate)
    world = World(folder, runs, body=GATE.format(gate=folder / "gate"), slots=jobs)
    world.edit('discover = "1s"\norganise = "1s"', 'discover = "10m"\norganise = "2m"')
    first = world.supervisor()
    _wait(lambda: sum(state == "RUNNING" for state, _, _ in world.jobs().values()) == jobs, first, "RUNNING")
    first.kill()
    first.wait()
    _open(gates[0])
    _wait(lambda: all((folder / "work" / f"{run}_Fit" / "1" / "exit").exists() for run in early), first, "ended")
    begun = time.time()
    with world.running() as second:
        ready = time.time()
        followed = "SELECT succeeded FROM duty WHERE name = 'organise'"
        _wait(lambda: float(world.query(followed)[0][0] or 0) > begun, second, "followed")
        _wait(lambda: all(world.state(run) == "DONE" for run in early), second, "DONE")
        marks = world.query(followed)[0][0], world.query("SELECT max(updated) FROM job WHERE state = 'DONE'")[0][0]
        _open(gates[1])
        _wait(lambda: all(state == "DONE" for state, _, _ in world.jobs().values()), second, "DONE at last")
    if world.runs_started() != dict.fromkeys(runs, 1):
        raise SystemExit(f"not every payload was started once: {world.runs_started()}")
    return ready - begun, marks[0] - begun, marks[1] - begun


def _wait(condition: Callable[[], bool], process: Supervisor, what: str) -> None:
    wait_until(condition, UP, f"{what} (exit status {process.poll()})")


def _open(gate: Path) -> None:
    """Let all go on that wait for somebody to write."""
    os.close(os.open(gate, os.O_WRONLY))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--intervals", nargs="*", default=["10s", "10m"], help="[duties] discover; 10m is the default")
    options.add_argument("--organise", default="2m", help="[duties] organise; 2m is the default")
    options.add_argument("--supervisors", type=int, default=10, help="how many run at once")
    options.add_argument("--jobs", type=int, default=30, help="local jobs that run when the supervisor is killed")
    options.add_argument("--kills", type=int, default=5)
    options.add_argument("--folder", type=Path, help="on which disk; else where temporary files are")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for interval in given.intervals:
            until_submission(Path(folder), interval, given.organise, given.supervisors)
        if given.kills:
            after_a_kill(Path(folder), given.jobs, given.kills)


if __name__ == "__main__":
    main()
