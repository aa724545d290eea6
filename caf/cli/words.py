"""Conditions as people and programs read them."""

from typing import Any

from caf.domain.matching import Condition, Operator
from caf.domain.runs import Value, to_json

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
