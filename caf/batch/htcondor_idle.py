"""Why HTCondor's jobs are idle: its own analysis of the matchmaking, asked rarely, for nobody waits for it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from caf.batch.clients import Clients
from caf.batch.htcondor_ads import IDLE, gist_of, id_of
from caf.domain.errors import BatchError

WAITED = 600.0  # s that a job is idle before it is analysed
EVERY = 900.0  # s from one analysis to the next: each reads the ads of all machines


class Analyses:
    """Keeps what was said of each kind of job: those with one AutoClusterId are alike for the matchmaker."""

    def __init__(self, clients: Clients, clock: Callable[[], float]) -> None:
        self._clients = clients
        self._clock = clock
        self._idle_since: dict[str, float] = {}  # id to when it was first seen idle
        self._gists: dict[object, tuple[str, bool] | None] = {}
        self._next = 0.0
        self._under_way: asyncio.Task[None] | None = None

    def of(self, ad: Mapping[str, Any]) -> tuple[str, bool] | None:
        """Give the last analysis of jobs like this one, if there is one."""
        return self._gists.get(_alike(ad))

    def consider(self, ads: Sequence[Mapping[str, Any]]) -> None:
        """Take note of who is idle, and have one that is for long analysed, if it is time. It is told later."""
        now = self._clock()
        idle = {str(id_of(ad)): ad for ad in ads if ad.get("JobStatus") == IDLE}
        self._idle_since = {batch_id: self._idle_since.get(batch_id, now) for batch_id in idle}
        alike = {_alike(ad) for ad in idle.values()}
        self._gists = {key: gist for key, gist in self._gists.items() if key in alike}
        long = [batch_id for batch_id, since in self._idle_since.items() if now - since >= WAITED]
        if not long or now < self._next or (self._under_way is not None and not self._under_way.done()):
            return
        chosen = next((one for one in long if _alike(idle[one]) not in self._gists), long[0])
        self._next = now + EVERY
        self._under_way = asyncio.get_running_loop().create_task(self._analyse(chosen, _alike(idle[chosen])))

    async def _analyse(self, batch_id: str, alike: object) -> None:
        with suppress(BatchError):
            said = await self._clients.run(["condor_q", "-better-analyze", batch_id])
            self._gists[alike] = gist_of(said.out)

    async def close(self) -> None:
        """Give up what is under way."""
        if self._under_way is not None:
            self._under_way.cancel()
            with suppress(asyncio.CancelledError):
                await self._under_way


def _alike(ad: Mapping[str, Any]) -> object:
    return ad.get("AutoClusterId") or id_of(ad)
