"""Geneva's local time with and without a machine that knows it."""

import zoneinfo
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from caf.legacy import geneva


@pytest.fixture
def no_zones() -> Iterator[None]:
    """A machine without tzdata."""
    zoneinfo.reset_tzpath(to=[])
    zoneinfo.ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()


TIMES = [
    f"{year}-{month:02d}-{day:02d} {hour:02d}:30"
    for year in range(2009, 2018)
    for month in (1, 3, 4, 7, 10, 11)
    for day in range(1, 31)
    for hour in (0, 1, 3, 4, 12, 23)
]


def test_the_rule_agrees_with_the_zone_in_all_years_of_the_old_system() -> None:
    known = geneva.zone()
    if known is None:
        pytest.skip("this machine knows no time zones")
    assert [t for t in TIMES if geneva.seconds(t, known) != geneva.seconds(t, None)] == []


def test_a_machine_without_zones_is_told_apart(no_zones: None) -> None:
    if find_spec("tzdata") is None:
        assert geneva.zone() is None
    assert geneva.seconds("2014-07-01 12:00", None) == 1404208800.0
    assert geneva.seconds("2014-12-01 12:00:30", None) == 1417431630.0


@pytest.mark.parametrize("text", ["", "yesterday", "2014-13-01 00:00", "2014-07-01", "0000-00-00 00:00"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert geneva.seconds(text, geneva.zone()) is None
