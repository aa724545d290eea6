"""Following attempts that a batch system has, or may have: two witnesses are heard, then `domain.following` decides."""

import sqlite3
from collections.abc import Collection, Sequence
from typing import Any

from caf.batch.interface import Watched
from caf.domain.errors import BatchError, StorageError
from caf.domain.following import (
    NOT_YET,
    Decision,
    Limits,
    Records,
    Sight,
    Sighting,
    Step,
    follow,
    ids_of,
    of_owner,
)
from caf.domain.jobs import Result, State
from caf.store import jobs
from caf.store.jobs import Change
from caf.tasks.house import House
from caf.tasks.organise.ahead import note_end
from caf.tasks.organise.lost import heed
from caf.tasks.organise.moves import ask_to_end, carry_out
from caf.tasks.organise.readable import can_be_read
from caf.tasks.organise.revoke import revoke
from caf.tasks.organise.still import at_rest, keep, unchanged
from caf.tasks.organise.witnesses import Heard, look, read_records, watched

AGAIN = 10.0  # s until one that was asked to end, and has not, is asked more firmly
FOLLOWED = (State.SUBMITTING, State.PENDING, State.RUNNING, State.CANCELLING)
Decided = tuple[sqlite3.Row, Records, Sighting, Decision]


async def follow_attempts(house: House, tokens: Collection[str] | None = None) -> int:
    """Take every attempt, or only some, one step further.

    BatchError or StorageError, after all else is done, if the batch system or a file system did not answer.
    """
    rows = await house.database.call(jobs.in_states, FOLLOWED, tokens=tokens)
    if not rows:
        return 0
    heard = Heard()
    resting = await at_rest(house, rows, heard) if tokens is None else set()
    await read_records(house, [row for row in rows if row["id"] not in resting], heard)
    troubles: list[BatchError | StorageError] = []
    await look(house, rows, heard, troubles)
    quiet = unchanged(house, resting, heard)
    decided = await heed(house, [_decide(house, row, heard) for row in rows if row["id"] not in quiet])
    if tokens is None:
        keep(house, quiet, decided, heard)
    moved = await _become(house, decided)
    # Ending comes before preparing anew: the job that is to end may be the one that fills the disk.
    to_end = [one for one in decided if one[3].step is Step.CANCEL] + await _overdue(house, decided)
    await ask_to_end(house, [watched(house, row, heard) for row, *_ in to_end] + _useless(decided), troubles)
    moved += await revoke(house, [one for one in decided if one[3].step is Step.REVOKE], troubles)
    if troubles:
        raise troubles[0]
    return moved


def _decide(house: House, row: sqlite3.Row, heard: Heard) -> Decided:
    records = heard.records[row["id"]]
    sighting = of_owner(records, heard.sightings[row["id"]])
    caf = house.configuration.caf
    grace = caf.submit_grace if house.batch.submit_grace is None else house.batch.submit_grace
    decision = follow(
        State(row["state"]),
        records,
        sighting,
        asked=row["asked"],
        doubted=row["unknown_since"] if row["reason"].endswith(NOT_YET) else None,
        now=house.clock(),
        limits=Limits(caf.record_grace, grace),
    )
    return row, records, sighting, decision


async def _become(house: House, decided: Sequence[Decided]) -> int:
    """Commit every change of state, and since when the fate of some attempts is in doubt."""
    changes: list[tuple[Change, object]] = []
    for row, records, sighting, decision in decided:
        ids = _ids(house, row, records, sighting)
        if decision.step is Step.BECOME:
            if decision.target is State.FINISHED:
                note_end(house, row["job"], records)
            changes.append((_change(row, records, decision, ids), row))
        elif decision.step is Step.DOUBT and (row["unknown_since"] is None or decision.why != row["reason"]):
            house.log.warning("job.doubtful", run=row["run"], job=row["job"], attempt=row["attempt"], why=decision.why)
            # Whatever the doubt, its age is shown; but the wait for an exit record begins when an end was seen.
            begins = row["unknown_since"] is None or decision.why.endswith(NOT_YET) > row["reason"].endswith(NOT_YET)
            since = house.clock() if begins else row["unknown_since"]
            changes.append((_stay(row, decision.why, ids, since), row))
        elif decision.step is Step.STAY and (
            row["unknown_since"] is not None or _differ(ids, row) or _says_more(row, sighting, decision)
        ):
            changes.append((_stay(row, decision.why, ids, None), row))
        elif decision.step is Step.CANCEL and (sighting.sight is Sight.UNKNOWN) != (row["unknown_since"] is not None):
            # It goes on to be asked to end; but that nobody says whether it has is a doubt with an age, too.
            since = house.clock() if row["unknown_since"] is None else None
            why = f"{row['reason'].partition(';')[0]}; {decision.why}"
            changes.append((_stay(row, why, ids, since), row))
        elif _differ(ids, row):
            changes.append((_stay(row, row["reason"], ids, row["unknown_since"]), row))
    ends = all(one[3].step is Step.BECOME and one[3].target is State.FINISHED for one in decided)
    return await carry_out(house, changes, can_wait=ends)


def _says_more(row: sqlite3.Row, sighting: Sighting, decision: Decision) -> bool:
    """Tell whether the batch system gives another reason why a job is pending than it did."""
    return sighting.sight is Sight.PENDING and sighting.reason is not None and decision.why != row["reason"]


def _ids(house: House, row: sqlite3.Row, records: Records, sighting: Sighting) -> dict[str, str | None]:
    """Give what the job's columns `batch_id` and `twins` are to be: as they were where nothing is shown."""
    main, others = ids_of(records, sighting, row["adopted"], row["batch_id"])
    if sighting.batch_id is None:
        process = records.process if house.batch.id_variable is None else None
        return {"batch_id": main or row["batch_id"] or process, "twins": row["twins"]}
    twins = ", ".join(others) or None
    if twins is not None and twins != row["twins"]:
        which = {"run": row["run"], "job": row["job"], "attempt": row["attempt"]}
        house.log.warning("job.twin", **which, batch_id=main, twins=twins)
    return {"batch_id": main, "twins": twins}


def _differ(ids: dict[str, str | None], row: sqlite3.Row) -> bool:
    return any(row[name] != value for name, value in ids.items())


def _change(row: sqlite3.Row, records: Records, decision: Decision, ids: dict[str, str | None]) -> Change:
    state = State(row["state"])
    target = decision.target or State(row["next_state"])
    facts: dict[str, Any] = {"started": records.started, "node": records.node}
    if records.exit_code is not None:
        facts |= {"exit_code": records.exit_code, "ended": records.ended}
    if records.why and row["hint"] is None:  # the wrapper's own trouble: the payload never began
        facts |= {"result": Result.NODE, "reason": records.why}
    if decision.result is not None and row["hint"] is None:
        facts |= {"result": decision.result, "reason": decision.why}
    sets = {} if target in {State.NEW, State.WAITING} else ids
    why = row["reason"].partition(";")[0] + "; " + decision.why if state is State.CANCELLING else decision.why
    return Change(row["id"], state, row["attempt"], target, why, sets=sets, attempt_sets=facts)


def _stay(row: sqlite3.Row, why: str, ids: dict[str, str | None], doubted: float | None) -> Change:
    state = State(row["state"])
    sets: dict[str, Any] = {**ids, "unknown_since": doubted}
    if state is State.CANCELLING:
        sets["next_state"] = row["next_state"]
    return Change(row["id"], state, row["attempt"], state, why, sets=sets)


def _useless(decided: Sequence[Decided]) -> list[Watched]:
    """Give the batch jobs that are to end by themselves: twins of what is over, and of what a person adopted.

    Whose the payload is, is never ended so: a person may have adopted the wrong one.
    """
    found = []
    for row, records, sighting, decision in decided:
        if decision.step is Step.BECOME and decision.target in {None, State.FINISHED}:
            found += [Watched(row["token"], row["batch_id"])] if row["twins"] else []
        elif row["adopted"] is not None:
            main, twins = ids_of(records, sighting, row["adopted"])
            if main == row["adopted"]:
                found += [Watched(row["token"], batch_id, alone=True) for batch_id in twins]
    return found


async def _overdue(house: House, decided: Sequence[Decided]) -> list[Decided]:
    """Find running attempts beyond their wall time, where the batch system does not see to that itself."""
    if house.batch.keeps_walltime:
        return []
    overdue, changes = [], []
    for one in decided:
        row, records, _, decision = one
        if row["state"] != State.RUNNING or decision.step is not Step.STAY or records.started is None:
            continue
        if not await can_be_read(house, row):
            continue
        _, table, _ = await house.tables_of(row)
        # By both clocks: that of the file server, which wrote the record, may differ from this machine's.
        ran = house.clock() - max(records.started, row["since"])
        walltime = row["walltime"] or table.walltime
        if walltime is None or ran <= walltime:
            continue
        why = f"it ran longer than its walltime of {walltime:g} s"
        facts = {"result": Result.WALLTIME, "reason": why}
        sets = {"batch_id": row["batch_id"], "not_before": house.clock() + AGAIN}
        change = Change(
            row["id"],
            State.RUNNING,
            row["attempt"],
            State.RUNNING,
            why,
            sets=sets,
            attempt_sets=facts,
        )
        changes.append((change, row))
        overdue.append(one)
    await carry_out(house, changes)
    return overdue
