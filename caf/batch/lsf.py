"""LSF and its relatives, through their command-line clients: bsub, bjobs, bhist, bkill; lsid and bqueues to check.

A job carries the attempt's token as its name. All of caf's jobs are looked up by one bjobs for this user, by name;
what it has forgotten (CLEAN_PERIOD, an hour as LSF comes) by bhist, seldom. Exit statuses tell nothing, words do. Jobs
are handed over with -rn, so that one batch id runs once; where a queue or a relative does it all the same, the claim
sees to it. A host that is not heard of is no end, so nothing is ever struck off (`bkill -r`).
"""

import os
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from caf.batch.clients import Clients, Needs
from caf.batch.interface import BatchFull, BatchRefused, Finding, Named, Submission, Watched
from caf.batch.lsf_answers import HOLDING, LEAN, SIGHTS, Row, sighting, slots
from caf.batch.lsf_history import History
from caf.batch.lsf_jobs import Bjobs, NotUnderstood
from caf.batch.lsf_submit import (
    AWAY,
    ID_VARIABLE,
    PLAIN,
    Dialect,
    arguments,
    batch_id_of,
    not_understood,
    refusal,
    takes_no_more,
    unit_of,
)
from caf.batch.running import Said
from caf.domain.errors import BatchError
from caf.domain.following import Sight, Sighting, together

CLIENTS = Needs(
    "your site's; `. profile.lsf` puts it along PATH",
    cleared=("LSB_", "BSUB_", "LS_"),
    kept=("LSB_CONFDIR", "LSB_SHAREDIR"),
)
RELATIVES = re.compile(r"openlava|volclava|jhlava|\blava\b", re.IGNORECASE)
AT_ONCE = 200  # ids in one argument list
GONE = re.compile(r"is being|No matching job|already finished|has finished|not found", re.IGNORECASE)
NO_UNIT = "LSF_UNIT_FOR_LIMITS is not set"


class LsfBatch:
    """Hands attempts to LSF. `own` is what the tokens of this database begin with; `clock` is monotonic."""

    submit_grace: float | None = None
    keeps_walltime = True
    has_groups = True
    id_variable = ID_VARIABLE

    def __init__(self, own: str, clients: Clients, clock: Callable[[], float] = time.monotonic) -> None:
        self._own, self._clients = own, clients
        self._bjobs = Bjobs(self._clients, clock)
        self._history = History(self._clients, clock)
        self._dialect = Dialect()
        self._conf: str | None = None

    async def submit(self, submission: Submission) -> Sighting:
        """Hand over one attempt; it is pending from then on."""
        if submission.memory is not None:
            await self._learn_unit()
        said = await self._clients.run(arguments(submission, self._dialect), plain=False)
        if self._dialect.reruns and batch_id_of(said) is None and not_understood(said):
            said = await self._submit_plainly(submission)
        if (batch_id := batch_id_of(said)) is not None:
            return Sighting(Sight.PENDING, batch_id)
        if (way_out := refusal(said)) is not None:
            raise (BatchFull if takes_no_more(said) else BatchRefused)(f"{said.words()}: {way_out}")
        if said.code == 0 and AWAY.search(said.out + said.err) is None:
            raise self._clients.garbage("bsub", said.out or said.err)
        raise BatchError(f"bsub: {said.words()}; whether LSF took it is found out by its token")

    async def _submit_plainly(self, submission: Submission) -> Said:
        """Try again as a relative of LSF has it; from now on so, if that was the reason."""
        plain = replace(PLAIN, unit=self._dialect.unit)
        said = await self._clients.run(arguments(submission, plain), plain=False)
        if not not_understood(said) and (batch_id_of(said) is not None or refusal(said) is not None):
            self._dialect = plain
        return said

    async def _learn_unit(self) -> None:
        """Read, once, what sizes are counted in. By a child, as the file may be on AFS or NFS."""
        if self._conf is None:
            self._conf = f"{os.environ.get('LSF_ENVDIR', '/etc')}/lsf.conf"
            said = await self._clients.run(["cat", self._conf])
            self._dialect = replace(self._dialect, unit=unit_of(said.out))

    async def look(self, watched: Sequence[Watched]) -> dict[str, Sighting]:
        """Look all up by one bjobs; those that it does not show by bhist."""
        shown: dict[str, list[Row]] = {one.token: [] for one in watched}
        for row in await self._bjobs.of_caf():
            if row.name in shown:
                shown[row.name].append(row)
        read = await self._reader([row for rows in shown.values() for row in rows])
        missing = [one for one in watched if not shown[one.token]]
        found = {
            token: read(rows[0]) if len(rows) == 1 else together([read(row) for row in rows])
            for token, rows in shown.items()
            if rows
        }
        return found | await self._history.find(missing) if missing else found

    async def _reader(self, rows: Sequence[Row]) -> Callable[[Row], Sighting]:
        """Give what reads these rows, having asked for what this bjobs does not put into them."""
        if self._bjobs.form.tells_ends:
            return sighting
        failed = [row.batch_id for row in rows if row.state == "EXIT"]
        ends = await self._bjobs.ends(failed) if failed else {}
        pending = any(SIGHTS.get(row.state) is Sight.PENDING for row in rows)
        reasons = await self._bjobs.reasons() if pending else {}

        def read(row: Row) -> Sighting:
            if row.state == "EXIT" and row.batch_id in ends:
                return ends[row.batch_id]
            if SIGHTS.get(row.state) is Sight.PENDING:
                row = row._replace(pend_reason=reasons.get(row.batch_id, ""))
            return sighting(row)

        return read

    async def cancel(self, watched: Sequence[Watched]) -> None:
        """Ask for the end of all batch jobs of these that are not over, by their ids as bjobs shows them now."""
        wanted = {one.token: one for one in watched}
        ids = []
        for row in await self._bjobs.of_caf():
            one = wanted.get(row.name)
            if one is None or SIGHTS.get(row.state) is Sight.ENDED:
                continue
            if not one.alone or one.batch_id == row.batch_id:
                ids.append(row.batch_id)
        for begin in range(0, len(ids), AT_ONCE):
            said = await self._clients.run(["bkill", *ids[begin : begin + AT_ONCE]])
            lines = [line for line in (said.err + said.out).splitlines() if line.strip()]
            # That one has ended meanwhile is what was wanted.
            if not lines or AWAY.search(said.err) or not any(GONE.search(line) for line in lines):
                raise BatchError(f"bkill: {said.words()}")

    async def named(self, batch_id: str) -> Named | None:
        """Ask bjobs, and of what that has forgotten bhist."""
        if re.fullmatch(r"[1-9][0-9]*", batch_id) is None:
            return None
        rows = await self._bjobs.select(["-u", "all", batch_id], LEAN)
        told = {row.name: row.state for row in rows if row.batch_id == batch_id}
        if not told:
            ends = await self._history.of_id(batch_id)
            told = {name: str(sightings[0].reason) for name, sightings in ends.items()}
        what = "; ".join(f"{name or 'a job without a token'}, {how}" for name, how in told.items())
        return Named(batch_id, frozenset(told), what) if told else None

    async def group_use(self, group: str) -> int | None:
        """Count the slots that jobs of the group hold that are not caf's own.

        LSF counts jobs that were handed over for the group; relatives, which cannot, those of the group's users.
        """
        held = ("-r", "-s")
        try:
            rows = await self._bjobs.select(["-u", "all", "-G", group, *held], HOLDING)
        except NotUnderstood:
            rows = await self._bjobs.select(["-u", group, *held], HOLDING)
        holding = [row for row in rows if row.state in {"RUN", "USUSP", "SSUSP", "UNKWN"}]
        return sum(slots(row) for row in holding if not row.name.startswith(self._own))

    async def close(self) -> None:
        """End the clients under way. Jobs are not touched."""
        await self._clients.close()

    async def examine(self, submissions: Mapping[str, Submission]) -> list[Finding]:
        """Tell which client answers and how bjobs is asked, whether queues are there, and what would be handed over."""
        version = (await self._said(["lsid"], "name is")).out
        first = version.strip().partition("\n")[0].strip()
        where = re.search(r"My cluster name is (\S+)", version)
        relative = RELATIVES.search(version) is not None
        if relative:
            self._dialect = replace(PLAIN, unit=self._dialect.unit)
        found = [Finding("ok", f"client: {first}{f', cluster {where[1]}' if where else ''}")]
        rows = await self._bjobs.of_caf()
        form = self._bjobs.form.name if rows else f"{self._bjobs.form.name}, unless it turns out not to know that"
        found.append(Finding("ok", f"bjobs answers; it is asked for {form}"))
        if relative:
            found.append(Finding("note", "this bsub knows neither -rn nor -G: a group only counts for group_slots"))
        queues = _queues((await self._said(["bqueues", "-w"], "QUEUE_NAME")).out)
        found.append(Finding("ok", f"queues: {', '.join(sorted(queues))}"))
        if any(submission.memory is not None for submission in submissions.values()):
            await self._learn_unit()
            unit = f"LSF_UNIT_FOR_LIMITS={self._dialect.unit}" if self._dialect.unit else NO_UNIT
            found.append(Finding("ok" if self._dialect.unit else "note", f"sizes: {unit}, in {self._conf}"))
        for job, submission in submissions.items():
            found += self._examine(job, submission, queues)
        return found

    async def _said(self, command: list[str], proof: str) -> Said:
        said = await self._clients.run(command)
        if proof not in said.out:
            raise BatchError(f"{command[0]}: {said.words()}")
        return said

    def _examine(self, job: str, submission: Submission, queues: Mapping[str, str]) -> list[Finding]:
        try:
            command = arguments(submission, self._dialect)
        except BatchRefused as error:
            return [Finding("BAD", f"jobs.{job}: {error}")]
        found = [Finding("", f"jobs.{job} would be handed over by: {shlex.join(command)}")]
        for queue in (submission.queue or "").split():
            if queue not in queues:
                known = ", ".join(sorted(queues))
                found.append(Finding("BAD", f"jobs.{job}: there is no queue '{queue}'; known: {known}"))
            elif queues[queue] != "Open:Active":
                found.append(Finding("warn", f"jobs.{job}: queue {queue} is {queues[queue]}"))
        return found


def _queues(text: str) -> dict[str, str]:
    """Give the queues of a `bqueues -w` and their states."""
    rows = [line.split() for line in text.splitlines()]
    return {row[0]: row[2] for row in rows if len(row) > 3 and row[0] != "QUEUE_NAME" and ":" in row[2]}
