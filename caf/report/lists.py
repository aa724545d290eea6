"""The lists of the status page: a file for each block of jobs, and for each block of runs."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from caf.domain.runs import SECOND, to_json
from caf.report.kept import Kept
from caf.store.pages import Block

VERSION = 1
"""Of all data of the page; it grows when a reader of the old would misunderstand the new."""

JOB_COLUMNS = (
    *("run", "job", "listener", "state", "result", "attempt", "updated", "reason", "run_type", "partition"),
    *("mark", "acknowledged", "unknown_since"),
)
RUN_COLUMNS = (
    *("run", "status", "listener", "needs_validation", "run_type", "partition", "start", "events", "disputed", "jobs"),
)
TRAIL_COLUMNS = ("at", "who", "run", "job", "attempt", "was", "became", "why")


def encoded(document: Any) -> str:
    """Give a document as JSON in ASCII, which is JavaScript too, and small."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False)


def second(moment: float | None) -> int | None:
    """Give a moment in whole seconds."""
    return None if moment is None else int(moment)


def jobs(block: Block) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the document of a block of jobs, the newest first, and what the index says of it."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    listeners = set()
    rows = []
    for row in block.jobs:
        values = dict(zip(JOB_COLUMNS, (row[name] for name in JOB_COLUMNS), strict=True))
        values["updated"], values["unknown_since"] = second(row["updated"]), second(row["unknown_since"])
        rows.append(list(values.values()))
        counts[row["job"]][row["state"]] += 1
        listeners.add(row["listener"])
    numbers = [row["run"] for row in block.jobs]
    about = {"first": min(numbers), "last": max(numbers), "jobs": counts, "listeners": sorted(listeners)}
    return {"version": VERSION, "columns": JOB_COLUMNS, "rows": rows}, about


def runs(block: Block, kept: Kept) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the document of a block of runs, the newest first, and what the index says of it."""
    jobs_of = defaultdict(list)
    for job in block.jobs:
        jobs_of[job["run"]].append([job["job"], job["state"]])
    counts: dict[str, int] = defaultdict(int)
    listeners = set()
    rows = []
    for row in block.runs:
        values = kept.record(row).values
        start, needs = values.get("start"), row["needs_validation"]
        counts[row["status"]] += 1
        if row["listener"] is not None:
            listeners.add(row["listener"])
        rows.append(
            [
                *(row["run"], row["status"], row["listener"], None if needs is None else bool(needs)),
                *(to_json(name, values.get(name)) for name in ("run_type", "partition")),
                start // SECOND if isinstance(start, int) else None,
                *(values.get("events"), bool(row["disputed"]), jobs_of[row["run"]]),
            ]
        )
    numbers = [row["run"] for row in block.runs]
    about = {"first": min(numbers), "last": max(numbers), "status": counts, "listeners": sorted(listeners)}
    return {"version": VERSION, "columns": RUN_COLUMNS, "rows": rows}, about


def trail(rows: Iterable[sqlite3.Row]) -> dict[str, Any]:
    """Give the document of the newest changes, whoever made them."""
    rows_of = [[second(row["at"]), *(row[name] for name in TRAIL_COLUMNS[1:])] for row in rows]
    return {"version": VERSION, "columns": TRAIL_COLUMNS, "rows": rows_of}
