"""The working areas of attempts that are over: what they weigh, which are to go, and what became of them."""

import sqlite3
from collections.abc import Collection, Iterator, Sequence

from caf.domain.accounts import Weight
from caf.domain.cleaning import Area
from caf.domain.jobs import FINAL, Result, State
from caf.store.audit import note
from caf.store.database import transaction

CLEAN = "clean"
REMOVED = "REMOVED"
"""What the audit trail says."""
PAGE = 2000
Place = tuple[float, int, int]
FIRST: Place = (-1e300, 0, 0)
_NAMED = "FROM area JOIN job ON job.id = area.job_id"
_KEY = "job_id = ? AND attempt = ?"
_THERE = f"""
SELECT area.*, job.run, job.job, job.state, attempt.result, attempt.token, attempt.archived, attempt.archive_due,
    attempt.archive_error, pin.until AS pinned_until, pin.who || ': ' || pin.reason AS pinned_by,
    (SELECT count(*) FROM afterwards WHERE afterwards.job_id = area.job_id AND afterwards.attempt = area.attempt
        AND afterwards.ended IS NULL) AS scripts
{_NAMED}
LEFT JOIN attempt ON attempt.job_id = area.job_id AND attempt.attempt = area.attempt
LEFT JOIN pin ON pin.job_id = area.job_id
WHERE area.removed IS NULL"""


def to_weigh(conn: sqlite3.Connection, now: float, limit: int) -> list[sqlite3.Row]:
    """Give areas that have not been weighed, the oldest first: job_id, run, job, attempt."""
    return conn.execute(
        f"SELECT area.job_id, area.attempt, job.run, job.job {_NAMED} WHERE area.weighed IS NULL "
        "AND area.removed IS NULL AND (area.again IS NULL OR area.again <= ?) ORDER BY area.over LIMIT ?",
        (now, limit),
    ).fetchall()


def weighed(conn: sqlite3.Connection, found: Sequence[tuple[sqlite3.Row, Weight]], now: float) -> None:
    """Note what areas weigh."""
    with transaction(conn):
        conn.executemany(
            f"UPDATE area SET weighed = ?, sizes = ?, disk = ?, files = ?, error = NULL, again = NULL WHERE {_KEY}",
            [(now, w.sizes, w.disk, w.files, row["job_id"], row["attempt"]) for row, w in found],
        )


def not_there(conn: sqlite3.Connection, rows: Sequence[sqlite3.Row], now: float) -> None:
    """Note that areas are not there. One of an attempt that was never submitted need never have been."""
    with transaction(conn):
        for row in rows:
            key = (row["job_id"], row["attempt"])
            if conn.execute(f"SELECT 1 FROM attempt WHERE {_KEY}", key).fetchone() is None:
                conn.execute(f"DELETE FROM area WHERE {_KEY}", key)
            else:
                conn.execute(f"UPDATE area SET begun = NULL WHERE {_KEY}", key)  # nothing was freed by it
                _gone(conn, row, now, "it was not there when it was looked for: caf did not remove it")


def could_not(conn: sqlite3.Connection, row: sqlite3.Row | Area, error: str, again: float) -> None:
    """Note why an area could not be weighed or removed, and when that is tried again; what has begun stays so."""
    key = (row.job_id, row.attempt) if isinstance(row, Area) else (row["job_id"], row["attempt"])
    with transaction(conn):
        conn.execute(f"UPDATE area SET error = ?, again = ? WHERE {_KEY}", (error, again, *key))
        conn.execute(f"UPDATE area SET planned = NULL, why = NULL WHERE {_KEY} AND begun IS NULL", key)


def troubled(conn: sqlite3.Connection) -> tuple[int, sqlite3.Row | None]:
    """Count the areas that could not be weighed or removed; gives the oldest, too: error, run, job, attempt."""
    rows = conn.execute(
        f"SELECT area.error, area.attempt, job.run, job.job {_NAMED} "
        "WHERE area.error IS NOT NULL AND area.removed IS NULL ORDER BY area.over, area.job_id"
    ).fetchall()
    return len(rows), rows[0] if rows else None


def there_by_job(conn: sqlite3.Connection) -> dict[str, int]:
    """Count the areas that are there and not being removed, by the names of their jobs."""
    # By the areas that are there, however many jobs there ever were.
    found = conn.execute(
        "SELECT job.job, count(*) FROM area CROSS JOIN job ON job.id = area.job_id "
        "WHERE area.removed IS NULL AND area.begun IS NULL GROUP BY job.job"
    )
    return dict(found.fetchall())


def there(conn: sqlite3.Connection, removable: Collection[str], now: float) -> Iterator[Area]:
    """Give the areas that are there and not being removed, oldest first; `removable` are jobs that need no archive."""
    after: Place | None = FIRST
    while after is not None:
        found, after = page(conn, removable, now, after)
        yield from found


def page(
    conn: sqlite3.Connection, removable: Collection[str], now: float, after: Place
) -> tuple[list[Area], Place | None]:
    """Give the next few of them, and after which the page that follows begins; None after the last.

    No reader stays open between two pages: it would hold up commits.
    """
    rows = conn.execute(
        f"{_THERE} AND (area.over, area.job_id, area.attempt) > (?, ?, ?) "
        f"ORDER BY area.over, area.job_id, area.attempt LIMIT {PAGE}",
        after,
    ).fetchall()
    found = [as_area(row, removable, now) for row in rows if row["begun"] is None]
    last = rows[-1] if len(rows) == PAGE else None
    return found, None if last is None else (last["over"], last["job_id"], last["attempt"])


def as_area(row: sqlite3.Row, removable: Collection[str], now: float) -> Area:
    """Make what the plan goes by of a row."""
    waits = row["again"] is not None and row["again"] > now
    return Area(
        row["job_id"],
        row["run"],
        row["job"],
        row["attempt"],
        State(row["state"]),
        row["result"] == Result.OK,
        row["over"],
        None if row["weighed"] is None else Weight(row["sizes"], row["disk"], row["files"]),
        submitted=row["token"] is not None,
        archived=row["archived"],
        archive_wanted=row["archive_due"] is not None,
        archive_error=row["archive_error"],
        scripts=row["scripts"],
        pinned_until=row["pinned_until"],
        pinned_by=row["pinned_by"] or "",
        held=row["error"] if waits else None,
        removable=row["job"] in removable,
    )


def of_job(conn: sqlite3.Connection, job_id: int) -> list[sqlite3.Row]:
    """Give all areas of a job, first to last, also those that are gone: the columns of area, and `archive`."""
    return conn.execute(
        "SELECT area.*, attempt.archive FROM area LEFT JOIN attempt ON attempt.job_id = area.job_id "
        "AND attempt.attempt = area.attempt WHERE area.job_id = ? ORDER BY area.attempt",
        (job_id,),
    ).fetchall()


def areas_of(conn: sqlite3.Connection, job_id: int, removable: Collection[str], now: float) -> list[Area]:
    """Give the areas of one job that are there."""
    rows = conn.execute(f"{_THERE} AND area.job_id = ?", (job_id,)).fetchall()
    return [as_area(row, removable, now) for row in rows]


def intend(conn: sqlite3.Connection, chosen: Sequence[Area], why: str, now: float) -> None:
    """Note that just these areas are to be removed, and why; what was intended before and not begun no longer is."""
    with transaction(conn):
        _withdraw(conn)
        conn.executemany(
            f"UPDATE area SET planned = ?, why = ? WHERE {_KEY} AND removed IS NULL",
            [(now, why, area.job_id, area.attempt) for area in chosen],
        )


def withdraw(conn: sqlite3.Connection) -> None:
    """Forget what was intended and not begun."""
    if intended(conn):
        with transaction(conn):
            _withdraw(conn)


def _withdraw(conn: sqlite3.Connection) -> None:
    conn.execute(
        "UPDATE area SET planned = NULL, why = NULL WHERE planned IS NOT NULL AND removed IS NULL AND begun IS NULL"
    )


def intended(conn: sqlite3.Connection) -> bool:
    """Tell whether any removal is intended and not begun: the last round did not get through its plan."""
    found = "SELECT 1 FROM area WHERE planned IS NOT NULL AND removed IS NULL AND begun IS NULL LIMIT 1"
    return conn.execute(found).fetchone() is not None


def begin(conn: sqlite3.Connection, area: Area, now: float) -> bool:
    """Note that the removal begins; False if it may not go any more: somebody pinned it, or wants its job again."""
    with transaction(conn):
        row = conn.execute(f"{_THERE} AND area.job_id = ? AND area.attempt = ?", area.key).fetchone()
        if row is None or row["planned"] is None or row["state"] not in FINAL or row["scripts"]:
            return False
        if (row["pinned_until"] or 0.0) > now or (row["archived"] is None and not area.removable):
            return False
        conn.execute(f"UPDATE area SET begun = ? WHERE {_KEY}", (now, *area.key))
        return True


def begun(conn: sqlite3.Connection, now: float) -> list[sqlite3.Row]:
    """Give the areas whose removal has begun and is not over: the columns of area, run and job."""
    return conn.execute(
        f"SELECT area.*, job.run, job.job {_NAMED} "
        "WHERE area.planned IS NOT NULL AND area.removed IS NULL AND area.begun IS NOT NULL "
        "AND (area.again IS NULL OR area.again <= ?) ORDER BY area.begun",
        (now,),
    ).fetchall()


def removed(conn: sqlite3.Connection, row: sqlite3.Row, now: float) -> None:
    """Note that an area is gone."""
    with transaction(conn):
        _gone(conn, row, now, None)


def _gone(conn: sqlite3.Connection, row: sqlite3.Row, now: float, why: str | None) -> None:
    key = (row["job_id"], row["attempt"])
    found = f"UPDATE area SET removed = ?, why = coalesce(?, why), error = NULL, again = NULL WHERE {_KEY}"
    conn.execute(found, (now, why, *key))
    said = conn.execute(f"SELECT why FROM area WHERE {_KEY}", key).fetchone()[0]
    which = {"run": row["run"], "job": row["job"], "attempt": row["attempt"]}
    note(conn, now, CLEAN, **which, became=REMOVED, why=f"working area {row['attempt']} removed: {said}")


def archive_again(conn: sqlite3.Connection, area: Area, lacks: str, now: float) -> None:
    """Have an attempt archived anew before its area may go: its archive does not hold all of it any more."""
    with transaction(conn):
        conn.execute(
            f"UPDATE attempt SET archived = NULL, archive = NULL, archive_due = ?, archive_error = ? WHERE {_KEY}",
            (now, lacks, *area.key),
        )
        conn.execute(f"UPDATE area SET planned = NULL, why = NULL WHERE {_KEY}", area.key)
        why = f"archived again, its area stays: {lacks}"
        note(conn, now, CLEAN, run=area.run, job=area.job, attempt=area.attempt, why=why)


def freed_since(conn: sqlite3.Connection, moment: float) -> Weight:
    """Give what cleaning has removed since."""
    row = conn.execute(
        "SELECT coalesce(sum(sizes), 0), coalesce(sum(disk), 0), coalesce(sum(files), 0) FROM area "
        "WHERE removed >= ? AND begun IS NOT NULL",
        (moment,),
    ).fetchone()
    return Weight(*row)
