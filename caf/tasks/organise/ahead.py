"""Handing jobs over ahead of the slots: to the local batch system, while they are so short that it would idle else.

Between the end of a job and the start of the next there is a commit. Of jobs that last milliseconds that is most of the
time, so a few more than there are slots are handed over, which begin in turn: work for a tenth of a second, so that no
job of higher rank waits longer than that. How long a job of a name lasts is known from the last few that ended.
"""

import sqlite3
from collections import deque
from collections.abc import Sequence

from caf.domain.following import Records
from caf.domain.slots import ahead
from caf.store import queue
from caf.tasks.house import House
from caf.tasks.organise.moves import slots_freed

LAST = 5  # ends by which a name is judged; with fewer nothing is known of it


def note_end(house: House, job: str, records: Records) -> None:
    """Note how long (s) a payload lasted, by the times of its records."""
    if house.durations is not None and records.started is not None and records.ended is not None:
        house.durations.setdefault(job, deque(maxlen=LAST)).append(records.ended - records.started)


def typical(house: House, job: str) -> float | None:
    """Give how long (s) the longest of the last few lasted; None: not known."""
    last = (house.durations or {}).get(job, ())
    return max(last) if len(last) == LAST else None


async def ahead_of_slots(house: House, rows: Sequence[sqlite3.Row]) -> list[sqlite3.Row]:
    """Give the PREPARED jobs to be handed over besides `rows`, which take the slots that are free."""
    slots = house.slots() + slots_freed(house)
    most = max((ahead(slots, typical(house, job)) for job in house.durations or ()), default=0)
    if not most:
        return []
    taken = [row["id"] for row in rows]
    held, more = await house.database.call(queue.beyond, house.clock(), taken, slots + most)
    waiting = max(0, held + len(rows) - slots)
    chosen: list[sqlite3.Row] = []
    for row in more:
        if waiting + len(chosen) >= ahead(slots, typical(house, row["job"])):
            break
        chosen.append(row)
    return chosen
