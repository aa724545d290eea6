"""How HTCondor's jobs ended that its queue does not show any more: told by their user logs, or by its history."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from caf.batch.clients import Clients
from caf.batch.htcondor_ads import IN_HISTORY, of_history, read_ads
from caf.batch.htcondor_log import ends_in
from caf.batch.htcondor_submit import LOG, NO_LOGS
from caf.batch.interface import Watched
from caf.domain.errors import BatchError
from caf.domain.following import Sighting

AT_ONCE = 100  # tokens in one constraint
LOGS = 50  # user logs read in one look
SCANNED = 20_000  # ads of the history read for one question: about 3 s
AGAIN, AGAIN_AT_MOST = 1.0, 3600.0  # s before it is asked again about the same job, twice as long each time
MARGIN = 3600.0  # s by which clocks may differ


class Ends:
    """Finds ends, and remembers of which jobs none was found, so that the history is asked rarely. `clock` in s."""

    def __init__(self, clients: Clients, clock: Callable[[], float]) -> None:
        self._clients = clients
        self._clock = clock
        self._asked: dict[str, tuple[float, float]] = {}  # token to when it may be asked again, and the next wait
        self._found: dict[str, list[Sighting]] = {}

    async def find(self, missing: Sequence[Watched]) -> dict[str, list[Sighting]]:
        """Find how those ended, by token. That neither log nor history answers is no reason to know nothing else."""
        self._asked = {one.token: self._asked[one.token] for one in missing if one.token in self._asked}
        found = {one.token: self._found[one.token] for one in missing if one.token in self._found}
        self._found = found
        open_ones = [one for one in missing if not is_shown(one, found.get(one.token, []))]
        due = [one for one in open_ones if self._asked.get(one.token, (0.0, 0.0))[0] <= self._clock()]
        for one in due[:LOGS]:
            if ends := await self._in_log(one):
                found[one.token] = ends
        due = [one for one in due if not is_shown(one, found.get(one.token, []))]
        for one in due:
            wait = self._asked.get(one.token, (0.0, AGAIN))[1]
            self._asked[one.token] = (self._clock() + wait, min(2 * wait, AGAIN_AT_MOST))
        for some in chunks(due):
            with suppress(BatchError):
                found |= await self._in_history(some)
        return {token: list(ends) for token, ends in found.items()}

    async def _in_log(self, one: Watched) -> list[Sighting] | None:
        """Read a user log by a client of its own: it may be on a file system that hangs."""
        if one.area is None or one.area.startswith(NO_LOGS):
            return None
        try:
            said = await self._clients.run(["cat", "--", f"{one.area}/{LOG}"])
        except BatchError:
            return None
        return ends_in(said.out, one.token) if said.code == 0 else None

    async def _in_history(self, some: Sequence[Watched]) -> dict[str, list[Sighting]]:
        """Read the newest part of the history, as far back as these can have ended."""
        asked = [one.asked for one in some]
        oldest = min((moment for moment in asked if moment is not None), default=0.0) if None not in asked else 0.0
        ads = await ads_of(
            self._clients,
            [
                *("condor_history", "-json", "-attributes", IN_HISTORY, "-constraint", any_of(some)),
                *("-limit", str(3 * len(some)), "-scanlimit", str(SCANNED)),
                *("-since", f"JobStatus == 4 && CompletionDate > 0 && CompletionDate < {max(0, int(oldest - MARGIN))}"),
            ],
        )
        tokens = {one.token for one in some}
        found: dict[str, list[Sighting]] = {}
        for ad in ads:
            if (token := ad.get("CafToken")) in tokens:
                found.setdefault(str(token), []).append(of_history(ad))
        return found


async def ads_of(clients: Clients, command: Sequence[str]) -> list[dict[str, Any]]:
    """Run a client that answers in JSON. BatchError if it does not."""
    said = await clients.run(command)
    if said.code != 0:
        raise BatchError(f"{command[0]}: {said.words()}")
    try:
        return read_ads(said.out)
    except ValueError:
        raise clients.garbage(command[0], said.out) from None


def is_shown(one: Watched, shown: Sequence[Sighting]) -> bool:
    """Tell whether the job that counts is among those: the claim's owner, or else the one that was handed over."""
    counts = (one.start or {}).get("batch_id") or one.batch_id
    return bool(shown) and (counts is None or any(seen.batch_id == counts for seen in shown))


def any_of(some: Sequence[Watched]) -> str:
    """Give the expression that holds for the jobs with one of these tokens."""
    return " || ".join(f'CafToken == "{one.token}"' for one in some)


def chunks(some: Sequence[Watched]) -> Iterator[list[Watched]]:
    """Give them a hundred at a time, so that no argument grows too long."""
    left = iter(some)
    return iter(lambda: list(islice(left, AT_ONCE)), [])
