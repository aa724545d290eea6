"""What other rules would make of the runs that are known: as a difference, and, if a person wants it, for good."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from caf.domain.discovery import Moments, Rules, reconsider
from caf.domain.matching import Answer, Listener, Status, Verdict, split_answers
from caf.domain.runs import SECOND
from caf.store.audit import note
from caf.store.database import transaction
from caf.store.keys import Key, corrected, key_expressions
from caf.store.rows import SEEN_COLUMNS, quoted, seen_from
from caf.store.verdicts import Page, settle_on

PAGE = 20_000  # runs judged at once
APPLIED = 1000  # runs judged for good in one transaction
_LARGEST = 2**63 - 1  # what an integer of SQLite can hold
Ranges = Sequence[tuple[int, int]]


class Kind(StrEnum):
    """What other rules would do to a run."""

    GAINED = "gained"  # it would be taken, and is not
    LOST = "lost"  # it is taken, and would not be
    MOVED = "moved"  # another listener would take it
    VALIDATION = "validation"  # the same listener, but a person must validate it now, or need not any more
    OTHER = "other"  # it is taken neither way


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

    @property
    def kind(self) -> Kind:
        """Say which kind of difference it is."""
        before, after = self.was.listener, self.becomes.listener
        if before == after:
            return Kind.OTHER if after is None else Kind.VALIDATION
        if before is None or after is None:
            return Kind.GAINED if before is None else Kind.LOST
        return Kind.MOVED


def within(ranges: Ranges | None) -> str:
    """Give the SQL of whether row `s` is in one of the ranges; None is every run."""
    if ranges is None:
        return "1"
    known = [(int(first), min(int(last), _LARGEST)) for first, last in ranges if first <= _LARGEST]
    return "(" + (" OR ".join(f"s.run BETWEEN {first} AND {last}" for first, last in known) or "0") + ")"


def count(conn: sqlite3.Connection, ranges: Ranges | None = None) -> int:
    """Give how many known runs there are to be judged anew: all but those that a person decided on."""
    where = f"s.decided_by IS NULL AND {within(ranges)}"
    return int(conn.execute(f"SELECT count(*) FROM run s WHERE {where}").fetchone()[0])


def decided(conn: sqlite3.Connection, ranges: Ranges | None = None) -> int:
    """Give how many known runs are left as they are, since a person assigned or ignored them."""
    where = f"s.decided_by IS NOT NULL AND {within(ranges)}"
    return int(conn.execute(f"SELECT count(*) FROM run s WHERE {where}").fetchone()[0])


def differences(
    conn: sqlite3.Connection, rules: Rules, now: float, replica_time: int, ranges: Ranges | None = None
) -> Iterator[tuple[int, list[Difference]]]:
    """Judge all known runs by other rules and change nothing: for each page how many were judged, and what differs.

    Runs that a person decided on stay as they are. Pages are fetched whole: an open reader would hold up commits.
    """
    memo: dict[Key, Verdict] = {}
    after: int | None = -1
    while after is not None:
        rows = _page(conn, rules, _final(rules, now, replica_time), after, ranges)
        found = []
        for run, status, listener, needs_validation, final, *key in rows:
            verdict = memo.get(tuple(key)) if final else None
            if verdict is None:
                verdict = _judge(conn, run, rules, now, replica_time)
                if final:
                    memo[tuple(key)] = verdict
            was = _standing(status, listener, needs_validation)
            becomes = Standing(verdict.status, verdict.listener, verdict.needs_validation)
            if was != becomes:
                found.append(Difference(run, was, becomes, _jobs(conn, run)))
        yield len(rows), found
        after = rows[-1][0] if len(rows) == PAGE else None


def _standing(status: str, listener: str | None, needs_validation: int | None) -> Standing:
    return Standing(Status(status), listener, None if needs_validation is None else bool(needs_validation))


def _final(rules: Rules, now: float, replica_time: int) -> str:
    """Give the SQL of whether the key of row `s` decides: it has settled by these rules, with an end of its own.

    `settled` as it is stored will not do: it was found by the `settle` of its day.
    """
    horizon = min(int(now * SECOND), replica_time) - rules.settle
    times = ", ".join(f"coalesce({name}, 0)" for name in ('s."start"', 's."end"', "s.last_lb_end", "s.last_change"))
    return f's."end" IS NOT NULL AND max({times}) < {horizon} AND NOT ({corrected(rules)})'


def _page(
    conn: sqlite3.Connection, rules: Rules, final: str, after: int, ranges: Ranges | None
) -> list[tuple[Any, ...]]:
    cursor = conn.cursor()
    cursor.row_factory = None
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
    conn: sqlite3.Connection,
    rules: Rules,
    now: float,
    replica_time: int,
    ranges: Ranges,
    who: str,
    why: str,
    after: int = -1,
) -> tuple[int | None, int, list[Difference]]:
    """Judge the next runs of the ranges anew for good, in one transaction; the verdicts that they had are kept.

    Gives the last run that was judged (None when there are no more), how many were, and what changed. Runs that a
    person decided on stay as they are. Jobs are made of what is newly accepted in the next round of the discover
    duty, under its limit.
    """
    changed, page = [], Page()
    with transaction(conn):
        rows = conn.execute(_ROWS.format(within(ranges)), (after,)).fetchall()
        for row in rows:
            run, jobs = row["run"], _jobs(conn, row["run"])
            settle_on(conn, row, seen_from(row), rules, now, replica_time, page, changed=False, why=why, who=who)
            standing = conn.execute("SELECT status, listener, needs_validation FROM run WHERE run = ?", (run,))
            was = _standing(row["status"], row["listener"], row["needs_validation"])
            difference = Difference(run, was, _standing(*standing.fetchone()), jobs)
            if difference.was == difference.becomes:
                continue
            changed.append(difference)
            if was.status is Status.OPEN or difference.kind is Kind.VALIDATION:
                # A first verdict is its own record, and so is a change that leads to nothing: not so what people do.
                note(conn, now, who, run=run, was=was.status, became=difference.becomes.status, why=why)
    return (rows[-1]["run"] if len(rows) == APPLIED else None), len(rows), changed


_ROWS = (
    "SELECT s.run AS run, s.run AS known, status, listener, needs_validation, verdict_id, settled, first_seen, judged, "
    f"last_change, decided_by, {quoted(SEEN_COLUMNS)} FROM run s "
    f"WHERE s.run > ? AND decided_by IS NULL AND {{}} ORDER BY s.run LIMIT {APPLIED}"
)


def jobs_to_make(differences: Sequence[Difference], jobs_for: Mapping[str, Sequence[str]]) -> list[tuple[int, str]]:
    """Give the jobs (run, name) that would be made: of runs newly accepted that have none yet."""
    return [
        (difference.run, name)
        for difference in differences
        if difference.kind in (Kind.GAINED, Kind.MOVED) and not difference.jobs
        for name in jobs_for.get(str(difference.becomes.listener), ())
    ]


def taken_by_both(
    conn: sqlite3.Connection, rules: Rules, pairs: Sequence[tuple[str, str]], now: float, replica_time: int
) -> dict[tuple[str, str], int]:
    """Find for pairs of listeners the newest known run that both would take; pairs that share none are left out.

    `rules` need no other listeners than those that are named. One pass over the runs, which ends when all are found.
    """
    memo: dict[Key, frozenset[str]] = {}
    found: dict[tuple[str, str], int] = {}
    before: int | None = _LARGEST
    final, keys = _final(rules, now, replica_time), ", ".join(key_expressions(rules)) or "0"
    page = f"SELECT s.run, {final}, {keys} FROM run s WHERE s.run < ? ORDER BY s.run DESC LIMIT {PAGE}"
    cursor = conn.cursor()
    cursor.row_factory = None
    while before is not None and len(found) < len(set(pairs)):
        rows = cursor.execute(page, (before,)).fetchall()
        for run, decides, *key in rows:
            takers = memo.get(tuple(key)) if decides else None
            if takers is None:
                takers = _takers(rules.listeners, _judge(conn, run, rules, now, replica_time))
                if decides:
                    memo[tuple(key)] = takers
            if len(takers) > 1:
                for pair in pairs:
                    if pair not in found and takers.issuperset(pair):
                        found[pair] = run
        before = rows[-1][0] if len(rows) == PAGE else None
    return found


def _takers(listeners: Sequence[Listener], verdict: Verdict) -> frozenset[str]:
    parts = split_answers(listeners, verdict.answers)
    return frozenset(name for name, (letters, _) in parts.items() if set(letters) <= {Answer.HOLDS})
