"""One round of the mail duty: put together what is new, then send what waits.

What is new is found from a position that is kept for each addressee, and that moves on in the transaction which puts
the mail into the outbox: nothing is lost by a death, and nothing stands in two digests. An addressee whose last digest
could not be sent yet gets no other: what happens meanwhile is in the next one.
"""

import os
import socket
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from caf.attention import Need, needs
from caf.config import Configuration, MailTable
from caf.domain.errors import CafError, MailServerAway, StorageTimeout
from caf.storage.child import FileChild
from caf.store import duties, news, outbox, queries
from caf.store.news import Stretch
from caf.store.outbox import Letter
from caf.tasks.house import House
from caf.tasks.mail.letters import FEW, Happened, Origin, age, digest, summary

ROUND, IDLE = 60.0, 3600.0  # s between two rounds, with and without [mail]
DAY = 86_400.0  # s; a new addressee is told what happened in as much
LIMIT = 60.0  # s that sending one mail may take in all
AT_ONCE = 20  # mails tried in one round
FIRST_DELAY, LONGEST_DELAY = 60.0, 3600.0  # s between two tries
CALLS = {"send": "caf.smtp:send"}
OWN = {"waiting", "failed"}  # needs that a digest lists by itself


@dataclass(slots=True)
class Mailed:
    """What one round did. `again_in` is when (s) another one is worth while, if before the usual time."""

    sent: int = 0
    failed: int = 0
    again_in: float | None = None

    def summary(self) -> str | None:
        """Say what happened, if anything did."""
        parts = [f"{self.sent} mail{'s' * (self.sent != 1)} sent"] if self.sent else []
        parts += [f"{self.failed} not sent"] if self.failed else []
        return ", ".join(parts) or None


@dataclass(frozen=True, slots=True)
class Now:
    """What mails are composed from, besides the database. `free` is in bytes, `unknown_after` in seconds."""

    at: float
    mail: MailTable
    origin: Origin
    free: int | None
    unknown_after: float

    def past(self, before: float | None, wait: float) -> bool:
        """Tell whether so long has gone since; a time to come is one of a clock that was wrong, and does not count."""
        return before is None or not 0 <= self.at - before < wait

    def needs(self, conn: sqlite3.Connection) -> list[Need]:
        """Give what needs a person, as `caf status` has it; the supervisor runs, for this is it."""
        return needs(conn, self.at, "this process", self.free)


async def run_once(house: House) -> Mailed:
    """Do one round. A server that is away is no failure of this duty: `caf status` tells of mail that waits long."""
    mail = house.configuration.mail
    done = Mailed()
    wanted = addressees(house.configuration)
    now = house.clock()
    due = last_due(mail.summary, now) if mail is not None else now
    known = await house.database.call(outbox.enrol, list(wanted), now - DAY, due)
    if mail is None:
        return done
    origin = Origin(socket.gethostname(), house.configuration.path)
    moment = Now(now, mail, origin, _free(house), house.configuration.caf.unknown_after)
    for row in known:
        found = await house.database.call(_compose, row, wanted[row["address"]], moment)
        if found:
            await house.database.call(outbox.post, found, now, origin.host)
    await _send_due(house, mail, done)
    following = await house.database.call(outbox.next_try)
    done.again_in = None if following is None else max(following - house.clock(), 1.0)
    return done


def interval(configuration: Configuration) -> float:
    """Give how long (s) to wait between two rounds."""
    return IDLE if configuration.mail is None else ROUND


def addressees(configuration: Configuration) -> dict[str, tuple[str, ...] | None]:
    """Give who is written to, and of which jobs alone; None: of everything."""
    if configuration.mail is None:
        return {}
    own: dict[str, list[str]] = {}
    for name, table in configuration.jobs.items():
        for address in table.mail:
            own.setdefault(address, []).append(name)
    return {**{address: tuple(jobs) for address, jobs in own.items()}, **dict.fromkeys(configuration.mail.to)}


def last_due(clock: str, now: float) -> float:
    """Give when a summary was due last (s since 1970); `clock` is "HH:MM" on the machine's own clock."""
    hour, minute = map(int, clock.split(":"))
    today = time.localtime(now)
    for day in (today.tm_mday, today.tm_mday - 1):
        due = time.mktime((today.tm_year, today.tm_mon, day, hour, minute, 0, 0, 0, -1))
        if due <= now:
            return due
    return due


def _free(house: House) -> int | None:
    """Give the bytes free where the database is: a local disk."""
    try:
        found = os.statvfs(house.database.path.parent)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def _compose(conn: sqlite3.Connection, row: dict[str, Any], jobs: tuple[str, ...] | None, now: Now) -> list[Letter]:
    """Put together what one addressee is to get now: a digest, a summary, both, or nothing."""
    found = []
    last = news.last(conn)
    if outbox.DIGEST not in row["waiting"] and now.past(row["digest"], now.mail.every):
        found += _digest(conn, row, Stretch(row["told"], last, jobs), now)
    due = last_due(now.mail.summary, now.at)
    if jobs is None and (due > row["summary"] or row["summary"] > now.at):
        standing = {"runs": queries.run_counts(conn), "jobs": queries.job_counts(conn)}
        happened = _happened(conn, Stretch(row["summed"], last), now.needs(conn))
        how = [f"{duty['name']}: last success {age(duty['succeeded'], now.at)}" for duty in duties.all_duties(conn)]
        subject, body = summary(happened, now.origin, row["summary"], standing, how)
        found.append(Letter(row["address"], outbox.SUMMARY, subject, body, last, due=due))
    return found


def _digest(conn: sqlite3.Connection, row: dict[str, Any], stretch: Stretch, now: Now) -> list[Letter]:
    """Give a digest if anything is new to its addressee."""
    asking, fresh, shown, doubts = _asking(conn, row["asked"], stretch.jobs, now)
    happened = _happened(conn, stretch, shown, doubts, fresh)
    if fresh or happened.failed.count or happened.waiting.count or happened.accepted.count:
        since = row["digest"] if row["digest"] is not None else now.at - DAY
        subject, body = digest(happened, now.origin, since)
        return [Letter(row["address"], outbox.DIGEST, subject, body, stretch.last, asked=tuple(asking))]
    if not asking.issuperset(row["asked"]):
        outbox.no_longer_asked(conn, row["address"], asking)
    return []


def _happened(
    conn: sqlite3.Connection,
    stretch: Stretch,
    shown: list[Need],
    doubts: list[tuple[str, str]] | None = None,
    fresh: set[str] | None = None,
) -> Happened:
    states = {state: news.jobs(conn, stretch, state, FEW) for state in ("FAILED", "WAITING")}
    reasons = {
        state: [
            (row["reason"], row["jobs"], f"{row['run']} {row['job']}") for row in news.reasons(conn, stretch, state)
        ]
        for state, found in states.items()
        if found.count > FEW
    }
    return Happened(
        states["FAILED"],
        states["WAITING"],
        news.accepted(conn, stretch, FEW),
        news.jobs(conn, stretch, "DONE", 0).count,
        reasons,
        doubts or [],
        shown,
        frozenset(key.split()[0].rstrip(",") for key in fresh or ()),  # "disk, critical" is of the kind disk too
    )


def _asking(
    conn: sqlite3.Connection, asked: list[str], jobs: tuple[str, ...] | None, now: Now
) -> tuple[set[str], set[str], list[Need], list[tuple[str, str]]]:
    """Give what needs a person, what of it did not before, the lines to show, and the jobs in doubt.

    Jobs that failed or wait are news by the audit trail, and a duty that failed once or twice may be over it already.
    """
    doubts = news.in_doubt(conn, now.at - now.unknown_after, jobs)
    asking = {f"unknown {row['run']} {row['job']} {row['attempt']}" for row in doubts}
    told = [(f"{row['run']} {row['job']}", f"{age(row['unknown_since'], now.at)}: {row['reason']}") for row in doubts]
    if jobs is not None:
        return asking, asking - set(asked), [], told
    asking |= {f"{what} {run}" for what, run in news.asking_runs(conn)}
    found = now.needs(conn)
    for need in found:
        if need.what not in OWN | {"unknown", "conflict", "disputed"} and (need.what != "duty" or need.critical):
            asking |= need.keys()
    return asking, asking - set(asked), found, []


async def _send_due(house: House, mail: MailTable, done: Mailed) -> None:
    """Try what waits; after a server that is away nothing more is tried in this round."""
    rows = await house.database.call(outbox.due, house.clock(), LONGEST_DELAY, AT_ONCE)
    if not rows:
        return
    async with FileChild(CALLS) as child:
        for place, row in enumerate(rows):
            try:
                await child.call("send", mail.server, mail.sender, _letter(house, row), timeout=LIMIT)
            except (MailServerAway, StorageTimeout) as error:
                late = f"{mail.server} did not take a mail within {LIMIT:g} s"
                await _keep(house, done, rows[place:], late if isinstance(error, StorageTimeout) else str(error))
                return
            except CafError as error:
                await _keep(house, done, [row], str(error))
            else:
                await house.database.call(outbox.sent, row["id"], house.clock())
                house.log.info("mail.sent", to=row["address"], kind=row["kind"])
                done.sent += 1


async def _keep(house: House, done: Mailed, rows: Sequence[sqlite3.Row], error: str) -> None:
    """Have mail wait for another try, each time for twice as long."""
    for row in rows:
        delay = min(FIRST_DELAY * 2 ** min(row["tries"], 16), LONGEST_DELAY)
        await house.database.call(outbox.failed, row["id"], error, house.clock() + delay)
        house.log.warning("mail.failed", to=row["address"], error=error, again_in_s=delay)
        done.failed += 1


def _letter(house: House, row: sqlite3.Row) -> dict[str, Any]:
    names = ("address", "subject", "body", "message_id", "created")
    return {**{name: row[name] for name in names}, "list_id": f"<{house.database_id}.caf.{socket.gethostname()}>"}
