"""Raw files of jobs: looked for where their globs lead, waited for until they are there and whole."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from caf.config import Configuration, JobTable, ListenerTable
from caf.config.units import duration_text
from caf.domain.errors import StorageError, StorageTimeout
from caf.domain.jobs import Result, State
from caf.domain.rawfiles import Ripeness, ripeness
from caf.store.jobs import Change
from caf.tasks.house import QUICK, House

SHARE = 20.0  # s that one exchange with the file child should take
MOST = 60.0  # s that all jobs with the same globs may take in one round; the others' turn comes in the next
LONGEST_WAIT = 3600.0  # s between two looks for raw files

Tables = tuple[Configuration, JobTable, ListenerTable]
Found = dict[str, Any] | StorageError
"""What `caf.storage.raw.find_raw` gives, or why it could not."""


async def by_patterns(house: House, rows: Sequence[sqlite3.Row]) -> dict[tuple[str, ...], list[sqlite3.Row]]:
    """Group jobs by the globs of their raw files, their own or their listener's; first those that wait for none."""
    groups: dict[tuple[str, ...], list[sqlite3.Row]] = {(): []}
    for row in rows:
        _, table, listener = await house.tables_of(row)
        patterns = table.raw if table.raw is not None else listener.raw
        groups.setdefault(tuple(patterns or ()), []).append(row)
    return groups


async def find_group(house: House, rows: Sequence[sqlite3.Row], patterns: tuple[str, ...]) -> dict[int, Found]:
    """Look for the raw files of jobs with the same globs; where that hangs, these jobs wait and no others.

    Where there are more than a round has time for, the last ones are left out.
    """
    if not patterns:
        return {row["id"]: {"files": []} for row in rows}
    calls = [([pattern.format(run=row["run"]) for pattern in patterns], row["run"]) for row in rows]
    found: dict[int, Found] = {}
    begun = house.clock()
    while len(found) < len(rows) and house.clock() - begun <= MOST:
        try:
            answers = await house.raw_files.call("find_all", calls[len(found) :], SHARE, timeout=SHARE + QUICK)
        except StorageTimeout as late:
            return {**{row["id"]: late for row in rows}, **found}
        found |= zip((row["id"] for row in rows[len(found) :]), answers, strict=False)
    return found


async def find(house: House, rows: Sequence[sqlite3.Row]) -> dict[int, Found]:
    """Look for the raw files of any jobs."""
    found: dict[int, Found] = {}
    for patterns, group in (await by_patterns(house, rows)).items():
        found |= await find_group(house, group, patterns)
    return found


def ripe(house: House, row: sqlite3.Row, table: JobTable, found: dict[str, Any]) -> Ripeness:
    """Tell whether the files that were found are whole."""
    mark, since = row["files_mark"], row["files_since"]
    return ripeness(found["files"], now=house.clock(), quiet=table.files_quiet, mark=mark, since=since)


async def not_usable(house: House, row: sqlite3.Row, found: Found | None) -> str | None:
    """Say why a job cannot use its raw files at this moment, for whatever reason; None if it can."""
    if found is None or isinstance(found, StorageError) or found.get("why"):
        return f"its raw files are gone: {found['why'] if isinstance(found, dict) else found or 'no time to look'}"
    if any(file.get("offline") for file in found["files"]):
        return "its raw files are on tape only"
    _, table, _ = await house.tables_of(row)
    return ripe(house, row, table, found).why


async def wait_for(house: House, row: sqlite3.Row, found: Found) -> Change | None:
    """Have a job wait for raw files that are not there, or may still grow; None if it need not."""
    _, table, _ = await house.tables_of(row)
    if isinstance(found, StorageError) or found.get("why"):
        return still_waiting(house, row, table, str(found if isinstance(found, StorageError) else found["why"]))
    state = ripe(house, row, table, found)
    if state.why is None:
        return None
    sets = {"files_mark": state.mark, "files_since": state.since}
    return still_waiting(house, row, table, state.why, again_in=state.again_in, looks=row["looks"], **sets)


def still_waiting(
    house: House,
    row: sqlite3.Row,
    table: JobTable,
    why: str,
    *,
    again_in: float | None = None,
    looks: int | None = None,
    **sets: Any,
) -> Change:
    """Look again later, each time after twice as long; give up after `files_wait`, or `staging_wait` for tapes."""
    now, state = house.clock(), State(row["state"])
    limit = table.staging_wait if state is State.STAGING else table.files_wait
    if now - row["since"] > limit:
        why = f"no raw files after {duration_text(limit)}: {why}"
        return Change(row["id"], state, row["attempt"], State.FAILED, why, Result.STAGING)
    looks = row["looks"] + 1 if looks is None else looks
    if again_in is None:
        again_in = min(house.configuration.duties.organise * 2 ** min(looks - 1, 10), LONGEST_WAIT)
    sets |= {"looks": looks, "not_before": now + again_in, "tries": row["tries"]}
    return Change(row["id"], state, row["attempt"], state, f"waits for raw files: {why}", sets=sets)
