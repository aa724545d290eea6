"""Carrying out what a step decided, and logging it."""

from collections.abc import Sequence

from caf.store import jobs
from caf.store.jobs import Change
from caf.tasks.house import House


async def carry_out(house: House, changes: Sequence[tuple[Change, object]]) -> int:
    """Commit changes, each with the row that it was decided on, and log those that took place. Gives how many."""
    if not changes:
        return 0
    done = await house.database.call(jobs.apply, [change for change, _ in changes], house.clock())
    for (change, row), took_place in zip(changes, done, strict=True):
        if took_place and change.target is not change.seen:
            house.log.info(
                "job.moved",
                run=row["run"],  # type: ignore[index]  # a sqlite3.Row
                job=row["job"],  # type: ignore[index]
                attempt=change.attempt,
                was=change.seen,
                became=change.target,
                why=change.why,
            )
    return sum(done)
