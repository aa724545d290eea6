"""What needs a person: each thing with the command to type."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caf import fullness
from caf.domain.following import STUCK
from caf.domain.jobs import FOLLOWED
from caf.domain.runs import SECOND
from caf.paths import expected, unknown_after
from caf.store import asking, backups, configurations, credentials, duties, outbox, pauses, queries, quota
from caf.store import found as taken
from caf.store.database import recall
from caf.wording import NO_BREAK, counted, harmless, iso, span, unbroken

OVERDUE = 300.0  # s; a round may be late by as much before anybody is told
PERSISTENT = 3  # failures one after another: by then it is no hiccup
PAUSED_LONG = 8 * 3600.0  # s; a pause that outlives the shift that made it may have been forgotten
RENEWAL_LATE = 900.0  # s; so long a KDC may be away, or so close the ticket's end be, before anybody is told
BACKUPS_MISSED = 2.5  # so many intervals after a backup the next one is missed
LOG_TROUBLE = "log_trouble"  # a small thing that the supervisor remembers while it lasts
MAIL_LATE = 900.0  # s; a server that makes strangers wait (greylisting) takes less
LOW_DISK, NO_DISK = 200_000_000, 50_000_000  # bytes free where the database is


@dataclass(frozen=True, slots=True)
class Need:
    """One line of `caf status`: what it is, how bad, and what to type."""

    what: str
    text: str
    command: str
    critical: bool = False
    count: int = 1
    about: str = ""  # of several of one kind, which: a duty's name

    def keys(self) -> set[str]:
        """Give what tells it from others, whatever its text says by now; what gets critical counts as another."""
        key = f"{self.what} {self.about}".strip()
        return {key, f"{key}, critical"} if self.critical else {key}

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
    renewal = credentials.standing(conn)
    known = None if renewal is None else renewal.error  # told by itself, and as long as it is a hiccup not at all
    found += [_failing(row) for row in rows if row["error"] is not None and row["error"] != known]
    found += _credentials(renewal, now)
    found += _account(conn, now) + _configuration(conn) + _source(conn, rows, now, holder)
    if holder is not None:  # else nobody makes them
        found += _backups(conn, now) + _log(conn)
    return found + _mail(conn, now) + _pauses(conn, now) + _runs(conn) + _jobs(conn, now) + _calibrations(conn, now)


def _supervisor(rows: Sequence[dict[str, Any]], now: float, holder: str | None) -> list[Need]:
    late = [row for row in rows if row["next"] is not None and row["next"] < now - OVERDUE]
    if not late:
        return []
    if holder is None:
        longest = span(max(now - row["next"] for row in late))
        return [Need("supervisor", f"the supervisor does not run; work has waited for {longest}", "caf run", True)]
    late = [row for row in late if (row["started"] or 0) < now - OVERDUE]  # else it was just started again
    return [
        Need(
            "duty",
            f"{row['name']} is late by {span(now - row['next'])}: its round began "
            f"{span(now - (row['started'] or now))} ago{', ' + row['progress'] if row['progress'] else ''}",
            f"caf history --limit {queries.FEW}" if row["name"] != "discover" else "caf check",
            True,
            about=row["name"],
        )
        for row in late
    ]


def _disk(free: int | None) -> list[Need]:
    if free is None or free >= LOW_DISK:
        return []
    return [Need("disk", f"only {free // 1_000_000} MB are free where the database is", "df -h", free < NO_DISK)]


def _account(conn: sqlite3.Connection, now: float) -> list[Need]:
    """Tell of an account of working areas that is full, or soon will be, or of which nobody knows."""
    found = fullness.trouble(quota.standing(conn), now)
    return [Need("quota", text, "caf quota", critical, about=about) for about, text, critical in found]


def _failing(row: dict[str, Any]) -> Need:
    times = f" ({row['failures']} times running)" if row["failures"] > 1 else ""
    text = f"the duty {row['name']} fails{times}: {harmless(row['error'])}"
    return Need("duty", text, "caf check", row["failures"] >= PERSISTENT, about=row["name"])


def _credentials(known: credentials.Standing | None, now: float) -> list[Need]:
    """Tell of credentials that could not be renewed: at once if that does not pass by itself, else while it matters."""
    if known is None or known.error is None or known.since is None:
        return []
    left = None if known.expires is None else known.expires - now
    urgent = known.renewed is None or (left is not None and left < RENEWAL_LATE)
    if not (urgent or known.lasting or now - known.since > RENEWAL_LATE):
        return []
    text = f"credentials cannot be renewed since {_minute(known.since)}: {harmless(known.error)}"
    if known.expires is not None:
        text += f"; the ticket in use {'is good until' if known.expires > now else 'ended'} {_minute(known.expires)}"
    return [Need("credentials", text, "caf check", urgent)]


def _minute(moment: float) -> str:
    return f"{str(iso(moment))[:16].replace('T', ' ')} UTC"


def _backups(conn: sqlite3.Connection, now: float) -> list[Need]:
    """Tell of backups that are too old; that one could not be made is told by the duty, and tried again."""
    known = backups.record(conn)
    second = known.get("second") or {}
    found = []
    for about, newest, what in (
        ("", known.get("made"), "the newest backup of the database"),
        ("second", second.get("copied"), f"the newest copy of a backup in {harmless(second.get('folder'))}"),
    ):
        if newest is not None and now - newest["at"] > BACKUPS_MISSED * known["every"]:
            text = f"{what} is {span(now - newest['at'])} old"
            found.append(Need("backup", text, "caf db backup FILE", about=about))
    return found


def _log(conn: sqlite3.Connection) -> list[Need]:
    """Tell of a log file that cannot be written: the journal has all, and nothing else suffers."""
    known = recall(conn, LOG_TROUBLE)
    if known is None:
        return []
    return [Need("log", f"the log file is not written: {harmless(known)}; nothing else suffers", "df -h")]


def _configuration(conn: sqlite3.Connection) -> list[Need]:
    """Tell of a file with errors: the supervisor goes on with the last good one."""
    complaint, last = configurations.complaint(conn), configurations.last_good(conn)
    if complaint is None:
        return []
    name = Path(last[1]).name if last is not None else "listeners.toml"
    text = f"{name} is not in force since {_minute(complaint[0])}: {harmless((complaint[1].splitlines() or [''])[0])}"
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


def _pauses(conn: sqlite3.Connection, now: float) -> list[Need]:
    """Tell of pauses that may have been forgotten; a younger one is shown, and is what somebody wants."""
    long = [one for one in pauses.pauses(conn) if now - one.since > PAUSED_LONG]
    return [Need("paused", paused_text(conn, one, now), one.way_out) for one in long]


def paused_text(conn: sqlite3.Connection, one: pauses.Pause, now: float) -> str:
    """Say what is paused, since when, by whom and why, and how much it holds up."""
    ready = pauses.held_up(conn, one.job)
    waiting = f"{counted(ready, 'job')} {'is' if ready == 1 else 'are'} held up" if ready else "no job is held up yet"
    since = f"has been paused for {span(now - one.since)} by {harmless(one.who)}: {harmless(one.reason)}"
    return f"{harmless(one.what)} {since}; {waiting}"


def _mail(conn: sqlite3.Connection, now: float) -> list[Need]:
    """Tell of mail that the server does not take."""
    rows = outbox.stuck(conn, now - MAIL_LATE)
    if not rows:
        return []
    addresses = list(dict.fromkeys(row["address"] for row in rows))
    more = f" and {len(addresses) - 1} more" if len(addresses) > 1 else ""
    since = _minute(rows[0]["created"])
    text = f"mail to {addresses[0]}{more} could not be sent since {since}: {harmless(rows[0]['error'])}"
    return [Need("mail", text, "caf check", count=len(rows))]


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


def _calibrations(conn: sqlite3.Connection, now: float) -> list[Need]:
    """Tell of listeners that have had no good calibration for longer than is expected."""
    found = []
    for name, every, run, age in asking.late(conn, expected((configurations.last_good(conn) or ("", ""))[0]), now):
        last = f"for {span(age)}, since run {run}" if run is not None else f"yet, in {span(age)}"
        text = f"{name}: no good calibration {last}; one is expected every {span(every)}"
        found.append(Need("calibration", text, f"caf runs list --listener {name}", about=name))
    return found


def _jobs(conn: sqlite3.Connection, now: float) -> list[Need]:
    found = []
    if queries.unknown_jobs(conn, now):  # seldom any: only then is the configuration read
        limit = unknown_after((configurations.last_good(conn) or ("", ""))[0])
        for row in queries.unknown_jobs(conn, now - limit):
            found.append(Need("unknown", _doubt(row, now), f"caf jobs why {row['run']} {row['job']}"))
    for row in queries.twin_jobs(conn):
        found.append(Need("twin", _twin(row), f"caf jobs why {row['run']} {row['job']}"))
    found += _strays(conn) + _stuck(conn)
    if count := queries.job_counts(conn).get("WAITING", 0):
        rows = queries.waiting_jobs(conn)
        text = f"{counted(count, 'job')} waiting for validation: {_some(rows, count, job=True)}"
        found.append(Need("waiting", text, f"caf jobs why {rows[0]['run']} {rows[0]['job']}", count=count))
    count, rows = queries.failed_jobs(conn)
    if count:
        text = f"{counted(count, 'job')} failed: {_some(rows, count, job=True)}"
        found.append(Need("failed", text, f"caf jobs why {rows[0]['run']} {rows[0]['job']}", count=count))
    return found


def _stuck(conn: sqlite3.Connection) -> list[Need]:
    """Tell of pending jobs that the batch system will never start as things are."""
    count, rows = queries.stuck_jobs(conn)
    if not count:
        return []
    them = f"{counted(count, 'pending job')} will not start by {'itself' if count == 1 else 'themselves'}"
    text = f"{them}: {_some(rows, count, job=True)}: {harmless(rows[0]['reason'].removeprefix(STUCK))}"
    return [Need("stuck", text, f"caf jobs why {rows[0]['run']} {rows[0]['job']}", count=count)]


def _strays(conn: sqlite3.Connection) -> list[Need]:
    """Tell of working areas that were found when they were taken over, and that belong to no job."""
    strays = [one for one in taken.strays(conn) if max(one[2]) > 0]  # else nothing is there to be looked at
    if not strays:
        return []
    names = ", ".join(f"{run}_{job}" for run, job, _ in strays[: queries.FEW])
    more = f" and {len(strays) - queries.FEW} more" if len(strays) > queries.FEW else ""
    them = f"working areas of {counted(len(strays), 'job')} that this database does not have: {names}{more}"
    text = f"{them}; they are followed once their runs are found; if they never are, move them away"
    return [Need("stray", text, f"ls {recall(conn, 'work') or 'work'}", count=len(strays))]


def _doubt(row: sqlite3.Row, now: float) -> str:
    """Say since when and why an attempt is in doubt, and what answers there are."""
    which = f"{row['run']} {row['job']}"
    text = f"{which}: in doubt for {span(now - row['unknown_since'])}: {harmless(row['reason'])}"
    if row["lost"] is not None:
        return f"{text}; {harmless(row['lost'].partition(': ')[0])} says that it is lost, which the next round acts on"
    if row["state"] not in FOLLOWED:
        return text
    adopt, lost = unbroken(f"caf jobs adopt {which}"), unbroken(f"caf jobs lost {which} --reason TEXT")
    return f"{text}; if it is there: {adopt}, if it is gone: {lost}; look first"


def _twin(row: sqlite3.Row) -> str:
    """Say that the batch system has a job more than once."""
    which = f"{row['run']} {row['job']}"
    keep = unbroken(f"caf jobs adopt {which} {row['batch_id']}")
    return (
        f"{which}: the batch system has it as {row['batch_id']} and as {row['twins']}; only one starts: {keep} keeps it"
    )


def _some(rows: Sequence[sqlite3.Row], count: int, *, job: bool) -> str:
    named = [f"{row['run']} {row['job']}" if job else str(row["run"]) for row in rows]
    return ", ".join(named) + (f" and {count - len(named)} more" if count > len(named) else "")
