"""A batch system with every fault that was ever seen in a real one, driven by a seed, on a virtual clock.

`BatchServer` is the system itself: it starts scripts on the nodes, loses answers, hides and forgets jobs, shows rows
twice, hangs, requeues, and uses its ids again. `MisbehavingBatch` is what a driver in caf is: honest, and no wiser.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from caf.batch.interface import BatchRefused, Submission, Watched
from caf.domain.errors import BatchError
from caf.domain.following import Sight, Sighting, together
from caf.domain.jobs import Result
from tests.simulation.nodes import HOUR, MINUTE, Nodes, Process


class Phase(Enum):
    QUEUED = "queued"
    RUNNING = "running"
    LOST = "lost"  # its node is gone, and the system is not sure yet
    OVER = "over"


@dataclass(slots=True)
class Entry:
    """One job of the batch system."""

    batch_id: str
    token: str
    script: str
    phase: Phase = Phase.QUEUED
    due: float = 0.0  # when it starts, or when a lost node is given up
    visible_from: float = 0.0
    hidden: tuple[float, float] = (0.0, 0.0)
    forgotten_at: float = float("inf")
    process: Process | None = None
    requeues: int = 0
    reason: str | None = None
    result: Result | None = None
    cancel_at: float | None = None
    hard: bool = False

    def shown(self, now: float) -> bool:
        return self.visible_from <= now < self.forgotten_at and not self.hidden[0] <= now < self.hidden[1]


@dataclass
class BatchServer:
    """The batch system, as it really is."""

    draw: random.Random
    now: Callable[[], float]
    nodes: Nodes
    faults: Counter[str] = field(default_factory=Counter)
    entries: dict[str, list[Entry]] = field(default_factory=dict)  # by token
    active: list[Entry] = field(default_factory=list)
    healthy: bool = False
    silent_until: float = 0.0
    just_ended: set[str] = field(default_factory=set)
    _next_id: int = 1
    _running: dict[int, Entry] = field(default_factory=dict)  # by its process

    def happens(self, fault: str, chance: float) -> bool:
        """Throw the dice for a fault, and count it."""
        if self.healthy or self.draw.random() >= chance:
            return False
        self.faults[fault] += 1
        return True

    def accept(self, submission: Submission, *, late: bool = False) -> Entry:
        """Take a job for good."""
        if self.happens("ids used again", 0.01):
            self._next_id = 1
        entry = Entry(str(self._next_id), submission.token, submission.script)
        self._next_id += 1
        now = self.now()
        entry.due = now + (0.0 if self.healthy else self.draw.choice((0.0, 5.0, MINUTE, 20 * MINUTE, 3 * HOUR)))
        if late:
            entry.visible_from = now + self.draw.choice((MINUTE, HOUR, 3 * HOUR))
            entry.due = max(entry.due, entry.visible_from)
        elif self.happens("late visibility", 0.1):
            entry.visible_from = now + self.draw.choice((30.0, 11 * MINUTE, HOUR))
        if self.happens("forgotten for a while", 0.05):
            begin = now + self.draw.uniform(0, HOUR)
            entry.hidden = (begin, begin + self.draw.choice((5 * MINUTE, HOUR, 6 * HOUR)))
        if self.happens("forgotten for ever", 0.02):
            entry.forgotten_at = now + self.draw.uniform(0, 2 * HOUR)
        self.entries.setdefault(submission.token, []).append(entry)
        self.active.append(entry)
        return entry

    def next_due(self) -> float | None:
        times = [e.due for e in self.active if e.phase in (Phase.QUEUED, Phase.LOST)]
        times += [e.cancel_at for e in self.active if e.cancel_at is not None]
        return min(times, default=None)

    def step(self) -> None:
        """Do all that is due."""
        now = self.now()
        for entry in [*self.active]:
            if entry.cancel_at is not None and entry.cancel_at <= now:
                self._cancel(entry)
            elif entry.phase is Phase.QUEUED and entry.due <= now:
                self._start(entry)
            elif entry.phase is Phase.LOST and entry.due <= now:
                self._give_up(entry)
        self.active = [entry for entry in self.active if entry.phase is not Phase.OVER]

    def _start(self, entry: Entry) -> None:
        entry.process = self.nodes.start(entry.script, entry.batch_id)
        if entry.process is None:
            self._end(entry, "exit code 127", None)
            return
        entry.phase = Phase.RUNNING
        self._running[id(entry.process)] = entry

    def ended(self, process: Process) -> None:
        """Hear from a node that a process is over."""
        entry = self._running.pop(id(process))
        how = process.doom[1] if process.doom is not None else None
        if how == "die":
            self.faults["node died"] += 1
            entry.phase, entry.due = Phase.LOST, self.now() + self.draw.choice((0.0, MINUTE, HOUR))
        elif how == "memory":
            self.faults["out of memory"] += 1
            self._end(entry, "OUT_OF_MEMORY", Result.MEMORY)
        elif how == "killed":
            self._end(entry, "cancelled", None)
        else:
            self._end(entry, f"ended with {process.code}", None)

    def _give_up(self, entry: Entry) -> None:
        """A node is lost for good: what ran there is over, and perhaps it is put into the queue again."""
        if entry.requeues < 3 and self.happens("requeued by itself", 0.5):
            entry.requeues += 1
            entry.phase, entry.due = Phase.QUEUED, self.now() + self.draw.choice((0.0, 2 * MINUTE, 2 * HOUR))
        else:
            self._end(entry, "NODE_FAIL", Result.NODE)

    def _end(self, entry: Entry, reason: str, result: Result | None) -> None:
        entry.phase, entry.reason, entry.result, entry.cancel_at = Phase.OVER, reason, result, None
        self.just_ended.add(entry.token)
        if self.happens("forgotten soon after its end", 0.05):
            entry.forgotten_at = min(entry.forgotten_at, self.now() + self.draw.uniform(0, 10 * MINUTE))

    def _cancel(self, entry: Entry) -> None:
        entry.cancel_at = None
        if entry.phase in (Phase.QUEUED, Phase.LOST):
            self._end(entry, "cancelled before it began", None)
        elif entry.phase is Phase.RUNNING and entry.process is not None:
            if entry.hard:
                self.nodes.kill(entry.process)
            else:
                entry.hard, entry.cancel_at = True, self.now() + 30.0
                self.nodes.terminate(entry.process)

    def take_ended(self) -> set[str]:
        """Give the tokens of what has ended since this was asked last."""
        ended, self.just_ended = self.just_ended, set()
        return ended

    def requeue_something(self) -> None:
        """Put a running job into the queue again, as an administrator, a preemption or a drained node does."""
        running = [entry for entry in self.active if entry.phase is Phase.RUNNING and entry.process is not None]
        if running and self.happens("requeued while it ran", 0.1):
            entry = self.draw.choice(running)
            assert entry.process is not None
            self._running[id(entry.process)] = Entry("", "", "")  # its end is nobody's
            self.nodes.kill(entry.process)
            entry.phase, entry.due = Phase.QUEUED, self.now() + self.draw.choice((0.0, 2 * MINUTE, HOUR))

    def rows(self, token: str) -> list[Sighting]:
        """Give the rows that are shown for a token, some of them twice, one from a former life."""
        now, found = self.now(), []
        for entry in self.entries.get(token, ()):
            if not entry.shown(now) or self.happens("row left out", 0.02):
                continue
            found.append(self._row(entry))
            if entry.requeues:
                found.append(Sighting(Sight.ENDED, entry.batch_id, "REQUEUED", Result.NODE))
            if self.happens("row twice", 0.02):
                found.append(self._row(entry))
        self.draw.shuffle(found)
        return found

    def _row(self, entry: Entry) -> Sighting:
        match entry.phase:
            case Phase.QUEUED:
                return Sighting(Sight.PENDING, entry.batch_id, "Priority")
            case Phase.RUNNING:
                return Sighting(Sight.RUNNING, entry.batch_id)
            case Phase.LOST:
                return Sighting(Sight.UNKNOWN, entry.batch_id, "UNKWN: its node is lost")
            case Phase.OVER:
                return Sighting(Sight.ENDED, entry.batch_id, entry.reason, entry.result)


class MisbehavingBatch:
    """What caf sees of the system. `pause` lets time pass, and may end the supervisor."""

    submit_grace: float | None = None
    keeps_walltime = True
    has_groups = False
    id_variable = "BATCH_ID"

    def __init__(
        self, server: BatchServer, pause: Callable[[float], None], begun: Callable[[Submission], None]
    ) -> None:
        self.server, self._pause, self._begun = server, pause, begun

    async def group_use(self, group: str) -> int | None:
        return None

    def _answers(self, hang: float) -> None:
        """Come through to the system, or not."""
        server = self.server
        if server.now() < server.silent_until:
            self._pause(hang)
            raise BatchError("the batch system does not answer within 30 s")
        if server.happens("unknown for an hour", 0.004):
            server.silent_until = server.now() + server.draw.choice((5 * MINUTE, HOUR, 4 * HOUR))
        if server.happens("hanging", 0.02):
            self._pause(hang)
            raise BatchError("the batch system did not answer within 30 s")

    async def submit(self, submission: Submission) -> Sighting:
        server = self.server
        self._begun(submission)
        self._pause(1.0)
        self._answers(30.0)
        if server.happens("refused", 0.04):
            raise BatchRefused("no such account")
        if server.happens("refused, and taken all the same", 0.01):
            server.accept(submission)
            raise BatchRefused("socket timed out; not submitted")
        late = server.happens("taken hours later", 0.03)
        entry = server.accept(submission, late=late)
        if server.happens("taken twice", 0.03):
            server.accept(submission, late=server.draw.random() < 0.3)
        self._pause(1.0)
        if late or server.happens("answer lost", 0.08):
            raise BatchError("the batch system did not answer within 30 s")
        if server.happens("garbage for an answer", 0.02):
            return Sighting(Sight.PENDING)
        return Sighting(Sight.PENDING, entry.batch_id)

    async def look(self, watched: Sequence[Watched]) -> dict[str, Sighting]:
        server = self.server
        self._pause(1.0)
        self._answers(60.0)
        if server.happens("garbage", 0.02):
            raise BatchError("the batch system answered what cannot be read: 'slurm_load_jobs erro'")
        found = {one.token: together(rows) for one in watched if (rows := server.rows(one.token))}
        self._pause(2.0)
        return found

    async def cancel(self, watched: Sequence[Watched]) -> None:
        server = self.server
        self._pause(1.0)
        self._answers(30.0)
        for one in watched:
            if server.happens("cancel not heeded", 0.1):
                continue
            for entry in server.entries.get(one.token, ()):
                if entry.phase is Phase.OVER or (one.alone and entry.batch_id != one.batch_id):
                    continue
                if entry.cancel_at is None:
                    entry.cancel_at = server.now() + server.draw.choice((0.0, 5.0, MINUTE))

    async def close(self) -> None:
        pass
