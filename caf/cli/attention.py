"""What needs a person: each thing with the command to type."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caf.cli.text import NO_BREAK, counted, harmless, iso, span, unbroken
from caf.domain.runs import SECOND
from caf.store import configurations, duties, queries

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
            "text": self.text.replace(NO_BREAK, " "),
            "command": self.command,
        }


def needs(conn: sqlite3.Connection, now: float, holder: str | None, free: int | None) -> list[Need]:
    """Give all that needs a person now, the worst kinds first. `free` is in bytes."""
    rows = duties.all_duties(conn)
    found = _supervisor(rows, now, holder)
    found += _disk(free)
    found += [_failing(row) for row in rows if row["error"] is not None]
    found += _configuration(conn) + _source(conn, rows, now, holder)
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
            f"{span(now - (row['started'] or now))} ago{', ' + row['progress'] if row['progress'] else ''}",
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


def _configuration(conn: sqlite3.Connection) -> list[Need]:
    """Tell of a file with errors: the supervisor goes on with the last good one."""
    complaint, last = configurations.complaint(conn), configurations.last_good(conn)
    if complaint is None:
        return []
    name = Path(last[1]).name if last is not None else "listeners.toml"
    since = f"{str(iso(complaint[0]))[:16].replace('T', ' ')} UTC"
    text = f"{name} is not in force since {since}: {harmless((complaint[1].splitlines() or [''])[0])}"
    return [Need("configuration", text, "caf check")]


def _source(conn: sqlite3.Connection, rows: Sequence[dict[str, Any]], now: float, holder: str | None) -> list[Need]:
    """Tell of a replica that stands still: a dead copy job looks just like no new runs."""
    source = queries.source_times(conn)
    if source is None:
        return []
    if holder is None:  # nobody has looked since
        ended = [row["succeeded"] for row in rows if row["name"] == "discover" and row["succeeded"] is not None]
        now = max(source["looked"], *ended) if ended else source["looked"]
    age = now - source["replica_time"] / SECOND
    if age <= source["stale"]:
        return []
    text = f"the run database has not changed for {span(age)}: is its copy job alive?"
    return [Need("source", text, "caf check")]


def _runs(conn: sqlite3.Connection) -> list[Need]:
    found = []
    count, rows = queries.asking_runs(conn, disputed=False)
    if count:
        run = rows[0]["run"]
        text = (
            f"{counted(count, 'run')} taken by more than one listener: {_some(rows, count, job=False)}; "
            f"{unbroken(f'caf listeners explain {run}')} shows which"
        )
        found.append(Need("conflict", text, f"caf runs assign {run} LISTENER --reason TEXT", count=count))
    count, rows = queries.asking_runs(conn, disputed=True)
    if count:
        run = rows[0]["run"]
        jobs = queries.jobs_of(conn, run)
        text = (
            f"{counted(count, 'run')} with jobs that no longer agree with the verdict: "
            f"{_some(rows, count, job=False)}; {unbroken(f'caf runs show {run}')} tells; to leave it as it is"
        )
        word = f"assign {run} {jobs[0]['listener']}" if jobs else f"ignore {run}"
        found.append(Need("disputed", text, f"caf runs {word} --reason TEXT", count=count))
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
