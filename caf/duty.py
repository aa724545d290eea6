"""How every duty is kept going: guarded, timed, backed off, and shown.

A duty that fails, hangs or is slow never delays another. Its failure stands in the database, and so in `caf status`;
where that cannot be written either, it stands in the log.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import anyio

from caf.domain.errors import CafError
from caf.store import duties
from caf.tasks.house import House

FIRST_BACK_OFF, LEAST_CAP = 5.0, 60.0  # s
SELDOM = 5.0  # s between two records of quick rounds
BREATH = 1.0  # s that a failing duty rests at least, however often it is woken


class Result(Protocol):
    """What a round gives back."""

    def summary(self) -> str | None:
        """Say what happened, if anything did."""


@dataclass(slots=True)
class Duty:
    """One cooperative periodic task. `interval` is asked before each wait: the configuration may change."""

    name: str
    interval: Callable[[], float]
    run_once: Callable[[House], Awaitable[Result]]
    run_quick: Callable[[House], Awaitable[Result]] | None = None
    failures: int = 0
    _wake: anyio.Event = field(default_factory=anyio.Event)
    _whole: bool = True
    _due: float = 0.0  # when the next whole round begins, by the event loop's clock
    _recorded: float = 0.0

    def wake(self) -> None:
        """Have the next round begin now, or right after the one that is under way."""
        self._whole = True
        self._wake.set()

    def hurry(self) -> None:
        """Have a quick round begin as soon: only what has just come up is looked at. None after a failure."""
        self._wake.set()

    async def keep(self, house: House, stopping: anyio.Event) -> None:
        """Do rounds until the supervisor stops; the round that is under way then is finished."""
        while not stopping.is_set():
            self._wake = anyio.Event()
            quick = None if self._whole or self.failures or anyio.current_time() >= self._due else self.run_quick
            if quick is None:
                self._whole = False
            again_in = await self.round(house, quick)
            delay = self.interval() if quick is None else self._due - anyio.current_time()
            if again_in is not None:
                delay = min(delay, again_in)
            if self.failures:
                delay = back_off(self.failures, self.interval())
                await _first(BREATH, stopping)
            self._due = anyio.current_time() + delay
            with anyio.move_on_after(delay):
                await self._wake.wait()  # whoever stops the supervisor wakes its duties

    async def round(self, house: House, quick: Callable[[House], Awaitable[Result]] | None = None) -> float | None:
        """Do one round, a whole one or a quick one, and record how it went; gives when (s) another is wanted, if early.

        Of quick rounds, of which there may be a hundred in a second, only failures and one in a while are recorded.
        """
        limit = house.configuration.duties.timeout
        error: str | None = None
        result: Any = None
        summary: str | None = None
        if quick is None:
            await self._record(house, duties.begun, self.name, house.clock())
        try:
            with anyio.move_on_after(limit) as scope:
                result = await (quick or self.run_once)(house)
                summary = result.summary()
            if scope.cancelled_caught:
                error = f"was not done within {limit:g} s and was abandoned; see [duties] timeout"
        except CafError as trouble:
            error = str(trouble)
        except Exception as bug:
            error = f"a fault in caf: {type(bug).__name__}: {bug}; the log has its traceback"
            house.log.exception("duty.failed", duty=self.name, error=error)
        else:
            if error is None and self.failures:
                house.log.info("duty.recovered", duty=self.name, failures=self.failures)
        if error is not None:
            house.log.warning("duty.failed", duty=self.name, error=error, failures=self.failures + 1)
        self.failures = self.failures + 1 if error is not None else 0
        again_in: float | None = getattr(result, "again_in", None)
        if getattr(result, "more", False) and error is None:
            self.hurry()
        wait = self.interval() if quick is None else self._due - anyio.current_time()
        if self.failures:
            wait = back_off(self.failures, self.interval(), jitter=False)
        now = house.clock()
        if quick is None or error is not None or now - self._recorded >= SELDOM:
            self._recorded = now
            await self._record(house, duties.ended, self.name, now, now + wait, summary=summary, error=error)
        return again_in

    async def _record(self, house: House, function: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        try:
            await house.database.call(function, *args, **kwargs)
        except CafError as trouble:
            house.log.error("duty.late", duty=self.name, error=str(trouble))


def back_off(failures: int, interval: float, *, jitter: bool = True) -> float:
    """Give the seconds to wait after so many failures one after another: doubling, up to the duty's own interval."""
    delay = min(FIRST_BACK_OFF * 2 ** min(failures - 1, 16), max(interval, LEAST_CAP))
    return float(delay * random.uniform(0.8, 1.2)) if jitter else float(delay)


async def _first(delay: float, *events: anyio.Event) -> None:
    """Wait until the time is up or one of the events is set."""
    with anyio.move_on_after(delay):
        async with anyio.create_task_group() as group:
            for event in events:
                group.start_soon(_cancel_at, event, group.cancel_scope)


async def _cancel_at(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
