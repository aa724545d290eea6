"""Who is handed over next: as many as there are slots for, in the order of their turns, no group beyond its share."""

import json
import sqlite3

from caf.domain.errors import BatchError
from caf.domain.slots import HOLDING, Room, group_room, use_of_groups
from caf.store import jobs, queue
from caf.store.database import recall, remember
from caf.tasks.house import House
from caf.tasks.organise.moves import slots_freed
from caf.tasks.organise.readable import can_be_read, readable


async def next_in_line(house: House) -> list[sqlite3.Row]:
    """Give the PREPARED jobs that may be handed over now, those that are paused left out.

    BatchError if there are some, and none of them may because the use of their group is not known.
    """
    slots = house.slots() + slots_freed(house)
    free, rows = await house.database.call(queue.for_slots, house.clock(), slots)
    room = Room(free, {}, house.configuration.batch.group_slots)
    chosen: dict[int, sqlite3.Row] = {}
    full: set[str] = set()
    unknown: set[str] = set()
    while rows and room.free > 0:
        without: set[str] = set()
        good = await readable(house, rows)
        for row in good:
            group, cpus = await _wanted(house, row)
            if row["id"] not in chosen and row["job"] not in without:
                await _measure(house, room, group, unknown)
                if room.take(group, cpus):
                    chosen[row["id"]] = row
                elif room.free > 0:
                    without.add(row["job"])
        if not without and len(good) == len(rows):
            break
        full |= without  # others may have the turn of those that cannot go
        rows = await house.database.call(queue.in_line, house.clock(), room.free + len(chosen), full)
    if unknown and not chosen:
        raise BatchError(
            f"how many slots group {', '.join(sorted(unknown))} uses is not known: none of its jobs is submitted until "
            "the batch system tells, or group_slots is taken out of listeners.toml"
        )
    return list(chosen.values())


async def _wanted(house: House, row: sqlite3.Row) -> tuple[str | None, int]:
    """Give the group whose share a job counts in, and how much it takes; None if it has none, or no share is set."""
    if house.configuration.batch.group_slots is None or not house.batch.has_groups:
        return None, 1
    table = (await house.tables_of(row))[1]
    return table.group, table.cpus


async def _measure(house: House, room: Room, group: str | None, unknown: set[str]) -> None:
    """Ask, once a round, how much room a group's share has."""
    share = house.configuration.batch.group_slots
    if group is None or group in room.groups or share is None:
        return
    out = await house.database.call(jobs.in_states, HOLDING)
    # One whose configuration cannot be read counts in every group: it may be of this one.
    taken = [await _wanted(house, row) if await can_be_read(house, row) else (group, 1) for row in out]
    own = use_of_groups(taken).get(group, 0)
    others = await house.batch.group_use(group)
    room.groups[group] = group_room(share, own, others)
    if others is None:
        unknown.add(group)
        house.log.warning("slots.unknown", group=group)
    await _keep(house, group, others)


async def _keep(house: House, group: str, others: int | None) -> None:
    """Keep what was heard for `caf jobs why`, if it is something new."""
    text = await house.database.call(recall, queue.GROUP_USE)
    known = {} if text is None else json.loads(text)
    if group not in known or known[group]["others"] != others:
        known[group] = {"others": others, "since": house.clock()}
        await house.database.call(remember, queue.GROUP_USE, json.dumps(known))
