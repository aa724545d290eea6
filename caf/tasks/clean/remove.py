"""What the clean duty does with single areas: weigh them, remove them, finish what was begun."""

import sqlite3
from typing import Any

from caf.domain.accounts import Weight
from caf.domain.cleaning import Area
from caf.domain.errors import CafError, StorageTimeout
from caf.store import archives, removals
from caf.tasks.archive import fixed_part, owner_of
from caf.tasks.clean.shift import Round
from caf.tasks.house import QUICK, House

AT_ONCE = 200  # areas in one exchange with the database
STEP = 2.0  # s
LOOK = 600.0  # s that weighing one area may take, or comparing it with its archive,
SHARE = 1 / 3  # but no more of the round's own time: one that is abandoned could not note what took so long
AGAIN = 3600.0  # s before an area is tried again


async def weigh(round_: Round) -> None:
    """Weigh the areas of attempts that are over, each once."""
    house = round_.house
    while rows := await house.database.call(removals.to_weigh, house.clock(), AT_ONCE):
        found: list[tuple[sqlite3.Row, Weight]] = []
        gone: list[sqlite3.Row] = []
        try:
            for row in rows:
                await _weigh(round_, row, found, gone)
                if round_.over:
                    return
        finally:
            await house.database.call(removals.weighed, found, house.clock())
            await house.database.call(removals.not_there, gone, house.clock())


async def _weigh(
    round_: Round, row: sqlite3.Row, found: list[tuple[sqlite3.Row, Weight]], gone: list[sqlite3.Row]
) -> None:
    house = round_.house
    area = (row["run"], row["job"], row["attempt"])
    work = str(house.configuration.caf.work)
    try:
        (said,) = await round_.files.call("weigh_areas", work, house.database_id, [area], timeout=_look(house))
    except StorageTimeout as error:
        await _could_not(house, row, str(error))
        raise
    if said["error"] is not None:
        await _could_not(house, row, said["error"])
    elif said["found"]:
        found.append((row, Weight(said["sizes"], said["disk"], said["files"])))
    else:
        gone.append(row)


def _look(house: House) -> float:
    return min(LOOK, SHARE * house.configuration.duties.timeout)


async def remove(round_: Round, area: Area) -> bool:
    """Remove an area that the plan holds; False if it stays, or is not gone yet."""
    house = round_.house
    try:
        if area.archived is not None and (lacks := await _lacks(round_, area)) is not None:
            await house.database.call(removals.archive_again, area, lacks, house.clock())
            house.log.warning("area.stays", run=area.run, job=area.job, attempt=area.attempt, error=lacks)
            return False
        if not await house.database.call(removals.begin, area, house.clock()):
            return False  # a person was quicker
    except CafError as error:
        await _could_not(house, area, str(error))
        if isinstance(error, StorageTimeout):
            raise
        return False
    for row in await house.database.call(removals.begun, house.clock()):
        if (row["job_id"], row["attempt"]) == area.key:
            return await _empty(round_, row, begins=True)
    return False


async def _lacks(round_: Round, area: Area) -> str | None:
    """Say what its archive does not hold, if anything: right before it goes."""
    house = round_.house
    place, token = await house.database.call(archives.kept, area.job_id, area.attempt)
    url = str(place)
    job = house.configuration.jobs.get(area.job)
    request = {
        "work": str(house.configuration.caf.work),
        "area": house.area({"run": area.run, "job": area.job}, area.attempt),
        "url": url,
        "root": fixed_part(job.archive) if job is not None and job.archive else url.rpartition("/")[0],
        "owner": owner_of(house, area.run, area.job, area.attempt, token),
    }
    lacks: str | None = await round_.files.call("archive_lacks", request, timeout=_look(house))
    return lacks


async def finish(round_: Round) -> None:
    """Finish removals that were begun, by whatever supervisor."""
    for row in await round_.house.database.call(removals.begun, round_.house.clock()):
        await _empty(round_, row)
        if round_.over:
            return


async def _empty(round_: Round, row: sqlite3.Row, *, begins: bool = False) -> bool:
    """Remove what is left of an area whose removal has begun; True once all is gone and that is recorded.

    Where it `begins` and nothing is there, somebody else has removed it, which is recorded instead.
    """
    house = round_.house
    names = ("run", "job", "attempt", "job_id")
    request: dict[str, Any] = {name: row[name] for name in names}
    request |= {"work": str(house.configuration.caf.work), "database_id": house.database_id}
    request["generation"] = house.generation
    there = not begins
    try:
        while True:
            said = await round_.files.call("remove_area", request, STEP, timeout=STEP + QUICK)
            there = there or said["found"]
            if said["done"]:
                break
            if round_.over:
                return False
    except CafError as error:
        await _could_not(house, row, str(error))
        if isinstance(error, StorageTimeout):
            raise
        return False
    if not there:
        await house.database.call(removals.not_there, [row], house.clock())
        return False
    await house.database.call(removals.removed, row, house.clock())
    which = {name: row[name] for name in names[:3]}
    house.log.info("area.removed", **which, bytes=row["sizes"], files=row["files"], why=row["why"])
    return True


async def _could_not(house: House, area: sqlite3.Row | Area, error: str) -> None:
    await house.database.call(removals.could_not, area, error, house.clock() + AGAIN)
    run, job, attempt = (
        (area.run, area.job, area.attempt) if isinstance(area, Area) else (area["run"], area["job"], area["attempt"])
    )
    house.log.warning("area.stays", run=run, job=job, attempt=attempt, error=error)
