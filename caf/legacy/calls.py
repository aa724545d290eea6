"""The few function calls of old configurations that have a value by themselves; no other is ever made."""

import ast
import posixpath
import re
import string
from typing import Any, Protocol

from caf.legacy.values import PLACEHOLDER, NotData, Table

LONGEST = 100_000  # characters of a text, elements of a list
_STRIPS = {"strip", "lstrip", "rstrip"}
_CASES = {"upper", "lower", "title", "capitalize"}


class Evaluator(Protocol):
    """What works out the arguments of a call (see expressions)."""

    file: str
    names: dict[str, Any]

    def value(self, node: ast.expr) -> Any:
        """Work out an expression. NotData if it is not plain data."""

    def soft(self, node: ast.expr) -> Any:
        """Work out an element of something larger: Unread where it is not plain data."""


def checked(value: Any, line: int) -> Any:
    """Give a value back if it is of a size that a configuration can have."""
    if isinstance(value, str | list | tuple) and len(value) > LONGEST:
        raise NotData(line, "this is too long for a configuration")
    return value


def dotted(node: ast.expr) -> str:
    """Give a name such as os.path.join as text; empty where the expression is more than that."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := dotted(node.value)):
        return f"{owner}.{node.attr}"
    return ""


def placeholder(name: str) -> str:
    """Give what stands for a variable of the old environment."""
    return PLACEHOLDER + re.sub(r"[^A-Z0-9]", "_", name.upper())


def call(evaluator: Evaluator, node: ast.Call) -> Any:
    """Work out a call. NotData where it is none of those known here."""
    name = dotted(node.func)
    if name in {"os.environ.get", "environ.get"} and node.args:
        return _environment([evaluator.value(node.args[0])], node.lineno)
    if isinstance(node.func, ast.Attribute) and not name.startswith(("os.", "posixpath.", "path.")):
        return _method(evaluator, node, node.func)
    arguments = [evaluator.value(one) for one in node.args] if name in _FUNCTIONS else []
    if name == "dict":
        return _dict(evaluator, node, arguments)
    if name in _FUNCTIONS and not node.keywords:
        return _FUNCTIONS[name](arguments, node.lineno)
    raise NotData(node.lineno, f"a function call ({name or 'of an expression'}) is not plain data")


def _dict(evaluator: Evaluator, node: ast.Call, arguments: list[Any]) -> Table:
    table = Table(evaluator.file, node.lineno)
    for given in arguments:
        if isinstance(given, Table):
            table.take(given, node.lineno)
        elif isinstance(given, list | tuple) and all(
            isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in given
        ):
            for key, value in given:
                table.put(key, value, node.lineno)
        else:
            raise NotData(node.lineno, "this dict() is not plain data")
    for keyword in node.keywords:
        value = evaluator.soft(keyword.value)
        if keyword.arg is not None:
            table.put(keyword.arg, value, keyword.lineno)
        else:
            table.take(value, keyword.lineno)
    return table


def _method(evaluator: Evaluator, node: ast.Call, function: ast.Attribute) -> Any:
    line, method = node.lineno, function.attr
    unknown = NotData(line, f"a function call ({dotted(function) or '.' + method}) is not plain data")
    if isinstance(function.value, ast.Name) and function.value.id not in evaluator.names:
        raise unknown
    owner = evaluator.value(function.value)
    arguments = [evaluator.value(one) for one in node.args]
    if isinstance(owner, str) and method == "format":
        keywords = {one.arg or "": evaluator.value(one.value) for one in node.keywords}
        return _formatted(owner, arguments, keywords, line)
    if node.keywords:
        raise unknown
    if isinstance(owner, Table) and method == "copy":
        return owner.twin(line)
    if isinstance(owner, Table) and method == "get" and arguments and isinstance(arguments[0], str):
        return owner.get(arguments[0], arguments[1] if len(arguments) > 1 else None)
    if not isinstance(owner, str) or not all(isinstance(one, str) for one in arguments if method != "join"):
        raise unknown
    return _of_text(owner, method, arguments, line, unknown)


def _of_text(owner: str, method: str, arguments: list[Any], line: int, unknown: NotData) -> Any:
    if method in _STRIPS and len(arguments) <= 1:
        return getattr(owner, method)(*arguments)
    if method in _CASES and not arguments:
        return getattr(owner, method)()
    if method == "replace" and len(arguments) == 2:
        old, new = arguments
        times = owner.count(old) if old else len(owner) + 1
        if len(owner) + times * len(new) > LONGEST:
            raise NotData(line, "this is too long for a configuration")
        return owner.replace(old, new)
    if method == "split" and len(arguments) <= 1 and arguments != [""]:
        return owner.split(*arguments)
    if method == "join" and len(arguments) == 1 and _plain_texts(arguments[0]):
        return _together(owner, list(arguments[0]), line)
    raise unknown


def _plain_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)


def _together(between: str, parts: list[str], line: int) -> str:
    if sum(len(part) + len(between) for part in parts) > LONGEST:
        raise NotData(line, "this is too long for a configuration")
    return between.join(parts)


def _joined_path(arguments: list[Any], line: int) -> str:
    if not arguments or not _plain_texts(arguments):
        raise NotData(line, "this path is not plain data")
    _together("/", arguments, line)
    return str(posixpath.join(*arguments))


def _environment(arguments: list[Any], line: int) -> str:
    if not arguments or not isinstance(arguments[0], str):
        raise NotData(line, "which variable of the environment is meant is not plain data")
    return placeholder(arguments[0])


def _expanded(arguments: list[Any], line: int) -> str:
    """expanduser, expandvars: what they would put in is not known here."""
    text = _joined_path(arguments[:1], line)
    text = re.sub(r"^~(?=/|$)", PLACEHOLDER + "HOME", text)
    return re.sub(r"\$\{?(\w+)\}?", lambda found: PLACEHOLDER + found[1].upper(), text)


def _unchanged(arguments: list[Any], line: int) -> str:
    return _joined_path(arguments[:1], line)


def _list(arguments: list[Any], line: int) -> Any:
    if not arguments:
        return []
    if isinstance(arguments[0], list | tuple):
        return list(arguments[0])
    raise NotData(line, "this list() is not plain data")


def _text(arguments: list[Any], line: int) -> str:
    if len(arguments) == 1 and isinstance(arguments[0], str | int | float | bool | None):
        return str(arguments[0])
    raise NotData(line, "this str() is not plain data")


def _number(arguments: list[Any], line: int) -> int:
    try:
        if arguments and isinstance(arguments[0], str | int | float):
            base = arguments[1] if len(arguments) == 2 else 10
            return int(arguments[0], base) if isinstance(arguments[0], str) else int(arguments[0])
    except (ValueError, TypeError, OverflowError):
        pass
    raise NotData(line, "this is not a number")


def _none(arguments: list[Any], line: int) -> Any:
    raise NotData(line, "this is not plain data")


_FUNCTIONS = {
    "dict": _none,
    "list": _list,
    "tuple": _list,
    "set": _list,
    "str": _text,
    "unicode": _text,
    "int": _number,
    "long": _number,
    "os.getenv": _environment,
    "getenv": _environment,
    "os.path.join": _joined_path,
    "path.join": _joined_path,
    "posixpath.join": _joined_path,
    "os.path.expanduser": _expanded,
    "os.path.expandvars": _expanded,
    "os.path.abspath": _unchanged,
    "os.path.normpath": _unchanged,
}


def formatted_percent(text: str, values: Any, line: int) -> str:
    """Work out "..." % values."""
    given = tuple(values) if isinstance(values, tuple) else (values,)
    if isinstance(values, Table):
        given = tuple(values.values())
    wide = re.search(r"%[^a-zA-Z%]*(?:\*|\d{4,})", text)
    if wide or not all(isinstance(one, str | int | float | bool | None) for one in given):
        raise NotData(line, "this formatted text is not plain data")
    try:
        return str(checked(text % (values if isinstance(values, Table) else given), line))
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise NotData(line, f"this formatted text cannot be worked out: {error}") from None


def _formatted(text: str, values: list[Any], named: dict[str, Any], line: int) -> str:
    refused = NotData(line, "this formatted text is not plain data")
    if not all(isinstance(one, str | int | float | bool | None) for one in (*values, *named.values())):
        raise refused
    try:
        fields = list(string.Formatter().parse(text))
        for _, field, spec, conversion in fields:
            if field is None:
                continue
            if not re.fullmatch(r"\w*", field) or re.search(r"\d{4,}|\{", spec or "") or conversion:
                raise refused
        return str(checked(text.format(*values, **named), line))
    except (LookupError, ValueError, TypeError) as error:
        raise NotData(line, f"this formatted text cannot be worked out: {error}") from None
