"""What `bhist -l` and `bjobs -l` tell of jobs: each a header, and one event after the other.

Both break lines at some column, within words too, so a job is read with all blanks taken out.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

from caf.batch.clients import Clients
from caf.batch.interface import Watched
from caf.batch.lsf_answers import ended
from caf.batch.lsf_submit import AWAY
from caf.domain.errors import BatchError
from caf.domain.following import Sight, Sighting, together

_JOB = re.compile(r"^Job\s*<", re.MULTILINE)
_HEADER = re.compile(r"Job<([0-9]+)>")
_NAME = re.compile(r"JobName<([^>]*)>")
_EVENT = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[0-9]{1,2}?"
    r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[0-9]{4})?:"
)
_DONE = re.compile(r"Donesuccessfully|Completed<done>|Postjobprocess")
_EXITED = re.compile(r"Exited|Completed<exit>|sbatchdstartup;killZOMBIE")
_STRUCK_OFF = "Executionhostunavailable;jobiskilled"
_CODE = re.compile(r"Exited(?:with|by)exitcode([0-9]+)")
_BEGINS = re.compile(
    r"(?:\[[0-9]+\])?(?:Dispatched|Starting|Started|Running|Pending|Requeue|Migrat|Switch|.*requeued|Waiting|"
    r"Thebatchjobcommandisstarted)"
)
NOTHING = re.compile(r"No matching job found|No job found|is not found", re.IGNORECASE)
FILES = 10  # of LSF's event logs, the newest first
AT_ONCE = 100  # ids in one argument list
BY_NAME = 8  # questions by name in one look
AGAIN = 60.0  # s before the same is asked again
PATIENCE = 300.0  # s before anything is asked again, after bhist could not tell


def parse_history(text: str) -> dict[str, list[Sighting]]:
    """Give what a text of either says, by the jobs' names. One that is not over is UNKNOWN here: bjobs tells of it."""
    found: dict[str, list[Sighting]] = {}
    for begin, end in pairwise([*(match.start() for match in _JOB.finditer(text)), len(text)]):
        job = re.sub(r"\s+", "", text[begin:end])
        header, name = _HEADER.match(job), _NAME.search(job)
        if header is not None and name is not None:
            found.setdefault(name[1], []).append(_of_job(header[1], _EVENT.split(job)[1:]))
    return found


def _of_job(batch_id: str, events: Sequence[str]) -> Sighting:
    """Tell whether it ended after it was begun last."""
    over: Sighting | None = None
    for event in events:
        if "requeued" in event[:60]:
            over = None
        elif _DONE.match(event):
            over = over or ended(batch_id, "DONE", 0, "")
        elif event.startswith(_STRUCK_OFF):
            over = ended(batch_id, "EXIT", None, "TERM_FORCE_OWNER")
        elif _EXITED.match(event):
            code = _CODE.match(event)
            term = re.search(r"TERM_[A-Z_]+", event)
            known = int(code[1]) if code else over.exit_code if over is not None else None
            over = ended(batch_id, "EXIT", known, term[0] if term else "")
        elif _BEGINS.match(event):
            over = None
        elif over is not None and (term := re.search(r"TERM_[A-Z_]+", event)):
            over = ended(batch_id, "EXIT", over.exit_code, term[0])
    return over or Sighting(Sight.UNKNOWN, batch_id, "bjobs does not show it, and bhist knows of no end")


class History:
    """Asks bhist of jobs that bjobs has forgotten, seldom and of few: it reads through LSF's event logs."""

    def __init__(self, clients: Clients, clock: Callable[[], float]) -> None:
        self._clients, self._clock = clients, clock
        self._not_before = 0.0
        self._trouble: str | None = None
        self._asked: dict[str, float] = {}  # tokens, to when
        self._known: dict[str, Sighting] = {}  # what is over stays so

    async def find(self, missing: Sequence[Watched]) -> dict[str, Sighting]:
        """Give what is known of these; of those that bhist does not know, or cannot tell of, nothing."""
        tokens = {one.token for one in missing}
        self._asked = {token: when for token, when in self._asked.items() if token in tokens}
        self._known = {token: seen for token, seen in self._known.items() if token in tokens}
        now = self._clock()
        due = [
            one
            for one in missing
            if one.token not in self._known and now - self._asked.get(one.token, float("-inf")) >= AGAIN
        ]
        if due and now >= self._not_before:
            try:
                await self._ask(due, now)
                self._trouble = None
            except BatchError as error:
                self._not_before, self._trouble = self._clock() + PATIENCE, str(error)
        if self._trouble is not None:
            why = f"bjobs does not show it, and {self._trouble}"
            return {one.token: self._known.get(one.token) or _untold(one, why) for one in missing}
        return dict(self._known)

    async def _ask(self, due: Sequence[Watched], now: float) -> None:
        with_id = [one for one in due if one.batch_id is not None]
        for begin in range(0, len(with_id), AT_ONCE):
            some = with_id[begin : begin + AT_ONCE]
            await self._note([str(one.batch_id) for one in some], some, now)
        for one in [one for one in due if one.batch_id is None][:BY_NAME]:
            await self._note(["-a", "-J", one.token], [one], now)

    async def _note(self, selection: Sequence[str], some: Iterable[Watched], now: float) -> None:
        told = await self._told(selection)
        for one in some:
            self._asked[one.token] = now
            if one.token in told and (seen := together(told[one.token])).sight is Sight.ENDED:
                self._known[one.token] = seen

    async def of_id(self, batch_id: str) -> Mapping[str, list[Sighting]]:
        """Give what is known of the jobs that have, or had, this id, by their names. BatchError: bhist cannot tell."""
        return await self._told([batch_id])

    async def _told(self, selection: Sequence[str]) -> Mapping[str, list[Sighting]]:
        """Ask of some jobs, in more than the newest event log where this bhist can."""
        for files in (["-n", str(FILES)], []):
            said = await self._clients.run(["bhist", "-l", *files, *selection])
            if told := parse_history(said.out):
                return told
            if NOTHING.search(said.out) or NOTHING.search(said.err):
                return {}
            if AWAY.search(said.err) or AWAY.search(said.out):
                break
        raise BatchError(f"bhist: {said.words()}")


def _untold(one: Watched, why: str) -> Sighting:
    return Sighting(Sight.UNKNOWN, one.batch_id, why)
