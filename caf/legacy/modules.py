"""An old file as the values of its names: assignments are followed, everything else is told."""

import ast
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caf.domain.errors import ConfigError
from caf.legacy.calls import checked, dotted
from caf.legacy.expressions import Evaluator
from caf.legacy.mending import parse
from caf.legacy.values import LOST, NotData, Problem, Table, Unread

LARGEST = 1_000_000  # bytes


@dataclass(frozen=True, slots=True)
class Module:
    """What one file holds: a value for each name that has one, and what was not understood."""

    file: str
    names: Table
    problems: list[Problem]
    text: str
    torn: bool = False  # some of its lines are no Python: what stood there may have been a part of anything


def read(path: Path) -> Module:
    """Read a file without running anything of it. ConfigError where it cannot be read at all."""
    try:
        if path.stat().st_size > LARGEST:
            raise ConfigError(f"{path}: is too large for a configuration: name the old system's own file")
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}; name the old system's file") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # as Python 2 files often were
    return read_text(text, path.name)


def read_text(text: str, file: str) -> Module:
    """Read the text of a file; `file` is its name, for messages."""
    mended = parse(text, file)
    tree, problems = mended.tree, mended.problems
    walker = _Walker(file)
    try:
        for statement in tree.body if tree is not None else ():
            walker.statement(statement, walker.top)
    except RecursionError:
        problems.append(Problem(file, 0, "has brackets too deep within each other: it was read only in part"))
    return Module(file, walker.top, problems + walker.evaluator.problems, text, mended.torn)


class _Walker:
    """Follows the statements of one file in their order."""

    def __init__(self, file: str) -> None:
        self.evaluator = Evaluator(file)
        self.top = Table(file, 1)
        self.evaluator.names = self.top

    def statement(self, node: ast.stmt, scope: Table) -> None:
        try:
            self._statement(node, scope)
        except NotData as error:
            self.evaluator.note(error.line, error.what)

    def _statement(self, node: ast.stmt, scope: Table) -> None:
        match node:
            case ast.Assign(targets=targets, value=given):
                value = self._value(given)
                for target in targets:
                    self._assign(target, value, scope)
            case ast.AnnAssign(target=target, value=ast.expr() as given):
                self._assign(target, self._value(given), scope)
            case ast.AugAssign(op=ast.Add()):
                self._add(node, scope)
            case ast.Expr(value=ast.Call() as call):
                self._call(call)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                self.evaluator.imported |= {(name.asname or name.name).partition(".")[0] for name in names}
            case ast.ClassDef():
                self._class(node, scope)
            case ast.Pass() | ast.AnnAssign() | ast.Expr(value=ast.Constant()) | ast.Global():
                pass
            case _ if not _idle(node):
                self.evaluator.note(node.lineno, f"{_WHAT.get(type(node), 'this')} is not plain data: left out")
                self._doubt(node)

    def _value(self, node: ast.expr) -> Any:
        """Work out what a name is given; what is not plain data is noted, and the name remembered all the same."""
        value = self.evaluator.soft(node)
        if isinstance(value, Table):
            value.line = node.lineno
        return value

    def _assign(self, target: ast.expr, value: Any, scope: Table) -> None:
        match target:
            case ast.Name(id=name):
                scope.put(name, value, target.lineno)
            case ast.Subscript(value=owner, slice=key):
                table, name = self._owner(owner, scope), self.evaluator.value(key)
                if not isinstance(table, Table) or not isinstance(name, str | int):
                    raise NotData(target.lineno, "what this is assigned to is not plain data")
                table.put(name, value, target.lineno)
            case ast.Attribute(value=owner, attr=name):
                table = self._owner(owner, scope)
                if not isinstance(table, Table):
                    raise NotData(target.lineno, "what this is assigned to is not plain data")
                table.put(name, value, target.lineno)
            case ast.Tuple(elts=names) if isinstance(value, list | tuple) and len(value) == len(names):
                for one, part in zip(names, value, strict=True):
                    self._assign(one, part, scope)
            case _:
                raise NotData(target.lineno, "what this is assigned to is not plain data")

    def _owner(self, node: ast.expr, scope: Table) -> Any:
        """Give what is assigned into; a name that there is not yet becomes a table, for the old files imported some."""
        if isinstance(node, ast.Name):
            if node.id == "self":
                return scope
            if node.id not in self.top:
                self.top.put(node.id, Table(self.top.file, node.lineno), node.lineno)
            return self.top[node.id]
        if isinstance(node, ast.Attribute | ast.Subscript):
            owner = self._owner(node.value, scope)
            key = node.attr if isinstance(node, ast.Attribute) else self.evaluator.value(node.slice)
            if isinstance(owner, Table) and isinstance(key, str | int):
                if key not in owner:
                    owner.put(key, Table(self.top.file, node.lineno), node.lineno)
                return owner[key]
        return self.evaluator.value(node)

    def _add(self, node: ast.AugAssign, scope: Table) -> None:
        """Follow x += y, wherever x stands."""
        target = node.target
        local = isinstance(target, ast.Name) and target.id in scope
        before = scope[dotted(target)] if local else self.evaluator.value(target)
        both = (before, self.evaluator.value(node.value))
        if all(isinstance(one, str) for one in both) or all(isinstance(one, list) for one in both):
            self._assign(target, checked(both[0] + both[1], node.lineno), scope)
        else:
            raise NotData(node.lineno, "this sum is not plain data")

    def _call(self, node: ast.Call) -> None:
        """Follow x.append(...), x.extend([...]) and x.update({...}); no other call is followed."""
        name = dotted(node.func)
        if name.startswith("sys.path."):
            return
        unknown = NotData(node.lineno, f"a function call ({name or 'of an expression'}) is not plain data: left out")
        function = node.func
        if not isinstance(function, ast.Attribute) or name.partition(".")[0] not in {*self.top, ""}:
            raise unknown
        owner = self.evaluator.value(function.value)
        if function.attr in {"append", "extend"} and isinstance(owner, list) and len(node.args) == 1:
            given = self.evaluator.soft(node.args[0])
            checked(owner, node.lineno)
            if function.attr == "append":
                owner.append(given)
            elif isinstance(given, list | tuple) and given is not owner:
                owner += given
        elif function.attr == "update" and isinstance(owner, Table):
            for argument in node.args:
                owner.take(self.evaluator.soft(argument), node.lineno)
            for keyword in node.keywords:
                if keyword.arg is not None:
                    owner.put(keyword.arg, self.evaluator.soft(keyword.value), keyword.lineno)
        else:
            raise unknown

    def _doubt(self, node: ast.stmt) -> None:
        """Know no more what a statement that is left out would have changed: a table keeps that it lost something."""
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return
        for inner in ast.walk(node):
            if isinstance(inner, ast.Assign | ast.Delete):
                for target in inner.targets:
                    self._lose(target, inner.lineno)
            elif isinstance(inner, ast.AugAssign | ast.AnnAssign | ast.For):
                self._lose(inner.target, inner.lineno)
            elif isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute):
                self._lose(inner.func.value, inner.lineno)

    def _lose(self, target: ast.expr, line: int) -> None:
        value: Any = None
        owner = target.value if isinstance(target, ast.Subscript | ast.Attribute) else target
        with suppress(NotData):
            value = self.evaluator.value(owner)
        if isinstance(value, Table):
            value.put(LOST, Unread(line), line)
        elif isinstance(value, list):
            value.append(Unread(line))
        elif isinstance(target, ast.Name) and target.id in self.top:
            self.top.put(target.id, Unread(line), line)

    def _class(self, node: ast.ClassDef, scope: Table) -> None:
        inner = Table(self.top.file, node.lineno)
        for base in node.bases:
            parent = self.top.get(dotted(base))
            if isinstance(parent, Table):
                inner.update(parent)
                inner.lines.update(parent.lines)
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
                for line in statement.body:
                    self.statement(line, inner)
            else:
                self.statement(statement, inner)
        scope.put(node.name, inner, node.lineno)


def _idle(node: ast.stmt) -> bool:
    """Tell of a conditional whether it has nothing to say: it only imports, or is there for who runs the file."""
    if isinstance(node, ast.If) and "__name__" in ast.dump(node.test):
        return True
    inner = [child for child in ast.walk(node) if isinstance(child, ast.stmt) and child is not node]
    return isinstance(node, ast.Try | ast.If) and all(
        isinstance(c, ast.Import | ast.ImportFrom | ast.Pass) for c in inner
    )


_WHAT = {
    ast.If: "a conditional",
    ast.For: "a loop",
    ast.While: "a loop",
    ast.FunctionDef: "a function",
    ast.AsyncFunctionDef: "a function",
    ast.With: "a with statement",
    ast.Try: "a try statement",
    ast.Delete: "a del statement",
    ast.AugAssign: "this change of a value",
    ast.Expr: "this expression",
}
