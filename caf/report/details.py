"""What a run's own page shows: its verdict, its jobs with their attempts and files, and its history."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from caf.config import Configuration
from caf.domain.errors import CafError
from caf.domain.explaining import described
from caf.domain.runs import Record, to_json
from caf.report.kept import Kept
from caf.report.lists import VERSION, second
from caf.store.afterwards import state_of
from caf.store.answers import words_for
from caf.store.configurations import text_of
from caf.store.pages import Block

HISTORY_COLUMNS = ("at", "who", "job", "attempt", "was", "became", "why")
JOB_KEYS = (
    "job",
    "listener",
    "state",
    "result",
    "reason",
    "attempt",
    "batch_id",
    "lost",
    "mark",
    "marked",
    "next_state",
)
JOB_TIMES = ("created", "updated", "unknown_since")
ATTEMPT_KEYS = ("attempt", "token", "batch_id", "node", "exit_code", "result", "reason", "archive", "archive_error")
ATTEMPT_TIMES = ("asked", "started", "ended", "archived")
MOST_HISTORY = 300  # of a run's changes, the newest; `caf history --run` has all


def details(block: Block, kept: Kept, area: Callable[[sqlite3.Row, int], str]) -> dict[str, Any]:
    """Give the document of a block of runs. `area` gives the path of a job's attempt."""
    jobs, attempts = _by(block.jobs, "run"), _by(block.attempts, "job_id")
    scripts, shown = _by(block.scripts, "job_id"), _by(block.shown, "job_id")
    trail, former = _by(block.trail, "run"), _by(block.former, "run")
    found = []
    for row in block.runs:
        number = row["run"]
        verdict = block.verdicts[row["verdict_id"]]
        one = _run(row, kept.record(row), verdict)
        one["former"] = [_former(old) for old in former[number]]
        one["jobs"] = [
            _job(job, attempts[job["id"]], scripts[job["id"]], shown[job["id"]], area) for job in jobs[number]
        ]
        one["history"] = [
            [second(change["at"]), *(change[name] for name in HISTORY_COLUMNS[1:])]
            for change in trail[number][-MOST_HISTORY:]
        ]
        found.append(one)
    return {"version": VERSION, "history_columns": HISTORY_COLUMNS, "runs": found}


def _by(rows: Iterable[sqlite3.Row], name: str) -> dict[int, list[sqlite3.Row]]:
    found: dict[int, list[sqlite3.Row]] = defaultdict(list)
    for row in rows:
        found[row[name]].append(row)
    return found


def _run(row: sqlite3.Row, record: Record, verdict: sqlite3.Row) -> dict[str, Any]:
    needs = row["needs_validation"]
    return {
        "run": row["run"],
        "status": row["status"],
        "listener": row["listener"],
        "needs_validation": None if needs is None else bool(needs),
        "settled": bool(row["settled"]),
        "disputed": bool(row["disputed"]),
        "decided_by": row["decided_by"],
        "reason": row["reason"],
        "first_seen": second(row["first_seen"]),
        "judged": second(row["judged"]),
        "attributes": {name: to_json(name, value) for name, value in record.values.items() if name != "run"},
        "inherited": {n: note.inherited_from for n, note in record.notes.items() if note.inherited_from is not None},
        "provisional": [name for name in record.notes if record.provisional(name)],
        "corrected": dict(record.corrected),
        "configuration": verdict["configuration_id"],
        "answers": verdict["answers"],
    }


def _former(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "status": row["status"],
        "listener": row["listener"],
        "judged": second(row["judged"]),
        "replaced": second(row["replaced"]),
        "why": row["why"],
    }


def _job(
    row: sqlite3.Row,
    attempts: list[sqlite3.Row],
    scripts: list[sqlite3.Row],
    shown: list[sqlite3.Row],
    area: Callable[[sqlite3.Row, int], str],
) -> dict[str, Any]:
    files = {one["attempt"]: one for one in shown}
    return {
        **{name: row[name] for name in JOB_KEYS},
        **{name: second(row[name]) for name in JOB_TIMES},
        "acknowledged": bool(row["acknowledged"]),
        "commands": [f"caf jobs why {row['run']} {row['job']}", *words_for(row)],
        "attempts": [
            {
                **{name: one[name] for name in ATTEMPT_KEYS},
                **{name: second(one[name]) for name in ATTEMPT_TIMES},
                "area": area(row, one["attempt"]),
                "area_removed": second(one["removed"]),
                "area_why": one["why"] if one["removed"] is not None else None,
                **_files(files.get(one["attempt"])),
            }
            for one in attempts
        ],
        "afterwards": [
            {
                "attempt": one["attempt"],
                "step": one["step"],
                "command": json.loads(one["command"]),
                "outcome": one["outcome"],
                "state": state_of(one),
                "error": one["error"],
            }
            for one in scripts
        ],
    }


def _files(row: sqlite3.Row | None) -> dict[str, Any]:
    """Give what was copied of an attempt, null as long as it was not; and why not, or since when it is gone."""
    if row is None:
        return {"files": None, "files_error": None, "files_removed": None}
    files = json.loads(row["files"]) if row["files"] is not None and row["removed"] is None else None
    return {"files": files, "files_error": row["error"], "files_removed": second(row["removed"])}


def configuration(conn: sqlite3.Connection, kept: Kept, number: int) -> dict[str, Any]:
    """Give the document of a kept configuration: what verdicts under it were reached by. Its text is not in it."""
    _, path = text_of(conn, number)
    try:
        listeners: list[dict[str, Any]] | None = _listeners(kept.configuration(number))
    except CafError:  # written for another version of caf
        listeners = None
    return {"version": VERSION, "configuration": number, "path": path, "listeners": listeners}


def _listeners(configuration: Configuration) -> list[dict[str, Any]]:
    return [
        {
            "name": listener.name,
            "min_events": listener.min_events,
            "conditions": [
                {name: told[name] for name in ("attribute", "text")} for told in map(described, listener.conditions)
            ],
        }
        for listener in configuration.listeners_in_force()
    ]
