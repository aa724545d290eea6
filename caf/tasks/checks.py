"""Check commands: a job's own programs that say whether a result is good, run beside everything else.

They run on the supervisor's host, in the attempt's area, each in a session of its own that is killed as a group when
its time is up. A round only begins them and takes what has ended; nobody waits. What runs when the supervisor ends is
killed, and begun again by the next one.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from caf.config.units import duration_text
from caf.domain.jobs import Result
from caf.domain.judging import judge_check

AT_ONCE = 4
PIECE, LEFT = 64 * 1024, 16  # bytes read at once; pieces read when it has ended: a pipe holds 1 MiB at most
KEPT = 4096  # bytes of what a check has written last
DEATH = 5.0  # s that a killed check may take to die; one that hangs in a file system is left behind
# The folder is entered by the shell: where that hangs, only the shell does.
ENTER = 'cd "$1" && shift && exec "$@"'
NOT_FOR_CHECKS = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "CAF_TOKEN"}


@dataclass(frozen=True, slots=True)
class Check:
    """One to be run; `limit` in seconds."""

    area: str
    command: Sequence[str]
    limit: float
    environment: Mapping[str, str]
    enter: str = ENTER


@dataclass(slots=True)
class Checks:
    """Those that run and those that have ended, by the attempt's token. `on_end` is called when one has ended."""

    on_end: Callable[[], None] = lambda: None
    _running: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _ended: dict[str, tuple[Result, str]] = field(default_factory=dict)
    _ending: set[asyncio.Task[None]] = field(default_factory=set)
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    def begin(self, token: str, check: Check) -> None:
        """Have one run, at its turn."""
        self._running[token] = asyncio.get_running_loop().create_task(self._run(token, check))

    def any(self) -> bool:
        """Tell whether there are any at all."""
        return bool(self._running or self._ended)

    def runs(self, token: str) -> bool:
        """Tell whether one runs, or waits for its turn."""
        return token in self._running

    def take(self, token: str) -> tuple[Result, str] | None:
        """Give how one has ended, once."""
        return self._ended.pop(token, None)

    def keep_only(self, tokens: Collection[str]) -> None:
        """End those that nobody waits for any more: a person was quicker."""
        for token in [token for token in self._running if token not in tokens]:
            task = self._running.pop(token)
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        for token in [token for token in self._ended if token not in tokens]:
            del self._ended[token]

    async def all_ended(self) -> None:
        """Wait for those that run."""
        if tasks := list(self._running.values()):
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """End all."""
        self.keep_only(())
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _run(self, token: str, check: Check) -> None:
        try:
            async with self._turns:
                code, last = await run_check(check)
            self._ended[token] = judge_check(code, duration_text(check.limit), last)
        except OSError as error:
            why = f"its check could not be started: {error.strerror or error}"
            self._ended[token] = (Result.CHECK, why)
        self._running.pop(token, None)
        self.on_end()


async def run_check(check: Check) -> tuple[int | None, str]:
    """Run one; gives its exit code, None if it did not end in time, and its last line."""
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    try:
        try:
            process = _start(check, theirs)
        finally:
            os.close(theirs)
        return await _until_its_end(process, ours, check.limit)
    finally:
        os.close(ours)


def _start(check: Check, pipe: int) -> subprocess.Popen[bytes]:
    """Start the process, which takes about a millisecond; what may hang is done by its shell."""
    environment = {name: text for name, text in os.environ.items() if name not in NOT_FOR_CHECKS}
    return subprocess.Popen(
        ["/bin/sh", "-c", check.enter, "sh", check.area, *check.command],
        cwd="/",
        env={**environment, **check.environment},
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        start_new_session=True,
    )


async def _until_its_end(process: subprocess.Popen[bytes], pipe: int, limit: float) -> tuple[int | None, str]:
    """Read what it writes until it ends, or its time is up; then end all that is left of it.

    What it leaves behind may keep the pipe open: its own end counts, seen by a pidfd.
    """
    loop, ended, written = asyncio.get_running_loop(), asyncio.Event(), bytearray()
    loop.add_reader(pipe, _read, pipe, written)
    code: int | None = None
    watched: int | None = None
    try:
        watched = os.pidfd_open(process.pid)
        loop.add_reader(watched, ended.set)
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await ended.wait()
            code = process.wait()
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        if watched is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(DEATH):
                    await ended.wait()
            loop.remove_reader(watched)
            os.close(watched)
        process.poll()
        for _ in range(LEFT):
            _read(pipe, written)
        loop.remove_reader(pipe)
    return code, last_line(bytes(written))


def _read(pipe: int, written: bytearray) -> None:
    """Take some of what there is in the pipe, and keep the end of it; others have their turn in between."""
    with suppress(BlockingIOError):
        if not (piece := os.read(pipe, PIECE)):
            asyncio.get_running_loop().remove_reader(pipe)  # everybody has closed it
        written += piece
        del written[:-KEPT]


def last_line(written: bytes) -> str:
    """Give the last line that says something, fit for a terminal."""
    for line in reversed(written.decode("utf-8", "replace").splitlines()):
        if text := "".join(c if c.isprintable() else " " for c in line).strip():
            return text[:300]
    return ""
