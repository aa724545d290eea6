"""What needs a person: each thing with the command to type."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from caf.cli.text import counted, harmless, span
from caf.store import duties, queries

OVERDUE = 300.0  # s; a round may be late by as much before anybody is told
PERSISTENT = 3  # failures one after another: by then it is no hiccup
UNKNOWN_LONG = 4 * 3600.0  # s; as [caf] unknown_after, which reading the whole configuration would take
LOW_DISK, NO_DISK = 200_000_000, 50_000_000  # bytes free where the database is


@dataclass(frozen=True, slots=True)
class Need:
    """One line of `caf status`: what it is, how bad, and what to type."""

    what: str
    text: str
    command: str
    critical: bool = False
    count: int = 1

    def as_object(self) -> dict[str, Any]:
        """Give it for JSON."""
        return {
            "what": self.what,
            "count": self.count,
            "critical": self.critical,
            "text": self.text,
            "command": self.command,
        }


def needs(conn: sqlite3.Connection, now: float, holder: str | None, free: int | None) -> list[Need]:
    """Give all that needs a person now, the worst kinds first. `free` is in bytes."""
    rows = duties.all_duties(conn)
    found = _supervisor(rows, now, holder)
    found += _disk(free)
    found += [_failing(row) for row in rows if row["error"] is not None]
    return found + _runs(conn) + _jobs(conn, now)


def _supervisor(rows: Sequence[dict[str, Any]], now: float, holder: str | None) -> list[Need]:
    late = [row for row in rows if row["next"] is not None and row["next"] < now - OVERDUE]
    if not late:
        return []
    if holder is None:
        longest = span(max(now - row["next"] for row in late))
        return [Need("supervisor", f"the supervisor does not run; work has waited for {longest}", "caf run", True)]
    return [
        Need(
            "duty",
            f"{row['name']} is late by {span(now - row['next'])}: its round began "
            f"{span(now - (row['started'] or now))} ago",
            f"caf history --limit {queries.FEW}" if row["name"] != "discover" else "caf check",
            True,
        )
        for row in late
    ]


def _disk(free: int | None) -> list[Need]:
    if free is None or free >= LOW_DISK:
        return []
    return [Need("disk", f"only {free // 1_000_000} MB are free where the database is", "df -h", free < NO_DISK)]


def _failing(row: dict[str, Any]) -> Need:
    times = f" ({row['failures']} times running)" if row["failures"] > 1 else ""
    text = f"{row['name']} fails{times}: {harmless(row['error'])}"
    return Need("duty", text, "caf check", row["failures"] >= PERSISTENT)


def _runs(conn: sqlite3.Connection) -> list[Need]:
    found = []
    count, rows = queries.asking_runs(conn, disputed=False)
    if count:
        text = f"{counted(count, 'run')} taken by more than one listener: {_some(rows, count, job=False)}"
        found.append(Need("conflict", text, f"caf listeners explain {rows[0]['run']}", count=count))
    count, rows = queries.asking_runs(conn, disputed=True)
    if count:
        text = (
            f"{counted(count, 'run')} with jobs that no longer agree with the verdict: {_some(rows, count, job=False)}"
        )
        found.append(Need("disputed", text, f"caf runs show {rows[0]['run']}", count=count))
    return found


def _jobs(conn: sqlite3.Connection, now: float) -> list[Need]:
    found = []
    rows = queries.unknown_jobs(conn, now - UNKNOWN_LONG)
    for row in rows:
        since = span(now - row["unknown_since"])
        text = f"{row['run']} {row['job']}: in doubt for {since}: {harmless(row['reason'])}"
        found.append(Need("unknown", text, f"caf jobs why {row['run']} {row['job']}"))
    if count := queries.job_counts(conn).get("WAITING", 0):
        rows = queries.waiting_jobs(conn)
        text = f"{counted(count, 'job')} waiting for validation: {_some(rows, count, job=True)}"
        found.append(Need("waiting", text, f"caf jobs why {rows[0]['run']} {rows[0]['job']}", count=count))
    count, rows = queries.failed_jobs(conn)
    if count:
        text = f"{counted(count, 'job')} failed: {_some(rows, count, job=True)}"
        found.append(Need("failed", text, f"caf jobs why {rows[0]['run']} {rows[0]['job']}", count=count))
    return found


def _some(rows: Sequence[sqlite3.Row], count: int, *, job: bool) -> str:
    named = [f"{row['run']} {row['job']}" if job else str(row["run"]) for row in rows]
    return ", ".join(named) + (f" and {count - len(named)} more" if count > len(named) else "")
