"""Submitting: a token is stored first, so that an answer that is lost loses nothing."""

import os
import sqlite3
from typing import Any

from caf.batch.interface import BatchRefused, Submission
from caf.batch.script import script
from caf.config import JobTable
from caf.domain.errors import BatchError
from caf.domain.following import Sight
from caf.domain.jobs import Result, State
from caf.domain.judging import retry_delay
from caf.store import jobs
from caf.store.jobs import Change
from caf.tasks.house import QUICK, House
from caf.tasks.organise.moves import carry_out

HOLDING = (State.SUBMITTING, State.PENDING, State.RUNNING, State.CANCELLING)
"""The states in which a job has a slot."""
TROUBLE_DELAY = 30.0  # s before a submission that failed is tried again


async def submit_prepared(house: House) -> int:
    """Hand over as many PREPARED jobs as there are slots, those of the highest priority and the oldest runs first."""
    slots = house.configuration.batch.slots or os.cpu_count() or 1
    held = len(await house.database.call(jobs.in_states, HOLDING))
    if held >= slots:
        return 0
    rows = await house.database.call(jobs.in_states, (State.PREPARED,), due=house.clock(), limit=slots - held)
    if not rows:
        return 0
    claimed_at = house.clock()
    tokens = await house.database.call(jobs.claim_tokens, [row["id"] for row in rows], claimed_at)
    rows = [row for row in rows if row["id"] in tokens]
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
        )
        scripts.append((area, text))
    written = await house.each("write_script", scripts)
    changes: list[tuple[Change, object]] = []
    for row, outcome in zip(rows, written, strict=True):
        if isinstance(outcome, Exception):
            changes.append((_later(house, row, f"its script could not be written: {outcome}"), row))
        else:
            changes.append((await _submit(house, row, tokens[row["id"]]), row))
    return await carry_out(house, changes, since=claimed_at)


async def _submit(house: House, row: sqlite3.Row, token: str) -> Change:
    _, table, _ = await house.tables_of(row)
    try:
        sighting = await house.batch.submit(_submission(house, row, table, token))
    except BatchRefused as error:
        house.log.warning("submit.failed", run=row["run"], job=row["job"], error=str(error))
        return await _refused(house, row, table, token, str(error))
    except BatchError as error:
        house.log.warning("submit.failed", run=row["run"], job=row["job"], error=str(error))
        return _later(house, row, str(error))
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
        memory=table.memory,
        walltime=table.walltime,
        options=table.options,
    )


def _later(house: House, row: sqlite3.Row, why: str) -> Change:
    """Leave it SUBMITTING: whether it was accepted is found out by its token in the next round."""
    sets: dict[str, Any] = {"not_before": house.clock() + TROUBLE_DELAY}
    return Change(row["id"], State.SUBMITTING, row["attempt"], State.SUBMITTING, why, sets=sets)


async def _refused(house: House, row: sqlite3.Row, table: JobTable, token: str, why: str) -> Change:
    """Try a refused submission again later, as another attempt, up to the limit. The claim makes sure of the no."""
    outcome = await house.files.call("revoke", house.area(row), token, timeout=QUICK)
    if outcome not in {"won", "revoked"}:
        return _later(house, row, f"refused, but its payload has begun: {why}")
    tries = row["tries"] + 1
    if tries >= table.attempts:
        return Change(row["id"], State.SUBMITTING, row["attempt"], State.FAILED, why, Result.REFUSED)
    sets = {"tries": tries, "not_before": house.clock() + retry_delay(table.retry_after, tries)}
    return Change(row["id"], State.SUBMITTING, row["attempt"], State.SUBMITTING, why, sets=sets)
