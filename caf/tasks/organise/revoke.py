"""Revoking attempts that have not begun; those that can never start any more begin anew, or go where they were sent."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from caf.batch.interface import Watched
from caf.domain.errors import BatchError, StorageError
from caf.domain.following import REVOKED, Decision, Records, Sighting
from caf.domain.jobs import Result, State
from caf.domain.judging import retry_delay
from caf.store.jobs import Change
from caf.tasks.house import House
from caf.tasks.organise.lost import conclude
from caf.tasks.organise.moves import ask_to_end, carry_out
from caf.tasks.organise.prepare import Unprepared, prepare_areas
from caf.tasks.organise.readable import may_go_on

Decided = tuple[sqlite3.Row, Records, Sighting, Decision]
Troubles = list[BatchError | StorageError]


async def revoke(house: House, decided: Sequence[Decided], troubles: Troubles) -> int:
    """Win the claims of attempts that have not begun; what is won can never start, so what follows is safe.

    What cannot be done now is done in a later round, and holds up no other job; why is added to `troubles`.
    """
    if not decided:
        return 0
    outcomes: list[Any] = await house.each("revoke", [(house.area(row), row["token"]) for row, *_ in decided])
    troubles += [outcome for outcome in outcomes if isinstance(outcome, StorageError)]
    won = [one for one, outcome in zip(decided, outcomes, strict=True) if outcome in {"won", "revoked"}]
    # A courtesy: what is still in a queue would find its claim made, and end at once.
    await ask_to_end(house, [Watched(row["token"], row["batch_id"]) for row, *_ in won], troubles)
    going = await may_go_on(house, [row for row, *_ in won])
    won = [one for one in won if one[0]["id"] in going]
    again = [row for row, *_ in won if row["state"] == State.SUBMITTING]
    unprepared: Unprepared = {}
    try:
        unprepared = await prepare_areas(house, again, 1)
    except StorageError as error:
        troubles.append(error)
        won = [one for one in won if one[0]["state"] != State.SUBMITTING]
    changes = [(await _after_revoke(house, row, decision, unprepared), row) for row, _, _, decision in won]
    return await carry_out(house, changes) + await conclude(house, decided, outcomes, troubles)


async def _after_revoke(house: House, row: sqlite3.Row, decision: Decision, unprepared: Unprepared) -> Change:
    state = State(row["state"])
    why = f"{decision.why}; revoked, so that it can never start"
    if state is State.CANCELLING:
        why = row["reason"].partition(";")[0] + "; it never began and never can"
        return Change(row["id"], state, row["attempt"], State(row["next_state"]), why)
    if state is State.SUBMITTING:
        if row["id"] in unprepared:
            target, why = unprepared[row["id"]]
            result = Result.PREPARATION if target is State.FAILED else None
            sets = {"tries": row["tries"]} if target is State.NEW else {}
            return Change(row["id"], state, row["attempt"], target, why, result, sets=sets)
        if decision.why == REVOKED:  # when it was refused: the batch system's words are what a person wants to see
            why = f"{row['reason']}; revoked, so that it can never start"
        sets = {"not_before": row["not_before"], "tries": row["tries"]}
        return Change(row["id"], state, row["attempt"], State.PREPARED, why, sets=sets)
    _, table, _ = await house.tables_of(row)
    tries = row["tries"] + 1
    if tries >= table.attempts:
        facts = {"result": decision.result or Result.NODE, "reason": decision.why}
        return Change(row["id"], state, row["attempt"], State.FINISHED, why, attempt_sets=facts)
    sets = {"tries": tries, "not_before": house.clock() + retry_delay(table.retry_after, tries)}
    return Change(row["id"], state, row["attempt"], State.NEW, why, decision.result or Result.NODE, sets=sets)
