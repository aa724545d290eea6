"""Geneva's local time, in which the old system wrote down when its jobs began and ended."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

ZONE = "Europe/Zurich"
WITHOUT_ZONE = (
    f"this machine knows no time zones ({ZONE} is missing; the package tzdata has them): times of jobs are reckoned by "
    "the European Union's rule for summer time, which is exact for all years since 1996"
)
_FORMATS = ("%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S")


def zone() -> tzinfo | None:
    """Give Geneva's time zone; None where the machine knows none."""
    try:
        return ZoneInfo(ZONE)
    except (ZoneInfoNotFoundError, OSError, ValueError):
        return None


def seconds(text: str, known: tzinfo | None) -> float | None:
    """Read `YYYY-MM-DD HH:MM` as seconds since 1970 UTC, by the zone or else by the rule; None if it is no such time.

    Of an hour that came twice, at the end of summer, the first is meant.
    """
    for form in _FORMATS:
        try:
            local = datetime.strptime(text.strip(), form)  # noqa: DTZ007 - the zone is added below
            return local.replace(tzinfo=known or _by_rule(local)).timestamp()
        except (ValueError, OverflowError):
            continue
    return None


def _by_rule(local: datetime) -> tzinfo:
    """Give the offset by the rule: summer from the last Sunday of March, 1:00 UTC, to that of October."""
    start = _last_sunday(local.year, 3).replace(hour=2)
    end = _last_sunday(local.year, 10).replace(hour=3)
    return timezone(timedelta(hours=2 if start <= local < end else 1))


def _last_sunday(year: int, month: int) -> datetime:
    last = datetime(year, month, 31, tzinfo=UTC).replace(tzinfo=None)
    return last - timedelta(days=(last.weekday() + 1) % 7)
