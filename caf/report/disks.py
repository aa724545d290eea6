"""How full the disks are, as the page draws them: how it has been going, and how it will as things go."""

import sqlite3
from pathlib import Path
from typing import Any

from caf.domain.accounts import Counts, Use, Weight
from caf.domain.cleaning import reads_as
from caf.domain.forecast import DAY
from caf.report.lists import second
from caf.store import quota, removals
from caf.store.quota import Standing
from caf.wording import span

PAST, AHEAD = 30 * DAY, 14 * DAY  # s that are drawn
MOST = 200  # points of the past


def database_disk(folder: Path, used: int, size: int) -> dict[str, Any]:
    """Give the disk of the database."""
    return {"place": "state", "title": "Where the database is", "path": str(folder), "used": used, "size": size}


def working_areas(conn: sqlite3.Connection) -> list[dict[str, Any]]:
    """Give each limit of the working areas' account; none where cleaning is off."""
    known = quota.standing(conn)
    if known is None or known.account is None:
        return []
    limited = [use for use in known.account.uses if use.used is not None and use.limit]
    freed = Weight() if known.measured is None else removals.freed_since(conn, known.measured)
    return [_limit(conn, known, use, freed) for use in limited]


def _limit(conn: sqlite3.Connection, known: Standing, use: Use, freed: Weight) -> dict[str, Any]:
    points = quota.points(conn, use, known.at - PAST)
    points = points[:: max(1, len(points) // MOST)]
    return {
        "place": use.of,
        "title": f"Working areas: {'files of ' if use.counts is Counts.FILES else ''}{use.of}",
        "path": known.path,
        "counts": "files" if use.counts is Counts.FILES else "bytes",
        "used": use.used,
        "size": use.limit,
        "high": known.high,
        "low": known.low,
        "told": "; ".join(filter(None, (_told(known, use), _removed(use, freed)))) or None,
        "history": [[second(point.at), point.used] for point in points],
        "forecast": _forecast(known, use),
    }


def _told(known: Standing, use: Use) -> str | None:
    if known.error is not None:
        return f"measured {span(known.at - (known.measured or known.at))} before the last try, which failed"
    if known.full_in is not None and _is_next(known, use):
        return f"full in {span(known.full_in)} as things go"
    return "never full as things go" if known.a_day is not None else None


def _removed(use: Use, freed: Weight) -> str | None:
    """Say what has gone since it was measured: some quotas lag, so it is told, and not subtracted."""
    gone = freed.by(use.counts)
    return f"{reads_as(use.counts, gone)} removed since it was measured" if gone else None


def _is_next(known: Standing, use: Use) -> bool:
    """Tell whether this is the limit that is reached first."""
    return (
        known.full_of is not None
        and known.full_of.startswith(use.of)
        and ((use.counts is Counts.FILES) == known.full_of.endswith("(files)"))
    )


def _forecast(known: Standing, use: Use) -> list[list[float | int | None]] | None:
    """Give the points of a line: up to the limit where that is reached, else up to where cleaning holds it."""
    used, limit, now = use.used, use.limit, known.measured or known.at
    if used is None or limit is None:
        return None
    if known.full_in is not None and _is_next(known, use):
        return [[second(now), used], [second(now + known.full_in), limit]]
    if known.a_day is None or use.counts is Counts.FILES:
        return None
    held = max(used, int(limit * known.high / 100.0))
    reached = (held - used) / known.a_day * DAY if known.a_day > 0 else AHEAD
    if reached >= AHEAD:
        return [[second(now), used], [second(now + AHEAD), int(used + known.a_day * AHEAD / DAY)]]
    return [[second(now), used], [second(now + reached), held], [second(now + AHEAD), held]]
