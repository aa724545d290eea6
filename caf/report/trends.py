"""Throughput and latency day by day, from the sums of what happened."""

import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from caf.domain.spans import quantile
from caf.report.lists import VERSION
from caf.store.tally import DAY, DONE, FAILED, MADE, SUBMITTED, TO_DONE, TO_SUBMISSION

DAYS = 90  # are drawn


def first_day(now: float) -> int:
    """Give the first day (since 1970) that is drawn."""
    return int(now // DAY) - DAYS + 1


def trends(rows: Iterable[sqlite3.Row], now: float) -> dict[str, Any]:
    """Give the document: every day up to today, those too on which nothing happened."""
    counts: dict[tuple[int, str], dict[int, int]] = {}
    for row in rows:
        counts.setdefault((row["day"], row["measure"]), {})[row["bucket"]] = row["count"]
    return {"version": VERSION, "days": [_day(day, counts) for day in range(first_day(now), int(now // DAY) + 1)]}


def _day(day: int, counts: dict[tuple[int, str], dict[int, int]]) -> dict[str, Any]:
    found: dict[str, Any] = {"day": datetime.fromtimestamp(day * DAY, UTC).date().isoformat()}
    for measure in (MADE, SUBMITTED, DONE, FAILED):
        found[measure] = sum(counts.get((day, measure), {}).values())
    for measure in (TO_SUBMISSION, TO_DONE):
        spans = counts.get((day, measure), {})
        shares = {"median": quantile(spans, 0.5), "most": quantile(spans, 0.9)}
        rounded = {name: None if span is None else round(span) for name, span in shares.items()}
        found[measure] = {"count": sum(spans.values()), **rounded}
    return found
