"""Values of an old configuration, as far as they can be known without running it."""

from dataclasses import dataclass
from typing import Any

PLACEHOLDER = "FILL_IN_"
"""Begins the word that stands for what only the old machine's environment knew: $HOME becomes FILL_IN_HOME."""


LOST = "what could not be read"
"""The key under which a table keeps that something is missing from it."""


class NotData(Exception):
    """What stands in a line is not plain data, and why."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line
        self.what = what


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that was not translated, or that a person must look at."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}" if self.line else f"{self.file}: {self.what}"


@dataclass(frozen=True, slots=True)
class Unread:
    """Stands for a value that is not plain data; a Problem has been noted for it already."""

    line: int


class Table(dict[Any, Any]):
    """A dictionary, or a class with its attributes, that remembers the line of each key and where it was read."""

    def __init__(self, file: str, line: int) -> None:
        super().__init__()
        self.file = file
        self.line = line
        self.lines: dict[Any, int] = {}

    def put(self, key: Any, value: Any, line: int) -> None:
        """Set a key, and remember where."""
        self[key] = value
        self.lines[key] = line

    def take(self, other: object, line: int) -> None:
        """Add the entries of another one; remember a loss where it is none."""
        if isinstance(other, Table):
            self.update(other)
            self.lines.update(other.lines)
        else:
            self.put(LOST, Unread(line), line)

    def line_of(self, key: Any) -> int:
        """Give the line of a key."""
        return self.lines.get(key, self.line)

    def twin(self, line: int) -> "Table":
        """Give a copy, as dict(x) and x.copy() do."""
        other = Table(self.file, line)
        other.update(self)
        other.lines.update(self.lines)
        return other


def word_set(text: str) -> frozenset[str]:
    """Give the words of a text."""
    return frozenset(text.split())


def brief(value: object, room: int = 60) -> str:
    """Give a value as Python would write it, cut to what fits in a line. A value may hold itself."""
    import reprlib  # only for messages

    shortened = reprlib.Repr()
    shortened.maxstring = shortened.maxother = room
    text = " ".join(shortened.repr(value).split())
    return text if len(text) <= room else text[: room - 3] + "..."


def texts(value: object) -> list[str] | None:
    """Give a text, or a list of them, as a list without empty ones; None where it is anything else."""
    if value is None or value is False:
        return []
    if isinstance(value, str):
        return [value.strip()] if value.strip() else []
    if isinstance(value, list | tuple | set) and all(isinstance(one, str) for one in value):
        found = sorted(value) if isinstance(value, set) else list(value)
        return list(dict.fromkeys(one.strip() for one in found if one.strip()))
    return None


def truth(value: object) -> bool | None:
    """Give what a flag means: a bool, a number, "True", "no"; None where it is anything else."""
    if value is None or isinstance(value, bool | int):
        return bool(value)
    if isinstance(value, str):
        word = value.strip().lower()
        if word in {"", "false", "no", "0", "off", "none"}:
            return False
        if word in {"true", "yes", "1", "on"}:
            return True
    return None


def whole(value: object) -> int | None:
    """Give a whole number, from text too ("1700", "0x7c"); None where it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str):
        try:
            return int(value.strip(), 0)
        except ValueError:
            return int(value) if value.strip().isascii() and value.strip().isdigit() and len(value) < 40 else None
    return None
