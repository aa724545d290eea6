"""Carrying out what a step decided, and logging it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from caf.batch.interface import Watched
from caf.domain.errors import BatchError, ConfigError, StorageError
from caf.domain.jobs import BUSY, State
from caf.store import jobs
from caf.store.due import Due
from caf.store.jobs import Change
from caf.store.refill import frees_slot, refill, settle
from caf.tasks.afterwards import scripts_of
from caf.tasks.house import House

Gathered = tuple[Change, Any, float]  # with the row that it was decided on, and that row's `since`


async def carry_out(
    house: House, changes: Sequence[tuple[Change, Any]], *, since: float | None = None, can_wait: bool = False
) -> int:
    """Commit changes, each with the row that it was decided on, and log those that took place. Gives how many.

    `since`: when this duty itself moved the jobs after it read the rows. `can_wait`: nothing is done on the strength of
    these changes that a crash before their commit would make wrong; a quick round commits them with what comes next.
    """
    if not changes:
        return 0
    planned = [(await _with_scripts(house, change, row), row) for change, row in changes]
    gathered = [(change, row, row["since"] if since is None else since) for change, row in planned]
    if can_wait and house.gathered is not None:
        house.gathered += gathered
        return len(gathered)
    return await _commit(house, gathered)


async def _with_scripts(house: House, change: Change, row: Any) -> Change:
    """Add what the job wants to have run after this outcome of an attempt that was handed over."""
    if change.target not in {State.DONE, State.FAILED} or change.seen not in BUSY:
        return change
    try:
        _, table, _ = await house.tables_of(row)
    except (ConfigError, KeyError):  # no caf that reads it knows of any
        return change
    scripts = scripts_of(table, row["run"], row["job"], change.target)
    return replace(change, scripts=scripts) if scripts else change


async def commit_gathered(house: House) -> int:
    """Commit what has been gathered. Gives 0: it was counted when it was gathered."""
    if gathered := _take(house):
        await _commit(house, gathered)
    return 0


async def commit_and_look(house: House) -> Due:
    """Commit what has been gathered, and see what is due next."""
    gathered = _take(house)
    changes, seen = [change for change, *_ in gathered], [since for *_, since in gathered]
    done, due = await house.database.call(settle, changes, seen, house.clock())
    _log(house, gathered, done)
    return due


def slots_freed(house: House) -> int:
    """Count the slots that what has been gathered will free."""
    return sum(frees_slot(change) for change, *_ in house.gathered or ())


async def claim(house: House, job_ids: Sequence[int], now: float) -> dict[int, str]:
    """Commit a token for each of these PREPARED jobs, together with what has been gathered."""
    gathered = _take(house)
    if not gathered:
        return await house.database.call(jobs.claim_tokens, job_ids, now)
    changes, seen = [change for change, *_ in gathered], [since for *_, since in gathered]
    done, tokens = await house.database.call(refill, changes, seen, job_ids, now)
    _log(house, gathered, done)
    return tokens


def _take(house: House) -> list[Gathered]:
    gathered = house.gathered or []
    if gathered:
        house.gathered = []
    return gathered


async def _commit(house: House, gathered: Sequence[Gathered]) -> int:
    changes, seen = [change for change, *_ in gathered], [since for *_, since in gathered]
    done = await house.database.call(jobs.apply, changes, house.clock(), seen)
    _log(house, gathered, done)
    return sum(done)


def _log(house: House, gathered: Sequence[Gathered], done: Sequence[bool]) -> None:
    for (change, row, _), took_place in zip(gathered, done, strict=True):
        if took_place and change.scripts:
            house.scripts_due()
        if took_place and change.target is not change.seen:
            house.log.info(
                "job.moved",
                run=row["run"],
                job=row["job"],
                attempt=change.attempt,
                was=change.seen,
                became=change.target,
                why=change.why,
            )


async def ask_to_end(house: House, attempts: Sequence[Watched], troubles: list[BatchError | StorageError]) -> None:
    """Ask the batch system to end attempts; that it does not answer stops nothing else, and is added to `troubles`."""
    if not attempts:
        return
    try:
        await house.batch.cancel(attempts)
    except BatchError as error:
        troubles.append(error)
