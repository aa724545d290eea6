"""Where a key stands in a TOML text: tomllib gives values without positions, and an operator wants the line.

The scanner follows the text only as far as is needed to know which key a line belongs to. It is meant for text that
tomllib has accepted, and for the accepted part before a duplicate key; anything else ends it early.
"""

import re
import tomllib

Key = tuple[str | int, ...]
"""The way to a value: names of tables and keys, and the place (from 0) in an array."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_OTHER = re.compile(r"[^,\]}#\n]*")  # a number, a truth value or a time


class Lines:
    """The line of each key, table and array element of a TOML text."""

    def __init__(self, text: str) -> None:
        self._first: dict[Key, int] = {}
        self._headers: dict[Key, int] = {}
        self.duplicate: tuple[Key, int, int] | None = None
        """The first key or table that is given twice: its path, the line where, the line of the first."""
        scanner = _Scanner(text, self)
        try:
            scanner.document()
        except (_Unexpected, RecursionError):
            return

    def of(self, key: Key) -> int:
        """Give the line (from 1) of a key; where it is missing, that of the nearest table around it."""
        for length in range(len(key), 0, -1):
            line = self._headers.get(key[:length], self._first.get(key[:length]))
            if line is not None:
                return line
        return 1

    def note(self, key: Key, line: int, *, header: bool) -> None:
        """Remember where a key is given. A table's header stands for it even where a sub-table came before."""
        seen = self._headers if header else self._first
        if key in seen and self.duplicate is None:
            self.duplicate = (key, line, seen[key])
        seen.setdefault(key, line)

    def note_around(self, key: Key, line: int) -> None:
        """Remember the tables that a dotted name opens without a header of their own."""
        for length in range(1, len(key)):
            self._first.setdefault(key[:length], line)


class _Unexpected(Exception):
    """The text is no TOML from here on."""


class _Scanner:
    def __init__(self, text: str, lines: Lines) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._lines = lines
        self._arrays: dict[Key, int] = {}  # for each array of tables the place of its last one

    def document(self) -> None:
        table: Key = ()
        while True:
            self._skip(_BLANK)
            if self._at >= len(self._text):
                return
            table = self._header() if self._peek() == "[" else self._pair(table)

    def _header(self) -> Key:
        line = self._line
        array = self._text.startswith("[[", self._at)
        self._take("[[" if array else "[")
        names = self._dotted()
        self._take("]]" if array else "]")
        table: Key = ()
        for name in names[:-1]:
            table = self._within((*table, name))
        table = (*table, names[-1])
        self._lines.note_around(table, line)
        if array:
            self._arrays[table] = self._arrays.get(table, -1) + 1
            self._lines.note_around((*table, 0), line)
            table = self._within(table)
        self._lines.note(table, line, header=True)
        return table

    def _within(self, table: Key) -> Key:
        """Give the last element of an array of tables, which is what a header under it speaks of."""
        return (*table, self._arrays[table]) if table in self._arrays else table

    def _pair(self, table: Key) -> Key:
        line = self._line
        names = self._dotted()
        self._take("=")
        key = (*table, *names)
        self._lines.note_around(key, line)
        self._lines.note(key, line, header=False)
        self._skip(_SPACE)
        self._value(key)
        return table

    def _value(self, key: Key) -> None:
        opening = self._peek()
        if opening == "[":
            self._array(key)
        elif opening == "{":
            self._inline_table(key)
        elif opening in ("'", '"'):
            self._skip(_STRING, needed=True)
        else:
            self._skip(_OTHER, needed=True)

    def _array(self, key: Key) -> None:
        self._take("[")
        place = 0
        while True:
            self._skip(_BLANK)
            if self._peek() == "]":
                return self._take("]")
            self._lines.note((*key, place), self._line, header=False)
            self._value((*key, place))
            place += 1
            self._skip(_BLANK)
            if self._peek() != "]":
                self._take(",")

    def _inline_table(self, key: Key) -> None:
        self._take("{")
        self._skip(_BLANK)
        while self._peek() != "}":
            self._pair(key)
            self._skip(_BLANK)
            if self._peek() != "}":
                self._take(",")
                self._skip(_BLANK)
        self._take("}")

    def _dotted(self) -> list[str]:
        names = [self._name()]
        while self._peek() == ".":
            self._take(".")
            names.append(self._name())
        return names

    def _name(self) -> str:
        self._skip(_SPACE)
        quoted = self._peek() in ("'", '"')
        name = self._skip(_STRING if quoted else _BARE, needed=True)
        self._skip(_SPACE)
        if not quoted:
            return name
        try:
            return str(tomllib.loads(f"name = {name}")["name"])
        except ValueError as error:
            raise _Unexpected from error

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, expected: str) -> None:
        if not self._text.startswith(expected, self._at):
            raise _Unexpected
        self._at += len(expected)

    def _skip(self, pattern: re.Pattern[str], *, needed: bool = False) -> str:
        found = pattern.match(self._text, self._at)
        if found is None or (needed and not found.group()):
            raise _Unexpected
        self._line += found.group().count("\n")
        self._at = found.end()
        return found.group()
