"""What a verdict depends on, as SQL: which texts a run has, and on which side of a limit its numbers are.

There are very many runs, and few that differ in this. So one run of each *key* is judged by the domain's rules, on
behalf of all that are like it. A key decides only final records: settled ones, or ones that note nothing provisional,
with an end of their own and without a correction.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from caf.domain.discovery import Rules
from caf.domain.matching import Condition, Operator, Status
from caf.domain.runs import ATTRIBUTES, COUNTERS, Kind

Key = tuple[Any, ...]
Decision = tuple[int, Status, str | None]
"""The verdict's id, status and listener."""
Decide = Callable[[int], Decision]
"""Judges one run by the domain's rules."""

_COMPARED = frozenset({Operator.KNOWN, Operator.AT_LEAST, Operator.AT_MOST})
_STORED = "coalesce(s.stored_events, 0)"
EVENTS = f"CASE WHEN {_STORED} <> 0 OR s.recorded_events IS NULL THEN s.stored_events ELSE s.recorded_events END"
_LARGEST = "max(" + ", ".join(f"coalesce(s.{name}, -1)" for name in COUNTERS) + ")"
HAS_EVENTS = f"CASE WHEN {_LARGEST} >= 0 THEN {_LARGEST} > 0 END"


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


def settled_before(horizon: int) -> str:
    """Give the SQL of whether all times of row `s` are before `horizon` (ns)."""
    return f'max(coalesce(s."start", 0), coalesce(s."end", 0), coalesce(s.last_lb_end, 0)) < {horizon}'


def corrected(rules: Rules) -> str:
    """Give the SQL of whether row `s` is a run that some correction covers."""
    ranges = [bounds for correction in rules.corrections for bounds in correction.runs]
    return " OR ".join(f"s.run BETWEEN {first} AND {last}" for first, last in ranges) or "0"
