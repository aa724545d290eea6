"""Judging attempts that are over: exit code, log, outputs; then DONE, FAILED, or once more."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from caf.config import JobTable
from caf.config.units import duration_text
from caf.domain.errors import StorageError, StorageTimeout
from caf.domain.jobs import INFRASTRUCTURE, Result, State
from caf.domain.judging import Success, judge_end, retry_delay
from caf.store import jobs
from caf.store.jobs import Change
from caf.tasks.house import House
from caf.tasks.organise.moves import carry_out

CHUNK = 20  # jobs looked at in one exchange
LATER = 300.0  # s before an area that could not be looked at is tried again


async def judge_finished(house: House) -> int:
    """Judge every FINISHED job; one whose area cannot be looked at now is judged later."""
    rows = await house.database.call(jobs.in_states, (State.FINISHED,), due=house.clock())
    moved, trouble = 0, None
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
                changes.append((_judged(house, row, table, success_of(table, row), seen), row))
        moved += await carry_out(house, changes)
    if trouble is not None:
        raise trouble
    return moved


async def _inspect(house: House, rows: Sequence[sqlite3.Row], tables: Sequence[JobTable]) -> list[Any]:
    """Look at the areas of some jobs at once; if that takes too long at each alone: one log holds up no other."""
    calls = []
    for row, table in zip(rows, tables, strict=True):
        success = success_of(table, row)
        texts = {"log_has": list(success.log_has), "log_lacks": list(success.log_lacks)}
        calls.append(({"area": house.area(row), "log": success.log, "outputs": list(success.outputs), **texts},))
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
        sets = {"tries": tries, "not_before": house.clock() + delay}
        why = f"{result}: {reason}; attempt {tries + 1} of {table.attempts} follows in {duration_text(delay)}"
        return Change(row["id"], State.FINISHED, row["attempt"], State.NEW, why, result, sets=sets)
    return Change(row["id"], State.FINISHED, row["attempt"], State.FAILED, reason, result)
