"""Slurm, through its command-line clients: sbatch, squeue, sacct, scancel, sinfo.

A job carries the attempt's token as its name and as its comment. All of caf's jobs are looked up by one squeue for this
user; what squeue has forgotten (after MinJobAge, five minutes as Slurm comes) is looked up by sacct where the site has
accounting, and where it has none the wrapper's exit record tells. Jobs are handed over with --no-requeue: one batch id
runs once. `scancel` proves nothing; whether a job has ended is found by looking.
"""

import os
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from tempfile import NamedTemporaryFile

from caf.batch.clients import Clients, Needs
from caf.batch.interface import BatchFull, BatchRefused, Finding, Named, Submission, Watched
from caf.batch.running import Said
from caf.batch.slurm_answers import (
    ACCOUNT_FIELDS,
    PARTITION_FORMAT,
    QUEUE_FORMAT,
    US,
    USE_FORMAT,
    Row,
    parse_accounts,
    parse_queue,
    sighting,
)
from caf.batch.slurm_submit import arguments, batch_id_of, refusal, takes_no_more
from caf.domain.errors import BatchError
from caf.domain.following import Sight, Sighting, together

CLIENTS = Needs(
    "slurm-client on Debian, slurm on EL",
    cleared=("SLURM", "SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_", "SINFO_", "SRUN_", "SALLOC_", "SCONTROL_"),
    kept=("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT"),
)
AT_ONCE = 200  # ids or names in one argument list
DAY = 86_400.0
PATIENCE = 300.0  # s before sacct is asked again, after it could not tell
NO_ACCOUNTING = "accounting storage is disabled"
UNKNOWN_ID = "Invalid job id"
OWN_JOBS = f"--user={os.getuid()}"
SACCT = ("sacct", "--allocations", "--noheader", "--parsable2")
USING = "RUNNING,CONFIGURING,COMPLETING,SUSPENDED"  # not those that wait


class SlurmBatch:
    """Hands attempts to Slurm. `own` is what the tokens of this database begin with; `clock` is monotonic."""

    submit_grace: float | None = None
    keeps_walltime = True
    has_groups = True
    id_variable = "SLURM_JOB_ID"

    def __init__(self, own: str, clients: Clients, clock: Callable[[], float] = time.monotonic) -> None:
        self._own, self._clients = own, clients
        self._clock = clock
        self._sacct_again = 0.0
        self._sacct_trouble: str | None = None

    async def submit(self, submission: Submission) -> Sighting:
        """Hand over one attempt; it is pending from then on."""
        said = await self._clients.run(arguments(submission), plain=False)
        if (batch_id := batch_id_of(said.out)) is not None:
            return Sighting(Sight.PENDING, batch_id)
        if said.code == 0:
            raise self._clients.garbage("sbatch", said.out or said.err)
        if (way_out := refusal(said.err)) is not None:
            kind = BatchFull if takes_no_more(said.err) else BatchRefused
            raise kind(f"{said.words()}: {way_out}")
        raise BatchError(f"sbatch: {said.words()}; whether Slurm took it is found out by its token")

    async def look(self, watched: Sequence[Watched]) -> dict[str, Sighting]:
        """Look all up by one squeue; those that it does not show by sacct."""
        shown: dict[str, list[Sighting]] = {one.token: [] for one in watched}
        for row in await self._queue(OWN_JOBS):
            if (token := _token_of(row, shown)) is not None:
                shown[token].append(sighting(row))
        missing = [one for one in watched if not shown[one.token]]
        found = {token: rows[0] if len(rows) == 1 else together(rows) for token, rows in shown.items() if rows}
        return found | await self._forgotten(missing) if missing else found

    async def named(self, batch_id: str) -> Named | None:
        """Ask squeue, and of what that has forgotten sacct where there is accounting."""
        if re.fullmatch(r"[1-9][0-9]*", batch_id) is None:
            return None
        for row in await self._queue(f"--jobs={batch_id}"):
            if row.batch_id == batch_id:
                return Named(batch_id, frozenset({row.name, row.comment}), f"{row.name}, {row.state}")
        try:
            accounts = await self._accounts(f"--jobs={batch_id}")
        except BatchError as error:
            if NO_ACCOUNTING in str(error):
                return None
            raise
        for name, sightings in accounts.items():
            return Named(batch_id, frozenset({name}), f"{name}, of which {sightings[0].reason}")
        return None

    async def _queue(self, selection: str) -> list[Row]:
        said = await self._clients.run(["squeue", "--noheader", "--states=all", selection, f"--format={QUEUE_FORMAT}"])
        if said.code != 0 and UNKNOWN_ID in said.err:
            return []
        if said.code != 0:
            raise BatchError(f"squeue: {said.words()}")
        rows, unreadable = parse_queue(said.out)
        if unreadable and not rows:
            raise self._clients.garbage("squeue", said.out)
        if unreadable:
            self._clients.keep("squeue", "\n".join(unreadable))
        return rows

    async def _forgotten(self, missing: Sequence[Watched]) -> dict[str, Sighting]:
        """Ask the accounting, which may lag, be away or not be there at all: none of that proves anything."""
        if self._clock() < self._sacct_again:
            return self._untold(missing)
        since = min((one.asked for one in missing if one.asked is not None), default=time.time() - 30 * DAY) - DAY
        begin = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(max(0.0, since)))
        found: dict[str, list[Sighting]] = {}
        try:
            for tokens in _chunks([one.token for one in missing]):
                told = await self._accounts(f"--starttime={begin}", OWN_JOBS, f"--name={','.join(tokens)}")
                found |= {name: sightings for name, sightings in told.items() if name in tokens}
        except BatchError as error:
            self._sacct_again = self._clock() + PATIENCE
            self._sacct_trouble = None if NO_ACCOUNTING in str(error) else str(error)
            return self._untold(missing)
        return {one.token: together(found[one.token]) for one in missing if one.token in found}

    def _untold(self, missing: Sequence[Watched]) -> dict[str, Sighting]:
        if self._sacct_trouble is None:
            return {}
        why = f"squeue does not show it, and {self._sacct_trouble}"
        return {one.token: Sighting(Sight.UNKNOWN, one.batch_id, why) for one in missing}

    async def _accounts(self, *selection: str) -> dict[str, list[Sighting]]:
        said = await self._clients.run([*SACCT, f"--delimiter={US}", *selection, f"--format={ACCOUNT_FIELDS}"])
        if said.code != 0:
            raise BatchError(f"sacct: {said.words()}")
        found, unreadable = parse_accounts(said.out)
        if unreadable:
            raise self._clients.garbage("sacct", said.out)
        return found

    async def cancel(self, watched: Sequence[Watched]) -> None:
        """Ask for the end of all batch jobs of these that are alive, by their ids as squeue shows them now."""
        wanted = {one.token: one for one in watched}
        ids = []
        for row in await self._queue(OWN_JOBS):
            if (token := _token_of(row, wanted)) is None or sighting(row).sight is Sight.ENDED:
                continue
            if not wanted[token].alone or wanted[token].batch_id == row.batch_id:
                ids.append(row.batch_id)
        for some in _chunks(ids):
            said = await self._clients.run(["scancel", *some])
            # That one has ended meanwhile is what was wanted.
            if said.code != 0 and not all("Invalid job id" in line or "already" in line for line in _lines(said)):
                raise BatchError(f"scancel: {said.words()}")

    async def group_use(self, group: str) -> int | None:
        """Count the processors that jobs of the account hold that are not caf's own."""
        said = await self._clients.run(
            ["squeue", "--noheader", f"--states={USING}", f"--account={group}", f"--format={USE_FORMAT}"]
        )
        if said.code != 0:
            raise BatchError(f"squeue: {said.words()}")
        rows = [line.split(US) for line in said.out.split("\n") if line.strip()]
        if any(len(row) != 3 or not row[2].strip().isdecimal() for row in rows):
            raise self._clients.garbage("squeue", said.out)
        return sum(int(cpus) for _, name, cpus in rows if not name.startswith(self._own))

    async def close(self) -> None:
        """End the clients under way. Jobs are not touched."""
        await self._clients.close()

    async def examine(self, submissions: Mapping[str, Submission]) -> list[Finding]:
        """Tell which client answers, whether each job's partition is there, and what would be handed over."""
        found = [Finding("ok", f"client: {(await self._said(['sbatch', '--version'])).out.strip()}")]
        partitions = _partitions((await self._said(["sinfo", "--noheader", f"--format={PARTITION_FORMAT}"])).out)
        found.append(Finding("ok", f"the controller answers; partitions: {', '.join(sorted(partitions))}"))
        found += await self._accounting()
        for job, submission in submissions.items():
            found += await self._examine(job, submission, partitions)
        return found

    async def _said(self, command: list[str]) -> Said:
        said = await self._clients.run(command)
        if said.code != 0:
            raise BatchError(f"{command[0]}: {said.words()}")
        return said

    async def _accounting(self) -> list[Finding]:
        """Say who tells of ends that squeue has forgotten."""
        lines = (await self._said(["scontrol", "show", "config"])).out.splitlines()
        config = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
        kept = config.get("MinJobAge", "some time")
        if not config.get("AccountingStorageType", "").endswith("slurmdbd"):
            text = f"no accounting: {kept} after its end a job is known by its exit record alone"
            return [Finding("note", text)]
        said = await self._clients.run([*SACCT, "--name=caf-check"])
        if said.code != 0:
            return [Finding("warn", f"sacct: {said.words()}: ends that squeue has forgotten are not found")]
        return [Finding("ok", "sacct answers")]

    async def _examine(self, job: str, submission: Submission, partitions: Mapping[str, str]) -> list[Finding]:
        try:
            command = arguments(submission)
        except BatchRefused as error:
            return [Finding("BAD", f"jobs.{job}: {error}")]
        found = [Finding("", f"jobs.{job} would be handed over by: {shlex.join(command)}")]
        queues = [] if submission.queue is None else submission.queue.split(",")
        for queue in queues:
            if queue not in partitions:
                known = ", ".join(sorted(partitions))
                return [*found, Finding("BAD", f"jobs.{job}: there is no partition '{queue}'; known: {known}")]
            if partitions[queue] != "up":
                found.append(Finding("warn", f"jobs.{job}: partition {queue} is {partitions[queue]}: it would wait"))
        with NamedTemporaryFile("w", prefix="caf-check-", suffix=".sh") as script:
            script.write("#!/bin/sh\n")
            script.flush()
            said = await self._clients.run([*command[:-1], "--test-only", script.name])
        if said.code != 0:
            word = "warn" if takes_no_more(said.err) else "BAD"
            found.append(Finding(word, f"jobs.{job}: {said.words()}: {refusal(said.err) or 'try it by hand'}"))
        return found


def _partitions(text: str) -> dict[str, str]:
    """Give the partitions and whether they are up; the default one has a star."""
    rows = [line.split(US) for line in text.split("\n") if line.strip()]
    return {row[0].rstrip("*"): row[1] for row in rows if len(row) == 3}


def _token_of(row: Row, wanted: Mapping[str, object]) -> str | None:
    """Give which of the tokens a batch job carries; one that was renamed still has it as its comment."""
    return row.name if row.name in wanted else row.comment if row.comment in wanted else None


def _lines(said: Said) -> list[str]:
    return [line for line in said.err.splitlines() if line.strip()]


def _chunks(words: Sequence[str]) -> list[list[str]]:
    left = iter(words)
    return list(iter(lambda: list(islice(left, AT_ONCE)), []))
