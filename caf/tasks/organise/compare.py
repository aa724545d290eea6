"""Comparing working areas with the database, after they were taken over: nothing that was begun is begun again."""

from collections.abc import Sequence
from typing import Any

from caf.domain.comparing import Conclusion, Finding, Folder, conclude
from caf.domain.jobs import State
from caf.store import found
from caf.store.found import Attempts
from caf.tasks.house import House

CHUNK = 200  # jobs in one exchange
SLOW = 600.0  # s; a folder of very many areas may be slow


async def compare_areas(house: House) -> int:
    """Adopt every attempt that the database does not know; gives how many jobs changed.

    StorageError if the areas cannot be looked at now: then nothing may be submitted. Once all have been compared, only
    those whose job was not known are looked at again, until it is or they are gone.
    """
    if not house.compare:
        return 0
    moved = 0
    if await house.database.call(found.compare_due):
        moved += await _compare_all(house)
    moved += await _compare(house, await house.database.call(found.strays_to_see))
    house.compare = bool(await house.database.call(found.strays))
    return moved


async def not_found(house: House, rows: Sequence[Any]) -> list[Any]:
    """Leave out jobs whose areas were found and not compared yet: they must not be prepared anew."""
    if not house.compare:
        return list(rows)
    strays = {(run, job) for run, job, _ in await house.database.call(found.strays)}
    return [row for row in rows if (row["run"], row["job"]) not in strays]


async def _listed(house: House) -> list[Attempts]:
    """Give all areas, and, negative, the newest that was removed of each job not known to be over."""
    work = str(house.configuration.caf.work)
    there = {(run, job): numbers for run, job, numbers in await house.files.call("attempts_in", work, timeout=SLOW)}
    removed = await house.files.call("removed_in", work, timeout=SLOW)
    for first in range(0, len(removed), CHUNK):
        for run, job, number in await house.database.call(found.behind, removed[first : first + CHUNK]):
            there.setdefault((run, job), []).append(-number)
    return [(*key, numbers) for key, numbers in there.items()]


async def _compare_all(house: House) -> int:
    listed = await _listed(house)
    moved = areas = 0
    for first in range(0, len(listed), CHUNK):
        left = await house.database.call(found.unknown, listed[first : first + CHUNK])
        moved += await _compare(house, left)
        areas += sum(len(numbers) for _, _, numbers in left)
    strays = len(await house.database.call(found.strays))
    why = f"{areas} working areas were not known: {moved} jobs follow them, {strays} have no job yet"
    await house.database.call(found.compared, house.clock(), why)
    house.log.warning("work.compared", areas=areas, jobs=moved, strays=strays)
    return moved


async def _compare(house: House, listed: Sequence[Attempts]) -> int:
    moved = 0
    for first in range(0, len(listed), CHUNK):
        some = listed[first : first + CHUNK]
        work = house.configuration.caf.work
        every = ((run, job, number) for run, job, numbers in some for number in numbers if number > 0)
        areas = [str(work / f"{run}_{job}" / str(number)) for run, job, number in every]
        looked = iter(await house.files.call("survey", areas, timeout=SLOW))
        for run, job, numbers in some:
            there = {number: seen for number in numbers if number > 0 and (seen := next(looked))["exists"]}
            moved += await _settle(house, run, job, there, -min(0, *numbers))
    return moved


async def _settle(house: House, run: int, job: str, there: dict[int, dict[str, Any]], gone: int) -> int:
    """Decide about one job's areas, and its newest that was removed; True if that changed the job."""
    row = await house.database.call(found.job_of, run, job)
    numbers = sorted((*there, *([-gone] if gone else [])))
    if row is None and numbers:
        await house.database.call(found.keep_strays, [(run, job, numbers)], house.clock())
        return 0
    done = Conclusion(Finding.NOTHING)
    if row is not None and numbers:
        folders = [_folder(house, row, number, seen) for number, seen in there.items()]
        done = conclude(State(row["state"]), row["attempt"], folders, gone)
        tokens = {one.number: one.token for one in folders if one.ours and one.token is not None}
        known = {number: token for number, token in tokens.items() if number < done.number or token == done.token}
        if not await house.database.call(found.settle, row, done, known, house.clock()):
            await house.database.call(found.keep_strays, [(run, job, numbers)], house.clock())
            return 0
    await house.database.call(found.forget_strays, [(run, job)])
    if done.finding is not Finding.NOTHING:
        house.log.warning("job.found", run=run, job=job, attempt=done.number, what=done.finding, why=done.why)
    return done.finding is not Finding.NOTHING


def _folder(house: House, row: Any, number: int, seen: dict[str, Any]) -> Folder:
    facts = seen["facts"] or {}
    told = (facts.get("run"), facts.get("job"), facts.get("attempt")) == (row["run"], row["job"], number)
    whole = seen["error"] is None and not seen["foreign"] and (seen["token"] is not None) == seen["script"]
    own = (facts.get("database_id"), facts.get("job_id")) == (house.database_id, row["id"])
    untouched = not seen["script"] and not seen["claim"]
    return Folder(
        number,
        ours=told and whole and (untouched or seen["script"]),
        token=seen["token"],
        revoked=bool(seen["revoked"]) and not seen["ended"],
        replaceable=own and untouched,
    )
