"""Fields of a table as values of the snapshot: what each kind of attribute may be written as."""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from caf.domain.runs import DERIVED_ATTRIBUTES, RECORDED_ATTRIBUTES, Kind, parse_time
from caf.sources import snapshot

KINDS = {**RECORDED_ATTRIBUTES, "last_lb_end": Kind.TIME}
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_RUN, _EXTRA = snapshot.NAMES.index("run"), snapshot.NAMES.index("extra")
_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode
_TRUTH = {"true": 1, "1": 1, "false": 0, "0": 0}


def guessed(field: str) -> str | int | float | bool:
    """Take a field of an unknown column for what it looks like; 007 and 1e999 look like text."""
    if field.lower() in ("true", "false"):
        return field.lower() == "true"
    if _NUMBER.fullmatch(field):
        number = int(field) if field.lstrip("-").isdigit() else float(field)
        if abs(number) < float("inf"):
            return number
    return field


def snapshot_row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return a row's values in the order of the snapshot's columns; ValueError names the attribute that is wrong."""
    if row.get("run") is None:
        raise ValueError("no run number")
    values: list[Any] = [None] * len(snapshot.NAMES)
    extra: dict[str, Any] = {}
    for name, value in row.items():
        place = _PLACES.get(name)
        if place is not None:
            values[place[0]] = place[1](name, value)
        elif name not in DERIVED_ATTRIBUTES:
            extra[name] = _scalar(name, value)
    if values[_RUN] < 0:
        raise ValueError(f"run: {_shown(row['run'])} is not a run number")
    if extra:
        values[_EXTRA] = _text("extra", _encode(extra))
    return tuple(values)


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name}: {_shown(value)} is not a text")
    return value.encode("utf-8", errors="replace").decode("utf-8")


def _integer(name: str, value: Any) -> int:
    with suppress(ValueError, OverflowError):
        number = _whole(value) if isinstance(value, str | float) else value
        fits = isinstance(number, int) and not isinstance(number, bool) and -(2**63) <= number < 2**63
        if fits and (isinstance(value, str) or number == value):
            return int(number)
    raise ValueError(f"{name}: {_shown(value)} is not an integer")


def _whole(value: str | float) -> int:
    # Python itself also takes 1_000 and the digits of other scripts for a number.
    if isinstance(value, str) and not (value.isascii() and "_" not in value):
        raise ValueError
    return int(value)


def _flag(name: str, value: Any) -> int:
    truth = _TRUTH.get(str(value).lower())
    if truth is None:
        raise ValueError(f"{name}: {_shown(value)} is not true, false, 1 or 0")
    return truth


def _time(name: str, value: Any) -> int:
    with suppress(ValueError):
        if isinstance(value, str):
            return parse_time(value)
    raise ValueError(f"{name}: {_shown(value)} is not an ISO time")


def _mask(name: str, value: Any) -> str:
    with suppress(ValueError):
        mask = int(value, 16 if value.lower().startswith("0x") else 10) if isinstance(value, str) else value
        if isinstance(mask, int) and not isinstance(mask, bool) and 0 <= mask < 2**128:
            return f"{mask:032x}"
    raise ValueError(f"{name}: {_shown(value)} is not a mask (an integer or 0x... of at most 128 bits)")


def _scalar(name: str, value: Any) -> Any:
    if not isinstance(value, str | int | float) or value in (float("inf"), float("-inf")):
        raise ValueError(f"{name}: {_shown(value)} is neither text, number nor true or false")
    return _text(name, value) if isinstance(value, str) else value


_READERS: dict[Kind, Callable[[str, Any], Any]] = {
    Kind.TEXT: _text,
    Kind.INTEGER: _integer,
    Kind.FLAG: _flag,
    Kind.TIME: _time,
    Kind.MASK: _mask,
}
_PLACES = {name: (snapshot.NAMES.index(name), _READERS[kind]) for name, kind in KINDS.items()}
