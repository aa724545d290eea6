"""The report duty: keeps the status page, its data and the metrics up to date.

The page's data are files named after a sum of what is in them; the index names them, and the status, written last of
all, names the index. So a reader finds one generation or the next, never half of each. What is written is what has
changed, which the database counts block by block; a long way to go, as at a first start, is gone in rounds of a second.
"""

import shutil
import socket
import sqlite3
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from caf.attention import Need, needs
from caf.config import ReportTable
from caf.domain.errors import StorageError, StorageTimeout
from caf.domain.runs import SECOND
from caf.report import blocks, disks, lists, metrics, plain, status, trends
from caf.report.kept import Kept
from caf.report.metrics import Metric
from caf.storage.child import FileChild
from caf.store import asking, news, pages, queries, tally
from caf.tasks.house import QUICK, House
from caf.tasks.showing import copy_due, remove_old

ROUND, SOONEST = 1.0, 1.0  # s of work, and of rest before more of it
AT_ONCE = 8  # blocks rendered in one exchange with the database, which is nobody else's meanwhile
ROWS = 2000  # of the audit trail summed in one
FEW_LOST = 50  # of more the whole is written anew
SURVEY = 3600.0  # s between two looks at what stands in the folder
TRAIL = 200  # changes are shown on the page itself


@dataclass(slots=True)
class Reported:
    """What one round did. `again_in` is when (s) another one is worth while, if before the usual time."""

    files: int = 0
    shown: int = 0
    again_in: float | None = None

    def summary(self) -> str | None:
        """Say what happened, if anything did."""
        parts = [f"{self.files} file{'s' * (self.files != 1)} of data written"] if self.files else []
        parts += [f"files of {self.shown} attempt{'s' * (self.shown != 1)} copied"] if self.shown else []
        return ", ".join(parts) or None


@dataclass(slots=True)
class Known:
    """What is remembered between two rounds; all of it can be found again."""

    folder: str = ""
    surveyed: float = 0.0
    oldest: int = 0  # run of those that are shown whoever takes them
    index: str | None = None
    others: dict[str, str] = field(default_factory=dict)  # single files of data, by kind
    trail: int = -1  # the row up to which they, and the sums, are
    day: int = -1
    sums: list[Metric] = field(default_factory=list)
    static: dict[str, str] = field(default_factory=dict)  # the page's own files as they were written last
    condemned: set[str] = field(default_factory=set)  # files that nothing led to at the last look


class Reporter:
    """The duty, with what it remembers."""

    def __init__(self) -> None:
        self._known = Known()
        self._kept: Kept | None = None
        self._static: dict[str, str] = {}
        self._frame = ""

    async def run_once(self, house: House) -> Reported:
        """Do one round; nothing without [report]."""
        table, done = house.configuration.report, Reported()
        if table is None:
            return done
        files = house.report_files or house.files
        folder, until = str(table.path), house.clock() + ROUND
        if not self._frame:
            self._static = plain.static()
            self._frame = plain.frame(self._static)
        if folder != self._known.folder or not 0 <= house.clock() - self._known.surveyed < SURVEY:
            await self._survey(house, files, folder, table.runs)
        more = await self._sum_up(house, table, until)
        done.shown = await copy_due(house, files, table, until)
        trouble: StorageError | None = None
        try:
            await remove_old(house, files, table)
        except StorageTimeout:
            raise
        except StorageError as error:  # an old copy that will not go must not keep the page from being written
            trouble = error
        more |= await self._write_blocks(house, files, table, until, done)
        lost = await self._publish(house, files, table, done)
        if lost:
            self._known = Known()
        if more or lost:
            done.again_in = SOONEST
        if trouble is not None:
            raise trouble
        return done

    async def _survey(self, house: House, files: FileChild, folder: str, newest: int) -> None:
        """Look at the folder: what is lost is written again, what nothing leads to goes at the next look."""
        there = set(await files.call("data_names", folder, timeout=QUICK))
        wanted = await house.database.call(pages.names)
        lost = wanted - there
        if lost:
            await house.database.call(pages.write_anew, lost if len(lost) <= FEW_LOST else None)
        if folder != self._known.folder:
            self._known = Known(folder)
        led_to = wanted | set(self._known.others.values()) | {self._known.index}
        stray = there - {name for name in led_to if name is not None}
        await files.call("remove_data", folder, sorted(stray & self._known.condemned), timeout=QUICK)
        self._known.condemned, self._known.static = stray, {}
        self._known.surveyed, self._known.oldest = house.clock(), await house.database.call(pages.floor, newest)

    async def _sum_up(self, house: House, table: ReportTable, until: float) -> bool:
        """Sum up what has happened; True if the time was over before the end."""
        while True:
            advanced = await house.database.call(tally.advance, ROWS, house.clock() - table.keep)
            if not advanced.more or house.clock() >= until:
                return advanced.more

    async def _write_blocks(
        self, house: House, files: FileChild, table: ReportTable, until: float, done: Reported
    ) -> bool:
        """Write the blocks that have changed; True if the time was over before the end."""
        while wanted := await house.database.call(pages.due, AT_ONCE):
            rendered = await house.database.call(self._render, house, wanted, self._known.oldest)
            texts = [[written.name, text] for written, text in rendered if written.name is not None]
            await files.call("write_data", str(table.path), texts, timeout=QUICK)
            await house.database.call(pages.wrote, [written for written, _ in rendered])
            self._known.index = None
            done.files += len(texts)
            if house.clock() >= until:
                return True
        return False

    def _render(
        self, conn: sqlite3.Connection, house: House, wanted: list[pages.Due], oldest: int
    ) -> list[tuple[pages.Written, str]]:
        return blocks.render(conn, self._keeper(conn), house.area, wanted, oldest)

    def _keeper(self, conn: sqlite3.Connection) -> Kept:
        if self._kept is None:
            self._kept = Kept(conn)
        return self._kept

    async def _publish(self, house: House, files: FileChild, table: ReportTable, done: Reported) -> bool:
        """Put the new status into force; True if data that it leads to are not there, and must be written again."""
        folder = str(table.path)
        others = await house.database.call(self._others, house.clock())
        if others or self._known.index is None:
            if others:
                await files.call("write_data", folder, others, timeout=QUICK)
            rows = await house.database.call(pages.index)
            index = blocks.index(rows, self._known.others)
            self._known.index = blocks.named("index", index)
            await files.call("write_data", folder, [[self._known.index, index]], timeout=QUICK)
        request = await house.database.call(self._request, house, table)
        whole = request["static"]
        request["static"] = {name: text for name, text in whole.items() if self._known.static.get(name) != text}
        answer = await files.call("publish", folder, request, timeout=QUICK)
        self._known.static = whole
        return bool(answer["lost"])

    def _others(self, conn: sqlite3.Connection, now: float) -> list[list[str]]:
        """Give the single files of data that have changed: name and text."""
        last = news.last(conn)
        day = trends.first_day(now)
        if (last, day) == (self._known.trail, self._known.day):
            return []
        self._known.trail, self._known.day = last, day
        self._known.sums = metrics.summed(tally.totals(conn))
        documents: dict[str, Any] = {
            "trends": trends.trends(tally.days(conn, day), now),
            "trail": lists.trail(asking.newest_trail(conn, TRAIL)),
        }
        found = []
        for kind, document in documents.items():
            text = lists.encoded(document)
            name = blocks.named(kind, text)
            if self._known.others.get(kind) != name:
                self._known.others[kind] = name
                found.append([name, text])
        return found

    def _request(self, conn: sqlite3.Connection, house: House, table: ReportTable) -> dict[str, Any]:
        """Put together what is written at the end of every round."""
        now = house.clock()
        space = None
        with suppress(OSError):
            space = shutil.disk_usage(house.state)  # a local disk
        needed = needs(conn, now, "this process", space.free if space is not None else None)
        around = status.Surroundings(
            now=now,
            every=house.configuration.duties.report,
            database=house.database_id,
            host=socket.gethostname(),
            folder=str(house.configuration.path.parent),
            unknown_after=house.configuration.caf.unknown_after,
            listeners=house.configuration.listeners,
            disks=_disks(conn, house, space),
        )
        document = status.status(conn, self._keeper(conn), needed, around, self._known.index)
        document["behind"] = pages.behind(conn)
        path = str(table.metrics or table.path / "caf.prom")
        return {
            "static": {**self._static, "index.html": self._filled(conn, needed, document)},
            "status": lists.encoded(document),
            "metrics": [path, self._metrics(conn, document, now)],
            "needs": [self._known.index, *self._known.others.values()],
        }

    def _filled(self, conn: sqlite3.Connection, needed: list[Need], document: dict[str, Any]) -> str:
        when = str(document["written"])[:16].replace("T", " ")
        said = [f"Written {when} UTC on {document['host']}; if that is long ago, caf does not run there."]
        for what in ("runs", "jobs"):
            counts = ", ".join(f"{count} {name}" for name, count in document[what].items())
            said.append(f"{what.capitalize()}: {counts or 'none yet'}.")
        return plain.filled(self._frame, needed, asking.newest_jobs(conn, plain.NEWEST), " ".join(said))

    def _metrics(self, conn: sqlite3.Connection, document: dict[str, Any], now: float) -> str:
        source, backup, ticket = queries.source_times(conn), document["backup"] or {}, document["credentials"] or {}
        single: dict[str, float | None] = {
            "now": now,
            "slots": queries.in_slots(conn),
            "backing_off": asking.backing_off(conn, now),
            "in_doubt": asking.in_doubt(conn),
            "source_written": None if source is None else source["replica_time"] / SECOND,
            "source_stale": None if source is None else source["stale"],
            "credentials_expiry": ticket.get("expires"),
            "credentials_renewal": ticket.get("renewed"),
            "backup": backup.get("at"),
            "backup_size": backup.get("size"),
        }
        return metrics.text([*metrics.standing(document, asking.job_states(conn), single), *self._known.sums])


def _disks(conn: sqlite3.Connection, house: House, space: Any) -> list[dict[str, Any]]:
    """Give how full the disks are: what [quota] watches, and that of the database."""
    own = [] if space is None else [disks.database_disk(house.state, space.total - space.free, space.total)]
    return [*disks.working_areas(conn), *own]
