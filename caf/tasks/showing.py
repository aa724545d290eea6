"""Part of the report duty: what an attempt has to show is copied beside the page, and removed when it is old."""

import sqlite3
from itertools import takewhile
from typing import Any

from caf.config import ReportTable
from caf.domain.errors import CafError, StorageError, StorageTimeout
from caf.storage.child import FileChild
from caf.store import shown
from caf.store.shown import Outcome
from caf.tasks.house import House

AT_ONCE = 20  # attempts
LIMIT = 120.0  # s for the files of one attempt
AGAIN, LONGEST_WAIT = 60.0, 6 * 3600.0  # s after the first time that files could not be copied, doubled up to


async def copy_due(house: House, files: FileChild, table: ReportTable, until: float) -> int:
    """Copy what is due until a time; gives of how many attempts. What cannot be copied holds nothing else up."""
    count = 0
    while house.clock() < until and (rows := await house.database.call(shown.due, house.clock(), AT_ONCE)):
        rows = _together(rows)
        outcomes = await _copy(house, files, table, rows)
        await house.database.call(shown.note, outcomes, house.clock())
        count += len(rows)
    return count


def _together(rows: list[sqlite3.Row]) -> list[sqlite3.Row]:
    """Give those that are copied in one exchange: one that was tried in vain goes alone, lest it take others along."""
    fresh = list(takewhile(lambda row: not row["tries"], rows))
    return fresh or rows[:1]


async def _copy(house: House, files: FileChild, table: ReportTable, rows: list[sqlite3.Row]) -> list[Outcome]:
    """Copy the files of some attempts in one exchange; where that is not done, all of them wait."""
    outcomes, requests, asked = [], [], []
    for row in rows:
        try:
            requests.append(await _request(house, table, row))
            asked.append(row)
        except CafError as error:  # its configuration was written for another version
            outcomes.append(Outcome(row["job_id"], row["attempt"], error=str(error)))
    try:
        found = await files.many([("copy_shown", [request]) for request in requests], timeout=LIMIT)
    except StorageError as error:  # it takes too long, or the child has died of it
        found = [error] * len(requests)
    for row, one in zip(asked, found, strict=True):
        outcomes.append(_outcome(row, one, house.clock()))
    return outcomes


def _outcome(row: sqlite3.Row, found: list[dict[str, Any]] | CafError, now: float) -> Outcome:
    if not isinstance(found, CafError):
        return Outcome(row["job_id"], row["attempt"], files=found)
    again = now + min(AGAIN * 2 ** min(row["tries"], 12), LONGEST_WAIT)
    passing = found.transient or isinstance(found, StorageTimeout)
    return Outcome(row["job_id"], row["attempt"], error=str(found), again=again if passing else None)


async def _request(house: House, table: ReportTable, row: sqlite3.Row) -> dict[str, Any]:
    _, job, _ = await house.tables_of(row)
    names = {"run": row["run"], "job": row["job"]}
    return {
        "work": str(house.configuration.caf.work),
        "database_id": house.database_id,
        "area": house.area(row),
        "folder": str(table.path),
        "place": place_of(row),
        "show": [pattern.format(**names) for pattern in job.show],
        "log": job.log.format(**names),
        "largest": table.largest,
    }


def place_of(row: sqlite3.Row) -> str:
    """Give where an attempt's files stand below the page's folder for them."""
    return f"{row['run']}_{row['job']}/{row['attempt']}"


async def remove_old(house: House, files: FileChild, table: ReportTable) -> None:
    """Remove the copies of attempts whose time is over. StorageError, once the others are gone, if some cannot be."""
    rows = await house.database.call(shown.old, house.clock() - table.keep, AT_ONCE)
    if not rows:
        return
    calls = [("remove_shown", (str(table.path), [place_of(row)])) for row in rows]
    answers = await files.many(calls, timeout=LIMIT)
    gone = [row for row, answer in zip(rows, answers, strict=True) if not isinstance(answer, CafError)]
    await house.database.call(shown.removed, gone, house.clock())
    for answer in answers:
        if isinstance(answer, CafError):
            raise answer
