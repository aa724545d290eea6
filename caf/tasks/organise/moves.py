"""Carrying out what a step decided, and logging it."""

from collections.abc import Sequence
from typing import Any

from caf.store import jobs
from caf.store.jobs import Change
from caf.tasks.house import House


async def carry_out(house: House, changes: Sequence[tuple[Change, Any]], *, since: float | None = None) -> int:
    """Commit changes, each with the row that it was decided on, and log those that took place. Gives how many.

    `since`: when this duty itself moved the jobs after it read the rows.
    """
    if not changes:
        return 0
    seen = [row["since"] if since is None else since for _, row in changes]
    done = await house.database.call(jobs.apply, [change for change, _ in changes], house.clock(), seen)
    for (change, row), took_place in zip(changes, done, strict=True):
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
    return sum(done)
