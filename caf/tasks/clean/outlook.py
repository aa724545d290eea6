"""What cleaning could take, and when the account will be full all the same."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace

from caf.config import Configuration
from caf.config.tables import QuotaTable
from caf.domain.accounts import Account, Counts, Use, Weight
from caf.domain.cleaning import Area, Planner, Rules, candidates
from caf.domain.forecast import Prospect, full_in, growth
from caf.store import quota, removals
from caf.store.quota import TREND, Standing
from caf.tasks.house import House


def rules_of(configuration: Configuration, table: QuotaTable) -> Rules:
    """Give the rules that are in force; jobs that the file no longer has keep none of their newest."""
    newest = {name: job.keep_newest for name, job in configuration.jobs.items() if job.keep_newest}
    return Rules(table.high, table.low, table.keep, table.keep_failed, newest)


def removable_jobs(configuration: Configuration) -> frozenset[str]:
    """Give the names of the jobs whose areas need no archive."""
    return frozenset(name for name, job in configuration.jobs.items() if job.removable)


async def look_through(house: House, rules: Rules, planner: Planner, *, weigh: bool) -> tuple[Weight, Weight]:
    """Offer the areas that may go, page by page; gives what may go now, and what may once it is old enough.

    These two are right only with `weigh`: else it is over as soon as nothing more is wanted.
    """
    now, removable = house.clock(), removable_jobs(house.configuration)
    there = await house.database.call(removals.there_by_job)
    old, left, left_then = replace(rules, keep=0.0, keep_failed=0.0), Counter(there), Counter(there)
    free, later = Weight(), Weight()
    after: removals.Place | None = removals.FIRST
    while after is not None and (weigh or planner.wants):
        areas, after = await house.database.call(removals.page, removable, now, after)
        may_go = list(candidates(areas, rules, now, left))
        planner.offer(may_go)
        if weigh:
            free += _sum(may_go)
            later += _sum(list(candidates(areas, old, now, left_then)))
    return free, later


def _sum(areas: Collection[Area]) -> Weight:
    return sum((area.weight for area in areas if area.weight is not None), Weight())


@dataclass(frozen=True, slots=True)
class _Found:
    a_day: float
    full: float | None


async def forecast(house: House, account: Account, found: Standing, later: Weight) -> Standing:
    """Add to what was found how much is written a day, by which jobs, and when a limit will be reached."""
    now = house.clock()
    main = _main(account)
    if main is None:
        return replace(found, a_day=None, by_job={}, full_in=None, full_of=None)
    by_job = await house.database.call(quota.written_a_day, main.counts, now)
    soonest: tuple[float, str] | None = None
    a_day: float | None = None
    for use in account.uses:
        outlook = await _of_limit(house, use, later.by(use.counts))
        if use is main and outlook is not None:
            a_day = outlook.a_day
        if outlook is not None and outlook.full is not None and (soonest is None or outlook.full < soonest[0]):
            soonest = outlook.full, f"{use.of} ({'files' if use.counts is Counts.FILES else 'bytes'})"
    full, of = soonest or (None, None)
    return replace(found, a_day=a_day, by_job=by_job, full_in=full, full_of=of)


def _main(account: Account) -> Use | None:
    """Give the limit of bytes that is nearest, or any that counts bytes."""
    bytes_only = [use for use in account.uses if use.counts is not Counts.FILES]
    return Account(tuple(bytes_only)).fullest() or next(iter(bytes_only), None)


async def _of_limit(house: House, use: Use, later: int) -> _Found | None:
    """Give how one limit goes; None where too little is known."""
    now, table = house.clock(), house.configuration.quota
    by_job = await house.database.call(quota.written_a_day, use.counts, now)
    trend = growth(await house.database.call(quota.points, use, now - TREND))
    written = sum(by_job.values())
    a_day = written if trend is None else trend
    if table is None or (trend is None and not by_job):
        return None
    if use.limit is None or use.used is None:
        return _Found(a_day, None)
    passing = sum(amount for name, amount in by_job.items() if _goes(house.configuration, name))
    lasting = max(0.0, a_day - passing)
    return _Found(a_day, full_in(Prospect(use.used, use.limit, later, a_day, lasting, table.keep)))


def _goes(configuration: Configuration, name: str) -> bool:
    job = configuration.jobs.get(name)
    return job is not None and (job.archive is not None or job.removable)
