"""Programs of others, such as xrdfs: run with argument lists, several at a time, ended with all that they started."""

import ctypes
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from caf.domain.errors import StorageError, StorageTimeout

LONGEST = 16 * 1024 * 1024  # bytes of what one program says
AT_ONCE = 8  # programs
BREATH = 0.1  # s between two looks whether a program has ended that leaves its outputs open
PACKAGES = {"xrdfs": "xrootd-client", "quota": "quota", "eos": "eos-client", "fs": "openafs-client"}
PDEATHSIG = 1  # linux/prctl.h: PR_SET_PDEATHSIG


@dataclass(frozen=True, slots=True)
class Said:
    """How a program ended, and what it said."""

    code: int
    out: str
    err: str


class Running:
    """One program under way. It has a session of its own, and `limit` seconds.

    `take` gets what it writes to its standard output, which is kept otherwise. StorageError if it is not installed.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        limit: float,
        *,
        take: Callable[[bytes], None] | None = None,
        files: Sequence[int] = (),
    ) -> None:
        self._name = arguments[0]
        self._limit = limit
        self._deadline = time.monotonic() + limit
        self._out, self._err = bytearray(), bytearray()
        self._process = _start(arguments, environment, files)
        self._selector = selectors.DefaultSelector()
        for stream, keep in (
            (self._process.stdout, take or self._out.extend),
            (self._process.stderr, self._err.extend),
        ):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ, keep)

    def go_on(self, patience: float) -> Said | None:
        """Let it work for at most so many seconds; None if it has not ended then.

        StorageTimeout if its time is over, StorageError if it says too much: it is killed then.
        """
        end = min(time.monotonic() + patience, self._deadline)
        while True:
            left = end - time.monotonic()
            self._read(max(0.0, min(left, BREATH)))
            if len(self._out) + len(self._err) > LONGEST:
                self.kill()
                raise StorageError(f"{self._name} said more than {LONGEST} bytes and was ended")
            if self._ended():
                return self._said()
            if left <= 0:
                break
        if time.monotonic() < self._deadline:
            return None
        self.kill()
        raise StorageTimeout(f"{self._name} was not done within {self._limit:g} s and was ended")

    def kill(self) -> None:
        """End it, and all that it started; harmless if it has ended."""
        if self._process.returncode is None:  # not reaped yet, so that the number is still its own
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._selector.close()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()

    def _read(self, patience: float) -> None:
        if not self._selector.get_map():
            with suppress(subprocess.TimeoutExpired):
                self._wait(patience)
            return
        for key, _ in self._selector.select(patience):
            piece = os.read(key.fd, 1 << 16)
            if piece:
                key.data(piece)
            else:
                self._selector.unregister(key.fileobj)

    def _wait(self, patience: float) -> None:
        """Wait for the end without reaping: until that is done the number belongs to nobody else."""
        end = time.monotonic() + patience
        while not self._ended() and time.monotonic() < end:
            time.sleep(0.002)

    def _ended(self) -> bool:
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _said(self) -> Said:
        """Take what it said last; what it may have left running goes with it."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        while self._selector.get_map() and self._selector.select(0):
            self._read(0)
        code = self._process.wait()
        self.kill()
        return Said(code, self._out.decode("utf-8", "replace"), self._err.decode("utf-8", "replace"))


def run(arguments: Sequence[str], environment: Mapping[str, str], limit: float) -> Said:
    """Run one program to its end."""
    (said,) = run_all([arguments], environment, limit)
    return said


def run_all(commands: Sequence[Sequence[str]], environment: Mapping[str, str], limit: float) -> list[Said]:
    """Run several programs, a few at a time, each with so many seconds; whatever goes wrong with one ends all."""
    said: dict[int, Said] = {}
    under_way: dict[int, Running] = {}
    waiting = list(enumerate(commands))
    try:
        while waiting or under_way:
            while waiting and len(under_way) < AT_ONCE:
                number, arguments = waiting.pop(0)
                under_way[number] = Running(arguments, environment, limit)
            for number, program in list(under_way.items()):
                if (end := program.go_on(BREATH if len(under_way) == 1 else 0.005)) is not None:
                    said[number] = end
                    del under_way[number]
    finally:
        for program in under_way.values():
            program.kill()
    return [said[number] for number in range(len(commands))]


def _start(arguments: Sequence[str], environment: Mapping[str, str], files: Sequence[int]) -> "subprocess.Popen[bytes]":
    parent = os.getpid()
    library: Any = ctypes.CDLL(None)

    def die_with_parent() -> None:
        # Whoever started it may be killed at any time, and would leave it copying.
        library.prctl(PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        return subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd="/",  # as the supervisor's, also where a person has something tried by hand
            start_new_session=True,
            preexec_fn=die_with_parent,  # the file child has one thread
            pass_fds=tuple(files),
        )
    except FileNotFoundError:
        package = PACKAGES.get(os.path.basename(arguments[0]), "what has it, or name it with its path")
        raise StorageError(f"{arguments[0]} is not installed on this machine: install {package}") from None
    except OSError as error:
        raise StorageError(f"{arguments[0]} cannot be started: {error.strerror}") from error
