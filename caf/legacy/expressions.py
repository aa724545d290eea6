"""Expressions of an old configuration, worked out without running it.

Only what has a value by itself is: constants, lists and dictionaries, sums of text, names given before, and the few
functions of `calls`. Every result is held to a size, for a file may be hostile.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from caf.legacy.calls import call, checked, dotted, formatted_percent, placeholder
from caf.legacy.values import LOST, NotData, Problem, Table, Unread

_WIDEST = 512  # bits of a number: a mask has 128


class Evaluator:
    """Works out expressions of one file; what is not plain data inside of a collection is noted and left out."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.names: dict[str, Any] = {}
        self.imported: set[str] = set()
        self.problems: list[Problem] = []

    def note(self, line: int, what: str) -> None:
        """Note that something was not understood."""
        problem = Problem(self.file, line, what)
        if problem not in self.problems:
            self.problems.append(problem)

    def soft(self, node: ast.expr) -> Any:
        """Work out an element of something larger: the rest of that stays readable without it."""
        try:
            return self.value(node)
        except NotData as error:
            self.note(error.line, error.what)
            return Unread(error.line)

    def value(self, node: ast.expr) -> Any:
        """Work out an expression. NotData says what it is instead, and in which line."""
        match node:
            case ast.Constant(value=bytes() as data):
                return data.decode("utf-8", "replace")
            case ast.Constant(value=str() | int() | float() | None as value):
                return checked(value, node.lineno)
            case ast.Name():
                return self._named(node)
            case ast.List() | ast.Tuple() | ast.Set():
                found = self._elements(node.elts)
                return tuple(found) if isinstance(node, ast.Tuple) else found
            case ast.Dict():
                return self._table(node)
            case ast.BinOp():
                return self._sum(node)
            case ast.UnaryOp():
                return self._sign(node)
            case ast.JoinedStr():
                return self._joined(node)
            case ast.Subscript():
                return self._element(node)
            case ast.Attribute():
                return self._attribute(node)
            case ast.Call():
                return call(self, node)
        raise NotData(node.lineno, f"{_WHAT.get(type(node), 'this')} is not plain data")

    def _named(self, node: ast.Name) -> Any:
        if node.id in self.names:
            value = self.names[node.id]
            if isinstance(value, Unread):
                raise NotData(node.lineno, f"{node.id} could not be read (line {value.line})")
            return value
        if node.id in self.imported:
            raise NotData(node.lineno, f"{node.id} comes from another file, which is not read")
        raise NotData(node.lineno, f"{node.id} has no value in this file")

    def _elements(self, nodes: list[ast.expr]) -> list[Any]:
        found: list[Any] = []
        for one in nodes:
            if isinstance(one, ast.Starred):
                inner = self.soft(one.value)
                found += inner if isinstance(inner, list | tuple) else [inner]
            else:
                found.append(self.soft(one))
        return found

    def _table(self, node: ast.Dict) -> Table:
        table = Table(self.file, node.lineno)
        for key, given in zip(node.keys, node.values, strict=True):
            if key is None:
                table.take(self.soft(given), given.lineno)
                continue
            name = self.soft(key)
            if isinstance(name, str | int | float | bool | None):
                table.put(name, self.soft(given), key.lineno)
            else:
                self.note(key.lineno, "the key of this entry is not a text: left out")
                table.put(LOST, Unread(key.lineno), key.lineno)
        return table

    def _sum(self, node: ast.BinOp) -> Any:
        left, right = self.value(node.left), self.value(node.right)
        line = node.lineno
        match node.op, left, right:
            case ast.Add(), str(), str():
                return checked(left + right, line)
            case (ast.Add(), list(), list()) | (ast.Add(), tuple(), tuple()):
                return checked(left + right, line)
            case ast.Mod(), str(), _:
                return formatted_percent(left, right, line)
            case ast.Mult(), str() | list(), int() if len(left) * right <= 10_000:
                return left * right
        number = _NUMBERS.get(type(node.op))
        if number is None or not all(isinstance(one, int | float) for one in (left, right)):
            raise NotData(line, "this sum is not plain data")
        wide = isinstance(node.op, ast.LShift) and not 0 <= right <= _WIDEST
        if wide or any(isinstance(one, int) and one.bit_length() > _WIDEST for one in (left, right)):
            raise NotData(line, "this number is too large")
        try:
            return number(left, right)
        except (ArithmeticError, TypeError, ValueError) as error:
            raise NotData(line, f"this cannot be worked out: {error}") from None

    def _sign(self, node: ast.UnaryOp) -> Any:
        value = self.value(node.operand)
        if isinstance(node.op, ast.Not) and isinstance(value, bool | int | str):
            return not value
        if isinstance(value, int | float) and isinstance(node.op, ast.USub | ast.UAdd):
            return -value if isinstance(node.op, ast.USub) else value
        raise NotData(node.lineno, "this is not plain data")

    def _joined(self, node: ast.JoinedStr) -> str:
        text = ""
        for part in node.values:
            plain = isinstance(part, ast.FormattedValue) and part.format_spec is None and part.conversion == -1
            if not plain and not isinstance(part, ast.Constant):
                raise NotData(node.lineno, "this formatted text is not plain data")
            value = self.value(part.value if isinstance(part, ast.FormattedValue) else part)
            if not isinstance(value, str | int | float | bool):
                raise NotData(node.lineno, "this formatted text is not plain data")
            text = checked(text + str(value), node.lineno)
        return text

    def _element(self, node: ast.Subscript) -> Any:
        if dotted(node.value) in {"os.environ", "environ"}:
            name = self.value(node.slice)
            if isinstance(name, str):
                return placeholder(name)
        container, key = self.value(node.value), self.value(node.slice)
        try:
            value = container[key] if isinstance(container, dict | list | tuple | str) else Unread(node.lineno)
        except (LookupError, TypeError):
            raise NotData(node.lineno, "this refers to an entry that is not there") from None
        if isinstance(value, Unread):
            raise NotData(node.lineno, f"this refers to what could not be read (line {value.line})")
        return value

    def _attribute(self, node: ast.Attribute) -> Any:
        owner = self.value(node.value)
        if isinstance(owner, Table) and node.attr in owner and not isinstance(owner[node.attr], Unread):
            return owner[node.attr]
        raise NotData(node.lineno, f"{dotted(node) or 'this'} has no value in this file")


_NUMBERS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.BitXor: operator.xor,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}

_WHAT = {
    ast.ListComp: "a comprehension",
    ast.SetComp: "a comprehension",
    ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.IfExp: "a conditional",
    ast.BoolOp: "a conditional",
    ast.Compare: "a comparison",
    ast.Lambda: "a function",
    ast.Await: "a function call",
}
