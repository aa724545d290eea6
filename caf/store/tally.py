"""What happened day by day, summed from the audit trail: each row of it is counted once, whatever dies in between."""

import sqlite3
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from caf.domain.runs import SECOND
from caf.domain.spans import bucket_of
from caf.store.database import recall, transaction

DAY = 86_400.0
ALL = -1  # instead of a day: the sum of all of them, so that a round's work does not grow with the years
TOLD = "tallied"
MADE, SUBMITTED, DONE, FAILED = "made", "submitted", "done", "failed"
"""What is counted, by job."""
TO_SUBMISSION, TO_DONE, DURATION = "to_submission", "to_done", "duration"
"""What is measured: from a fresh run's end to its first submission and to DONE; and how long payloads ran."""
_ENDS = {"DONE": DONE, "FAILED": FAILED}


@dataclass(frozen=True, slots=True)
class Advanced:
    """How far one step came."""

    rows: int
    more: bool


def advance(conn: sqlite3.Connection, limit: int, keep: float) -> Advanced:
    """Sum up the next rows of the audit trail, and note what is to be copied beside the page.

    What ended before `keep` (s since 1970) is not copied any more.
    """
    with transaction(conn):
        last = int(recall(conn, TOLD) or 0)
        rows = conn.execute(
            "SELECT audit.id, audit.at, audit.was, audit.became, audit.attempt AS number, job.id AS job_id, job.job, "
            'job.live, coalesce(run."end", run.last_lb_end) AS run_end, attempt.started, attempt.ended FROM audit '
            "CROSS JOIN job ON job.run = audit.run AND job.job = audit.job CROSS JOIN run ON run.run = job.run "
            "LEFT JOIN attempt ON attempt.job_id = job.id AND attempt.attempt = audit.attempt "
            "WHERE audit.id > ? AND audit.id <= ? ORDER BY audit.id",
            (last, last + limit),
        ).fetchall()
        newest = conn.execute("SELECT max(id) FROM audit").fetchone()[0] or 0
        told = min(last + limit, newest)
        if told == last:
            return Advanced(0, False)
        _add(conn, rows)
        conn.executemany(
            "INSERT OR IGNORE INTO shown (job_id, attempt, due) VALUES (?, ?, ?)",
            [
                (row["job_id"], row["number"], row["at"])
                for row in rows
                if row["became"] in _ENDS
                and row["was"] != row["became"]
                and row["at"] >= keep
                # One that was never submitted has left nothing that could be shown.
                and (row["started"] is not None or row["ended"] is not None)
            ],
        )
        conn.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (TOLD, str(told))
        )
        return Advanced(told - last, told < newest)


def _add(conn: sqlite3.Connection, rows: list[sqlite3.Row]) -> None:
    sums: dict[tuple[int, str, str, int], list[float]] = defaultdict(lambda: [0, 0.0])
    for row in rows:
        for measure, seconds in _told(row):
            bucket = 0 if seconds is None else bucket_of(seconds)
            for day in (int(row["at"] // DAY), ALL):
                one = sums[day, measure, row["job"], bucket]
                one[0] += 1
                one[1] += seconds or 0.0
    conn.executemany(
        "INSERT INTO tally VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (day, measure, job, bucket) "
        "DO UPDATE SET count = count + excluded.count, total = total + excluded.total",
        [(*key, count, total) for key, (count, total) in sums.items()],
    )


def _told(row: sqlite3.Row) -> list[tuple[str, float | None]]:
    """Give what a row of the trail adds to: a measure, and the span (s) that was measured."""
    became, was = row["became"], row["was"]
    if was is None:
        return [(MADE, None)] if became in ("NEW", "WAITING") else []
    if became == was:  # a mark, an acknowledgement: the state stays
        return []
    found: list[tuple[str, float | None]] = []
    since_end = row["at"] - row["run_end"] / SECOND if row["live"] and row["run_end"] is not None else None
    if became == "SUBMITTING":
        found.append((SUBMITTED, None))
        if row["number"] == 1 and since_end is not None and since_end >= 0:
            found.append((TO_SUBMISSION, since_end))
    if became in _ENDS:
        found.append((_ENDS[became], None))
        if became == "DONE" and since_end is not None and since_end >= 0:
            found.append((TO_DONE, since_end))
        if row["started"] is not None and row["ended"] is not None and row["ended"] >= row["started"]:
            found.append((DURATION, row["ended"] - row["started"]))
    return found


def days(conn: sqlite3.Connection, since: int) -> list[sqlite3.Row]:
    """Give the sums of days (since 1970) from `since` on, over all jobs: day, measure, bucket, count, total."""
    return conn.execute(
        "SELECT day, measure, bucket, sum(count) AS count, sum(total) AS total FROM tally WHERE day >= ? "
        "GROUP BY day, measure, bucket ORDER BY day, measure, bucket",
        (since,),
    ).fetchall()


def totals(conn: sqlite3.Connection) -> list[dict[str, Any]]:
    """Give the sums of all days, by job: measure, job, bucket, count, total."""
    rows = conn.execute(
        "SELECT measure, job, bucket, count, total FROM tally WHERE day = ? ORDER BY measure, job, bucket", (ALL,)
    ).fetchall()
    return [dict(row) for row in rows]
