"""The last look at raw files before a job is submitted: what was found may have changed while it waited for a slot."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from caf.domain.errors import StorageError
from caf.domain.jobs import State
from caf.store.jobs import Change
from caf.tasks.house import QUICK, House
from caf.tasks.organise.moves import carry_out
from caf.tasks.organise.rawfiles import SHARE, by_patterns

FRESH = 60.0  # s; what was prepared just now was looked at just now
LATER = 300.0  # s before raw files that could not be looked at are looked at again


async def still_there(house: House, rows: Sequence[sqlite3.Row]) -> list[sqlite3.Row]:
    """Give the PREPARED jobs whose raw files are as they were found; the others wait for theirs again, as NEW.

    Their working areas, which nothing was submitted from, are made again then. Where a file system does not answer,
    its jobs are left alone for a while.
    """
    old = [row for row in rows if house.clock() - row["since"] > FRESH]
    good = {row["id"] for row in rows} - {row["id"] for row in old}
    changes: list[tuple[Change, object]] = []
    for patterns, group in (await by_patterns(house, old)).items():
        if not patterns:
            good |= {row["id"] for row in group}
            continue
        for row, different in zip(group, await _differences(house, group), strict=False):
            if different is None:
                good.add(row["id"])
            else:
                changes.append((_again(house, row, different), row))
    await carry_out(house, changes)
    return [row for row in rows if row["id"] in good]


async def _differences(house: House, rows: Sequence[sqlite3.Row]) -> list[str | StorageError | None]:
    """Tell of each job what is different, or why that cannot be told; None if nothing is. Of the first ones only,
    if there is no time for all: the others' turn comes in the next round."""
    kept: list[Any] = await house.each("kept_inputs", [(house.area(row),) for row in rows])
    inputs = [one if isinstance(one, list) else [] for one in kept]
    try:
        found: list[str | None] = await house.raw_files.call("look_again", inputs, SHARE, timeout=SHARE + QUICK)
    except StorageError as error:
        return [error for _ in rows]
    return [one if isinstance(one, StorageError) else different for one, different in zip(kept, found, strict=False)]


def _again(house: House, row: sqlite3.Row, different: str | StorageError) -> Change:
    if isinstance(different, StorageError):
        why = f"waits for a slot; its raw files cannot be looked at again: {different}"
        sets = {"not_before": house.clock() + LATER, "tries": row["tries"]}
        return Change(row["id"], State.PREPARED, row["attempt"], State.PREPARED, why, sets=sets)
    why = f"its raw files are not as they were when its working area was made: {different}"
    sets = {"tries": row["tries"], "looks": 0}
    return Change(row["id"], State.PREPARED, row["attempt"], State.NEW, why, sets=sets)
