"""How full the account of the working areas is, as the clean duty found it last, and how that has been going.

`standing` is what `caf quota`, `caf status`, the report and the metrics show; None where cleaning is off or has not
looked yet.
"""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from caf.domain.accounts import Account, Counts, Use, Weight
from caf.domain.forecast import DAY, Point
from caf.store.database import recall, remember, transaction

STANDING, LAGGING = "quota", "quota_before"
EVERY = 3600.0  # s between two measurements that are kept
KEPT = 60 * DAY
TREND = 7 * DAY  # what a forecast looks back on


@dataclass(frozen=True, slots=True)
class Standing:
    """What the last round found. Times are s since 1970, durations s; bytes a day are by the fullest limit's count.

    `account` and `measured`: the last one that could be read, and when. `error`: why it could not be read `at` the
    last try. `nothing_left`: it is above `high`, and nothing may go. `going_on`: there is more to remove. `removable`:
    what may go now, whether it must or not. `full_in`: from `at` on, in spite of cleaning; None: never as things go,
    or not known yet (`a_day` is None then); `full_of` says which limit.
    """

    at: float
    provider: str
    path: str
    high: float
    low: float
    warn_before: float
    account: Account | None = None
    measured: float | None = None
    error: str | None = None
    nothing_left: bool = False
    going_on: bool = False
    removable: Weight | None = None
    a_day: float | None = None
    by_job: Mapping[str, float] = field(default_factory=dict)
    full_in: float | None = None
    full_of: str | None = None
    took: float = 0.0  # s, to measure it

    @property
    def filling(self) -> bool:
        """Tell whether it will be full so soon that a person should know."""
        return self.full_in is not None and self.full_in < self.warn_before


_PLAIN: tuple[str, ...] = (
    "at",
    "provider",
    "path",
    "high",
    "low",
    "warn_before",
    "measured",
    "error",
    "nothing_left",
    "going_on",
)
_PLAIN += ("a_day", "full_in", "full_of", "took")


def keep_standing(conn: sqlite3.Connection, found: Standing) -> None:
    """Keep what a round found."""
    given: dict[str, Any] = {name: getattr(found, name) for name in _PLAIN}
    given["account"] = None if found.account is None else found.account.as_object()
    free = found.removable
    given["removable"] = None if free is None else [free.sizes, free.disk, free.files]
    remember(conn, STANDING, json.dumps({**given, "by_job": dict(found.by_job)}))


def standing(conn: sqlite3.Connection) -> Standing | None:
    """Give how full the account is, as it was found last; None if cleaning is off or has not looked yet."""
    text = recall(conn, STANDING)
    if text is None:
        return None
    given = json.loads(text)
    account = None if given["account"] is None else Account.from_object(given["account"])
    removable = None if given["removable"] is None else Weight(*given["removable"])
    plain = {name: given[name] for name in _PLAIN}
    return Standing(**plain, account=account, removable=removable, by_job=given["by_job"])


def forget(conn: sqlite3.Connection) -> None:
    """Forget it: cleaning is off."""
    if recall(conn, STANDING) is not None:
        with transaction(conn):
            conn.execute("DELETE FROM meta WHERE name IN (?, ?)", (STANDING, LAGGING))


def before(conn: sqlite3.Connection) -> tuple[float, Account] | None:
    """Give when the last stretch of removals began, and the account as it was then; None if there was none."""
    text = recall(conn, LAGGING)
    if text is None:
        return None
    given = json.loads(text)
    return given["at"], Account.from_object(given["account"])


def keep_before(conn: sqlite3.Connection, now: float, account: Account) -> None:
    """Keep the account as it is before anything is removed: some quotas lag."""
    remember(conn, LAGGING, json.dumps({"at": now, "account": account.as_object()}))


def keep_measured(conn: sqlite3.Connection, account: Account, now: float) -> bool:
    """Keep a measurement, if the last one is an hour old; tells whether it was. Old ones are forgotten."""
    newest = conn.execute("SELECT max(at) FROM measurement").fetchone()[0]
    if newest is not None and 0 <= now - newest < EVERY:
        return False
    with transaction(conn):
        for use in account.uses:
            if use.used is None:
                continue
            last = conn.execute(
                "SELECT max(at) FROM measurement WHERE limit_of = ? AND counts = ?", (use.of, use.counts)
            ).fetchone()[0]
            freed = 0 if last is None else _freed(conn, use.counts, last, now)
            conn.execute(
                "INSERT OR REPLACE INTO measurement VALUES (?, ?, ?, ?, ?, ?)",
                (now, use.of, use.counts, use.used, use.limit, freed),
            )
        conn.execute("DELETE FROM measurement WHERE at < ? OR at > ?", (now - KEPT, now))
    return True


def _freed(conn: sqlite3.Connection, counts: Counts, after: float, until: float) -> int:
    row = conn.execute(
        f"SELECT coalesce(sum({counts.value}), 0) FROM area WHERE removed >= ? AND removed < ? AND begun IS NOT NULL",
        (after, until),
    ).fetchone()
    return int(row[0])


def points(conn: sqlite3.Connection, use: Use, since: float) -> list[Point]:
    """Give how one limit went, oldest first; `removed` counts from the first of these points on."""
    found: list[Point] = []
    removed = 0
    for row in conn.execute(
        "SELECT at, used, freed FROM measurement WHERE limit_of = ? AND counts = ? AND at >= ? ORDER BY at",
        (use.of, use.counts, since),
    ).fetchall():
        removed += row["freed"] if found else 0
        found.append(Point(row["at"], row["used"], removed))
    return found


def written_a_day(conn: sqlite3.Connection, counts: Counts, now: float) -> dict[str, float]:
    """Give what attempts that ended of late left on the disk, a day, by the names of their jobs, most first.

    Over the last week, or over as much as there is, but at least a day.
    """
    since = now - TREND
    first = conn.execute("SELECT min(over) FROM area WHERE over >= ?", (since,)).fetchone()[0]
    if first is None:
        return {}
    days = max(now - max(first, since), DAY) / DAY
    rows = conn.execute(
        f"SELECT job.job, sum(area.{counts.value}) FROM area JOIN job ON job.id = area.job_id "
        "WHERE area.over >= ? AND area.weighed IS NOT NULL GROUP BY job.job ORDER BY 2 DESC, 1",
        (since,),
    ).fetchall()
    return {row[0]: row[1] / days for row in rows}
