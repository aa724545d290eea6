"""The clients of a batch system, such as sbatch: run with argument lists and time limits, and never trusted.

A client may be missing, hang, print what nobody can read, leave children behind, or be stuck in a file system. None of
that holds up the event loop, outlives its time limit, or is taken for an answer.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

from caf.domain.errors import BatchError

LONGEST = 64 * 1024 * 1024  # bytes of what one client says; 10,000 jobs of Slurm are half a megabyte
SHOWN = 300  # characters of a client's own words in a message
DEATH = 5.0  # s that a killed client may take to die; one that hangs in a file system is left behind
ENOUGH = 4  # of those: no more are started while they hang
NOT_FOR_OTHERS = frozenset(
    {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "INVOCATION_ID"}
)
"""What is meant for the supervisor alone: a payload with it could say READY or STOPPING in its name."""
PLAIN = {"LC_ALL": "C", "TZ": "UTC"}
"""How a client is asked for answers that are to be read. A submission goes without: jobs take over its environment."""
# Not a shell: `env` looks the program up along PATH. Where that hangs, in a folder on AFS, only this process does.
LAUNCHER = ("/usr/bin/env", "--")
NOT_FOUND = frozenset({126, 127})  # env(1): there, but it cannot be run; not there


@dataclass(frozen=True, slots=True)
class Said:
    """How a client ended (minus the signal's number, if by one), and what it said."""

    code: int
    out: str
    err: str

    def words(self) -> str:
        """Give what it has to say for itself, on one line."""
        lines = [line.strip() for line in (self.err if self.err.strip() else self.out).splitlines()]
        text = "; ".join(line for line in lines if line)
        shown = "".join(c if c.isprintable() else " " for c in text[:SHOWN])
        how = f"signal {-self.code}" if self.code < 0 else f"exit status {self.code}"
        return shown + ("..." if len(text) > SHOWN else "") if shown else f"nothing, and ended with {how}"


@dataclass(frozen=True, slots=True)
class Needs:
    """What is peculiar to the clients of a batch system: the package that they come in, and their environment.

    They get all of it but what begins with one of `cleared`, `kept` excepted.
    """

    package: str
    cleared: tuple[str, ...]
    kept: Collection[str] = ()


class Clients:
    """Runs the clients of one batch system. `limit` is asked for the seconds that each may take.

    `unreadable` is told, with the client's name and its words in full, of answers that cannot be read.
    """

    def __init__(self, needs: Needs, limit: Callable[[], float], unreadable: Callable[[str, str], None]) -> None:
        self._needs, self._limit, self._unreadable = needs, limit, unreadable
        self._told: dict[str, str] = {}
        self._under_way: set[_Running] = set()
        self._left: list[_Running] = []

    def environment(self) -> dict[str, str]:
        """Give the environment of a submission, which jobs may take over."""
        return {
            name: text
            for name, text in os.environ.items()
            if name in self._needs.kept or not (name.startswith(self._needs.cleared) or name in NOT_FOR_OTHERS)
        }

    async def run(self, arguments: Sequence[str], *, plain: bool = True) -> Said:
        """Run one client to its end, whatever that is. BatchError if it is missing, hangs or says too much.

        `plain`: its answer is to be read, so it speaks English and knows no local time.
        """
        limit, name = self._limit(), arguments[0]
        self._left = [one for one in self._left if not one.reaped()]
        if len(self._left) >= ENOUGH:
            raise BatchError(f"{len(self._left)} clients hang and cannot be killed: is a file system down? see `ps`")
        environment = self.environment() | (PLAIN if plain else {})
        try:
            running = _Running([*LAUNCHER, *arguments], environment)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise BatchError(f"{name} could not be started: {why}: see `ulimit -u` and memory") from None
        self._under_way.add(running)
        try:
            async with asyncio.timeout(limit):
                await running.ended
        except TimeoutError:
            raise BatchError(
                f"{name} did not answer within {limit:g} s{running.so_far()} and was ended: does the batch system's "
                f"server hang? try `{name}` by hand"
            ) from None
        finally:
            # Whatever it left behind goes with it.
            self._under_way.discard(running)
            self._left += [] if await running.finish() else [running]
        said = running.said()
        if running.too_much:
            raise BatchError(f"{name} said more than {LONGEST} bytes and was ended: try it by hand")
        if said.code in NOT_FOUND and said.err.split(":")[0].endswith("env"):
            raise BatchError(
                f"{name} is not installed on this machine, or not along PATH: install the client "
                f"({self._needs.package})"
            )
        return said

    def garbage(self, client: str, text: str) -> BatchError:
        """Keep an answer that cannot be read, in full but not twice running, and give the error to raise."""
        self.keep(client, text)
        shown = "".join(c if c.isprintable() else " " for c in text[:60]).strip()
        return BatchError(f"{client} answered what cannot be read ({shown!r}); the log has it in full")

    def keep(self, client: str, text: str) -> None:
        """Have a text that cannot be read stand in the log, unless it is what this client said last."""
        if self._told.get(client) != text:
            self._told[client] = text
            self._unreadable(client, text)

    async def close(self) -> None:
        """End what is under way."""
        for running in self._under_way:
            running.kill()
        if self._under_way:  # whoever asked lets go of it
            await asyncio.wait([running.ended for running in self._under_way], timeout=DEATH)


class _Running:
    """One client under way, the leader of a session of its own; `ended` comes when it has exited, or said too much."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            arguments,
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.too_much, self._stuck = False, False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._heard: dict[int, bytearray] = {}
        try:
            self._end = os.pidfd_open(self._process.pid)
        except OSError:
            self._give_up()
            raise
        self._watch()

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._end, self._exited)
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
            self._heard[stream.fileno()] = bytearray()
            loop.add_reader(stream.fileno(), self._read, stream.fileno())

    def _give_up(self) -> None:
        """End one that cannot be watched."""
        self._process.kill()
        self._process.communicate()

    def _exited(self) -> None:
        asyncio.get_running_loop().remove_reader(self._end)
        if not self.ended.done():
            self.ended.set_result(None)

    def _read(self, descriptor: int) -> bool:
        """Take what there is to read; tells whether there may be more at once."""
        try:
            piece = os.read(descriptor, 1 << 18)
        except BlockingIOError:
            return False
        self._heard[descriptor] += piece
        if not piece:
            asyncio.get_running_loop().remove_reader(descriptor)
        if sum(map(len, self._heard.values())) > LONGEST and not self.ended.done():
            self.too_much = True
            self.ended.set_result(None)
        return bool(piece)

    def kill(self) -> None:
        """Kill the whole session, as long as nobody else can have its number."""
        if self._process.returncode is None:  # not reaped yet
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def finish(self) -> bool:
        """End it, take what it said last and let go of it; tells whether it is gone."""
        self.kill()
        try:
            await self._gone()
        except asyncio.CancelledError:  # who is cancelled cannot wait; the killed take only milliseconds
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=0.2)
            raise
        finally:
            self._let_go()
        return not self._stuck

    async def _gone(self) -> None:
        loop = asyncio.get_running_loop()
        begun, pause = loop.time(), 0.0005
        while self._process.poll() is None and loop.time() - begun < DEATH:
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.05)

    def _let_go(self) -> None:
        loop = asyncio.get_running_loop()
        self._stuck = self._process.poll() is None
        if self._stuck:
            self._process.returncode = -signal.SIGKILL  # without this, Popen warns that it still runs
        loop.remove_reader(self._end)
        os.close(self._end)
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            while not self.too_much and self._read(stream.fileno()):
                continue
            loop.remove_reader(stream.fileno())
            stream.close()

    def so_far(self) -> str:
        """Give what one that has not ended has said, such as "Please wait", in brackets."""
        words = Said(0, *(bytes(text).decode("utf-8", "replace") for text in self._heard.values()))
        return f" (it said: {words.words()})" if words.out.strip() or words.err.strip() else ""

    def reaped(self) -> bool:
        """Tell whether one that was left behind is gone by now."""
        try:
            return os.waitpid(self._process.pid, os.WNOHANG)[0] != 0
        except ChildProcessError:
            return True

    def said(self) -> Said:
        """Give how it ended and what it said."""
        out, err = (bytes(text).decode("utf-8", "replace") for text in self._heard.values())
        return Said(self._process.returncode, out, err)
