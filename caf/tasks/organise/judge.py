"""Judging attempts that are over: exit code, log, outputs; then DONE, FAILED, or once more."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from caf.config import JobTable
from caf.config.units import duration_text
from caf.domain.errors import StorageError, StorageTimeout
from caf.domain.jobs import INFRASTRUCTURE, Result, State
from caf.domain.judging import Success, grown, judge_end, retry_delay
from caf.store import jobs
from caf.store.jobs import Change
from caf.tasks.checks import Check
from caf.tasks.house import House
from caf.tasks.organise.moves import carry_out
from caf.tasks.organise.readable import readable

CHUNK = 20  # jobs looked at in one exchange
LATER = 300.0  # s before an area that could not be looked at is tried again


async def judge_finished(house: House) -> int:
    """Judge every FINISHED job; one whose area cannot be looked at now is judged later."""
    rows = await house.database.call(jobs.in_states, (State.FINISHED,), due=house.clock())
    rows, moved = await _checked(house, rows)
    rows = await readable(house, rows)
    trouble = None
    for first in range(0, len(rows), CHUNK):
        chunk = rows[first : first + CHUNK]
        tables = [(await house.tables_of(row))[1] for row in chunk]
        found = await _inspect(house, chunk, tables)
        changes: list[tuple[Change, object]] = []
        for row, table, seen in zip(chunk, tables, found, strict=True):
            if isinstance(seen, StorageError) and seen.transient:
                trouble = seen
                changes.append((_later(house, row, seen), row))
            elif isinstance(seen, StorageError):
                failed = Change(row["id"], State.FINISHED, row["attempt"], State.FAILED, str(seen), Result.OUTPUTS)
                changes.append((failed, row))
            else:
                judged = _judged(house, row, table, success_of(table, row), seen)
                changes.append((_check_first(house, row, table) if _wants_check(judged, table) else judged, row))
        moved += await carry_out(house, changes, can_wait=True)
    if trouble is not None:
        raise trouble
    return moved


async def _inspect(house: House, rows: Sequence[sqlite3.Row], tables: Sequence[JobTable]) -> list[Any]:
    """Look at the areas of some jobs at once; if that takes too long at each alone: one log holds up no other."""
    calls = []
    for row, table in zip(rows, tables, strict=True):
        success = success_of(table, row)
        texts = {"log_has": list(success.log_has), "log_lacks": list(success.log_lacks)}
        more = {**texts, **({"copies": True} if table.scratch or table.copy_back else {})}
        calls.append(({"area": house.area(row), "log": success.log, "outputs": list(success.outputs), **more},))
    try:
        return await house.each("inspect", calls)
    except StorageTimeout:
        alone: list[Any] = []
        for call in calls:
            try:
                alone += await house.each("inspect", [call])
            except StorageTimeout as late:
                alone.append(late)
        return alone


def _later(house: House, row: sqlite3.Row, trouble: StorageError) -> Change:
    """Judge it later; the others go on."""
    sets = {"not_before": house.clock() + LATER, "batch_id": row["batch_id"]}
    why = f"its area could not be looked at: {trouble}"
    return Change(row["id"], State.FINISHED, row["attempt"], State.FINISHED, why, sets=sets)


async def _checked(house: House, rows: Sequence[sqlite3.Row]) -> tuple[list[sqlite3.Row], int]:
    """Conclude jobs whose check has ended; gives those that are still to be looked at, and how many moved."""
    if not house.checks.any():
        return list(rows), 0
    house.checks.keep_only({row["token"] for row in await house.database.call(jobs.in_states, (State.FINISHED,))})
    changes: list[tuple[Change, object]] = []
    left = []
    for row in rows:
        if (ended := house.checks.take(row["token"])) is not None:
            target = State.DONE if ended[0] is Result.OK else State.FAILED
            changes.append((Change(row["id"], State.FINISHED, row["attempt"], target, ended[1], ended[0]), row))
        elif not house.checks.runs(row["token"]):
            left.append(row)
    return left, await carry_out(house, changes)


def _wants_check(judged: Change, table: JobTable) -> bool:
    return judged.target is State.DONE and bool(table.success.check)


def _check_first(house: House, row: sqlite3.Row, table: JobTable) -> Change:
    """Begin the check of an attempt of which all else is good; a later round takes what it says."""
    names = {"CAF_RUN": row["run"], "CAF_JOB": row["job"], "CAF_ATTEMPT": row["attempt"]}
    environment = {name: str(value) for name, value in names.items()}
    success = table.success
    house.checks.begin(row["token"], Check(house.area(row), success.check, success.check_timeout, environment))
    sets = {"batch_id": row["batch_id"]}
    return Change(row["id"], State.FINISHED, row["attempt"], State.FINISHED, "its check runs", sets=sets)


def success_of(table: JobTable, row: sqlite3.Row) -> Success:
    """Give what a job calls success, the names of its run filled in."""

    def named(text: str) -> str:
        return text.format(run=row["run"], job=row["job"])

    success = table.success
    outputs = tuple(named(name) for name in success.outputs)
    return Success(success.exit_code, named(table.log), success.log_has, success.log_lacks, outputs)


def _judged(house: House, row: sqlite3.Row, table: JobTable, success: Success, seen: dict[str, Any]) -> Change:
    hint = (Result(row["hint"]), row["hint_reason"]) if row["hint"] is not None else None
    result, reason = judge_end(success, row["exit_code"], hint, seen)
    if result is Result.OK:
        return Change(row["id"], State.FINISHED, row["attempt"], State.DONE, reason, result)
    tries = row["tries"] + 1
    if result in INFRASTRUCTURE and tries < table.attempts:
        delay = retry_delay(table.retry_after, tries)
        sets = {"tries": tries, "not_before": house.clock() + delay, **grown_request(result, row, table)}
        why = f"{result}: {reason}; attempt {tries + 1} of {table.attempts} follows in {duration_text(delay)}"
        return Change(row["id"], State.FINISHED, row["attempt"], State.NEW, why, result, sets=sets)
    return Change(row["id"], State.FINISHED, row["attempt"], State.FAILED, reason, result)


def grown_request(result: Result, row: sqlite3.Row, table: JobTable) -> dict[str, float | None]:
    """Give what the next attempt asks for, where this one had too little of it and it may grow."""
    if result is Result.MEMORY:
        more = grown(row["memory"] or table.memory, table.memory_limit)
        return {} if more is None else {"memory": int(more)}
    if result is Result.WALLTIME:
        more = grown(row["walltime"] or table.walltime, table.walltime_limit)
        return {} if more is None else {"walltime": more}
    return {}
