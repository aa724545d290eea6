"""When the account will be full: what a trend is, and what cleaning can do about it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf.domain.forecast import DAY, Point, Prospect, full_in, growth


def test_a_trend_counts_what_was_removed_as_written() -> None:
    points = [Point(number * DAY, 100 + 10 * number - gone, gone) for number, gone in enumerate((0, 0, 15, 15, 40))]
    assert growth(points) == pytest.approx(10)


def test_an_hour_is_no_trend() -> None:
    assert growth([Point(0, 1, 0), Point(3600, 5, 0)]) is None
    assert growth([]) is None


def test_what_shrinks_by_itself_is_not_filling() -> None:
    assert growth([Point(0, 100, 0), Point(DAY, 50, 0)]) == 0.0


@pytest.mark.parametrize(
    ("given_", "days"),
    [
        (Prospect(50, 100, 0, 10, 10, 2 * DAY), 5),  # nothing of it can ever be removed
        (Prospect(50, 100, 0, 10, 0, 2 * DAY), None),  # all of it can, two days later
        (Prospect(50, 100, 50, 10, 10, 2 * DAY), 10),
        (Prospect(90, 100, 0, 10, 0, 2 * DAY), 1),  # full before anything is old enough
        (Prospect(50, 100, 0, 10, 5, 2 * DAY), 8),  # 2 days of 5 are there at any time, and 5 a day stay
        (Prospect(120, 100, 0, 0, 0, 0), 0),
        (Prospect(50, 100, 0, 0, 0, 0), None),
        (Prospect(50, 100, 0, 10, 0.001, 2 * DAY), None),  # noise of the trend
    ],
)
def test_when_it_is_full(given_: Prospect, days: float | None) -> None:
    found = full_in(given_)
    assert found is None if days is None else found == pytest.approx(days * DAY)


@given(*[st.integers(0, 1000)] * 3, *[st.floats(0, 100)] * 2, st.floats(0, 10 * DAY), st.integers(1, 1000))
def test_it_is_never_full_earlier_because_more_can_be_removed(
    used: int, limit: int, removable: int, a_day: float, lasting: float, keep: float, more: int
) -> None:
    early = full_in(Prospect(used, limit, removable, a_day, lasting, keep))
    late = full_in(Prospect(used, limit, removable + more, a_day, lasting, keep))
    assert late is None or (early is not None and early <= late)
