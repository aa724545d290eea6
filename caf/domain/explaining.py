"""Conditions and verdicts as people and programs read them."""

from typing import Any

from caf.domain.matching import Answer, Condition, Listener, Operator, split_answers
from caf.domain.runs import Record, Value, to_json

_ANSWERS = {Answer.HOLDS: "holds", Answer.FAILS: "fails", Answer.UNKNOWN: "unknown"}

_WORDS = {
    Operator.EQUAL: "is",
    Operator.ONE_OF: "is one of",
    Operator.NOT_IN: "is none of",
    Operator.CONTAINS: "contains",
    Operator.AT_LEAST: "is at least",
    Operator.AT_MOST: "is at most",
    Operator.BITS: "has the bits",
}


def wanted_json(condition: Condition) -> Any:
    """Give what a condition wants, as `seen` is given."""
    wanted = condition.wanted
    if isinstance(wanted, tuple):
        return [to_json(condition.attribute, value) for value in wanted]
    if condition.operator is Operator.BITS and isinstance(wanted, int):
        return f"{wanted:#x}"
    return wanted if condition.operator is Operator.KNOWN else to_json(condition.attribute, wanted)


def described(condition: Condition) -> dict[str, Any]:
    """Give a condition for JSON."""
    return {
        "attribute": condition.attribute,
        "operator": condition.operator.value,
        "wanted": wanted_json(condition),
        "text": condition_text(condition),
    }


def condition_text(condition: Condition) -> str:
    """Give a condition as a sentence."""
    if condition.operator is Operator.KNOWN:
        return f"{condition.attribute} is {'known' if condition.wanted else 'not known'}"
    wanted = wanted_json(condition)
    text = ", ".join(_written(one) for one in wanted) if isinstance(wanted, list) else _written(wanted)
    return f"{condition.attribute} {_WORDS[condition.operator]} {text}"


def _written(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f'"{value}"' if value == "" else str(value)


def taken_apart(listeners: tuple[Listener, ...], answers: str, record: Record) -> list[dict[str, Any]]:
    """Take a verdict apart; the listeners that came nearest to taking the run come first."""
    parts = split_answers(listeners, answers)
    rows = []
    for listener in listeners:
        letters, enough = parts[listener.name]
        worst = Answer.FAILS if Answer.FAILS in letters else Answer.HOLDS
        if worst is Answer.HOLDS and Answer.UNKNOWN in (*letters, enough):
            worst = Answer.UNKNOWN
        row: dict[str, Any] = {"name": listener.name, "answer": _ANSWERS[worst], "failing": letters.count(Answer.FAILS)}
        row["conditions"] = [
            {**described(condition), **_seen(condition.attribute, record), "answer": _ANSWERS[letter]}
            for condition, letter in zip(listener.conditions, letters, strict=True)
        ]
        row["min_events"] = None
        if listener.min_events is not None and enough is not None:
            seen = _seen("events", record)
            row["min_events"] = {"wanted": listener.min_events, **seen, "answer": _ANSWERS[enough]}
        rows.append((letters.count(Answer.FAILS), letters.count(Answer.UNKNOWN), row))
    rows.sort(key=lambda ranked: ranked[:2])
    return [row for _, _, row in rows]


def _seen(attribute: str, record: Record) -> dict[str, Any]:
    note = record.notes.get(attribute)
    return {
        "seen": to_json(attribute, record.values.get(attribute)),
        "inherited_from": note.inherited_from if note is not None else None,
        "provisional": record.provisional(attribute),
        "corrected": record.corrected.get(attribute),
    }
