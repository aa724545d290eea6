"""Text for people: tables of 80 columns, relative times, and nothing in it that a terminal would obey."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from caf.domain.runs import SECOND, iso_time

WIDTH = 80
_NO_BREAK = "\xa0"
_LEAST = 8  # a column is not cut to less
_STEPS = ((86_400.0 * 365, "y"), (86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def harmless(text: object) -> str:
    """Replace what a terminal would act on, or what would hide text: control, format and unassigned characters."""
    given = str(text)
    return given if given.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in given)


def width(text: str) -> int:
    """Count the columns that a text takes."""
    if text.isascii():
        return len(text)
    import unicodedata

    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def span(seconds: float) -> str:
    """Give a time span in its largest unit: 3 min, 2 h."""
    for size, unit in _STEPS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "0 s"


def ago(moment: float | None, now: float) -> str:
    """Give a moment (s since 1970) as people say it."""
    if moment is None:
        return "never"
    if abs(now - moment) < 1:
        return "now"
    return f"{span(now - moment)} ago" if moment < now else f"in {span(moment - now)}"


def iso(moment: float | None) -> str | None:
    """Give a moment of caf's own doings (s since 1970) for JSON."""
    return None if moment is None else iso_time(int(moment * SECOND))


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


class Table:
    """Rows under headings, columns as wide as what they hold.

    Where a line would be longer than 80 columns those named in `soft` are cut, the widest first; names and numbers
    that somebody may want to type are never cut. Rows may come in pages: columns only ever grow.
    """

    def __init__(self, headings: Sequence[str], soft: Sequence[str] = ()) -> None:
        self._headings = list(headings)
        self._soft = [place for place, heading in enumerate(headings) if heading in soft]
        self._widths = [len(heading) for heading in headings]
        self._begun = False

    def show(self, rows: Iterable[Sequence[object]]) -> None:
        """Print rows, after the headings if these are the first."""
        cells = [[shown(value) for value in row] for row in rows]
        for row in cells:
            self._widths = [max(known, width(cell)) for known, cell in zip(self._widths, row, strict=True)]
        widths = self._fitted()
        if not self._begun and cells:
            print(_line(self._headings, widths))
            self._begun = True
        for row in cells:
            print(_line(row, widths))

    def _fitted(self) -> list[int]:
        widths = list(self._widths)
        while sum(widths) + 2 * (len(widths) - 1) > WIDTH:
            widest = max(self._soft, key=lambda place: widths[place], default=None)
            if widest is None or widths[widest] <= _LEAST:
                break
            widths[widest] -= 1
        return widths


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = []
    for cell, size in zip(cells, widths, strict=True):
        text = cell if width(cell) <= size else _cut(cell, size)
        padded.append(text + " " * (size - width(text)))
    return "  ".join(padded).rstrip()


def _cut(text: str, size: int) -> str:
    text = text[:size]
    while width(text) > size - 3:
        text = text[:-1]
    return text + "..."


def wrapped(text: str, first: str, rest: str) -> str:
    """Break a long line at blanks; no word is broken, for somebody may want to copy it."""
    import textwrap

    lines = textwrap.fill(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    return lines.replace(_NO_BREAK, " ")


def unbroken(command: str) -> str:
    """Quote a command so that `wrapped` leaves it on one line."""
    return f"`{command.replace(' ', _NO_BREAK)}`"


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, the values in one column; a long value is not cut."""
    known = [(name, shown(value)) for name, value in pairs]
    size = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        print(f"{name:<{size}}  {value}".rstrip())


def warn(message: str) -> None:
    """Say something beside the answer, on standard error."""
    print(f"caf: {message}", file=sys.stderr)
