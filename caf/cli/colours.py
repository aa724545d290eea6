"""What a colour means, wherever caf uses one: red is bad, yellow wants a look, green is good, dim is over.

A terminal shows them; a pipe, a file, $NO_COLOR and a terminal that has none (TERM=dumb) do not. Nothing is said by
colour alone.
"""

import os
import sqlite3
import sys

BAD, LOOK, GOOD, OVER = "red", "yellow", "green", "dim"
_CODES = {BAD: "31", LOOK: "33", GOOD: "32", OVER: "2"}
"""What follows ESC [ (ECMA-48, SGR): of the palette that the terminal has, and faint."""

STATES = {
    "FAILED": BAD,
    "WAITING": LOOK,
    "DONE": GOOD,
    "REJECTED": OVER,
    "CANCELLED": OVER,
    "CONFLICT": LOOK,
    "ACCEPTED": GOOD,
    "UNCLAIMED": OVER,
    "IGNORED": OVER,
}
"""Of jobs and of runs; the other states take care of themselves, and have none."""
LEVELS = {"debug": OVER, "warning": LOOK, "error": BAD, "critical": BAD}
"""Of what was logged."""
ANSWERS = {"ok": GOOD, "NO": BAD, "BAD": BAD, "??": LOOK, "few": LOOK, "warn": LOOK, "note": OVER}
"""Of `caf listeners explain` and of `caf check`."""
MARKS = {"good": GOOD, "bad": BAD}
"""Of a result that a person has looked at."""


def of_job(row: sqlite3.Row) -> str | None:
    """Give the colour of a job's state, with what else is known of it: a doubt, a mark, that a failure was seen."""
    if row["unknown_since"] is not None:
        return LOOK
    if row["state"] == "FAILED" and row["acknowledged"]:
        return OVER
    return MARKS.get(row["mark"]) or STATES.get(row["state"])


def of_result(result: str | None) -> str | None:
    """Give the colour of a result: of an attempt, or of a job."""
    return None if result is None else GOOD if result == "ok" else BAD


def wanted() -> bool:
    """Tell whether colours are wanted where the answer goes."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def uncoloured(text: str) -> str:
    """Give a text without its colours, of which something may have to be counted."""
    for code in _CODES.values():
        text = text.replace(f"\x1b[{code}m", "")
    return text.replace("\x1b[0m", "")


def coloured(text: str, colour: str | None) -> str:
    """Colour a text, where colours are wanted."""
    return text if colour is None or not text or not wanted() else f"\x1b[{_CODES[colour]}m{text}\x1b[0m"
