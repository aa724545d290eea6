"""Nodes that run caf's wrapper in real areas on disk, line by line on a virtual clock, and may die between any two.

What is played here is caf/batch/wrapper.sh; now and then the real one runs instead, so that the play stays faithful.
"""

import heapq
import os
import random
import shlex
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CLAIMED, CANNOT, KILLED, TERMINATED, NO_SCRIPT = 0, 75, 137, 143, 127
MINUTE, HOUR = 60.0, 3600.0
LAG = 60.0  # s; how much later than written a record is seen at most: less than `record_grace`

OUTCOMES = ("good",) * 7 + ("exit_code", "log", "outputs")


@dataclass(slots=True)
class Attempt:
    """What really happened to one token, whatever anybody believes."""

    token: str
    area: Path
    job: str  # run and job, as in the area's path
    number: int
    owner: "Process | None" = None  # who made the claim
    starts: int = 0
    began: float | None = None
    ended: float | None = None  # of the payload, whichever way
    outcome: str | None = None  # good, exit_code, log, outputs; "died" without a record of it
    code: int | None = None
    recorded: float | None = None  # when its exit record was whole

    @property
    def going(self) -> bool:
        """Whether its payload runs, or may still be started by who owns the claim."""
        return self.owner is not None and self.owner.alive and self.ended is None

    @property
    def over(self) -> bool:
        """Whether nothing of it runs and nothing can ever start: by what there is, not by what is believed."""
        return not self.going and (self.area / "claim").is_dir()


@dataclass(slots=True)
class Process:
    """One start of one script. `doom` is at which line it dies or freezes, and how."""

    batch_id: str
    attempt: Attempt
    alive: bool = True
    code: int | None = None
    frozen_until: float = 0.0
    doom: tuple[int, str] | None = None
    lines: int = 0
    asked_to_end: bool = False
    steps: Generator[float, None, int] | None = None


@dataclass
class Nodes:
    """All nodes together, and the file system as the supervisor sees it: records may come late."""

    draw: random.Random
    now: Callable[[], float]
    on_end: Callable[[Process], None]
    attempts: dict[str, Attempt] = field(default_factory=dict)
    seen_from: dict[str, float] = field(default_factory=dict)  # path to when the supervisor's host sees it
    broken: list[str] = field(default_factory=list)  # promises
    real_starts: int = 0
    healthy: bool = False
    _due: list[tuple[float, int, Process]] = field(default_factory=list)
    _count: int = 0

    def start(self, script: str, batch_id: str) -> Process | None:
        """Start a script, as `sh SCRIPT` does; None if there is none."""
        header = _header(Path(script))
        if header is None:
            return None
        area = Path(header["caf_area"])
        token = header["CAF_TOKEN"]
        attempt = self.attempts.get(token)
        if attempt is None:
            attempt = Attempt(token, area, area.parent.name, int(header["CAF_ATTEMPT"]))
            self.attempts[token] = attempt
        process = Process(batch_id, attempt)
        if not self.healthy and self.draw.random() < 0.25:
            how = self.draw.choice(("die", "die", "freeze", "memory"))
            process.doom = (self.draw.choice((0, 1, 2, 3, 4, 5, 5, 5, 6, 7, 8)), how)
        real = self.draw.random() < 0.02 and process.doom is None
        process.steps = self._really(process, Path(script)) if real else self._wrapper(process)
        self._schedule(process, self.now())
        return process

    def _schedule(self, process: Process, when: float) -> None:
        self._count += 1
        heapq.heappush(self._due, (when, self._count, process))

    def next_due(self) -> float | None:
        return self._due[0][0] if self._due else None

    def step(self) -> None:
        """Let the process that is due first do its next line."""
        _, _, process = heapq.heappop(self._due)
        if not process.alive:
            return
        if process.frozen_until > self.now():
            self._schedule(process, process.frozen_until)
            return
        if process.doom is not None and process.lines == process.doom[0]:
            how, process.doom = process.doom[1], None
            if how == "freeze":
                process.frozen_until = self.now() + self.draw.choice((MINUTE, HOUR, 6 * HOUR))
                self._schedule(process, process.frozen_until)
            else:
                self.kill(process, how)
            return
        process.lines += 1
        assert process.steps is not None
        try:
            delay = next(process.steps)
        except StopIteration as done:
            self._over(process, done.value)
        else:
            self._schedule(process, self.now() + delay)

    def kill(self, process: Process, how: str = "killed") -> None:
        """End a process and all that is below it, between two lines."""
        if not process.alive:
            return
        attempt = process.attempt
        if attempt.owner is process and attempt.began is not None and attempt.ended is None:
            attempt.ended, attempt.outcome = self.now(), "died"
        process.doom = (process.lines, how)
        self._over(process, KILLED)

    def _over(self, process: Process, code: int) -> None:
        process.alive, process.code = False, code
        self.on_end(process)

    def terminate(self, process: Process) -> None:
        """Send TERM to all of it: the payload ends, the wrapper outlives it and writes its exit record."""
        if process.alive and not process.asked_to_end:
            process.asked_to_end = True
            if process.attempt.owner is process and process.attempt.began is not None:
                process.frozen_until = 0.0
                self._schedule_soon(process)

    def _schedule_soon(self, process: Process) -> None:
        self._due = [each for each in self._due if each[2] is not process]
        heapq.heapify(self._due)
        self._schedule(process, self.now() + 1.0)

    # The wrapper. Each `yield` is a line's end, and says how long (s) the next one takes.

    def _wrapper(self, process: Process) -> Generator[float, None, int]:
        attempt, draw = process.attempt, self.draw
        area = attempt.area
        yield draw.uniform(0, 2)
        if not area.is_dir():
            return CANNOT
        yield 0.1
        try:
            os.mkdir(area / "claim")
        except FileExistsError:
            return CLAIMED
        except OSError:
            return CANNOT
        attempt.owner = process
        self._lag(area / "claim", sure=True)
        yield draw.choice((0.01, 0.01, 30.0))
        boot = f"uptime={self.now():.2f}"
        start = [f"token={attempt.token}", "host=node7", "boot=b", "pid=7", "ticks=", boot, f"batch={process.batch_id}"]
        if (area / "start").is_dir():
            return CANNOT
        yield from self._record(area / "start", start)
        attempt.starts += 1
        self._check_start(attempt)
        attempt.began = self.now()
        duration = draw.choice((1.0, MINUTE, 10 * MINUTE, HOUR, 3 * HOUR))
        yield duration
        self._end_payload(process)
        yield 0.01
        end = [f"token={attempt.token}", f"code={attempt.code}", "host=node7", "boot=b", "uptime="]
        yield from self._record(area / "exit", end)
        attempt.recorded = self.now()
        yield 0.01
        assert attempt.code is not None
        return attempt.code

    def _end_payload(self, process: Process) -> None:
        attempt = process.attempt
        attempt.outcome = "exit_code" if process.asked_to_end else self.draw.choice(OUTCOMES)
        attempt.code = TERMINATED if process.asked_to_end else 3 if attempt.outcome == "exit_code" else 0
        if attempt.outcome in {"good", "outputs"}:
            (attempt.area / "log" / "stdout").write_text("good\n")
        if attempt.outcome in {"good", "log"}:
            (attempt.area / "root" / "out").write_text("out\n")
        attempt.ended = self.now()

    def _record(self, path: Path, lines: list[str]) -> Iterator[float]:
        """Write a record in two halves: between them it is not whole."""
        with path.open("w") as file:
            file.write("\n".join(lines[:2]) + "\n")
            file.flush()
            self._stamp(path)
            yield 0.01
            file.write("\n".join([*lines[2:], "end", ""]))
        self._stamp(path)
        self._lag(path)
        yield 0.01

    def _stamp(self, path: Path) -> None:
        os.utime(path, (self.now(), self.now()))

    def _lag(self, path: Path, *, sure: bool = False) -> None:
        if not self.healthy and (self.draw.random() < 0.3 or (sure and self.draw.random() < 0.3)):
            self.seen_from[str(path)] = self.now() + self.draw.uniform(0, LAG)

    def _really(self, process: Process, script: Path) -> Generator[float, None, int]:
        """Have the real wrapper run the real payload, in no time."""
        yield self.draw.uniform(0, 2)
        attempt = process.attempt
        environment = {"PATH": os.environ["PATH"], "BATCH_ID": process.batch_id}
        done = subprocess.run(
            ["/bin/sh", script], env=environment, capture_output=True, timeout=60, check=False, start_new_session=True
        )
        started = attempt.area / "root" / "started"
        if started.exists() and attempt.owner is None:
            self.real_starts += 1
            attempt.owner, attempt.began, attempt.code = process, self.now(), done.returncode
            attempt.starts += len(started.read_text().splitlines())
            self._check_start(attempt)
            attempt.ended, attempt.outcome, attempt.recorded = self.now(), "good", self.now()
            for name in ("start", "exit"):
                self._stamp(attempt.area / name)
        elif not (attempt.area / "claim").is_dir():
            self.broken.append(f"{attempt.token}: the real wrapper did not begin: {done.stderr!r}")
        return done.returncode

    def _check_start(self, attempt: Attempt) -> None:
        if attempt.starts != 1:
            self.broken.append(f"{attempt.job}: {attempt.token} started {attempt.starts} times")
        if (attempt.area / "claim" / "revoked").exists():
            self.broken.append(f"{attempt.job}: {attempt.token} started after it was revoked")
        for other in self.attempts.values():
            if other.job == attempt.job and other is not attempt and other.going and other.began is not None:
                self.broken.append(f"{attempt.job}: {attempt.token} started while attempt {other.number} runs")

    def as_seen(self, area: str, raw: dict[str, Any]) -> dict[str, Any]:
        """Take out of what was read in an area what the supervisor's host does not see yet."""
        late = {name for name in ("claim", "start", "exit") if self.seen_from.get(f"{area}/{name}", 0.0) > self.now()}
        seen = dict(raw)
        if "claim" in late:
            seen |= {"claim": False, "claimed_at": None, "revoked": False}
        return seen | dict.fromkeys(late & {"start", "exit"})


def _header(script: Path) -> dict[str, str] | None:
    """Read a script's assignments as a shell would."""
    with suppress(OSError):
        words = [shlex.split(line)[0] for line in script.read_text().split("\n")[2:7]]
        return {name: value for name, equals, value in (word.partition("=") for word in words) if equals}
    return None
