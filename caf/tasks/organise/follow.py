"""Following attempts that a batch system has, or may have: two witnesses are heard, then `domain.following` decides."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from caf.batch.interface import Watched
from caf.domain.errors import BatchError
from caf.domain.following import NOT_YET, Decision, Limits, Records, Sight, Sighting, Step, follow
from caf.domain.jobs import Result, State
from caf.domain.judging import retry_delay
from caf.store import jobs
from caf.store.jobs import Change
from caf.tasks.house import QUICK, House
from caf.tasks.organise.moves import carry_out
from caf.tasks.organise.prepare import prepare_areas

AGAIN = 10.0  # s until one that was asked to end, and has not, is asked more firmly
FOLLOWED = (State.SUBMITTING, State.PENDING, State.RUNNING, State.CANCELLING)
Decided = tuple[sqlite3.Row, Records, Sighting, Decision]


@dataclass(slots=True)
class _Heard:
    """What the witnesses say, by the job's id."""

    raw: dict[int, dict[str, Any]] = field(default_factory=dict)
    records: dict[int, Records] = field(default_factory=dict)
    sightings: dict[int, Sighting] = field(default_factory=dict)


async def follow_attempts(house: House) -> int:
    """Take every attempt one step further. BatchError, after all else is done, if the batch system did not answer."""
    rows = await house.database.call(jobs.in_states, FOLLOWED)
    if not rows:
        return 0
    heard = _Heard()
    await _read_records(house, rows, heard)
    trouble = await _look(house, rows, heard)
    decided = [_decide(house, row, heard) for row in rows]
    moved = await _become(house, decided)
    # Ending comes before preparing anew: the job that is to end may be the one that fills the disk.
    to_end = [one for one in decided if one[3].step is Step.CANCEL] + await _overdue(house, decided)
    if to_end:
        await house.batch.cancel([_watched(row, heard) for row, *_ in to_end])
    moved += await _revoke(house, [one for one in decided if one[3].step is Step.REVOKE])
    if trouble is not None:
        raise trouble
    return moved


async def _read_records(house: House, rows: Sequence[sqlite3.Row], heard: _Heard) -> None:
    areas = [house.area(row) for row in rows]
    found = await house.files.call("read_records", areas, timeout=QUICK)
    for row, raw in zip(rows, found, strict=True):
        heard.raw[row["id"]] = raw
        heard.records[row["id"]] = _records(raw, row["token"])


def _records(raw: dict[str, Any], token: str) -> Records:
    if raw.get("error"):
        return Records(readable=False)
    start, end = raw.get("start") or {}, raw.get("exit") or {}
    foreign = any(record and record.get("token") != token for record in (start, end))
    return Records(
        claim=bool(raw["claim"]),
        revoked=bool(raw["revoked"]),
        foreign=foreign,
        started=start.get("at"),
        node=start.get("host") or None,
        exit_code=end.get("code"),
        ended=end.get("at"),
        why=end.get("why"),
    )


async def _look(house: House, rows: Sequence[sqlite3.Row], heard: _Heard) -> BatchError | None:
    """Ask the batch system about attempts without an exit record; of those that it saw end, read the records again."""
    asked = [row for row in rows if row["state"] == State.CANCELLING or heard.records[row["id"]].exit_code is None]
    trouble: BatchError | None = None
    answers: dict[str, Sighting] = {}
    if asked:
        try:
            answers = await house.batch.look([_watched(row, heard) for row in asked])
        except BatchError as error:
            trouble = error
            house.log.warning("poll.failed", error=str(error))
    nothing = Sighting(Sight.UNKNOWN, reason="the batch system does not answer" if trouble else None)
    for row in rows:
        heard.sightings[row["id"]] = answers.get(row["token"], nothing)
    ended = [row for row in asked if heard.sightings[row["id"]].sight is Sight.ENDED]
    if ended:
        await _read_records(house, ended, heard)
    return trouble


def _watched(row: sqlite3.Row, heard: _Heard) -> Watched:
    return Watched(row["token"], row["batch_id"], heard.raw[row["id"]].get("start"))


def _decide(house: House, row: sqlite3.Row, heard: _Heard) -> Decided:
    records, sighting = heard.records[row["id"]], heard.sightings[row["id"]]
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
        batch_id = row["batch_id"] or sighting.batch_id
        if decision.step is Step.BECOME:
            changes.append((_change(row, records, decision, batch_id), row))
        elif decision.step is Step.DOUBT and (row["unknown_since"] is None or decision.why != row["reason"]):
            house.log.warning("job.doubtful", run=row["run"], job=row["job"], attempt=row["attempt"], why=decision.why)
            # Whatever the doubt, its age is shown; but the wait for an exit record begins when an end was seen.
            begins = row["unknown_since"] is None or decision.why.endswith(NOT_YET) > row["reason"].endswith(NOT_YET)
            since = house.clock() if begins else row["unknown_since"]
            changes.append((_stay(row, decision.why, batch_id, since), row))
        elif decision.step is Step.STAY and (row["unknown_since"] is not None or batch_id != row["batch_id"]):
            changes.append((_stay(row, decision.why, batch_id, None), row))
    return await carry_out(house, changes)


def _change(row: sqlite3.Row, records: Records, decision: Decision, batch_id: str | None) -> Change:
    state = State(row["state"])
    target = decision.target or State(row["next_state"])
    facts: dict[str, Any] = {"started": records.started, "node": records.node}
    if records.exit_code is not None:
        facts |= {"exit_code": records.exit_code, "ended": records.ended}
    if records.why and row["hint"] is None:  # the wrapper's own trouble: the payload never began
        facts |= {"result": Result.NODE, "reason": records.why}
    if decision.result is not None and row["hint"] is None:
        facts |= {"result": decision.result, "reason": decision.why}
    sets = {} if target in {State.NEW, State.WAITING} else {"batch_id": batch_id}
    why = row["reason"].partition(";")[0] + "; " + decision.why if state is State.CANCELLING else decision.why
    return Change(row["id"], state, row["attempt"], target, why, sets=sets, attempt_sets=facts)


def _stay(row: sqlite3.Row, why: str, batch_id: str | None, doubted: float | None) -> Change:
    state = State(row["state"])
    sets = {"batch_id": batch_id, "unknown_since": doubted}
    if state is State.CANCELLING:
        sets["next_state"] = row["next_state"]
    return Change(row["id"], state, row["attempt"], state, why, sets=sets)


async def _revoke(house: House, decided: Sequence[Decided]) -> int:
    """Win the claims of attempts that have not begun; what is won can never start, so what follows is safe."""
    if not decided:
        return 0
    outcomes = await house.each("revoke", [(house.area(row), row["token"]) for row, *_ in decided])
    won = [one for one, outcome in zip(decided, outcomes, strict=True) if outcome in {"won", "revoked"}]
    await house.batch.cancel([Watched(row["token"], row["batch_id"]) for row, *_ in won])
    again = [row for row, *_ in won if row["state"] == State.SUBMITTING]
    unprepared = await prepare_areas(house, again, 1) if again else {}
    changes = [(await _after_revoke(house, row, decision, unprepared), row) for row, _, _, decision in won]
    return await carry_out(house, changes)


async def _after_revoke(house: House, row: sqlite3.Row, decision: Decision, unprepared: dict[int, str]) -> Change:
    state = State(row["state"])
    why = f"{decision.why}; revoked, so that it can never start"
    if state is State.CANCELLING:
        why = row["reason"].partition(";")[0] + "; it never began and never can"
        return Change(row["id"], state, row["attempt"], State(row["next_state"]), why)
    if state is State.SUBMITTING:
        if row["id"] in unprepared:
            why = unprepared[row["id"]]
            return Change(row["id"], state, row["attempt"], State.FAILED, why, Result.PREPARATION)
        sets = {"not_before": row["not_before"], "tries": row["tries"]}
        return Change(row["id"], state, row["attempt"], State.PREPARED, why, sets=sets)
    _, table, _ = await house.tables_of(row)
    tries = row["tries"] + 1
    if tries >= table.attempts:
        facts = {"result": decision.result or Result.NODE, "reason": decision.why}
        return Change(row["id"], state, row["attempt"], State.FINISHED, why, attempt_sets=facts)
    sets = {"tries": tries, "not_before": house.clock() + retry_delay(table.retry_after, tries)}
    return Change(row["id"], state, row["attempt"], State.NEW, why, decision.result or Result.NODE, sets=sets)


async def _overdue(house: House, decided: Sequence[Decided]) -> list[Decided]:
    """Find running attempts beyond their wall time, where the batch system does not see to that itself."""
    if house.batch.keeps_walltime:
        return []
    overdue, changes = [], []
    for one in decided:
        row, records, _, decision = one
        if row["state"] != State.RUNNING or decision.step is not Step.STAY or records.started is None:
            continue
        _, table, _ = await house.tables_of(row)
        # By both clocks: that of the file server, which wrote the record, may differ from this machine's.
        ran = house.clock() - max(records.started, row["since"])
        if table.walltime is None or ran <= table.walltime:
            continue
        why = f"it ran longer than its walltime of {table.walltime:g} s"
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
