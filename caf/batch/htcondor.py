"""HTCondor, through its command-line clients: condor_submit, condor_q, condor_history, condor_rm.

A job carries the attempt's token in its ad, as its batch's name and in its user log. All of caf's jobs are looked up by
one condor_q; a job that ends leaves the queue at once, so how it ended is read in its user log, and where that does not
tell in condor_history, which is slow and is asked rarely. That a job is not in the queue proves nothing.

A job is begun once. What HTCondor wants to begin again is held instead, and held is an end, with its reason. Where it
did not notice that the first beginning was one (a shadow that died young) the claim sees to it.
"""

import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence

from caf.batch.clients import Clients, Needs
from caf.batch.htcondor_ads import IN_QUEUE, RUNNING, WHOSE, named, of_queue
from caf.batch.htcondor_ends import SCANNED, Ends, ads_of, any_of, chunks, is_shown
from caf.batch.htcondor_idle import Analyses
from caf.batch.htcondor_submit import ID_VARIABLE, accepted_as, as_string, submit_arguments
from caf.batch.interface import BatchRefused, Finding, Named, Submission, Watched
from caf.domain.errors import BatchError
from caf.domain.following import Sight, Sighting, together

_PREFIXES = ("_CONDOR_", "_condor_")
_WHERE = ("SCHEDD_HOST", "SCHEDD_NAME", "CREDD_HOST", "COLLECTOR_HOST", "CONDOR_HOST")
_WHO = ("SEC_CLIENT_AUTHENTICATION_METHODS", "SEC_DEFAULT_AUTHENTICATION_METHODS", "SEC_TOKEN_DIRECTORY")
CLIENTS = Needs("condor", _PREFIXES, kept=[prefix + name for prefix in _PREFIXES for name in _WHERE + _WHO])
"""Of the settings by environment those are kept that say where jobs go, and as whom; the others may change answers."""
NO_JOB = "false"  # holds for none
UNTOLD = "HTCondor's queue does not show it, and neither its log nor the history tells of its end"
NOTHING_THERE = "couldn't find/remove all jobs"


class HTCondorBatch:
    """Hands attempts to HTCondor. `own` is what the tokens of this database begin with; `clock` is monotonic."""

    submit_grace: float | None = 15.0  # its queue is a database: what was accepted is shown at once
    keeps_walltime = True
    has_groups = True
    id_variable = ID_VARIABLE

    def __init__(self, own: str, clients: Clients, clock: Callable[[], float] = time.monotonic) -> None:
        self._own, self._clients = own, clients
        self._ends = Ends(self._clients, clock)
        self._analyses = Analyses(self._clients, clock)

    async def submit(self, submission: Submission) -> Sighting:
        """Hand over one attempt; it is pending from then on."""
        said = await self._clients.run(submit_arguments(submission), plain=False)
        try:
            return Sighting(Sight.PENDING, accepted_as(said))
        except ValueError:
            raise self._clients.garbage("condor_submit", said.out or said.err) from None

    async def look(self, watched: Sequence[Watched]) -> dict[str, Sighting]:
        """Look all up by one condor_q; those that it does not show in their user logs, and then in the history."""
        if not watched:
            return {}
        prefixes = sorted({_prefix(one.token) for one in watched})
        ours = " || ".join(_begins("CafToken", prefix) for prefix in prefixes)
        ads = await ads_of(self._clients, ["condor_q", "-json", "-attributes", IN_QUEUE, "-constraint", ours])
        shown: dict[str, list[Sighting]] = {one.token: [] for one in watched}
        owners = {one.token: (one.start or {}).get("batch_id") for one in watched}
        for ad in ads:
            if (token := ad.get("CafToken")) in shown:
                shown[token].append(of_queue(ad, self._analyses.of(ad), owners[token]))
        missing = [one for one in watched if not is_shown(one, shown[one.token])]
        for token, ends in (await self._ends.find(missing)).items():
            shown[token] += ends
        self._analyses.consider([ad for ad in ads if ad.get("CafToken") in shown])
        for one in missing:  # one that it had, and does not show
            if one.batch_id is not None and not shown[one.token]:
                shown[one.token].append(Sighting(Sight.UNKNOWN, one.batch_id, UNTOLD))
        return {token: together(sightings) for token, sightings in shown.items() if sightings}

    async def cancel(self, watched: Sequence[Watched]) -> None:
        """Ask for the end of all jobs that carry these tokens, or, `alone`, of those with these ids."""
        for some in chunks([one for one in watched if not one.alone]):
            await self._remove(any_of(some))
        for some in chunks([one for one in watched if one.alone]):
            await self._remove(" || ".join(f"({any_of([one])} && {_is(one.batch_id)})" for one in some))

    async def _remove(self, constraint: str) -> None:
        said = await self._clients.run(["condor_rm", "-constraint", constraint])
        # That there is none any more is what was wanted.
        if said.code != 0 and not said.err.strip().lower().startswith(NOTHING_THERE):
            raise BatchError(f"condor_rm: {said.words()}")

    async def named(self, batch_id: str) -> Named | None:
        """Ask the queue, and then the history's newest part. Without its .N the first job of a cluster is meant."""
        job = batch_id if "." in batch_id else f"{batch_id}.0"
        if (where := _is(job)) == NO_JOB:
            return None
        asked = ("-json", "-attributes", WHOSE, "-constraint", where)
        ads = await ads_of(self._clients, ["condor_q", "-allusers", *asked])
        if not ads:
            ads = await ads_of(self._clients, ["condor_history", *asked, "-limit", "1", "-scanlimit", str(SCANNED)])
        return named(ads[0], job) if ads else None

    async def group_use(self, group: str) -> int | None:
        """Count the processors of the pool's slots that the group has claimed, less what is caf's own.

        A slot tells whose it is, not which job's; which of this account's jobs are caf's, its queue tells.
        """
        wanted = f"{_begins('CafToken', self._own)} || AcctGroup == {as_string(group)}"
        attributes = "User,JobStatus,AcctGroup,CafToken,RequestCpus"
        jobs = await ads_of(self._clients, ["condor_q", "-json", "-attributes", attributes, "-constraint", wanted])
        own = [ad for ad in jobs if str(ad.get("CafToken", "")).startswith(self._own)]
        users = {ad.get("User") for ad in own}
        claimed = f'State == "Claimed" && {_begins("AccountingGroup", f"{group}.")}'
        command = ["condor_status", "-json", "-attributes", "Cpus,RemoteOwner", "-constraint", claimed]
        slots = await ads_of(self._clients, command)
        of_others = [_whole(slot.get("Cpus")) for slot in slots if slot.get("RemoteOwner") not in users]
        of_ours = [ad for ad in jobs if ad.get("User") in users and ad.get("AcctGroup") == group and ad not in own]
        return sum(of_others) + sum(_whole(ad.get("RequestCpus")) for ad in of_ours if ad.get("JobStatus") == RUNNING)

    async def close(self) -> None:
        """End the clients under way. Jobs are not touched."""
        await self._analyses.close()
        await self._clients.close()

    async def examine(self, submissions: Mapping[str, Submission]) -> list[Finding]:
        """Tell which client and version answers, and what would be handed over for each job."""
        said = await self._clients.run(["condor_version"])
        if said.code != 0:
            raise BatchError(f"condor_version: {said.words()}")
        await ads_of(self._clients, ["condor_q", "-json", "-attributes", "ClusterId", "-limit", "1"])
        version = said.out.partition("\n")[0].strip("$ \t")
        found = [Finding("ok", f"client: {version}"), Finding("ok", "the schedd answers")]
        for job, submission in submissions.items():
            found += await self._examine(job, submission)
        return found

    async def _examine(self, job: str, submission: Submission) -> list[Finding]:
        try:
            command = submit_arguments(submission)
        except BatchRefused as error:
            return [Finding("BAD", f"jobs.{job}: {error}")]
        found = [Finding("", f"jobs.{job} would be handed over by: {shlex.join(command)}")]
        # A dry run asks nobody. It wants a description to read, and a place for the ad.
        dry = ["initialdir=/" if word.startswith("initialdir=") else word for word in command]  # there is no area yet
        said = await self._clients.run([*dry[:-2], "-dry-run", "-", "/dev/null", *dry[-2:]])
        if said.code != 0:
            return [*found, Finding("BAD", f"jobs.{job}: {said.words()}: correct it in listeners.toml")]
        if said.err.strip():
            found.append(Finding("warn", f"jobs.{job}: {said.words()}"))
        if submission.queue is not None:
            text = f"jobs.{job}: HTCondor has no queues: '{submission.queue}' is handed over as JobFlavour, unchecked"
            found.append(Finding("note", text))
        return found


def _prefix(token: str) -> str:
    """Give what the tokens of its database begin with."""
    return "-".join(token.split("-")[:2]) + "-"


def _begins(attribute: str, prefix: str) -> str:
    return f"substr({attribute}, 0, {len(prefix)}) == {as_string(prefix)}"


def _is(batch_id: str | None) -> str:
    found = re.fullmatch(r"(\d+)\.(\d+)", batch_id or "", re.ASCII)
    return f"ClusterId == {found[1]} && ProcId == {found[2]}" if found else NO_JOB


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 1
