"""Judging attempts that are over: exit code, log, outputs; then DONE, FAILED, or once more."""

import sqlite3
from typing import Any

from caf.config import JobTable
from caf.config.units import duration_text
from caf.domain.errors import StorageError
from caf.domain.jobs import INFRASTRUCTURE, Result, State
from caf.domain.judging import Success, judge_end, retry_delay
from caf.store import jobs
from caf.store.jobs import Change
from caf.tasks.house import QUICK, House
from caf.tasks.organise.moves import carry_out


async def judge_finished(house: House) -> int:
    """Judge every FINISHED job; one whose area cannot be looked at now is judged later."""
    rows = await house.database.call(jobs.in_states, (State.FINISHED,))
    if not rows:
        return 0
    successes, calls = [], []
    for row in rows:
        _, table, _ = await house.tables_of(row)
        success = success_of(table, row)
        successes.append((table, success))
        calls.append(
            {
                "area": house.area(row),
                "log": success.log,
                "log_has": list(success.log_has),
                "log_lacks": list(success.log_lacks),
                "outputs": list(success.outputs),
            },
        )
    found = await house.each("inspect", [(call,) for call in calls], timeout=5 * QUICK)
    changes: list[tuple[Change, object]] = []
    trouble: StorageError | None = None
    for row, (table, success), seen in zip(rows, successes, found, strict=True):
        if not isinstance(seen, StorageError):
            changes.append((_judged(house, row, table, success, seen), row))
        elif seen.transient:
            trouble = seen
        else:
            why = str(seen)
            changes.append((Change(row["id"], State.FINISHED, row["attempt"], State.FAILED, why, Result.OUTPUTS), row))
    moved = await carry_out(house, changes)
    if trouble is not None:
        raise trouble
    return moved


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
