"""The file child: one long-lived process that does whatever may hang, so that nothing else ever does.

A file system that does not answer holds its caller in the kernel, where no time-out reaches. So the supervisor never
touches working areas, raw files, replicas or outputs itself: it asks this child, kills it when it is late, and starts
another. One that cannot even be killed is left behind and counted.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from caf.domain import errors
from caf.domain.errors import CafError, StorageError, StorageTimeout

PROGRAM = Path(__file__).with_name("child_main.py")
LONGEST = 256 * 1024 * 1024  # bytes of one answer
DEATH = 5.0  # s that a killed child may take to die
CLOSING = 2.0  # s that a child may take to end by itself


class FileChild:
    """The supervisor's side of a file child; one for each file system that may hang by itself.

    `calls` gives each call's name its "module:function": plain functions with JSON arguments and results. Calls are
    done one at a time, in the order in which they were made. The process is started by the first call.
    """

    def __init__(self, calls: Mapping[str, str], *, death: float = DEATH) -> None:
        self._calls = dict(calls)
        self._death = death
        self._turn = asyncio.Lock()
        self._number = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._dying: list[subprocess.Popen[bytes]] = []
        self._left: list[subprocess.Popen[bytes]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def abandoned(self) -> int:
        """How many children were killed and did not die in time, and still have not: each hangs in a file system."""
        self._left = [process for process in self._left if process.poll() is None]
        return len(self._left)

    @property
    def pid(self) -> int | None:
        """The present child's process id; None if there is none."""
        return self._process.pid if self._process else None

    async def call(self, name: str, *args: Any, timeout: float, **keywords: Any) -> Any:
        """Have one call done and give its result; what it raised in the child is raised here.

        The time (s) counts from the call's turn. StorageTimeout if it is over: the child is then killed and the next
        call gets a new one. StorageError, transient, if the child ended by itself. Cancelling kills it too.
        """
        if args and keywords:
            raise TypeError(f"{name}: arguments by position or by name, not both")
        async with self._turn:
            return _result(await self._ask(name, keywords or list(args), timeout))

    async def many(self, calls: Iterable[tuple[str, Sequence[Any]]], *, timeout: float) -> list[Any]:
        """Have a batch done in one exchange; the list holds each one's result, or the CafError that it raised."""
        batch = [{"call": name, "args": list(args)} for name, args in calls]
        answers = await self.call("many", batch, timeout=timeout)
        return [_error(answer["error"]) if "error" in answer else answer["result"] for answer in answers]

    async def close(self) -> None:
        """End the child: by the end of its input, and where that does not help at once, by a kill."""
        try:
            if self._process and self._streams:
                self._streams[1].close()
                await _gone([self._process], CLOSING)
        finally:
            self._discard()
            # A cancelled task cannot wait any more; a killed child takes only milliseconds, and should be reaped.
            for process in self._dying:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0.2)
        await self._bury()

    async def _ask(self, name: str, args: Any, timeout: float) -> dict[str, Any]:
        """Exchange one request for its answer. Whatever comes between costs the child, but never the next call."""
        self._number += 1
        request = json.dumps({"id": self._number, "call": name, "args": args}).encode("ascii") + b"\n"
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await self._ready()
                writer.write(request)
                await writer.drain()
                line = await reader.readline()
                if not line.endswith(b"\n"):
                    raise ConnectionResetError("it closed its answers")
        except TimeoutError:
            self._discard()
            await self._bury()
            hangs = f", and its process cannot be killed ({self.abandoned} by now)" if self.abandoned else ""
            raise StorageTimeout(f"{name} was not done within {timeout:g} s{hangs}: is a file system down?") from None
        except OSError as error:
            failure = StorageError(f"file child ended during {name}: {self._ending() or error}")
            failure.transient = True
            self._discard()
            raise failure from error
        except ValueError as error:
            self._discard()
            raise StorageError(f"answer to {name} is longer than {LONGEST} bytes: ask for less at once") from error
        except BaseException:
            # Cancelled: the answer that may still come must not be taken for the next call's.
            self._discard()
            raise
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def _ready(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Give the streams of a living child. A new one starts only when those killed are gone or given up."""
        if self._process and self._process.poll() is not None:
            self._discard()
        if not self._streams:
            await self._bury()
            ours, its = socket.socketpair()
            try:
                with its:
                    self._process = _start(self._calls, its)
                self._streams = await asyncio.open_connection(sock=ours, limit=LONGEST)
            except BaseException:
                ours.close()
                raise
        return self._streams

    def _ending(self) -> str | None:
        """Say how the child ended, if it has."""
        if not self._process:
            return None
        try:
            code = self._process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            return None
        return f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit status {code}"

    def _discard(self) -> None:
        """Kill the present child and forget it, without waiting."""
        if self._streams:
            self._streams[1].transport.abort()
            self._streams = None
        if self._process:
            _kill(self._process)
            self._dying.append(self._process)
            self._process = None

    async def _bury(self) -> None:
        """Wait for the killed to die; those that do not in time are given up."""
        await _gone(self._dying, self._death)
        self._left += [process for process in self._dying if process.poll() is None]
        self._dying.clear()


def _start(calls: Mapping[str, str], end: socket.socket) -> subprocess.Popen[bytes]:
    # -P: the program's own folder has modules named like some of Python's.
    command = [sys.executable, "-P", str(PROGRAM), json.dumps(calls)]
    return subprocess.Popen(command, stdin=end.fileno(), stdout=end.fileno(), start_new_session=True)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:  # not reaped yet, so that the number is still its own
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


async def _gone(processes: Sequence[subprocess.Popen[bytes]], patience: float) -> None:
    """Wait until all have died, for at most so many seconds."""
    loop = asyncio.get_running_loop()
    pause, end = 0.001, loop.time() + patience
    while any(process.poll() is None for process in processes) and loop.time() < end:
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.05)


def _result(answer: dict[str, Any]) -> Any:
    if "error" in answer:
        raise _error(answer["error"])
    return answer["result"]


def _error(told: dict[str, Any]) -> CafError:
    kind = getattr(errors, told["type"], StorageError)
    error: CafError = kind(told["message"])
    error.transient = told["transient"]
    return error
