"""Whether two listeners could take the same run, decided from their conditions alone.

Attributes are taken as independent of each other, so it is enough to find, one attribute at a time, a value (or null,
of a settled run) for which every condition of both listeners holds. For one attribute the conditions together leave a
finite set of values, or all but finitely many of: the texts that hold certain words, the integers of a range that
have certain bits, true and false. In each of these cases a value is found if there is one; `matching.answer` itself
has the last word on it, so that what is called a witness is one.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from caf.domain.matching import Answer, Condition, Listener, Operator, answer
from caf.domain.runs import Kind, Value, parse_time

MASK_LIMIT = 1 << 128
_SOME_TIME = parse_time("2015-06-03T10:00:00Z")  # the first collisions at 13 TeV: as good as any


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two listeners, and a run that both would take: the attributes that either asks for.

    Not `certain` only if such a run must have one text that holds two different words (neither within the other),
    which somebody may know never to happen.
    """

    first: str
    second: str
    witness: Mapping[str, Value]
    certain: bool


def can_match(listener: Listener, kinds: Mapping[str, Kind]) -> bool:
    """Tell whether there could be a run that the listener takes."""
    return all(
        _find(conditions, kinds.get(attribute, Kind.ANY), ()) is not None
        for attribute, conditions in _by_attribute(listener.conditions).items()
    )


def overlaps(listeners: Sequence[Listener], kinds: Mapping[str, Kind]) -> list[Overlap]:
    """Give each pair of listeners that could both take one run, with such a run, in the listeners' order."""
    named = _named(listeners)
    found = []
    for first, second in combinations(listeners, 2):
        witness: dict[str, Value] = {}
        certain = True
        for attribute, conditions in _by_attribute((*first.conditions, *second.conditions)).items():
            one = _find(conditions, kinds.get(attribute, Kind.ANY), named.get(attribute, ()))
            if one is None:
                break
            witness[attribute] = one.value
            certain = certain and one.certain
        else:
            found.append(Overlap(first.name, second.name, witness, certain))
    return found


@dataclass(frozen=True, slots=True)
class _Found:
    value: Value
    certain: bool = True


def _by_attribute(conditions: Iterable[Condition]) -> dict[str, list[Condition]]:
    grouped: dict[str, list[Condition]] = {}
    for condition in conditions:
        grouped.setdefault(condition.attribute, []).append(condition)
    return grouped


def _named(listeners: Sequence[Listener]) -> dict[str, tuple[Value, ...]]:
    """Give for each attribute the values that any listener asks for: they look natural in a witness."""
    named: dict[str, tuple[Value, ...]] = {}
    for attribute, conditions in _by_attribute(c for listener in listeners for c in listener.conditions).items():
        values = [v for c in conditions if c.operator in (Operator.EQUAL, Operator.ONE_OF) for v in _tuple(c.wanted)]
        named[attribute] = tuple(values)
    return named


def _tuple(wanted: Value | tuple[Value, ...]) -> tuple[Value, ...]:
    return wanted if isinstance(wanted, tuple) else (wanted,)


def _find(conditions: Sequence[Condition], kind: Kind, named: Sequence[Value]) -> _Found | None:
    """Find a value of one attribute for which all conditions hold; null only where nothing else is left."""
    for c in conditions:
        if c.operator in (Operator.EQUAL, Operator.ONE_OF):
            return _first(_tuple(c.wanted), conditions)
    words = _words(conditions)
    if len(words) < 2:
        found = _first(named, conditions) or _first(_natural(kind), conditions)
        if found:
            return found
    if kind is Kind.FLAG:
        return _first((True, False, None), conditions)
    numeric = any(c.operator in (Operator.AT_LEAST, Operator.AT_MOST, Operator.BITS) for c in conditions)
    if kind in (Kind.TEXT, Kind.ANY) and not numeric:
        found = _first(_texts(words, _excluded(conditions)), conditions)
        found = _Found(found.value, certain=len(words) < 2) if found else None
    elif kind is Kind.TEXT:
        found = None
    else:
        found = _number(conditions, kind, words)
    return found or _first((None,), conditions)


def _first(values: Iterable[Value], conditions: Sequence[Condition]) -> _Found | None:
    for value in values:
        if all(answer(c, value, provisional=False, settled=True) is Answer.HOLDS for c in conditions):
            return _Found(value)
    return None


def _excluded(conditions: Iterable[Condition]) -> set[Value]:
    return {value for c in conditions if c.operator is Operator.NOT_IN for value in _tuple(c.wanted)}


def _words(conditions: Iterable[Condition]) -> list[str]:
    """Give the words that a text must hold, without those that stand within another one (case ignored)."""
    words: list[str] = []
    asked = {str(c.wanted).casefold(): str(c.wanted) for c in conditions if c.operator is Operator.CONTAINS}
    for folded in sorted(asked, key=len, reverse=True):
        if not any(folded in longer.casefold() for longer in words):
            words.append(asked[folded])
    return sorted(words, key=list(asked.values()).index)


def _texts(words: Sequence[str], excluded: set[Value]) -> Iterator[str]:
    """Give ever longer texts that hold all words: more than can be excluded."""
    text = "_".join(words)
    if text:
        yield text
        text += "_"
    else:
        yield "other"
    for number in range(2, len(excluded) + 3):
        yield f"{text or 'other_'}{number}"


def _natural(kind: Kind) -> tuple[Value, ...]:
    """Give values that one would think of first."""
    return {Kind.FLAG: (True,), Kind.TIME: (_SOME_TIME,), Kind.INTEGER: (1, 1000)}.get(kind, ())


def _number(conditions: Sequence[Condition], kind: Kind, words: Sequence[str]) -> _Found | None:
    """Find a number: for the kinds of integers exactly, for an attribute of any type among the reals as well."""
    low, high, bits = _range(conditions, kind)
    excluded = _excluded(conditions)
    if words:
        # A number that holds digits as text can only be meant where nobody has said what the attribute holds.
        return _first(_with_digits(words, low, high, bits), conditions)
    found = _first(_integers(low, high, bits, excluded), conditions)
    if found or kind is not Kind.ANY or bits:
        return found
    return _first(_between(low, high, len(excluded)), conditions)


def _range(conditions: Sequence[Condition], kind: Kind) -> tuple[float | None, float | None, int]:
    """Give the largest lower bound, the smallest upper bound (None: none), and all bits that must be set."""
    lows: list[float] = [0] if kind is Kind.MASK else []
    highs: list[float] = [MASK_LIMIT - 1] if kind is Kind.MASK else []
    bits = 0
    for c in conditions:
        if isinstance(c.wanted, int | float):
            if c.operator is Operator.AT_LEAST:
                lows.append(c.wanted)
            elif c.operator is Operator.AT_MOST:
                highs.append(c.wanted)
            elif c.operator is Operator.BITS:
                bits |= int(c.wanted)
    return max(lows, default=None), min(highs, default=None), bits


def _integers(low: float | None, high: float | None, bits: int, excluded: set[Value]) -> Iterator[int]:
    """Give integers of the range that have the bits: all of them up to more than can be excluded."""
    wanted = len(excluded) + 1
    value = smallest_with(math.ceil(low) if low is not None else 0, bits)
    for _ in range(wanted):
        if high is not None and value > high:
            break
        yield value
        value = smallest_with(value + 1, bits)
    if low is None and high is not None:  # without end towards minus infinity: bits - 2^k has them all
        start = max(bits.bit_length(), math.ceil(abs(high)).bit_length()) + 1
        for power in range(start, start + wanted):
            yield bits - (1 << power)


def smallest_with(low: int, bits: int) -> int:
    """Give the smallest integer from `low` on that has all the bits."""
    missing = bits & ~low
    if not missing:
        return low
    # Above the highest missing bit `low` can stay; that bit grows the number, so below it only what is asked for.
    above = missing.bit_length()
    return (low >> above << above) | (bits & ((1 << above) - 1))


def _between(low: float | None, high: float | None, excluded: int) -> Iterator[float]:
    """Give more points of a real interval than can be excluded."""
    start = low if low is not None else (high or 0) - 1
    end = high if high is not None else start + 1
    for part in range(excluded + 2):
        yield start + (end - start) * part / (excluded + 1)


def _with_digits(words: Sequence[str], low: float | None, high: float | None, bits: int) -> Iterator[int]:
    """Give integers of the range whose decimal digits hold the longest word, near the lower bound."""
    word = max(words, key=len)
    if not (word.isascii() and word.isdecimal()):
        return
    first = max(math.ceil(low), 0) if low is not None else 0
    for place in range(len(str(first)) + 1):
        block = 10 ** (place + len(word))
        for number in range(first // block, first // block + 12):
            start = number * block + int(word) * 10**place
            value = smallest_with(max(start, first), bits)
            if high is None or value <= high:
                yield value
