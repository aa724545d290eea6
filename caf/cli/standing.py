"""What `caf status` and `caf watch` show, gathered from the database, the lock and the disk."""

import errno
import os
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caf import fullness, paths
from caf.attention import Need, needs, paused_text
from caf.cli.options import Place
from caf.cli.text import iso, unbroken
from caf.domain.accounts import Weight
from caf.store import backups, duties, pauses, queries, quota, removals


@dataclass(frozen=True, slots=True)
class Standing:
    """What there is to show: `facts` as in JSON, the duties' rows, what needs a person, pauses, how backups do.

    `full` is a line about the account of the working areas.
    """

    facts: dict[str, Any]
    duties: list[dict[str, Any]]
    needed: list[Need]
    paused: list[str] = field(default_factory=list)
    backups: dict[str, Any] = field(default_factory=dict)
    full: str | None = None


def standing(place: Place, conn: sqlite3.Connection | None, now: float) -> Standing:
    """Gather what is shown, fetched whole before anything is printed; `conn` is None where there is no database yet."""
    folder = place.state
    who = place.supervisor()
    disk = _disk(folder)
    facts: dict[str, Any] = {
        "time": iso(now),
        "state": str(folder),
        "supervisor": who,
        "disk": disk,
        "database": False,
        "duties": [],
        "runs": {},
        "jobs": {},
        "pauses": [],
        "backup": _backup({}),
        "quota": None,
    }
    if conn is None:
        return Standing(facts, [], [])
    facts["database"] = True
    rows = duties.all_duties(conn)
    facts["duties"] = [_duty(row) for row in rows]
    facts["runs"], facts["jobs"] = queries.run_counts(conn), queries.job_counts(conn)
    paused = pauses.pauses(conn)
    facts["pauses"] = [_pause(conn, one) for one in paused]
    kept = backups.record(conn)
    facts["backup"] = _backup(kept)
    account = quota.standing(conn)
    facts["quota"] = None if account is None else fullness.as_object(account)
    full = None if account is None else _fullness(conn, account, now)
    lines = [f"{paused_text(conn, one, now)}: {unbroken(one.way_out)}" for one in paused]
    needed = _read_only(folder) + needs(conn, now, who, disk["free"] if disk is not None else None)
    return Standing(facts, rows, needed, lines, kept, full)


def _fullness(conn: sqlite3.Connection, account: quota.Standing, now: float) -> str:
    """Say how full it is; what was measured before cleaning must not look as if nothing had been cleaned."""
    text = fullness.summary(account, now)
    freed = Weight() if account.measured is None else removals.freed_since(conn, account.measured)
    return text if freed == Weight() else f"{text}; removed since: {fullness.removed(account.account, freed)}"


def _pause(conn: sqlite3.Connection, one: pauses.Pause) -> dict[str, Any]:
    held_up = pauses.held_up(conn, one.job)
    return {"job": one.job, "since": iso(one.since), "who": one.who, "reason": one.reason, "held_up": held_up}


def _backup(known: dict[str, Any]) -> dict[str, Any]:
    """Say what the newest backup is, and its copy in the second place."""
    made, second = known.get("made") or {}, known.get("second") or {}
    copied = second.get("copied") or {}
    return {
        "made": iso(made.get("at")),
        "path": made.get("path"),
        "bytes": made.get("bytes"),
        "error": known.get("error"),
        "folder": second.get("folder"),
        "copied": iso(copied.get("at")),
        "copy_error": second.get("error"),
    }


def _disk(folder: Path) -> dict[str, int] | None:
    """Give the bytes free and in all where the database is, for those who are not root."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return {"free": found.f_bavail * found.f_frsize, "total": found.f_blocks * found.f_frsize}


def _read_only(folder: Path) -> list[Need]:
    """Tell of a disk that takes no more writes: the supervisor cannot even record that it fails.

    File systems that turned read-only by themselves do not always say so; a file's times tell.
    """
    try:
        os.utime(folder / paths.LOCK)
    except OSError as error:
        if error.errno in {errno.EROFS, errno.EIO}:
            text = f"nothing can be recorded, and nothing is begun: {folder}: {error.strerror}"
            return [Need("disk", text, "dmesg", critical=True)]
    return []


def _duty(row: dict[str, Any]) -> dict[str, Any]:
    times = {name: iso(row[name]) for name in ("started", "succeeded", "failed", "next")}
    return {"name": row["name"], **times, **{name: row[name] for name in ("error", "failures", "progress", "summary")}}
