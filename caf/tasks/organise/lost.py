"""Attempts that a person has declared lost: caf tries to win the claim, and takes their word only where it cannot."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from caf.batch.interface import Watched
from caf.domain.answers import contradicted, heed_lost, lost_text
from caf.domain.errors import BatchError, StorageError
from caf.domain.following import Decision, Records, Sighting, Step
from caf.domain.jobs import Result, State
from caf.store import answers
from caf.store.jobs import Change
from caf.tasks.house import House
from caf.tasks.organise.moves import ask_to_end, carry_out

Decided = tuple[sqlite3.Row, Records, Sighting, Decision]


async def heed(house: House, decided: Sequence[Decided]) -> list[Decided]:
    """Give what to do about each attempt, with regard to what people have said; a word that is refuted is dropped."""
    refuted = [row["id"] for row, _, sighting, _ in decided if row["lost"] is not None and contradicted(sighting)]
    if refuted:
        await house.database.call(answers.contradict, refuted, house.clock())
    return [
        one if one[0]["lost"] is None else (*one[:3], heed_lost(one[3], one[2]))  # the record, or the word
        for one in decided
    ]


async def conclude(
    house: House, decided: Sequence[Decided], outcomes: Sequence[Any], troubles: list[BatchError | StorageError]
) -> int:
    """End those of the attempts that are said to be lost and whose claim somebody else made: nobody will prove more."""
    gone = [
        (row, decision)
        for (row, _, _, decision), outcome in zip(decided, outcomes, strict=True)
        if row["lost"] is not None and outcome == "lost" and decision.step is Step.REVOKE
    ]
    if not gone:
        return 0
    await ask_to_end(house, [Watched(row["token"], row["batch_id"]) for row, _ in gone], troubles)
    return await carry_out(house, [(_gone(row), row) for row, _ in gone])


def _gone(row: sqlite3.Row) -> Change:
    """Have it end as the infrastructure's failure, which is judged like any other, or go where it was sent."""
    state, why = State(row["state"]), lost_text(row["lost"])
    facts = {"result": Result.NODE, "reason": why}
    if state is State.CANCELLING:
        why = f"{row['reason'].partition(';')[0]}; {why}"
        return Change(row["id"], state, row["attempt"], State(row["next_state"]), why, Result.NODE)
    return Change(row["id"], state, row["attempt"], State.FINISHED, why, attempt_sets=facts)
