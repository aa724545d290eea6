"""One client of a batch system under way: its process, what it says, and its end, whatever that is."""

import asyncio
import os
import select
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from caf.batch.processes import spawn
from caf.domain.errors import BatchError

LONGEST = 64 * 1024 * 1024  # bytes of what one client says; 10,000 jobs of Slurm are half a megabyte
SHOWN = 300  # characters of a client's own words in a message
DEATH = 5.0  # s that a killed client may take to die; one that hangs in a file system is left behind
LAST_MOMENT = 0.2  # s of those, for whoever cannot wait
SOON = 0.05  # s until a client is listened to: most have ended, and wake nobody more than once
PIECE = 1 << 16  # bytes read at once, as many as a pipe holds


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


class Running:
    """One client under way, the leader of a session of its own; `ended` comes when it has exited, or said too much.

    `program` is a path. OSError if it cannot be started; BatchError if it was, and had to be ended at once.
    """

    def __init__(self, program: str, arguments: Sequence[str], environment: Mapping[bytes, bytes]) -> None:
        self.too_much = False
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._code: int | None = None
        self._heard: dict[int, bytearray] = {}  # by the descriptors of its output and of its errors
        self._pid = self._spawn(program, arguments, environment)
        try:
            self._end = self._watch(loop)
        except OSError as error:  # it runs: whoever started it once more would have two
            self.kill()
            with suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
            self._close()
            raise BatchError(f"a client cannot be watched, and was ended: {error.strerror}: see `ulimit -n`") from error
        self._listening = {self._end}
        self._soon = loop.call_later(SOON, self._listen)

    def _spawn(self, program: str, arguments: Sequence[str], environment: Mapping[bytes, bytes]) -> int:
        theirs = []
        try:
            for _ in ("output", "errors"):
                ours, its = os.pipe()
                os.set_blocking(ours, False)
                self._heard[ours] = bytearray()
                theirs.append(its)
            return spawn(program, arguments, environment, *theirs)
        except BaseException:
            self._close()
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> int:
        """Give a descriptor that tells of its end, to which the loop listens."""
        descriptor = os.pidfd_open(self._pid)
        try:
            loop.add_reader(descriptor, self._exited)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _listen(self) -> None:
        for descriptor in self._heard:
            with suppress(OSError):  # then it is read at the end only
                asyncio.get_running_loop().add_reader(descriptor, self._read, descriptor)
                self._listening.add(descriptor)

    def _listen_no_more(self, descriptor: int) -> None:
        if descriptor in self._listening:
            self._listening.remove(descriptor)
            asyncio.get_running_loop().remove_reader(descriptor)

    def _exited(self) -> None:
        self._listen_no_more(self._end)
        if not self.ended.done():
            self.ended.set_result(None)

    def _read(self, descriptor: int) -> bool:
        """Take what there is to read; tells whether there may be more at once."""
        try:
            piece = os.read(descriptor, PIECE)
        except BlockingIOError:
            return False
        self._heard[descriptor] += piece
        if not piece:
            self._listen_no_more(descriptor)
        if sum(map(len, self._heard.values())) > LONGEST and not self.ended.done():
            self.too_much = True
            self.ended.set_result(None)
        return bool(piece)

    def kill(self) -> None:
        """Kill the whole session, as long as nobody else can have its number."""
        if self._code is None:  # not reaped yet
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)

    async def finish(self) -> None:
        """End it, take what it said last and let go of it."""
        self.kill()
        try:
            await self._gone()
        except asyncio.CancelledError:  # who is cancelled cannot wait; the killed take only milliseconds
            self._at_the_last_moment()
            raise
        finally:
            self.reaped()
            self._let_go()

    def _at_the_last_moment(self) -> None:
        poll = select.poll()
        poll.register(self._end, select.POLLIN)
        poll.poll(1000 * LAST_MOMENT)

    async def _gone(self) -> None:
        loop = asyncio.get_running_loop()
        begun, pause = loop.time(), 0.0005
        while not self.reaped() and loop.time() - begun < DEATH:
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.05)

    def reaped(self) -> bool:
        """Tell whether it is gone; one that was left behind may be, later on."""
        if self._code is None:
            try:
                pid, status = os.waitpid(self._pid, os.WNOHANG)
            except ChildProcessError:  # somebody else took its end, and nobody will know
                self._code = -signal.SIGKILL
            else:
                self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code is not None

    def _let_go(self) -> None:
        self._soon.cancel()
        self._listen_no_more(self._end)
        os.close(self._end)
        for descriptor in self._heard:
            while not self.too_much and self._read(descriptor):
                continue
            self._listen_no_more(descriptor)
        self._close()

    def _close(self) -> None:
        for descriptor in self._heard:
            os.close(descriptor)

    def so_far(self) -> str:
        """Give what one that has not ended has said, such as "Please wait", in brackets."""
        words = self._said(0)
        return f" (it said: {words.words()})" if words.out.strip() or words.err.strip() else ""

    def said(self) -> Said:
        """Give how it ended and what it said; one that cannot be ended counts as killed."""
        return self._said(-signal.SIGKILL if self._code is None else self._code)

    def _said(self, code: int) -> Said:
        out, err = (bytes(text).decode("utf-8", "replace") for text in self._heard.values())
        return Said(code, out, err)
