"""The discover duty: read the run database if it changed, judge what is new or open, make jobs of what is accepted."""

import json
import secrets
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from caf import __version__
from caf.config import Configuration, CoolSource, TableSource
from caf.domain.discovery import Rules
from caf.domain.errors import ConfigError, SourceError, StorageError
from caf.domain.matching import Status
from caf.domain.runs import SECOND
from caf.store import discovery, duties, making
from caf.store.newcomers import Bulk
from caf.store.rows import record_from
from caf.tasks.house import QUICK, House

SNAPSHOT, LAST = "snapshot.db", "source.db"
"""What is read, until it is absorbed, and the last of it that was; beside the database, and of no worth without it."""
PAGE = 10_000  # runs in one transaction
TELL = 2.0  # s between two words on how far a long look is
LOUD = 100  # verdicts of one page that are logged one by one; beyond it only those that lead to something
EVENTS = {
    Status.OPEN: "run.open",
    Status.ACCEPTED: "run.accepted",
    Status.UNCLAIMED: "run.unclaimed",
    Status.CONFLICT: "run.conflict",
}


@dataclass(slots=True)
class Discovered:
    """What one round found."""

    read: bool = False
    new: int = 0
    changed: int = 0
    became: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    stale: float | None = None

    def summary(self) -> str | None:
        """Say what happened, if anything did."""
        parts = [f"{self.new} new run{'s' * (self.new != 1)}"] if self.new else []
        parts += [f"{self.changed} changed"] if self.changed else []
        parts += [f"{count} {status}" for status, count in sorted(self.became.items())]
        parts += [f"{self.jobs} job{'s' * (self.jobs != 1)} made"] if self.jobs else []
        return ", ".join(parts) or None


async def run_once(house: House) -> Discovered:
    """Do one round. SourceError, or StorageError, if the run database cannot be read or hangs.

    Runs that are open are looked at all the same, and jobs made of those that are due.
    """
    found = Discovered()
    # All of a round goes by one configuration, whatever is put into force meanwhile.
    configuration = house.configuration
    rules = _rules(configuration, house.configuration_id)
    trouble: SourceError | StorageError | None = None
    try:
        await _read(house, found, configuration.source, rules)
    except (SourceError, StorageError) as error:
        trouble = error
    source = await house.database.call(discovery.source_row)
    # What was read for another configuration may lack an attribute of this one, which is not the same as null.
    if source is not None and source["identity"] == _identity(configuration.source):
        await _pages(house, found, rules, discovery.look_again, source["replica_time"])
        _watch_age(house, found, source["replica_time"])
    found.jobs = await _make_jobs(house)
    if trouble is not None:
        raise trouble
    return found


def _rules(configuration: Configuration, kept: int) -> Rules:
    return Rules(
        kept,
        configuration.listeners_in_force(),
        configuration.corrections_in_force(),
        int(configuration.caf.settle * SECOND),
    )


def _identity(source: CoolSource | TableSource) -> dict[str, Any]:
    """Say what is read: another answer means that everything is read again."""
    return source.model_dump(mode="json", exclude={"stale", "busy_timeout"})


async def _read(house: House, found: Discovered, source: CoolSource | TableSource, rules: Rules) -> None:
    """Absorb the run database if it is not as it was when it was last absorbed as a whole."""
    before = await house.database.call(discovery.source_row)
    paths = await _paths(house, source)
    marks = await house.source_files.call("marks", paths, timeout=QUICK)
    identity = _identity(source)
    if before is not None and before["identity"] == identity and before["marks"] == marks:
        return
    token = before["absorbed"] if before is not None and before["identity"] == identity else None
    stamp = json.dumps([__version__, identity, marks, token])
    result = await _snapshot(house, source, paths, stamp, token)
    after = await house.source_files.call("marks", paths, timeout=QUICK)
    if after != marks:
        raise SourceError("the run database changed while it was read: it is read again in the next round")
    folders = result.get("folders", {})
    gone = _missed(before, identity) - set(folders)
    if gone:
        raise SourceError(
            f"{', '.join(sorted(gone))}: was in the run database and is gone: nothing is taken over before it is "
            "back; a replica that was copied without it must be copied again"
        )
    # A file that no folder is taken from, such as another database's archive, says nothing about these runs.
    replica_time = min(mark[4] for mark in marks if not folders or mark[0] in folders.values())
    absorb = partial(discovery.absorb, bulk=Bulk(), renewed=_renewed(before, identity))
    total = await house.database.call(discovery.attach, str(house.database.path.with_name(SNAPSHOT)))
    try:
        await _pages(house, found, rules, absorb, replica_time, total)
    finally:
        await house.database.call(discovery.detach)
    fresh = secrets.token_hex(8)
    standing = discovery.Absorbed(identity, marks, sorted(folders), replica_time, source.stale, fresh)
    await house.database.call(discovery.keep_source, standing, house.clock())
    await _keep_snapshot(house, token if result.get("differing") else None, fresh)
    found.read = True
    house.log.info("source.read", runs=result.get("runs"), new=found.new, changed=found.changed)
    for problem in result.get("problems", []):
        house.log.warning("source.problem", problem=problem)


def _missed(before: dict[str, Any] | None, identity: dict[str, Any]) -> set[str]:
    """Give the folders that must be there: all that were, but for those that only an attribute wanted that is gone."""
    if before is None or any(before["identity"].get(key) != identity.get(key) for key in ("database", "replicas")):
        return set()
    former, present = (each.get("attributes", {}) for each in (before["identity"], identity))
    return set(before["folders"]) - {table["folder"] for name, table in former.items() if present.get(name) != table}


def _renewed(before: dict[str, Any] | None, identity: dict[str, Any]) -> set[str]:
    """Give the attributes that were not asked for, or otherwise, when the source was last absorbed as a whole."""
    former = identity if before is None else before["identity"]
    known = former.get("attributes", {})
    return {name for name, table in identity.get("attributes", {}).items() if known.get(name) != table}


async def _keep_snapshot(house: House, token: str | None, fresh: str) -> None:
    """Keep what was absorbed, so that the next reading need only bring what differs; it can do without."""
    snapshot, last = (str(house.database.path.with_name(name)) for name in (SNAPSHOT, LAST))
    try:
        await house.source_files.call("keep_snapshot", snapshot, last, token, fresh, house.clock(), timeout=QUICK)
    except (SourceError, StorageError) as error:
        house.log.warning("source.problem", problem=str(error))


async def _paths(house: House, source: CoolSource | TableSource) -> list[str]:
    if isinstance(source, TableSource):
        return [str(source.path)]
    paths: list[str] = await house.source_files.call("expand", list(source.replicas), timeout=QUICK)
    return paths


async def _snapshot(
    house: House, source: CoolSource | TableSource, paths: list[str], stamp: str, token: str | None
) -> dict[str, Any]:
    """Have the file child write the runs of the source into a snapshot beside the database.

    All of them, or those that differ from the last snapshot, which bears the token. A snapshot that an interrupted
    round has left for the same stamp is used as it is.
    """
    timeout = house.configuration.duties.timeout
    snapshot, last = (str(house.database.path.with_name(name)) for name in (SNAPSHOT, LAST))
    common: dict[str, Any] = {"first_run": source.first_run, "into": snapshot}
    result: dict[str, Any]
    if isinstance(source, TableSource):
        result = await house.source_files.call("read_table", timeout=timeout, path=paths[0], **common)
    else:
        attributes = {name: table.model_dump(mode="json") for name, table in source.attributes.items()}
        arguments = {
            "files": paths,
            "database": source.database,
            "attributes": attributes,
            "busy_timeout": source.busy_timeout,
            "stamp": stamp,
            "known": None if token is None else (last, token, house.clock()),
            **common,
        }
        result = await house.source_files.call("read_cool", timeout=timeout, **arguments)
    return result


async def _pages(house: House, found: Discovered, rules: Rules, step: Any, replica_time: int, total: int = 0) -> None:
    """Work through all pages of one step; each is a transaction, so that nothing is lost between two of them."""
    told, done = house.clock(), 0
    after: int | None = -1
    while after is not None:
        page = await house.database.call(step, rules, after, PAGE, house.clock(), replica_time)
        found.new += page.new
        found.changed += page.changed
        found.became += page.became
        if len(page.notable) > LOUD:
            house.log.info("runs.judged", **{status.lower(): count for status, count in page.became.items()})
        for run, status, listener in page.notable:
            if len(page.notable) > LOUD and status not in {Status.ACCEPTED, Status.CONFLICT}:
                continue
            house.log.info(EVENTS[Status(status)], run=run, **({"listener": listener} if listener else {}))
        after = page.last
        done += PAGE
        if after is not None and total and house.clock() - told >= TELL:
            told = house.clock()
            house.log.info("discover.progress", runs=done, of=total)
            await house.database.call(duties.progressed, "discover", f"{done:,} of {total:,} runs looked at")


def _watch_age(house: House, found: Discovered, replica_time: int) -> None:
    """Raise an alarm about a replica that stands still: a dead copy job looks just like no new runs."""
    age = house.clock() - replica_time / SECOND
    if age > house.configuration.source.stale:
        found.stale = age
        house.log.warning("source.stale", age_s=round(age), limit_s=house.configuration.source.stale)


async def _make_jobs(house: House) -> int:
    """Make the jobs of all runs that were accepted since; too many at once all wait for a person."""
    due = await house.database.call(making.due_runs)
    if not due:
        return 0
    wanted: dict[int, list[making.NewJob]] = {}
    runs = []
    for row in due:
        try:
            configuration, kept = await _in_force_for(house, row)
        except ConfigError as error:  # it stays due: another version of caf may read it, or a person assign the run
            house.log.warning("config.unreadable", run=row["run"], error=str(error).partition("\n")[0])
            continue
        wanted.setdefault(kept, []).extend(_jobs_of(row, configuration))
        runs.append(row["run"])
    if not runs:
        return 0
    limit = house.configuration.caf.max_new_jobs
    total = sum(len(new) for new in wanted.values())
    flood = f"{total} new jobs in one round are more than max_new_jobs = {limit}" if total > limit else None
    if flood:
        house.log.warning("jobs.flood", jobs=total, limit=limit)
        for new in wanted.values():
            new[:] = [making.NewJob(job.run, job.job, job.listener, job.priority, job.waits or flood) for job in new]
    made = await house.database.call(making.make_all, wanted, runs, house.clock())
    house.log.info("jobs.made", jobs=made, runs=len(runs))
    house.jobs_made()
    return made


async def _in_force_for(house: House, row: Any) -> tuple[Configuration, int]:
    """Give the configuration for a run's jobs: that in force, or, if its listener is gone from it, the run's own."""
    if row["listener"] in house.configuration.listeners:
        return house.configuration, house.configuration_id
    return await house.configuration_of(row["judged_by"]), row["judged_by"]


def _jobs_of(row: Any, configuration: Configuration) -> list[making.NewJob]:
    new = []
    for name in configuration.jobs_for(row["listener"]):
        table = configuration.jobs[name]
        waits = "the job asks for validation" if table.needs_validation else None
        if row["needs_validation"]:
            waits = _too_few(row, configuration.listeners[row["listener"]].min_events)
        new.append(making.NewJob(row["run"], name, row["listener"], table.priority, waits))
    return new


def _too_few(row: Any, min_events: int | None) -> str:
    events = record_from(row).values.get("events")
    counted = "its events were never counted" if events is None else f"{events} of {min_events} events"
    return f"{counted}: a person must validate it"
