"""What is wrong with a file, for people: pydantic's findings in plain words, each with the way to its key."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError

from caf.config.fields import Faults, did_you_mean
from caf.config.lines import Key, Lines
from caf.config.tables import SOURCES, Table


class Fault(NamedTuple):
    """One thing that is wrong with the value of a key; the message continues the key's name."""

    key: Key
    message: str


def in_lines(faults: Iterable[Fault], lines: Lines, name: str) -> list[str]:
    """Give each fault as `listeners.toml:13: listeners.X.min_events: must be ...`, in the order of the file."""
    placed = dict.fromkeys((lines.of(fault.key), fault) for fault in faults)
    return [f"{name}:{line}: {written(fault)}" for line, fault in sorted(placed, key=lambda pair: pair[0])]


def written(fault: Fault) -> str:
    """Give a fault with its key as it would be written in TOML."""
    return f"{dotted(fault.key)}: {fault.message}" if fault.key else fault.message


def dotted(key: Key) -> str:
    """Give the way to a key as it is written in TOML; the elements of an array as [0], [1] ..."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            bare = re.fullmatch(r"[A-Za-z0-9_-]+", part)
            text += ("." if text else "") + (part if bare else '"' + part.encode("unicode_escape").decode() + '"')
    return text


def found(error: ValidationError, root: type[Table]) -> list[Fault]:
    """Put what pydantic found into words. `root` is the model of the whole file."""
    faults: list[Fault] = []
    for detail in error.errors(include_url=False):
        location = tuple(part for part in detail["loc"] if part != "[key]")
        context: Mapping[str, Any] = detail.get("ctx", {})
        key = location
        if location[:1] == ("source",) and len(location) > 1:  # pydantic puts the kind of a union in between
            key = ("source", *location[2:])
        if detail["type"] == "union_tag_invalid":
            key = (*key, "kind")
        raised = context.get("error")
        if isinstance(raised, Faults):
            faults += [Fault((*key, *inner), message) for inner, message in raised.faults]
        elif detail["type"] == "extra_forbidden":
            faults.append(Fault(key, _unknown(location, root)))
        elif raised is not None:
            faults.append(Fault(key, str(raised)))
        else:
            faults.append(Fault(key, _words(detail["type"], context)))
    return faults


def _words(kind: str, context: Mapping[str, Any]) -> str:
    if kind == "literal_error":
        return f"must be one of {context['expected']}"
    if kind in _BOUNDS:
        return f"must be {_BOUNDS[kind]} {next(iter(context.values())):g}"
    return _WORDS.get(kind, "has a value that cannot be used here")


_BOUNDS = {
    "greater_than": "more than",
    "greater_than_equal": "at least",
    "less_than": "less than",
    "less_than_equal": "at most",
}
_WORDS = {
    "missing": "is missing",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be text in quotes",
    "tuple_type": "must be a list, in [ ]",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "union_tag_invalid": "must be one of 'cool' or 'table'",
    "int_parsing_size": "is too large",
}


def _unknown(location: Key, root: type[Table]) -> str:
    """Say of a key that is not known what it may have been meant for."""
    model, name = _table_at(location[:-1], root), str(location[-1])
    if location[0] == "source" and len(location) == 3:
        for kind, other in SOURCES.items():
            if other is not model and name in other.model_fields:
                return f'belongs to kind = "{kind}", but this source is of kind = "{location[1]}"'
    what = "table" if model is root else "key"
    return f"is not a known {what}{did_you_mean(name, _keys(model))}"


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _table_at(location: Key, root: type[Table]) -> type[BaseModel]:
    """Follow the way to a table through the models, past the names and places in between."""
    model: type[BaseModel] = root
    parts = iter(location)
    for part in parts:
        annotation = model.model_fields[str(part)].annotation
        if part == "source" and model is root:
            model = SOURCES[str(next(parts))]
            continue
        model = next(_models_in(annotation))
        if _many(annotation):
            next(parts)
    return model


def _many(annotation: object) -> bool:
    return get_origin(annotation) in (dict, tuple)


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
