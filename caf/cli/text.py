"""Text for people: tables as wide as the terminal, relative times, and nothing in it that a terminal would obey."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from caf.cli.colours import coloured as coloured
from caf.cli.colours import uncoloured
from caf.wording import NO_BREAK as NO_BREAK
from caf.wording import ago as ago
from caf.wording import counted as counted
from caf.wording import filled
from caf.wording import harmless as harmless
from caf.wording import iso as iso
from caf.wording import span as span
from caf.wording import unbroken as unbroken

WIDTH = 80  # of a terminal that does not say, and of sentences that go elsewhere
_LONGEST_LINE = 100  # a longer one is hard to read
_LEAST = 8  # a column is not cut to less
_READABLE = 40  # a sentence that is cut to less says little: better to leave another column out


def width(text: str) -> int:
    """Count the columns that a text takes."""
    if text.isascii():
        return len(text)
    import unicodedata

    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def columns() -> int | None:
    """Give the terminal's width; None where the answer goes into a pipe or a file."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size((WIDTH, 24)).columns


def shown(value: object) -> str:
    """Give a value of a run or a job for people."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(shown(one) for one in value)
    return harmless(value)


def print_json(value: Any) -> None:
    """Print an object; all that is not ASCII is escaped, so that a terminal obeys nothing in it."""
    import json

    print(json.dumps(value, indent=2))


def print_array(values: Iterable[Any]) -> None:
    """Print objects as one array, an object a line, as they come."""
    import json

    first = True
    for value in values:
        print("[" if first else ",", end="\n ")
        print(json.dumps(value), end="")
        first = False
    print("[]" if first else "\n]")


class Tinted(NamedTuple):
    """A cell of a table in a colour."""

    value: object
    colour: str | None


Cell = tuple[str, str | None]


class Table:
    """Rows under headings, columns as wide as what they hold.

    Where a line would be longer than the terminal those named in `soft` are cut, the widest first; names and numbers
    that somebody may want to type are never cut. In a pipe or a file nothing is, for there it is searched or read by
    a program. Where `soft` columns would be cut to little those in `spare`, which they imply, are left out. What is
    counted stands in `numbers`, to the right. Rows may come in pages: columns only ever grow.
    """

    def __init__(
        self, headings: Sequence[str], soft: Sequence[str] = (), spare: Sequence[str] = (), numbers: Sequence[str] = ()
    ) -> None:
        self._headings: list[Cell] = [(heading, None) for heading in headings]
        self._soft, self._spare, self._right = (
            {place for place, heading in enumerate(headings) if heading in named} for named in (soft, spare, numbers)
        )
        self._kept = list(range(len(headings)))
        self._widths = [len(heading) for heading in headings]
        self._begun = False

    def show(self, rows: Iterable[Sequence[object]]) -> None:
        """Print rows, after the headings if these are the first."""
        for line in self.lines(rows):
            print(line)

    def lines(self, rows: Iterable[Sequence[object]]) -> Iterator[str]:
        """Give the lines of some rows, after the headings if these are the first."""
        cells = [[_cell(value) for value in row] for row in rows]
        for row in cells:
            self._widths = [max(known, width(text)) for known, (text, _) in zip(self._widths, row, strict=True)]
        room = columns()
        if not self._begun and room is not None and self._needed() > room:
            self._kept = [place for place in self._kept if place not in self._spare]
        widths = self._fitted(room)
        if not self._begun and cells:
            yield self._line(self._headings, widths)
            self._begun = True
        for row in cells:
            yield self._line(row, widths)

    def _needed(self) -> int:
        """Count the columns of a line in which all that is cut can still be read."""
        least = (min(size, _READABLE) if place in self._soft else size for place, size in enumerate(self._widths))
        return sum(least) + 2 * (len(self._widths) - 1)

    def _fitted(self, room: int | None) -> list[int]:
        widths = list(self._widths)
        while room is not None and sum(widths[place] for place in self._kept) + 2 * (len(self._kept) - 1) > room:
            widest = max(self._soft.intersection(self._kept), key=lambda place: widths[place], default=None)
            if widest is None or widths[widest] <= _LEAST:
                break
            widths[widest] -= 1
        return widths

    def _line(self, cells: Sequence[Cell], widths: Sequence[int]) -> str:
        padded = []
        for place in self._kept:
            (text, colour), size = cells[place], widths[place]
            text = text if width(text) <= size else _cut(text, size)
            blanks = " " * (size - width(text))
            text = coloured(text, colour)
            padded.append(blanks + text if place in self._right else text + blanks)
        return "  ".join(padded).rstrip()


def _cell(value: object) -> Cell:
    return (shown(value.value), value.colour) if isinstance(value, Tinted) else (shown(value), None)


def _cut(text: str, size: int) -> str:
    text = text[:size]
    while width(text) > size - 3:
        text = text[:-1]
    return text + "..."


def wrapped(text: str, first: str, rest: str) -> str:
    """Break a long line at blanks; no word is broken, for somebody may want to copy it."""
    return filled(text, first, rest, min(columns() or WIDTH, _LONGEST_LINE))


def broken(line: str, room: int) -> list[str]:
    """Break a line that is longer where a terminal would, so that lines can be counted; it loses its colours."""
    plain = uncoloured(line)
    if width(plain) <= room:
        return [line]
    pieces = [""]
    for letter in plain:
        if width(pieces[-1]) + width(letter) > room:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def say(text: str) -> None:
    """Print a sentence: in a terminal broken at blanks, into a pipe or a file as the one line that it is."""
    print(text.replace(NO_BREAK, " ") if columns() is None else wrapped(text, first="", rest="  "))


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, the values in one column; a long value is not cut, but broken in a terminal."""
    known = [(name, *_cell(value)) for name, value in pairs]
    size = max((len(name) for name, _, _ in known), default=0)
    for name, value, colour in known:
        if columns() is None:
            print(f"{name:<{size}}  {value}".rstrip())
        else:
            text = wrapped(value, f"{name:<{size}}  ", " " * (size + 2))
            print(text.replace(value, coloured(value, colour)) if colour is not None else text)


def none(what: str) -> None:
    """Say to a person that a list is empty; into a pipe or a file nothing goes, for there lines are counted."""
    if columns() is not None:
        print(f"no {what}")


def warn(message: str) -> None:
    """Say something beside the answer, on standard error."""
    print(f"caf: {message}", file=sys.stderr)
