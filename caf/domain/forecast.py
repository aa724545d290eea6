"""When the account will be full: from what is written a day, and what cleaning will be able to take of it."""

from dataclasses import dataclass

DAY = 86_400.0  # s
FAR = 3650 * DAY  # beyond it nobody knows
LEAST_SPAN = 0.25 * DAY  # a trend over less says nothing


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement: when (s since 1970), what was used, and what cleaning had removed by then, all in all."""

    at: float
    used: int
    removed: int


def growth(points: list[Point]) -> float | None:
    """Give what is written a day, in the points' own unit, as if nothing had been removed; None if it is too early.

    Least squares over all points: a single large job at either end does not decide it alone.
    """
    if len(points) < 2 or points[-1].at - points[0].at < LEAST_SPAN:
        return None
    middle = sum(point.at for point in points) / len(points)
    written = [point.used + point.removed for point in points]
    mean = sum(written) / len(written)
    spread = sum((point.at - middle) ** 2 for point in points)
    slope = sum((point.at - middle) * (value - mean) for point, value in zip(points, written, strict=True)) / spread
    return max(0.0, slope * DAY)


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a forecast goes by: what is used of a limit, and what of that cleaning can take now or once it is old.

    `a_day` is what is written in all, `lasting` what of it nothing will ever remove; `keep` (s) is how long the rest
    stays at least.
    """

    used: int
    limit: int
    removable: int
    a_day: float
    lasting: float
    keep: float


def full_in(prospect: Prospect) -> float | None:
    """Give in how many seconds a limit is reached in spite of cleaning; None if never, or not for ten years.

    What is written today can be removed once it is `keep` old; so at any time the last `keep` of it is there, and
    all that is lasting.
    """
    room = prospect.limit - max(0, prospect.used - prospect.removable)
    if room <= 0:
        return 0.0
    lasting = min(max(0.0, prospect.lasting), prospect.a_day)
    passing = prospect.a_day - lasting
    keep = prospect.keep / DAY
    if prospect.a_day > 0 and (early := room / prospect.a_day) <= keep:
        return early * DAY
    if lasting <= 0:
        return None
    left = (room - passing * keep) / lasting * DAY
    return left if left < FAR else None
