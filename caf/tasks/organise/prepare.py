"""Preparing: raw files found, working area made."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from caf import __version__
from caf.config import Configuration, JobTable, ListenerTable
from caf.config.units import duration_text
from caf.domain.errors import StorageError, StorageTimeout
from caf.domain.jobs import Result, State
from caf.domain.runs import to_json
from caf.store import discovery, jobs
from caf.store.jobs import Change
from caf.tasks.house import QUICK, House
from caf.tasks.organise.moves import carry_out

AT_ONCE = 200  # jobs in one round, so that those that run are not kept waiting
LONGEST_WAIT = 3600.0  # s between two looks for raw files

Tables = tuple[Configuration, JobTable, ListenerTable]


async def prepare_new(house: House) -> int:
    """Prepare NEW jobs that are due: their raw files are there, their working area is made."""
    rows = await house.database.call(jobs.in_states, (State.NEW,), due=house.clock(), limit=AT_ONCE)
    if not rows:
        return 0
    if await _renew(house, rows):
        rows = await house.database.call(jobs.in_states, (State.NEW,), due=house.clock(), limit=AT_ONCE)
    moved = 0
    for patterns, group in (await _by_patterns(house, rows)).items():
        moved += await _prepare_group(house, group, await _find_group(house, group, patterns))
    return moved


async def _prepare_group(house: House, rows: Sequence[sqlite3.Row], raw: dict[int, Any]) -> int:
    changes: list[tuple[Change, object]] = []
    ready = []
    for row in rows:
        found = raw[row["id"]]
        if isinstance(found, Exception) or found.get("why"):
            _, table, _ = await house.tables_of(row)
            why = str(found if isinstance(found, Exception) else found["why"])
            changes.append((_still_waiting(house, row, table, why), row))
        else:
            ready.append(row)
    unprepared = await prepare_areas(house, ready, 0, raw)
    for row in ready:
        if (why_not := unprepared.get(row["id"])) is not None:
            failed = Change(row["id"], State.NEW, row["attempt"], State.FAILED, why_not, Result.PREPARATION)
            changes.append((failed, row))
        else:
            why = _count(len(raw[row["id"]]["files"])) + ", waits for a slot"
            sets = {"tries": row["tries"]}
            changes.append((Change(row["id"], State.NEW, row["attempt"], State.PREPARED, why, sets=sets), row))
    return await carry_out(house, changes)


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


async def _by_patterns(house: House, rows: Sequence[sqlite3.Row]) -> dict[tuple[str, ...], list[sqlite3.Row]]:
    """Group jobs by the globs of their raw files, their own or their listener's; first those that wait for none."""
    groups: dict[tuple[str, ...], list[sqlite3.Row]] = {(): []}
    for row in rows:
        _, table, listener = await house.tables_of(row)
        patterns = table.raw if table.raw is not None else listener.raw
        groups.setdefault(tuple(patterns or ()), []).append(row)
    return groups


async def _find_group(house: House, rows: Sequence[sqlite3.Row], patterns: tuple[str, ...]) -> dict[int, Any]:
    """Look for the raw files of jobs with the same globs; where that hangs, these jobs wait and no others."""
    if not patterns:
        return {row["id"]: {"files": []} for row in rows}
    calls = [([pattern.format(run=row["run"]) for pattern in patterns], row["run"]) for row in rows]
    try:
        answers = await house.each("find_raw", calls, files=house.raw_files)
    except StorageTimeout as late:
        return {row["id"]: late for row in rows}
    return dict(zip([row["id"] for row in rows], answers, strict=True))


async def _find_raw(house: House, rows: Sequence[sqlite3.Row]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for patterns, group in (await _by_patterns(house, rows)).items():
        found |= await _find_group(house, group, patterns)
    return found


def _still_waiting(house: House, row: sqlite3.Row, table: JobTable, why: str) -> Change:
    """Look again later, each time after twice as long; give up after `files_wait`."""
    now = house.clock()
    if now - row["since"] > table.files_wait:
        why = f"no raw files after {duration_text(table.files_wait)}: {why}"
        return Change(row["id"], State.NEW, row["attempt"], State.FAILED, why, Result.STAGING)
    looks = row["looks"] + 1
    delay = min(house.configuration.duties.organise * 2 ** min(looks - 1, 10), LONGEST_WAIT)
    sets = {"looks": looks, "not_before": now + delay, "tries": row["tries"]}
    return Change(row["id"], State.NEW, row["attempt"], State.NEW, f"waits for raw files: {why}", sets=sets)


async def prepare_areas(
    house: House, rows: Sequence[sqlite3.Row], later: int, raw: dict[int, Any] | None = None
) -> dict[int, str]:
    """Make the areas of each job's attempt (that `later` further on); gives why not, for those that cannot be made."""
    if not rows:
        return {}
    if raw is None:
        raw = await _find_raw(house, rows)
    calls, asked = [], []
    unprepared: dict[int, str] = {}
    for row in rows:
        found = raw[row["id"]]
        if isinstance(found, Exception) or found.get("why"):
            unprepared[row["id"]] = f"its raw files are gone: {found if isinstance(found, Exception) else found['why']}"
            continue
        asked.append(row)
        calls.append((await _request(house, row, row["attempt"] + later, found["files"]),))
    answers = await house.each("prepare", calls, timeout=2 * QUICK) if calls else []
    for row, answer in zip(asked, answers, strict=True):
        if isinstance(answer, StorageError) and answer.transient:
            raise answer
        if isinstance(answer, Exception):
            unprepared[row["id"]] = str(answer)
    return unprepared


async def _request(house: House, row: sqlite3.Row, attempt: int, files: list[dict[str, Any]]) -> dict[str, Any]:
    """Describe an attempt's area: all that it is made from, which job.json keeps."""
    configuration, table, _ = await house.tables_of(row)
    record = await house.database.call(discovery.record_of_run, row["run"], configuration.corrections_in_force())
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
        },
    }
