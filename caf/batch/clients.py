"""The clients of a batch system, such as sbatch: run with argument lists and time limits, and never trusted.

A client may be missing, hang, print what nobody can read, leave children behind, or be stuck in a file system. None of
that holds up the event loop, outlives its time limit, or is taken for an answer.
"""

import asyncio
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from caf.batch.places import KEPT, direct, look_for
from caf.batch.processes import NOT_FOR_OTHERS, prepare_for_children
from caf.batch.running import DEATH, LONGEST, Running, Said
from caf.domain.errors import BatchError

ENOUGH = 4  # clients that hang and cannot be killed: no more are started while they do
PLAIN = {b"LC_ALL": b"C", b"TZ": b"UTC"}
"""How a client is asked for answers that are to be read. A submission goes without: jobs take over its environment."""
# Not a shell. It looks the program up along PATH, and enters a folder that is always there: LSF's jobs begin in it.
LAUNCHER = ("/usr/bin/env", "--chdir=/", "--")
NOT_FOUND = frozenset({126, 127})  # env(1): there, but it cannot be run; not there
LOOK_LIMIT = 5.0  # s to find a program in


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

    def __init__(
        self,
        needs: Needs,
        limit: Callable[[], float],
        unreadable: Callable[[str, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._needs, self._limit, self._unreadable, self._clock = needs, limit, unreadable, clock
        self._told: dict[str, str] = {}
        self._under_way: set[Running] = set()
        self._left: list[Running] = []
        self._places: dict[str, tuple[str | None, float]] = {}  # a client's path, if it counts, and until when
        # A submission's, which jobs may take over. In bytes, as the kernel wants it, and once: it is never changed.
        cleared, kept = tuple(map(os.fsencode, needs.cleared)), {os.fsencode(name) for name in needs.kept}
        self._environment = {
            name: text
            for name, text in os.environb.items()
            if name  # no program can be started with one that has none
            if name in kept or not (name.startswith(cleared) or name in NOT_FOR_OTHERS)
        }
        self._plain = self._environment | PLAIN
        prepare_for_children()

    async def run(self, arguments: Sequence[str], *, plain: bool = True) -> Said:
        """Run one client to its end, whatever that is. BatchError if it is missing, hangs or says too much.

        `plain`: its answer is to be read, so it speaks English and knows no local time.
        """
        self._left = [one for one in self._left if not one.reaped()]
        if len(self._left) >= ENOUGH:
            raise BatchError(f"{len(self._left)} clients hang and cannot be killed: is a file system down? see `ps`")
        environment = self._plain if plain else self._environment
        name, limit = arguments[0], self._limit()
        running = await self._by_its_path(arguments, environment)
        if running is not None:
            return await self._to_its_end(name, running, limit)
        said = await self._to_its_end(name, self._start(name, [*LAUNCHER, *arguments], environment), limit)
        if said.code in NOT_FOUND and said.err.split(":")[0].endswith("env"):
            raise BatchError(
                f"{name} is not installed on this machine, or not along PATH: install the client "
                f"({self._needs.package})"
            )
        return said

    async def _by_its_path(self, arguments: Sequence[str], environment: Mapping[bytes, bytes]) -> Running | None:
        """Start a client without the launcher. None: that cannot be, and nothing was started.

        Only from the folder that the launcher enters, which is the supervisor's.
        """
        name = arguments[0]
        path, until = self._places.get(name, (None, 0.0))
        if self._clock() >= until:
            path = await self._find(name) if _in_its_folder() else None
        if path is None:
            return None
        try:
            return Running(path, arguments, environment)
        except (OSError, ValueError):  # it was taken away, say, or is being replaced
            del self._places[name]
            return None

    async def _find(self, name: str) -> str | None:
        """Have it looked for where a client is; meanwhile nobody else looks."""
        until = self._clock() + KEPT
        self._places[name] = None, until
        with suppress(BatchError):
            looking = self._start(name, look_for(name), self._plain)
            self._places[name] = direct(await self._to_its_end(name, looking, LOOK_LIMIT)), until
        return self._places[name][0]

    def _start(self, name: str, command: Sequence[str], environment: Mapping[bytes, bytes]) -> Running:
        """Start what begins with its path; `name` is what people know it by."""
        try:
            return Running(command[0], command, environment)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise BatchError(f"{name} could not be started: {why}: see `ulimit -u` and memory") from None

    async def _to_its_end(self, name: str, running: Running, limit: float) -> Said:
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
            try:
                await running.finish()
            finally:
                self._left += [] if running.reaped() else [running]
        if running.too_much:
            raise BatchError(f"{name} said more than {LONGEST} bytes and was ended: try it by hand")
        return running.said()

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


def _in_its_folder() -> bool:
    """Tell whether this process is in the folder that the launcher enters. The supervisor is."""
    try:
        return os.getcwd() == "/"
    except OSError:  # it was removed
        return False
