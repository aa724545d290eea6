"""Spans of time as they are counted: in buckets, from half a minute to a month."""

from bisect import bisect_left
from collections.abc import Mapping

BOUNDS = (
    *(30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0),
    *(3600.0, 7200.0, 14_400.0, 28_800.0, 57_600.0),
    *(86_400.0, 172_800.0, 345_600.0, 604_800.0, 1_209_600.0, 2_592_000.0),
)
"""Upper bounds (s) of the buckets; what is longer goes into one more."""


def bucket_of(seconds: float) -> int:
    """Give the bucket that a span belongs to."""
    return bisect_left(BOUNDS, seconds)


def quantile(counts: Mapping[int, int], share: float) -> float | None:
    """Give the span (s) that so large a share of those counted do not exceed; None if there are none.

    Within a bucket spans are taken to be spread evenly on a logarithmic scale; beyond the last bound that one is given.
    """
    wanted = share * sum(counts.values())
    if wanted <= 0:
        return None
    seen = 0
    for bucket in sorted(counts):
        if seen + counts[bucket] >= wanted:
            if bucket >= len(BOUNDS):
                return BOUNDS[-1]
            high = BOUNDS[bucket]
            low = BOUNDS[bucket - 1] if bucket else high / 2
            return float(low * (high / low) ** ((wanted - seen) / counts[bucket]))
        seen += counts[bucket]
    return BOUNDS[-1]
