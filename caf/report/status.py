"""The status: what needs a person, how the duties do, how many there are of what, and where the rest of the data is."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from caf import __version__
from caf.attention import Need
from caf.config import ListenerTable
from caf.domain.errors import CafError
from caf.domain.matching import Answer, split_answers
from caf.report.kept import Kept
from caf.report.lists import VERSION, second
from caf.store import asking, backups, credentials, duties, pauses, queries
from caf.wording import iso


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the status tells besides the database. Times in s; `disks` as the page draws them; `more` as it is."""

    now: float
    every: float
    database: str
    host: str
    folder: str
    unknown_after: float
    listeners: Mapping[str, ListenerTable]
    disks: Sequence[Mapping[str, Any]]


def status(
    conn: sqlite3.Connection, kept: Kept, needed: Sequence[Need], around: Surroundings, index: str | None
) -> dict[str, Any]:
    """Give the document. `index` is the name of the file that names all others; None as long as there is none."""
    now = around.now
    return {
        "version": VERSION,
        "caf": __version__,
        "written": iso(now),
        "every": around.every,
        "database": around.database,
        "host": around.host,
        "folder": around.folder,
        "index": index,
        "needs": [need.as_object() for need in needed],
        "asking": _asking(conn, kept, now - around.unknown_after),
        "runs": queries.run_counts(conn),
        "jobs": queries.job_counts(conn),
        "pauses": [
            {"job": one.job, "since": second(one.since), "who": one.who, "reason": one.reason, "command": one.way_out}
            for one in pauses.pauses(conn)
        ],
        "duties": [_duty(row) for row in duties.all_duties(conn)],
        "disks": list(around.disks),
        "listeners": listeners(conn, around.listeners, now),
        "credentials": _credentials(conn),
        "backup": _backup(conn),
    }


def _credentials(conn: sqlite3.Connection) -> dict[str, Any] | None:
    known = credentials.standing(conn)
    return None if known is None else {"renewed": second(known.renewed), "expires": second(known.expires)}


def _backup(conn: sqlite3.Connection) -> dict[str, Any] | None:
    """Give the newest backup; null as long as there is none."""
    newest = backups.record(conn).get("made")
    return None if newest is None else {"at": second(newest["at"]), "path": newest["path"], "size": newest["bytes"]}


def _duty(row: Mapping[str, Any]) -> dict[str, Any]:
    times = {name: second(row[name]) for name in ("started", "succeeded", "failed", "next")}
    return {"name": row["name"], **times, **{name: row[name] for name in ("error", "failures", "progress", "summary")}}


def _asking(conn: sqlite3.Connection, kept: Kept, before: float) -> dict[str, list[dict[str, Any]]]:
    """Give the runs and jobs that need a person, each with what can be typed."""
    return {
        "waiting": [_job(row, "start", "reject") for row in asking.waiting(conn)],
        "failed": [_job(row, "reset", "ack") for row in asking.failed(conn)],
        "unknown": [_doubt(row) for row in asking.unknown(conn, before)],
        "conflict": [_conflict(row, kept) for row in asking.conflicts(conn) if not row["disputed"]],
        "disputed": [_disputed(row) for row in asking.conflicts(conn) if row["disputed"]],
    }


def _job(row: sqlite3.Row, *words: str) -> dict[str, Any]:
    which = f"{row['run']} {row['job']}"
    return {
        **{name: row[name] for name in ("run", "job", "state", "result", "reason")},
        "since": second(row["since"]),
        "commands": [f"caf jobs {word} {which}" for word in words],
    }


def _doubt(row: sqlite3.Row) -> dict[str, Any]:
    which = f"{row['run']} {row['job']}"
    told = _job(row, "why", "adopt")
    if row["twins"] is not None and row["adopted"] is None:
        told["reason"] = f"the batch system has it as {row['batch_id']} and as {row['twins']}; only one starts"
        return told | {"commands": [f"caf jobs adopt {which} {row['batch_id']}", f"caf jobs kill {which}"]}
    since = row["unknown_since"] if row["unknown_since"] is not None else row["since"]
    return told | {"since": second(since), "commands": [*told["commands"], f"caf jobs lost {which} --reason TEXT"]}


def _conflict(row: sqlite3.Row, kept: Kept) -> dict[str, Any]:
    takers = _takers(row, kept)
    return {
        "run": row["run"],
        "reason": f"taken by {' and '.join(takers)}" if takers else "taken by more than one listener",
        "commands": [f"caf runs assign {row['run']} {taker} --reason TEXT" for taker in takers or ["LISTENER"]],
    }


def _takers(row: sqlite3.Row, kept: Kept) -> list[str]:
    try:
        configured = kept.configuration(row["configuration_id"]).listeners_in_force()
    except CafError:  # written for another version of caf
        return []
    parts = split_answers(configured, row["answers"])
    return [name for name, (letters, _) in parts.items() if set(letters) <= {Answer.HOLDS}]


def _disputed(row: sqlite3.Row) -> dict[str, Any]:
    verdict = f"{row['status']}{' by ' + row['listener'] if row['listener'] else ''}"
    return {
        "run": row["run"],
        "reason": f"its jobs do not agree with its verdict, which is {verdict} now",
        "commands": [f"caf runs show {row['run']}"],
    }


def listeners(conn: sqlite3.Connection, tables: Mapping[str, ListenerTable], now: float) -> list[dict[str, Any]]:
    """Give the age of each enabled listener's last good calibration; `late`: it is older than is expected."""
    enabled = {name: table.expect_every for name, table in tables.items() if table.enabled}
    late = {one[0] for one in asking.late(conn, [(name, every) for name, every in enabled.items() if every], now)}
    found = []
    for name, every in enabled.items():
        run, began = asking.last_good(conn, name) or (None, None)
        found.append({"name": name, "run": run, "start": second(began), "expect_every": every, "late": name in late})
    return found
