"""Preparing: raw files found, working area made."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from caf import __version__
from caf.config.copies import filled_in
from caf.domain.errors import StorageError
from caf.domain.jobs import Result, State
from caf.domain.runs import Record, to_json
from caf.store import jobs
from caf.store.due import to_prepare
from caf.store.jobs import Change
from caf.store.rows import records_of
from caf.tasks.house import QUICK, House
from caf.tasks.organise.compare import not_found
from caf.tasks.organise.moves import carry_out
from caf.tasks.organise.rawfiles import by_patterns, find, find_group, not_usable, wait_for
from caf.tasks.organise.readable import readable
from caf.tasks.organise.stage import recall

AT_ONCE = 200  # jobs in one round, so that those that run are not kept waiting
Unprepared = dict[int, tuple[State, str]]
"""Of jobs whose area could not be made: where they go, and why."""


async def prepare_new(house: House, limit: int = AT_ONCE) -> int:
    """Prepare NEW and STAGING jobs that are due: their raw files are there, their working area is made."""
    rows = await house.database.call(to_prepare, house.clock(), limit)
    if not rows:
        return 0
    if await _renew(house, rows):
        rows = await house.database.call(to_prepare, house.clock(), limit)
    moved, rows = 0, await not_found(house, await readable(house, rows))
    for patterns, group in (await by_patterns(house, rows)).items():
        moved += await _prepare_group(house, group, await find_group(house, group, patterns))
    return moved


async def _prepare_group(house: House, rows: Sequence[sqlite3.Row], raw: dict[int, Any]) -> int:
    changes: list[tuple[Change, object]] = []
    there = []
    for row in rows:
        if row["id"] not in raw:  # its turn comes in the next round
            continue
        if (change := await wait_for(house, row, raw[row["id"]])) is not None:
            changes.append((change, row))
        else:
            there.append(row)
    ready, staged = await recall(house, there, raw)
    moved = await carry_out(house, [*changes, *staged])
    changes = []
    unprepared = await prepare_areas(house, ready, 0, raw)
    for row in ready:
        state = State(row["state"])
        if row["id"] in unprepared:
            _, why = unprepared[row["id"]]
            changes.append((Change(row["id"], state, row["attempt"], State.FAILED, why, Result.PREPARATION), row))
        else:
            why = _count(len(raw[row["id"]]["files"])) + ", waits for a slot"
            sets = {"tries": row["tries"]}
            changes.append((Change(row["id"], state, row["attempt"], State.PREPARED, why, sets=sets), row))
    return moved + await carry_out(house, changes, can_wait=True)


async def _renew(house: House, rows: Sequence[sqlite3.Row]) -> bool:
    """Put what a person asked for again under the configuration in force, if that still has the job for its listener.

    Whoever corrects listeners.toml and types `reset` expects the correction to count; nobody else's job changes.
    """
    tables = house.configuration.jobs
    again = [
        row["id"]
        for row in rows
        if row["renew"]
        and row["configuration_id"] != house.configuration_id
        and row["listener"] in house.configuration.listeners
        and row["job"] in tables
        and row["listener"] in tables[row["job"]].listeners
    ]
    if again:
        await house.database.call(jobs.renew, again, house.configuration_id)
    return bool(again)


def _count(files: int) -> str:
    return f"working area ready, {files} raw file{'s' * (files != 1)}" if files else "working area ready"


async def prepare_areas(
    house: House, rows: Sequence[sqlite3.Row], later: int, raw: dict[int, Any] | None = None
) -> Unprepared:
    """Make the areas of each job's attempt (that `later` further on).

    Of those that cannot be made it gives why, and where the job goes: FAILED, or NEW to wait for raw files again.
    Without `raw`, what was found of each job's, they are looked for.
    """
    if not rows:
        return {}
    unprepared: Unprepared = {}
    if raw is None:
        found = await find(house, rows)
        raw = dict(found)
        for row in rows:
            if (why := await not_usable(house, row, found.get(row["id"]))) is not None:
                unprepared[row["id"]] = (State.NEW, why)
    asked = [row for row in rows if row["id"] not in unprepared]
    records = await _records(house, asked)
    calls = []
    for row in asked:
        record = records[row["run"], row["configuration_id"]]
        calls.append((await _request(house, row, row["attempt"] + later, record, raw[row["id"]]["files"]),))
    answers = await house.each("prepare", calls, timeout=2 * QUICK) if calls else []
    for row, answer in zip(asked, answers, strict=True):
        if isinstance(answer, StorageError) and answer.transient:
            raise answer
        if isinstance(answer, Exception):
            unprepared[row["id"]] = (State.FAILED, str(answer))
    return unprepared


async def _records(house: House, rows: Sequence[sqlite3.Row]) -> dict[tuple[int, int], Record]:
    """Give the jobs' runs, each as the job's own configuration corrects it."""
    wanted = {(row["run"], row["configuration_id"]) for row in rows}
    corrections = {}
    for kept in {configuration_id for _, configuration_id in wanted}:
        corrections[kept] = (await house.configuration_of(kept)).corrections_in_force()
    return await house.database.call(records_of, wanted, corrections)


async def _request(
    house: House, row: sqlite3.Row, attempt: int, record: Record, files: list[dict[str, Any]]
) -> dict[str, Any]:
    """Describe an attempt's area: all that it is made from, which job.json keeps."""
    configuration, table, _ = await house.tables_of(row)
    attributes = {name: to_json(name, value) for name, value in record.values.items()}
    log = table.log.format(run=row["run"], job=row["job"])
    return {
        "work": str(house.configuration.caf.work),
        "templates": str(configuration.caf.templates),
        "run": row["run"],
        "job": row["job"],
        "attempt": attempt,
        "database_id": house.database_id,
        "job_id": row["id"],
        "files": list(table.templates),
        "command": list(table.command),
        "listener": row["listener"],
        "attributes": attributes,
        "tags": dict(table.tags),
        "set": json.loads(row["tags"] or "{}"),
        "inputs": files,
        "log": log,
        "facts": {
            "caf": __version__,
            "configuration": {
                "id": row["configuration_id"],
                "sha256": configuration.sha256,
                "path": str(configuration.path),
            },
            "listener": row["listener"],
            "log": log,
            "attributes": attributes,
            "corrected": dict(record.corrected),
            "scratch": table.scratch,
            "copy": filled_in(table.copy_back, row["run"], row["job"]),
        },
    }
