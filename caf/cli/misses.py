"""What kept a run from being taken, or is still waited for: the listener that came nearest, from the stored verdict."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from caf.cli.text import harmless, shown, warn
from caf.domain.errors import ConfigError
from caf.domain.explaining import condition_text, wanted_json
from caf.domain.matching import Answer, Condition, Listener, Operator, Status, split_answers
from caf.domain.runs import Record, to_json
from caf.report.kept import Kept
from caf.store import queries

MISSED = frozenset({Status.UNCLAIMED, Status.OPEN})
"""The statuses of runs that have a nearest listener."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """A listener, and which of its conditions fail or are not known yet."""

    listener: str
    failed: tuple[Condition, ...]
    unknown: tuple[Condition, ...]


class Misses:
    """Takes each stored verdict apart once, however many runs share it, and each configuration is read once."""

    def __init__(self, conn: sqlite3.Connection, kept: Kept) -> None:
        self._conn, self._kept = conn, kept
        self._known: dict[int, Nearest | None] = {}

    def of(self, row: sqlite3.Row) -> Nearest | None:
        """Give the listener that came nearest to taking an UNCLAIMED or OPEN run; None of any other."""
        if row["status"] not in MISSED:
            return None
        number = row["verdict_id"]
        if number not in self._known:
            self._known[number] = self._look(number)
        return self._known[number]

    def _look(self, verdict_id: int) -> Nearest | None:
        verdict = queries.verdict(self._conn, verdict_id)
        try:
            listeners = self._kept.configuration(verdict["configuration_id"]).listeners_in_force()
        except ConfigError:
            warn(f"configuration {verdict['configuration_id']} is of another version: its nearest misses are not shown")
            return None
        return nearest(listeners, verdict["answers"], opened=verdict["status"] == Status.OPEN)


def nearest(listeners: Sequence[Listener], answers: str, *, opened: bool) -> Nearest | None:
    """Give the listener with the fewest failing conditions, then the fewest unknown, then the first in the file.

    Of an OPEN run, the one that could still take it and does not know.
    """
    found, parts = [], split_answers(listeners, answers)
    for listener in listeners:
        letters, enough = parts[listener.name]
        pairs = list(zip(listener.conditions, letters, strict=True))
        failed = tuple(condition for condition, letter in pairs if letter is Answer.FAILS)
        unknown = tuple(condition for condition, letter in pairs if letter is Answer.UNKNOWN)
        if enough is Answer.UNKNOWN:
            unknown += (Condition("events", Operator.AT_LEAST, listener.min_events),)
        if not opened or (unknown and not failed):
            found.append(Nearest(listener.name, failed, unknown))
    return min(found, key=lambda one: (len(one.failed), len(one.unknown)), default=None)


def as_object(near: Nearest | None, record: Record) -> dict[str, Any] | None:
    """Give it for JSON, with what was seen."""
    if near is None:
        return None
    lists = {"failed": near.failed, "unknown": near.unknown}
    return {"listener": near.listener, **{name: [_one(c, record) for c in found] for name, found in lists.items()}}


def _one(condition: Condition, record: Record) -> dict[str, Any]:
    return {
        "attribute": condition.attribute,
        "operator": condition.operator.value,
        "wanted": wanted_json(condition),
        "seen": to_json(condition.attribute, record.values.get(condition.attribute)),
    }


def as_text(near: Nearest | None, record: Record) -> str | None:
    """Give it for people: what fails, or else what is waited for."""
    if near is None:
        return None
    parts = []
    for condition in near.failed or near.unknown:
        seen = to_json(condition.attribute, record.values.get(condition.attribute))
        text = "not known" if seen is None else '""' if seen == "" else shown(seen)
        parts.append(f"{condition_text(condition)}; seen: {text}")
    if not parts:
        return near.listener
    return harmless(f"{near.listener}{'' if near.failed else ' waits'}: {', and '.join(parts)}")
