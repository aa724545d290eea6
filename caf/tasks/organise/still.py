"""Attempts about which nothing is new: they need no decision, and of very many active ones nearly all are such.

What a decision rests on is kept from one whole round to the next: the job's row, the records, what the batch system
said. While none of them has changed, the same would be decided again, which was to let the attempt be. Its records are
not read again: a start record that is whole stays as it is, so that it is enough to see that nothing has come or gone.
"""

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from caf.batch.interface import Watched
from caf.domain.following import Decision, Records, Sighting, Step
from caf.domain.jobs import State
from caf.tasks.house import QUICK, House
from caf.tasks.organise.witnesses import Heard

Decided = tuple[sqlite3.Row, Records, Sighting, Decision]
STATES = {State.PENDING, State.RUNNING}
PARTICULAR = ("adopted", "lost", "twins", "unknown_since")  # columns of what a person said, or is in doubt


@dataclass(frozen=True, slots=True)
class Still:
    """What was known of an attempt when it was let be."""

    updated: float
    records: Records
    watched: Watched
    sighting: Sighting


async def at_rest(house: House, rows: Sequence[sqlite3.Row], heard: Heard) -> set[int]:
    """Find the jobs whose rows and records are as they were, and have them heard as before; gives their ids."""
    kept: dict[int, Still] = house.still
    same = [row for row in rows if row["id"] in kept and kept[row["id"]].updated == row["updated"]]
    if not same:
        return set()
    found = [kept[row["id"]] for row in same]
    left = [(one.watched.area, one.records.claim, one.records.started is not None) for one in found]
    stirred = await house.files.call("stirred", left, timeout=QUICK)
    resting = set()
    for row, one, moved in zip(same, found, stirred, strict=True):
        if not moved:
            resting.add(row["id"])
            heard.records[row["id"]], heard.watched[row["id"]] = one.records, one.watched
    return resting


def unchanged(house: House, resting: Collection[int], heard: Heard) -> set[int]:
    """Give those at rest of which the batch system says what it said before: the same would be decided again."""
    return {one for one in resting if heard.sightings[one] == house.still[one].sighting}


def keep(house: House, quiet: Collection[int], decided: Iterable[Decided], heard: Heard) -> None:
    """Keep what the next whole round may go by.

    Where a batch system leaves the wall time to caf, time alone can make a decision.
    """
    if not house.batch.keeps_walltime:
        return
    still = {one: house.still[one] for one in quiet}
    for row, records, sighting, decision in decided:
        plain = row["state"] in STATES and decision.step is Step.STAY and records.exit_code is None
        if plain and all(row[name] is None for name in PARTICULAR):
            still[row["id"]] = Still(row["updated"], records, heard.watched[row["id"]], sighting)
    house.still = still
