"""Which listener takes a run: conditions with three answers, and the verdict that follows from all of them.

Everything here is a pure function of the run's record and the listeners; see `Verdict` for how it is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from caf.domain.runs import Record, Value


class Operator(StrEnum):
    """How a condition compares; the values are the words of listeners.toml."""

    EQUAL = "equal"
    ONE_OF = "one_of"
    NOT_IN = "not_in"
    CONTAINS = "contains"
    KNOWN = "known"
    AT_LEAST = "at_least"
    AT_MOST = "at_most"
    BITS = "bits"


class Answer(StrEnum):
    """What a condition says of a run; one letter each, for the stored verdict."""

    HOLDS = "h"
    FAILS = "f"
    UNKNOWN = "u"


class Status(StrEnum):
    """Where a run stands."""

    OPEN = "OPEN"  # something is not known yet: it is looked at again in every round
    ACCEPTED = "ACCEPTED"  # exactly one listener takes it
    UNCLAIMED = "UNCLAIMED"  # no listener takes it
    CONFLICT = "CONFLICT"  # two or more would: no job before a person assigns it
    IGNORED = "IGNORED"  # a person said so


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of one attribute. `wanted` is a tuple for ONE_OF and NOT_IN, else a single value."""

    attribute: str
    operator: Operator
    wanted: Value | tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Listener:
    """Which runs a group wants. `conditions` begins with the one on `first_run`, if there is one.

    `min_events` is no condition for being taken: a run with fewer is taken, but a person must validate it.
    """

    name: str
    conditions: tuple[Condition, ...]
    min_events: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the listeners say of a run.

    `answers` holds a group of letters for each listener, in the configuration's order, separated by blanks: one
    letter for each condition and, if the listener has `min_events`, one more (h: enough). With the configuration
    that was in force it tells everything that was decided, and is the same text for very many runs.
    """

    status: Status
    listener: str | None
    needs_validation: bool | None
    answers: str


def answer(condition: Condition, value: Value, *, provisional: bool, settled: bool) -> Answer:
    """Compare one value. Once the run has settled null is a value, and nothing is unknown any more."""
    if not settled and (value is None or provisional):
        return Answer.UNKNOWN
    return Answer.HOLDS if _holds(condition, value) else Answer.FAILS


def _holds(condition: Condition, value: Value) -> bool:
    wanted = condition.wanted
    if condition.operator is Operator.KNOWN:
        return (value is not None) is wanted
    if condition.operator is Operator.NOT_IN:
        return value is None or value not in _tuple(wanted)
    if value is None:
        return False
    match condition.operator:
        case Operator.EQUAL:
            return value == wanted
        case Operator.ONE_OF:
            return value in _tuple(wanted)
        case Operator.CONTAINS:
            return str(wanted).casefold() in str(value).casefold()
        case Operator.AT_LEAST:
            return isinstance(value, int | float) and isinstance(wanted, int | float) and value >= wanted
        case Operator.AT_MOST:
            return isinstance(value, int | float) and isinstance(wanted, int | float) and value <= wanted
        case _:
            return isinstance(value, int) and isinstance(wanted, int) and value & wanted == wanted


def _tuple(wanted: Value | tuple[Value, ...]) -> tuple[Value, ...]:
    return wanted if isinstance(wanted, tuple) else (wanted,)


def judge(listeners: Sequence[Listener], record: Record) -> Verdict:
    """Offer a run to every listener.

    A listener fails if any condition fails, else it is unknown if any is unknown. The run is OPEN as long as any
    listener is unknown, for that one might still take it.
    """
    takers: list[tuple[Listener, Answer]] = []
    groups: list[str] = []
    undecided = False
    for listener in listeners:
        answers = [_of(record, condition) for condition in listener.conditions]
        enough = _enough(record, listener)
        if Answer.FAILS not in answers:
            if Answer.UNKNOWN in answers or enough is Answer.UNKNOWN:
                undecided = True
            else:
                takers.append((listener, enough))
        groups.append("".join(answers) + (enough if listener.min_events is not None else ""))
    text = " ".join(groups)
    if undecided:
        return Verdict(Status.OPEN, None, None, text)
    if len(takers) == 1:
        listener, enough = takers[0]
        return Verdict(Status.ACCEPTED, listener.name, enough is Answer.FAILS, text)
    return Verdict(Status.CONFLICT if takers else Status.UNCLAIMED, None, None, text)


def _of(record: Record, condition: Condition) -> Answer:
    attribute = condition.attribute
    return answer(
        condition,
        record.values.get(attribute),
        provisional=record.provisional(attribute),
        settled=record.settled,
    )


def _enough(record: Record, listener: Listener) -> Answer:
    """Compare with `min_events`: of a settled run that was never counted too few are assumed."""
    if not listener.min_events:
        return Answer.HOLDS
    events = record.values.get("events")
    if events is None or record.provisional("events"):
        return Answer.FAILS if record.settled else Answer.UNKNOWN
    return Answer.HOLDS if isinstance(events, int | float) and events >= listener.min_events else Answer.FAILS


def split_answers(listeners: Sequence[Listener], answers: str) -> dict[str, tuple[tuple[Answer, ...], Answer | None]]:
    """Take a stored verdict's text apart: for each listener the answer of each condition, and that of `min_events`."""
    parts: dict[str, tuple[tuple[Answer, ...], Answer | None]] = {}
    # A listener without conditions and minimum has an empty group, so the text is split at single blanks; where all
    # listeners were disabled there is no group at all.
    groups = answers.split(" ") if listeners or answers else []
    for listener, group in zip(listeners, groups, strict=True):
        letters = tuple(Answer(letter) for letter in group)
        count = len(listener.conditions)
        parts[listener.name] = (letters[:count], letters[count] if len(letters) > count else None)
    return parts
