"""The archive duty: copies the areas of attempts that are over to where their job wants them kept.

It works in the background, one attempt at a time, with a file child of its own, in steps of seconds; a round ends
after a minute, and the next one goes on where it stopped. An attempt counts as archived when every file was compared.
"""

import sqlite3
from dataclasses import dataclass, field
from typing import Any

from caf.config import Configuration, JobTable
from caf.domain.errors import CafError, StorageError
from caf.store import archives
from caf.tasks.house import QUICK, House

AT_ONCE = 500  # attempts looked at in one exchange with the database
STEP = 2.0  # s
ROUND, SOONEST = 60.0, 1.0  # s
AGAIN, LONGEST_WAIT = 300.0, 6 * 3600.0  # s after the first failure, doubled up to


@dataclass(slots=True)
class Archived:
    """What one round did. `again_in` is when (s) another one is worth while, if before the usual time."""

    done: int = 0
    again_in: float | None = None
    away: set[str] = field(default_factory=set)  # archives that cannot be used just now

    def summary(self) -> str | None:
        """Say what happened, if anything did."""
        return f"{self.done} attempt{'s' * (self.done != 1)} archived" if self.done else None


async def run_once(house: House) -> Archived:
    """Archive what is due. CafError at the end if there are attempts that could not be archived."""
    round_ = Archived()
    until = house.clock() + ROUND
    while rows := await house.database.call(archives.due, house.clock(), AT_ONCE):
        if not await _work_off(house, round_, await _wanted(house, rows), until):
            round_.again_in = SOONEST
            return round_
    due = await house.database.call(archives.next_due)
    round_.again_in = None if due is None else max(due - house.clock(), SOONEST)
    count, first = await house.database.call(archives.troubled)
    if first is not None:
        others = f" and {count - 1} more" if count > 1 else ""
        raise CafError(
            f"attempt {first['attempt']} of {first['job']} of run {first['run']}{others} could not be archived, and "
            f"will be tried again: {first['archive_error']}"
        )
    return round_


async def _wanted(house: House, rows: list[sqlite3.Row]) -> list[tuple[sqlite3.Row, Configuration, JobTable]]:
    """Give the attempts that are to be archived, and note of the others that they are not."""
    wanted, others = [], []
    for row in rows:
        try:
            configuration, table, _ = await house.tables_of(row)
        except CafError as error:  # its configuration was written for another version
            await _failed(house, row, str(error))
            continue
        if table.archive is None:
            others.append((row["job_id"], row["attempt"]))
        else:
            wanted.append((row, configuration, table))
    if others:
        await house.database.call(archives.not_wanted, others)
    return wanted


async def _work_off(
    house: House, round_: Archived, wanted: list[tuple[sqlite3.Row, Configuration, JobTable]], until: float
) -> bool:
    """Archive one attempt after the other; False if the time is over before all are done."""
    for row, _, table in wanted:
        request = _request(house, row, table)
        if request["root"] in round_.away:
            later = house.clock() + AGAIN
            await house.database.call(archives.put_off, row["job_id"], row["attempt"], later)
            continue
        try:
            done = await _archive(house, request, until)
        except StorageError as error:
            if error.transient:  # a full or absent archive fails the others too: their turn comes when it is back
                round_.away.add(request["root"])
            await _failed(house, row, str(error))
            continue
        if done is None:
            return False
        await house.database.call(archives.archived, row["job_id"], row["attempt"], request["url"], house.clock())
        house.log.info(
            "attempt.archived",
            run=row["run"],
            job=row["job"],
            attempt=row["attempt"],
            archive=request["url"],
            files=done["files"],
            bytes=done["bytes"],
            left_out=done["left_out"],
        )
        round_.done += 1
    return house.clock() < until


async def _archive(house: House, request: dict[str, Any], until: float) -> dict[str, Any] | None:
    """Go on with one attempt until it is archived; None if the round's time is over."""
    files = house.archive_files or house.files
    while True:
        answer: dict[str, Any] = await files.call("archive_step", request, STEP, timeout=STEP + QUICK)
        if answer["done"]:
            return answer
        if house.clock() >= until:
            return None


def _request(house: House, row: sqlite3.Row, table: JobTable) -> dict[str, Any]:
    """Describe the work; always in the same words, so that the file child goes on with what it has begun."""
    pattern = str(table.archive)
    url = pattern.format(run=row["run"], job=row["job"]) + f"/{row['attempt']}"
    return {
        "area": house.area(row),
        "url": url,
        "root": fixed_part(pattern),
        "exclude": list(table.archive_exclude),
        "owner": owner_of(house, row["run"], row["job"], row["attempt"], row["token"]),
    }


def owner_of(house: House, run: int, job: str, attempt: int, token: str) -> dict[str, Any]:
    """Give what a manifest says of whose the archive is.

    With the token: a database restored from before an attempt may use its number again, and nothing that is archived
    may be overwritten by that.
    """
    return {"database_id": house.database_id, "run": run, "job": job, "attempt": attempt, "token": token}


def fixed_part(pattern: str) -> str:
    """Give the part of an archive's place that is the same for all attempts, and must be there."""
    fixed = pattern.partition("{")[0]
    return fixed.rpartition("/")[0] if "{" in pattern else fixed


async def _failed(house: House, row: sqlite3.Row, error: str) -> None:
    again = min(AGAIN * 2 ** min(row["archive_tries"], 10), LONGEST_WAIT)
    house.log.warning("archive.failed", run=row["run"], job=row["job"], attempt=row["attempt"], error=error)
    await house.database.call(archives.failed, row["job_id"], row["attempt"], error, house.clock() + again)
