"""What became of attempts' working areas: there, pinned, being removed, or gone, with when and why."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from caf.cli.text import ago, iso
from caf.domain.accounts import Counts
from caf.domain.cleaning import reads_as
from caf.store.pins import Pin


def gone(row: sqlite3.Row, now: float) -> str | None:
    """Say of an area that it is gone, or going, since when and why; None if it is there."""
    if row["removed"] is None and row["begun"] is None:
        return None
    size = f", {reads_as(Counts.DISK, row['disk'])}, {reads_as(Counts.FILES, row['files'])}" if row["weighed"] else ""
    how = f"was removed {ago(row['removed'], now)}" if row["removed"] is not None else "is being removed"
    kept = f"; it is archived in {row['archive']}" if row["archive"] is not None else ""
    return f"Working area {row['attempt']} {how}{size}: {row['why']}{kept}"


def lines(rows: Sequence[sqlite3.Row], pin: Pin | None, now: float) -> list[str]:
    """Give a line for each area that is gone, and one for what could not be done, and one for a pin."""
    found = [text for row in rows if (text := gone(row, now)) is not None]
    found += [
        f"Working area {row['attempt']} could not be weighed or removed: {row['error']}"
        for row in rows
        if row["error"] is not None and row["removed"] is None
    ]
    if pin is not None:
        until = str(iso(pin.until))[:16].replace("T", " ")
        found.append(f"Its working areas stay until {until} UTC, pinned by {pin.who}: {pin.reason}")
    return found


def of_attempt(rows: Sequence[sqlite3.Row], attempt: int) -> dict[str, Any]:
    """Give what is known of an attempt's area, for JSON."""
    found = next((row for row in rows if row["attempt"] == attempt), None)
    if found is None:
        return {"bytes": None, "files": None, "removed": None, "removed_why": None}
    why = found["why"] if found["removed"] is not None else None
    return {"bytes": found["sizes"], "files": found["files"], "removed": iso(found["removed"]), "removed_why": why}


def pin_object(pin: Pin | None) -> dict[str, Any] | None:
    """Give a pin, for JSON."""
    return None if pin is None else {"until": iso(pin.until), "who": pin.who, "reason": pin.reason}


def where(rows: Sequence[sqlite3.Row], attempt: int, otherwise: str, now: float) -> str:
    """Say where an attempt's files are; `otherwise` if they are there."""
    for row in rows:
        if row["attempt"] == attempt and (text := gone(row, now)) is not None:
            return text[0].lower() + text[1:]
    return otherwise
