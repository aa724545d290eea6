"""Submitting: a token is stored first, so that an answer that is lost loses nothing."""

import asyncio
import sqlite3
from collections.abc import Sequence
from typing import Any

from caf.batch.aside import NOTHING, Aside
from caf.batch.interface import BatchRefused, Submission
from caf.batch.script import script
from caf.config import JobTable
from caf.config.copies import filled_in
from caf.domain.errors import BatchError, StorageError
from caf.domain.following import Sight
from caf.domain.jobs import Result, State
from caf.domain.judging import retry_delay
from caf.store.jobs import Change
from caf.tasks.house import QUICK, House
from caf.tasks.organise.ahead import ahead_of_slots
from caf.tasks.organise.moves import carry_out, claim
from caf.tasks.organise.relook import still_there
from caf.tasks.organise.slots import next_in_line

AT_ONCE = 4  # submissions under way: the clients of batch systems take turns with their servers, and wait
PIECE = 200  # jobs that get their tokens at once
TROUBLE_DELAY = 30.0  # s before a submission that failed is tried again
Outcome = tuple[Change, sqlite3.Row]  # with the row that it was decided on


async def submit_prepared(house: House) -> int:
    """Hand over as many PREPARED jobs as there are slots, in the order of their turns.

    Many are handed over in pieces, each stored before the next: so `caf pause` is heeded soon, and little is in doubt.
    """
    rows = await next_in_line(house)
    rows = await still_there(house, [*rows, *await ahead_of_slots(house, rows)])
    moved = 0
    for first in range(0, len(rows), PIECE):
        claimed_at = house.clock()
        ready, changes = await _make_ready(house, rows[first : first + PIECE], claimed_at)
        handed_over, answers = await _hand_over(house, ready)
        moved += await carry_out(house, changes + handed_over, since=claimed_at, can_wait=True)
        if not answers:
            break
    return moved


async def _make_ready(
    house: House, rows: Sequence[sqlite3.Row], now: float
) -> tuple[list[tuple[sqlite3.Row, str]], list[Outcome]]:
    """Store tokens and write scripts; gives those that can be handed over, and what becomes of those that cannot."""
    tokens = await claim(house, [row["id"] for row in rows], now)
    rows = [row for row in rows if row["id"] in tokens]
    if not rows:
        return [], []
    scripts = []
    for row in rows:
        _, table, _ = await house.tables_of(row)
        area = house.area(row)
        text = script(
            area=area,
            token=tokens[row["id"]],
            run=row["run"],
            job=row["job"],
            attempt=row["attempt"],
            command=list(table.command),
            id_variable=house.batch.id_variable,
            aside=_aside(table, row),
        )
        scripts.append((area, text))
    newest = (str(house.configuration.caf.work), house.database_id, house.generation, tokens[rows[-1]["id"]])
    calls = [("note_newest", newest), *(("write_script", one) for one in scripts)]
    noted, *written = await house.files.many(calls, timeout=QUICK)
    if isinstance(noted, Exception):
        raise noted
    ready: list[tuple[sqlite3.Row, str]] = []
    failed: list[Outcome] = []
    for row, outcome in zip(rows, written, strict=True):
        if isinstance(outcome, Exception):
            failed.append((_later(house, row, f"its script could not be written: {outcome}"), row))
        else:
            ready.append((row, tokens[row["id"]]))
    return ready, failed


def _aside(table: JobTable, row: sqlite3.Row) -> Aside:
    if not (table.scratch or table.copy_back):
        return NOTHING
    run, job = row["run"], row["job"]
    return Aside(table.scratch, filled_in(table.copy_back, run, job), table.log.format(run=run, job=job))


async def _hand_over(house: House, ready: Sequence[tuple[sqlite3.Row, str]]) -> tuple[list[Outcome], bool]:
    """Submit a few at a time; tells, too, whether there are answers.

    Where a few in a row were not answered no more are tried: each costs a time limit.
    """
    changes: list[Outcome] = []
    left, unanswered = iter(ready), 0

    async def take_turns() -> None:
        nonlocal unanswered
        for row, token in left:
            if unanswered >= AT_ONCE:
                changes.append((_later(house, row, "not handed over yet: the batch system does not answer"), row))
                continue
            change: Change | None
            try:
                change = await _submit(house, row, token)
                unanswered = 0
            except (BatchError, StorageError) as error:
                house.log.warning("submit.failed", run=row["run"], job=row["job"], error=str(error))
                change = _later(house, row, str(error))
                unanswered += 1
            if change is not None:
                changes.append((change, row))

    clients = [asyncio.ensure_future(take_turns()) for _ in ready[:AT_ONCE]]
    try:
        await asyncio.gather(*clients)
    finally:
        for client in clients:
            client.cancel()
    return changes, unanswered < AT_ONCE


async def _submit(house: House, row: sqlite3.Row, token: str) -> Change | None:
    """Hand one over. BatchError: it may have been accepted; StorageError: it was not, and that could not be made sure.

    None: it waits for its turn on this machine, and stays SUBMITTING until it begins. Whatever its fate is, it is found
    out by the token.
    """
    _, table, _ = await house.tables_of(row)
    try:
        sighting = await house.batch.submit(_submission(house, row, table, token))
    except BatchRefused as error:
        house.log.warning("submit.failed", run=row["run"], job=row["job"], error=str(error))
        return await _refused(house, row, table, token, error)
    if sighting.sight is Sight.PENDING and sighting.batch_id is None:
        return None
    target = State.RUNNING if sighting.sight is Sight.RUNNING else State.PENDING
    why = f"submitted as {sighting.batch_id}" if sighting.batch_id else "submitted"
    sets = {"batch_id": sighting.batch_id, "tries": row["tries"]}
    return Change(row["id"], State.SUBMITTING, row["attempt"], target, why, sets=sets)


def _submission(house: House, row: sqlite3.Row, table: JobTable, token: str) -> Submission:
    return Submission(
        token=token,
        script=f"{house.area(row)}/caf.sh",
        queue=table.queue,
        group=table.group,
        cpus=table.cpus,
        memory=row["memory"] or table.memory,
        walltime=row["walltime"] or table.walltime,
        options=table.options,
    )


def _later(house: House, row: sqlite3.Row, why: str) -> Change:
    """Leave it SUBMITTING: whether it was accepted is found out by its token in the next round."""
    sets: dict[str, Any] = {"not_before": house.clock() + TROUBLE_DELAY}
    return Change(row["id"], State.SUBMITTING, row["attempt"], State.SUBMITTING, why, sets=sets)


async def _refused(house: House, row: sqlite3.Row, table: JobTable, token: str, error: BatchRefused) -> Change:
    """Try a refused submission again later, as another attempt, up to the limit. The claim makes sure of the no.

    One for which there was no room just now is not counted: it waits for that.
    """
    why = str(error)
    outcome = await house.files.call("revoke", house.area(row), token, timeout=QUICK)
    if outcome not in {"won", "revoked"}:
        return _later(house, row, f"refused, but its payload has begun: {why}")
    tries = row["tries"] + (not error.transient)
    if tries >= table.attempts:
        return Change(row["id"], State.SUBMITTING, row["attempt"], State.FAILED, why, Result.REFUSED)
    sets = {"tries": tries, "not_before": house.clock() + retry_delay(table.retry_after, max(tries, 1))}
    return Change(row["id"], State.SUBMITTING, row["attempt"], State.SUBMITTING, why, sets=sets)
