"""The local batch system: jobs are processes of this machine, and outlive the supervisor that started them.

A job is its wrapper's process, known by pid, start time and boot, so that a pid that is used again is never taken for
it. Children and adopted jobs alike are watched by a pidfd: the end of either is noticed at once. A wrapper that was
killed may leave its payload behind; such survivors are found by the token in their environment, and while there is
one the job is running.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress

from caf.batch.interface import Submission, Watched
from caf.batch.processes import (
    NOT_FOR_OTHERS,
    SHELL,
    Identity,
    boot_id,
    environment_of,
    prepare_for_children,
    process_of,
    process_start,
    spawn,
    survivors,
)
from caf.domain.errors import BatchError
from caf.domain.following import Sight, Sighting
from caf.domain.jobs import Result

KILL_AFTER = 10.0  # s between asking a job to end and making it end
FORGET_AFTER = 600.0  # s from then on, until it is not remembered any more that it was asked
TOGETHER = 0.005  # s between the end of a job and the word of it, while others run that may end as well
UNHURRIED = 0.02  # s, where so many wait here for their turn that none of the slots is empty meanwhile
WAITS = "it begins as soon as a job of this machine ends"


class LocalBatch:
    """Runs attempts on this machine; `on_end` is called on the event loop whenever one has ended, or may have.

    No more run at once than there are `slots`: what is handed over beyond them waits, and begins as soon as one ends.
    """

    submit_grace: float | None = 0.0
    keeps_walltime = False
    has_groups = False
    id_variable = None

    def __init__(
        self, on_end: Callable[[], None], *, clock: Callable[[], float], slots: Callable[[], int] = lambda: 1_000_000
    ) -> None:
        self._on_end = on_end
        self._clock = clock
        self._slots = slots
        self._waiting: dict[str, Submission] = {}  # by token, in their order
        self._boot = boot_id()
        self._children: set[int] = set()  # pids of processes that this one started, and has not reaped
        self._watched: dict[Identity, int] = {}  # to the pidfd
        self._unwatched: dict[int, tuple[int | None, str]] = {}  # pid to start and token: none was to be had
        self._asked_to_end: dict[str, float] = {}  # token to when
        self._wrappers: dict[str, Identity] = {}  # token to who led its session
        self._just_ended: set[str] = set()  # tokens
        self._telling: asyncio.TimerHandle | None = None
        # In bytes, as the kernel wants it: a hundred variables would be encoded anew for each job.
        self._environment = {n: value for n, value in os.environb.items() if n and n not in NOT_FOR_OTHERS}
        prepare_for_children()

    async def group_use(self, group: str) -> int | None:
        """Say that it is not known: this machine has no groups."""
        return None

    async def submit(self, submission: Submission) -> Sighting:
        """Start the wrapper in a session of its own, now or when it is its turn.

        Its area is entered by the shell, where a hang hurts nobody.
        """
        if self._waiting or self._in_use() >= self._slots():
            self._waiting[submission.token] = submission
            return Sighting(Sight.PENDING, reason=WAITS)
        return self._start(submission)

    def _in_use(self) -> int:
        return len(self._watched) + len(self._unwatched)

    def _start_waiting(self) -> None:
        while self._waiting and self._in_use() < self._slots():
            token, submission = next(iter(self._waiting.items()))
            del self._waiting[token]
            try:
                self._start(submission)
            except BatchError:  # nobody knows it any more, and so it is seen to have ended before it began
                self._just_ended.add(token)

    def _start(self, submission: Submission) -> Sighting:
        try:
            environment = {**self._environment, b"CAF_TOKEN": submission.token.encode("ascii")}
            pid = spawn(SHELL, [SHELL, submission.script], environment)
        except OSError as error:
            raise BatchError(f"no process could be started: {error.strerror}: see `ulimit -u` and memory") from None
        self._children.add(pid)
        try:
            ticks = process_start(pid)
        except BatchError:  # it runs, and its start record will tell the rest
            self._unwatched[pid] = (None, submission.token)
            return Sighting(Sight.RUNNING)
        if ticks is None:  # over already: its records tell
            self._reap(pid)
            self._tell(submission.token)
            return Sighting(Sight.RUNNING)
        identity = Identity(pid, ticks, self._boot[:8])
        self._watch(identity, submission.token)
        return Sighting(Sight.RUNNING, str(identity))

    def _reap(self, pid: int) -> None:
        """Let a process that has ended go, if it is this one's child."""
        if pid in self._children:
            self._children.remove(pid)
            os.waitpid(pid, 0)

    async def look(self, watched: Sequence[Watched]) -> dict[str, Sighting]:
        """Say of each whether its process, or one that it left behind, is alive."""
        for pid, (ticks, token) in list(self._unwatched.items()):
            if self._is_over(pid, ticks):
                self._ended(Identity(pid, ticks or 0, self._boot[:8]), token)
        return {one.token: self._look(one) for one in watched}

    def _is_over(self, pid: int, ticks: int | None) -> bool:
        """Tell whether one that no descriptor watches has ended; of a child that takes none."""
        if pid in self._children:
            return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        return process_start(pid) != ticks

    def _look(self, one: Watched) -> Sighting:
        if one.token in self._waiting:
            return Sighting(Sight.PENDING, reason=WAITS)
        host = (one.start or {}).get("host")
        if host and host != os.uname().nodename:
            return Sighting(Sight.UNKNOWN, one.batch_id, f"it was started on {host}, not on this machine")
        identity = self._identity(one)
        if identity is not None and identity.boot != self._boot[:8]:
            return Sighting(Sight.ENDED, str(identity), "the machine was restarted", Result.NODE)
        if identity is not None and process_start(identity.pid) == identity.ticks:
            self._watch(identity, one.token)
            return Sighting(Sight.RUNNING, str(identity))
        batch_id = str(identity) if identity else None
        if alive := survivors(one.token, self._session_of(one.token, self._identity(one))):
            if (ticks := process_start(alive[0])) is not None:
                self._watch(Identity(alive[0], ticks, self._boot[:8]), one.token)
            return Sighting(Sight.RUNNING, batch_id, f"its wrapper is gone, but process {alive[0]} of it lives")
        if one.token not in self._asked_to_end:
            self._wrappers.pop(one.token, None)
        return Sighting(Sight.ENDED, batch_id, "its process is gone", Result.NODE)

    def _session_of(self, token: str, identity: Identity | None = None) -> int | None:
        """Give the session of an attempt that began on this boot; its wrapper leads it, so it has the wrapper's pid.

        A leader that is gone is believed; one that is there must be the attempt's own, now and at every use: its number
        may belong to somebody else by then, who must not be hurt.
        """
        if identity is not None:
            self._wrappers[token] = identity
        identity = self._wrappers.get(token)
        if identity is None or identity.boot != self._boot[:8]:
            return None
        leader = process_start(identity.pid)
        carries = b"CAF_TOKEN=" + token.encode("ascii") in environment_of(str(identity.pid)).split(b"\0")
        return identity.pid if leader is None or (leader == identity.ticks and carries) else None

    def _identity(self, one: Watched) -> Identity | None:
        if one.batch_id is not None:
            return Identity.parse(one.batch_id)
        told = process_of(one.start or {})
        return Identity.parse(told) if told else None

    async def cancel(self, watched: Sequence[Watched]) -> None:
        """Send TERM to all processes of each attempt, and KILL to those that are still there later."""
        for one in watched:
            self._waiting.pop(one.token, None)
            self._session_of(one.token, self._identity(one))
            if one.token not in self._asked_to_end:
                self._asked_to_end[one.token] = self._clock()
                asyncio.get_running_loop().call_later(KILL_AFTER, self._make_end, one.token)
            hard = self._clock() - self._asked_to_end[one.token] >= KILL_AFTER
            self._signal(one.token, signal.SIGKILL if hard else signal.SIGTERM)

    def _make_end(self, token: str) -> None:
        """Kill what has not heeded TERM. No round may come soon, and none at all if it is only what a payload left."""
        with suppress(BatchError):  # what cannot be looked at now is asked to end once more in a later round
            self._signal(token, signal.SIGKILL)
        self._tell(token)
        asyncio.get_running_loop().call_later(FORGET_AFTER, self._forget, token)

    def _forget(self, token: str) -> None:
        """Forget an attempt that was ended. One that is there even so is asked anew, and found by its row's process."""
        self._asked_to_end.pop(token, None)
        self._wrappers.pop(token, None)

    def _signal(self, token: str, number: signal.Signals) -> None:
        for pid in survivors(token, self._session_of(token)):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def take_ended(self) -> set[str]:
        """Give the tokens of the attempts that have ended, or may have, since this was last asked."""
        ended, self._just_ended = self._just_ended, set()
        return ended

    def _tell(self, token: str) -> None:
        """Say that one has ended: at once if no other runs, else together with those that end within an instant."""
        self._just_ended.add(token)
        if not self._watched:
            self._tell_now()
        elif self._telling is None:
            delay = UNHURRIED if len(self._waiting) > self._slots() else TOGETHER
            self._telling = asyncio.get_running_loop().call_later(delay, self._tell_now)

    def _tell_now(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        self._on_end()

    def _watch(self, identity: Identity, token: str) -> None:
        """Have the event loop told when the process ends."""
        if identity in self._watched:
            return
        try:
            descriptor = os.pidfd_open(identity.pid)
        except ProcessLookupError:  # just ended
            self._ended(identity, token)
            return
        except OSError:  # no descriptor to be had: its end is seen in a later round
            self._unwatched[identity.pid] = (identity.ticks, token)
            return
        self._unwatched.pop(identity.pid, None)
        self._watched[identity] = descriptor
        asyncio.get_running_loop().add_reader(descriptor, self._ended, identity, token)

    def _ended(self, identity: Identity, token: str) -> None:
        self._unwatched.pop(identity.pid, None)
        descriptor = self._watched.pop(identity, None)
        if descriptor is not None:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)
        self._reap(identity.pid)
        self._start_waiting()
        self._tell(token)

    async def close(self) -> None:
        """Stop watching. The jobs go on, and the next supervisor adopts them."""
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        self._waiting.clear()
        for descriptor in self._watched.values():
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)
        self._watched.clear()
        self._unwatched.clear()
        self._children.clear()
