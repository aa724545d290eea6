"""Raw files on tape: asked for, asked after, and given up after a time. The job is STAGING meanwhile."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from caf.config.units import duration_text
from caf.domain.errors import StorageError, StorageTimeout
from caf.domain.jobs import Result, State
from caf.store.jobs import Change
from caf.tasks.house import QUICK, House
from caf.tasks.organise.rawfiles import SHARE, still_waiting

LONGEST_WAIT = 900.0  # s between two questions: a tape takes minutes to days, and what came back does not stay for ever

Decided = tuple[Change, sqlite3.Row]


async def recall(
    house: House, rows: Sequence[sqlite3.Row], raw: dict[int, Any]
) -> tuple[list[sqlite3.Row], list[Decided]]:
    """Part jobs whose files are all on disk from those for which tapes must be read, and give the latter's changes.

    NEW jobs have theirs asked for and become STAGING; for STAGING ones it is asked how far that is. Should a crash
    lose the request's name, the files are asked for again, which does no harm.
    """
    online, on_tape = [], []
    for row in rows:
        offline = [file["path"] for file in raw[row["id"]]["files"] if file.get("offline")]
        if offline:
            on_tape.append((row, offline, len(raw[row["id"]]["files"])))
        else:
            online.append(row)
    answers = await _ask(house, [(row["recall"], offline) for row, offline, _ in on_tape])
    decided: list[Decided] = []
    for (row, offline, files), answer in zip(on_tape, answers, strict=False):
        decided.append((await _decide(house, row, offline, files, answer), row))
    return online, decided


async def _ask(house: House, requests: Sequence[tuple[str | None, list[str]]]) -> list[dict[str, Any]]:
    if not requests:
        return []
    try:
        answers: list[dict[str, Any]] = await house.raw_files.call("recall", requests, SHARE, timeout=SHARE + QUICK)
    except (StorageTimeout, StorageError) as error:
        return [{"recall": request, "why": str(error)} for request, _ in requests]
    return answers


async def _decide(house: House, row: sqlite3.Row, offline: Sequence[str], files: int, answer: dict[str, Any]) -> Change:
    """Decide about one job by what its storage says of the request."""
    _, table, _ = await house.tables_of(row)
    request, trouble = answer["recall"], answer["why"]
    missing = f"{len(offline)} of {files} files" if files > 1 else "its file"
    if row["state"] == State.NEW:
        if request is None:
            return still_waiting(house, row, table, f"{missing} cannot be had from tape: {trouble}")
        why = f"{missing} asked for from tape"
        sets = {"recall": request, "looks": 0, "not_before": _next(house, 0), "tries": row["tries"]}
        return Change(row["id"], State.NEW, row["attempt"], State.STAGING, why, sets=sets)
    why = f"{missing} not back from tape" + (f": {trouble}" if trouble else f", such as {offline[0]}")
    now = house.clock()
    if now - row["since"] > table.staging_wait:
        why = f"{why}; waited for {duration_text(table.staging_wait)}"
        return Change(row["id"], State.STAGING, row["attempt"], State.FAILED, why, Result.STAGING)
    looks = row["looks"] + 1
    sets = {"recall": request, "looks": looks, "not_before": _next(house, looks), "tries": row["tries"]}
    return Change(row["id"], State.STAGING, row["attempt"], State.STAGING, why, sets=sets)


def _next(house: House, looks: int) -> float:
    wait: float = house.configuration.duties.organise * 2 ** min(looks, 10)
    return house.clock() + min(wait, LONGEST_WAIT)
