"""The conditions of a listener and the values of a correction, typed by the attribute that they are about."""

import math
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import PlainValidator, ValidationInfo, field_validator

from caf.config.fields import Faults, Line, did_you_mean, surroundings
from caf.config.tables import Table
from caf.domain.matching import Condition, Operator
from caf.domain.runs import Correction, Kind, Value, parse_ranges, parse_time

OPERATORS = ("not_in", "contains", "known", "at_least", "at_most", "bits")

_FITTING = {
    "contains": {Kind.TEXT, Kind.ANY},
    "at_least": {Kind.INTEGER, Kind.TIME, Kind.MASK, Kind.ANY},
    "at_most": {Kind.INTEGER, Kind.TIME, Kind.MASK, Kind.ANY},
    "bits": {Kind.INTEGER, Kind.MASK, Kind.ANY},
}
_MASK_LIMIT = 1 << 128


def read_match(given: object, info: ValidationInfo) -> tuple[Condition, ...]:
    """Read a `match` table as conditions in the file's order. Faults says all that is wrong with it."""
    if not isinstance(given, dict):
        raise ValueError('must be a table, such as { run_type = "cismono" }')
    kinds = surroundings(info).kinds
    conditions: list[Condition] = []
    faults: list[tuple[tuple[str | int, ...], str]] = []
    for attribute, wanted in given.items():
        if attribute not in kinds:
            faults.append(((attribute,), f"is not an attribute of runs{did_you_mean(attribute, frozenset(kinds))}"))
            continue
        for key, operator, one in _comparisons(wanted):
            try:
                conditions.append(Condition(attribute, *_comparison(operator, one, kinds[attribute])))
            except Faults as several:
                faults += [((attribute, *key, *inner), message) for inner, message in several.faults]
            except ValueError as error:
                faults.append(((attribute, *key), str(error)))
    if faults:
        raise Faults(faults)
    return tuple(conditions)


def _comparisons(wanted: object) -> list[tuple[tuple[str, ...], str, object]]:
    """Take what stands behind an attribute apart: for each comparison the way to it, its operator, what is wanted."""
    if isinstance(wanted, dict):
        return [((name,), name, one) for name, one in wanted.items()] or [((), "", None)]
    return [((), "one_of" if isinstance(wanted, list) else "equal", wanted)]


def _comparison(operator: str, wanted: object, kind: Kind) -> tuple[Operator, Value | tuple[Value, ...]]:
    if operator == "":
        raise ValueError(f"must name an operator: {', '.join(OPERATORS)}")
    if operator == "equal" and not isinstance(wanted, dict):
        return Operator.EQUAL, read_value(wanted, kind)
    if operator == "one_of" and isinstance(wanted, list):
        return Operator.ONE_OF, _values(wanted, kind)
    if operator not in OPERATORS:
        raise ValueError(f"is not an operator{did_you_mean(operator, list(OPERATORS))}")
    if kind not in _FITTING.get(operator, set(Kind)):
        raise ValueError(f"cannot be used here: the attribute is {_NAMES[kind]}")
    if operator == "not_in":
        if not isinstance(wanted, list):
            raise ValueError("must be a list")
        return Operator.NOT_IN, _values(wanted, kind)
    return Operator(operator), _READERS[operator](wanted, kind)


def _values(wanted: list[object], kind: Kind) -> tuple[Value, ...]:
    if not wanted:
        raise ValueError("must not be an empty list")
    values: list[Value] = []
    faults: list[tuple[tuple[str | int, ...], str]] = []
    for place, one in enumerate(wanted):
        try:
            values.append(read_value(one, kind))
        except ValueError as error:
            faults.append(((place,), str(error)))
    if faults:
        raise Faults(faults)
    return tuple(values)


def _contains(wanted: object, kind: Kind) -> Value:
    text = read_value(wanted, Kind.TEXT)
    if text == "":
        raise ValueError("must not be empty")
    return text


def _known(wanted: object, kind: Kind) -> Value:
    return read_value(wanted, Kind.FLAG)


def _bound(wanted: object, kind: Kind) -> Value:
    value = read_value(wanted, kind)
    if isinstance(value, bool | str):
        raise ValueError("must be a number")
    return value


def _bits(wanted: object, kind: Kind) -> Value:
    bits = read_value(wanted, Kind.MASK)
    if bits == 0:
        raise ValueError("must have a bit set: without one it requires nothing")
    return bits


_READERS: Mapping[str, Callable[[object, Kind], Value]] = {
    "contains": _contains,
    "known": _known,
    "at_least": _bound,
    "at_most": _bound,
    "bits": _bits,
}
_NAMES = {Kind.TEXT: "text", Kind.INTEGER: "a number", Kind.FLAG: "true or false"}
_NAMES |= {Kind.TIME: "a time", Kind.MASK: "a mask of bits", Kind.ANY: "of any type"}


def read_value(given: object, kind: Kind) -> Value:
    """Read one value of an attribute. ValueError says what it must be."""
    match kind, given:
        case Kind.TEXT, str():
            return given
        case Kind.FLAG, bool():
            return given
        case ((Kind.INTEGER | Kind.MASK | Kind.TIME), bool()):
            pass
        case Kind.INTEGER, int() if -(2**63) <= given < 2**63:
            return given
        case Kind.MASK, (int() | str()):
            return _mask(given)
        case Kind.TIME, (datetime() | date() | str()):
            return _time(given)
        case Kind.ANY, (str() | bool()):
            return given
        case Kind.ANY, int() if -(2**63) <= given < 2**63:
            return given
        case Kind.ANY, float() if math.isfinite(given):
            return given
    raise ValueError(_WANTED[kind])


_WANTED = {
    Kind.TEXT: "must be text in quotes",
    Kind.INTEGER: "must be a whole number",
    Kind.FLAG: "must be true or false",
    Kind.TIME: "must be a time such as 2015-06-03T10:00:00Z",
    Kind.MASK: 'must be a mask of at most 128 bits: a whole number, or text such as "0x7c00000000"',
    Kind.ANY: "must be text, a number, or true or false",
}


def _mask(given: int | str) -> int:
    try:
        bits = given if isinstance(given, int) else int(given, 16) if given.lower().startswith("0x") else -1
    except ValueError:
        bits = -1
    if not 0 <= bits < _MASK_LIMIT:
        raise ValueError(_WANTED[Kind.MASK])
    return bits


def _time(given: date | str) -> int:
    try:
        return parse_time(given if isinstance(given, str) else given.isoformat())
    except (ValueError, OverflowError):
        raise ValueError(_WANTED[Kind.TIME]) from None


def _ranges(given: object) -> tuple[tuple[int, int], ...]:
    if not isinstance(given, str):
        raise ValueError('must be runs in quotes, such as "219978-219980,220013"')
    ranges = parse_ranges(given)
    if any(last >= 2**63 for _, last in ranges):
        raise ValueError("has a run number that is too large")
    return ranges


def _corrected(given: object, info: ValidationInfo) -> dict[str, Value]:
    if not isinstance(given, dict) or not given:
        raise ValueError('must be a table of attributes, such as { gain_strategy = "CalibGainsEt" }')
    kinds = surroundings(info).kinds
    values: dict[str, Value] = {}
    faults: list[tuple[tuple[str | int, ...], str]] = []
    for attribute, one in given.items():
        try:
            if attribute not in kinds:
                raise ValueError(f"is not an attribute of runs{did_you_mean(attribute, frozenset(kinds))}")
            if attribute == "run":
                raise ValueError("cannot be corrected: it says which run is meant")
            values[attribute] = read_value(one, kinds[attribute])
        except ValueError as error:
            faults.append(((attribute,), str(error)))
    if faults:
        raise Faults(faults)
    return values


class CorrectionTable(Table):
    """[[corrections]]: attributes that are known to be wrong in the run database, and what holds instead."""

    runs: Annotated[tuple[tuple[int, int], ...], PlainValidator(_ranges)]
    set: Annotated[dict[str, Any], PlainValidator(_corrected)]
    reason: Line

    @field_validator("reason")
    @classmethod
    def _tidy(cls, reason: str) -> str:
        return reason.strip()

    def as_correction(self) -> Correction:
        """Give what runs are completed with."""
        return Correction(self.runs, self.set, self.reason)
