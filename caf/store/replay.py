"""What other rules would make of the runs that are known: as a difference, and, if a person wants it, for good."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from caf.domain.discovery import Moments, Rules, reconsider
from caf.domain.matching import Status, Verdict
from caf.domain.runs import SECOND
from caf.store.database import transaction
from caf.store.keys import Key, corrected, key_expressions
from caf.store.rows import SEEN_COLUMNS, quoted, seen_from
from caf.store.verdicts import Page, settle_on

PAGE = 20_000
Ranges = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands, as far as a change of it matters."""

    status: Status
    listener: str | None
    needs_validation: bool | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A run that other rules would put elsewhere; `jobs` are the names of those that it has."""

    run: int
    was: Standing
    becomes: Standing
    jobs: tuple[str, ...]


def within(ranges: Ranges | None) -> str:
    """Give the SQL of whether row `s` is in one of the ranges; None is every run."""
    if ranges is None:
        return "1"
    return "(" + " OR ".join(f"s.run BETWEEN {int(first)} AND {int(last)}" for first, last in ranges) + ")"


def count(conn: sqlite3.Connection, ranges: Ranges | None = None) -> int:
    """Give how many known runs there are to be judged anew."""
    return int(conn.execute(f"SELECT count(*) FROM run s WHERE {within(ranges)}").fetchone()[0])


def differences(
    conn: sqlite3.Connection, rules: Rules, now: float, replica_time: int, ranges: Ranges | None = None
) -> Iterator[tuple[int, list[Difference]]]:
    """Judge all known runs by other rules and change nothing: for each page how many were judged, and what differs.

    Runs that a person decided on stay as they are. Pages are fetched whole: an open reader would hold up commits.
    """
    memo: dict[Key, Verdict] = {}
    after: int | None = -1
    while after is not None:
        rows = _page(conn, rules, after, ranges)
        found = []
        for run, status, listener, needs_validation, final, *key in rows:
            verdict = memo.get(tuple(key)) if final else None
            if verdict is None:
                verdict = _judge(conn, run, rules, now, replica_time)
                if final:
                    memo[tuple(key)] = verdict
            was = Standing(Status(status), listener, None if needs_validation is None else bool(needs_validation))
            becomes = Standing(verdict.status, verdict.listener, verdict.needs_validation)
            if was != becomes:
                found.append(Difference(run, was, becomes, _jobs(conn, run)))
        yield len(rows), found
        after = rows[-1][0] if len(rows) == PAGE else None


def _page(conn: sqlite3.Connection, rules: Rules, after: int, ranges: Ranges | None) -> list[tuple[Any, ...]]:
    cursor = conn.cursor()
    cursor.row_factory = None
    final = f's.settled = 1 AND s."end" IS NOT NULL AND NOT ({corrected(rules)})'
    return cursor.execute(
        f"SELECT s.run, s.status, s.listener, s.needs_validation, {final}, "
        f"{', '.join(key_expressions(rules)) or '0'} FROM run s "
        f"WHERE s.run > ? AND s.decided_by IS NULL AND {within(ranges)} ORDER BY s.run LIMIT {PAGE}",
        (after,),
    ).fetchall()


def _judge(conn: sqlite3.Connection, run: int, rules: Rules, now: float, replica_time: int) -> Verdict:
    row = conn.execute("SELECT * FROM run WHERE run = ?", (run,)).fetchone()
    moments = Moments(int(now * SECOND), replica_time, int(row["first_seen"] * SECOND), row["last_change"])
    return reconsider(seen_from(row), rules, moments)[1]


def _jobs(conn: sqlite3.Connection, run: int) -> tuple[str, ...]:
    return tuple(row[0] for row in conn.execute("SELECT job FROM job WHERE run = ? ORDER BY id", (run,)))


def apply(
    conn: sqlite3.Connection, rules: Rules, runs: Sequence[int], now: float, replica_time: int, who: str, why: str
) -> Page:
    """Judge these runs anew for good, in one transaction; the verdicts that they had are kept.

    Jobs are made of what is newly accepted in the next round of the discover duty, under its limit.
    """
    page = Page()
    with transaction(conn):
        for run in runs:
            row = conn.execute(_ROW, (run,)).fetchone()
            if row is not None and row["decided_by"] is None:
                settle_on(conn, row, seen_from(row), rules, now, replica_time, page, changed=False, why=why, who=who)
    return page


_ROW = (
    "SELECT run, run AS known, status, listener, needs_validation, verdict_id, settled, first_seen, judged, "
    "last_change, decided_by, " + quoted(SEEN_COLUMNS) + " FROM run WHERE run = ?"
)


def jobs_to_make(differences: Sequence[Difference], jobs_for: Mapping[str, Sequence[str]]) -> list[tuple[int, str]]:
    """Give the jobs (run, name) that would be made: of runs newly accepted that have none yet."""
    return [
        (difference.run, name)
        for difference in differences
        if difference.becomes.listener is not None and not difference.jobs
        for name in jobs_for.get(difference.becomes.listener, ())
    ]
