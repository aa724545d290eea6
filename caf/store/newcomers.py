"""Runs that are seen for the first time, judged and taken over in bulk.

A first look may bring a million runs. What a verdict depends on is little: a few texts, and on which side of a limit
some numbers are. So SQL computes a *key* of just that for each run, the domain judges one run of each key, and SQL
writes all of them. A run whose record is not final, or was corrected, or has no end, is left for the careful way.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from caf.domain.discovery import Rules
from caf.domain.matching import Condition, Operator, Status
from caf.domain.runs import ATTRIBUTES, COUNTERS, Kind
from caf.store.rows import SEEN_COLUMNS, quoted

Key = tuple[Any, ...]
Decide = Callable[[int], tuple[int, Status, str | None]]
"""Judges one run of the snapshot by the domain's rules; gives the verdict's id, status and listener."""

_COMPARED = frozenset({Operator.KNOWN, Operator.AT_LEAST, Operator.AT_MOST})
_STORED = "coalesce(s.stored_events, 0)"
EVENTS = f"CASE WHEN {_STORED} <> 0 OR s.recorded_events IS NULL THEN s.stored_events ELSE s.recorded_events END"
_LARGEST = "max(" + ", ".join(f"coalesce(s.{name}, -1)" for name in COUNTERS) + ")"
HAS_EVENTS = f"CASE WHEN {_LARGEST} >= 0 THEN {_LARGEST} > 0 END"


@dataclass(slots=True)
class Bulk:
    """What one round knows already: the verdict of each key."""

    memo: dict[Key, tuple[int, Status, str | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a page of newcomers came to; `notable` are those that lead to something."""

    new: int
    became: Counter[str]
    notable: list[tuple[int, str, str | None]]


def key_expressions(rules: Rules) -> list[str]:
    """Give SQL expressions on a snapshot's row `s` that together decide every condition of a final record."""
    by_attribute: dict[str, list[Condition]] = {}
    for listener in rules.listeners:
        for condition in listener.conditions:
            by_attribute.setdefault(condition.attribute, []).append(condition)
        if listener.min_events:
            by_attribute.setdefault("events", []).append(Condition("events", Operator.AT_LEAST, listener.min_events))
    expressions: list[str] = []
    for attribute, conditions in by_attribute.items():
        expressions += _of_attribute(attribute, conditions)
    return list(dict.fromkeys(expressions))


def _of_attribute(attribute: str, conditions: Sequence[Condition]) -> Iterator[str]:
    if attribute not in ATTRIBUTES:
        yield "s.extra"
        return
    value = {"events": EVENTS, "has_events": HAS_EVENTS}.get(attribute, f's."{attribute}"')
    numeric = ATTRIBUTES[attribute] in {Kind.INTEGER, Kind.TIME}
    if not numeric or any(condition.operator not in _COMPARED for condition in conditions):
        yield value if not numeric else f"{value} IS NULL"
    if numeric:
        for condition in conditions:
            yield _comparison(value, condition)


def _comparison(value: str, condition: Condition) -> str:
    """Give a condition on a number as SQL, NULL where the number is."""
    wanted = condition.wanted if isinstance(condition.wanted, tuple) else (condition.wanted,)
    numbers = ", ".join(_number(each) for each in wanted)
    match condition.operator:
        case Operator.KNOWN:
            return f"{value} IS NULL"
        case Operator.AT_LEAST:
            return f"{value} >= {numbers}"
        case Operator.AT_MOST:
            return f"{value} <= {numbers}"
        case Operator.BITS | Operator.CONTAINS:
            return value
        case _:
            return f"{value} IN ({numbers})"


def _number(value: object) -> str:
    """Give a number for SQL; one beyond SQLite's integers as a float, which compares with them exactly."""
    if not isinstance(value, int | float):
        return "NULL"
    return repr(float(value)) if abs(value) >= 2**63 else repr(value + 0)


def take_over(
    conn: sqlite3.Connection,
    bulk: Bulk,
    rules: Rules,
    bounds: tuple[int, int],
    now: float,
    horizon: int,
    decide: Decide,
) -> Taken:
    """Take over the page's new runs whose record is final, inside the caller's transaction.

    `bounds` are the runs after the first and up to the second. A run has settled if all its times are before `horizon`
    (ns). `temp.taken` names the runs that were taken.
    """
    settled = 'max(coalesce(s."start", 0), s."end", coalesce(s.last_lb_end, 0)) < ' + str(horizon)
    corrected = " OR ".join(
        f"s.run BETWEEN {first} AND {last}" for correction in rules.corrections for first, last in correction.runs
    )
    rows = conn.cursor()
    rows.row_factory = None
    selected = rows.execute(
        f"SELECT s.run, {settled}, {', '.join(key_expressions(rules)) or '0'} FROM snapshot.run s "
        'WHERE s.run > ? AND s.run <= ? AND s."end" IS NOT NULL '
        f"AND (s.notes IS NULL OR {settled}) AND NOT ({corrected or '0'}) "
        "AND NOT EXISTS (SELECT 1 FROM main.run r WHERE r.run = s.run)",
        bounds,
    ).fetchall()
    conn.execute("DROP TABLE IF EXISTS temp.taken")
    conn.execute("CREATE TABLE temp.taken (run INTEGER PRIMARY KEY, verdict_id INTEGER, settled INTEGER)")
    became: Counter[str] = Counter()
    notable: list[tuple[int, str, str | None]] = []
    taken = []
    for row in selected:
        run, key = row[0], row[1:]
        known = bulk.memo.get(key)
        if known is None:
            known = bulk.memo[key] = decide(run)
        verdict_id, status, listener = known
        became[status] += 1
        if status is not Status.UNCLAIMED:
            notable.append((run, status, listener))
        taken.append((run, verdict_id, row[1]))
    conn.executemany("INSERT INTO temp.taken VALUES (?, ?, ?)", taken)
    _insert(conn, now)
    return Taken(len(taken), became, notable)


def _insert(conn: sqlite3.Connection, now: float) -> None:
    columns = quoted(("run", *SEEN_COLUMNS))
    conn.execute(
        f"INSERT INTO main.run ({columns}, status, listener, needs_validation, verdict_id, settled, judged, "
        f"first_seen, jobs_due) SELECT {', '.join(f's.{name}' for name in columns.split(', '))}, v.status, v.listener, "
        "v.needs_validation, v.id, t.settled, ?, ?, v.status = 'ACCEPTED' FROM temp.taken t "
        "CROSS JOIN snapshot.run s ON s.run = t.run CROSS JOIN main.verdict v ON v.id = t.verdict_id",
        (now, now),
    )
