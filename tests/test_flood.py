"""A flood of one event is counted; nothing that names another run, job or duty is lost by it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from caf.flood import FEW, MOST, TOLD_APART, WINDOW, Flood

EVENT = {"event": "duty.failed", "level": "warning", "duty": "organise"}


def line(**more: Any) -> dict[str, Any]:
    return {**EVENT, "at": "2026-01-31T03:15:00Z", **more}


def test_the_first_few_are_written_and_the_rest_is_told_in_one_line() -> None:
    flood = Flood()
    written = [flood.passes(line(error="away", failures=n), n / 10) for n in range(1000)]
    assert written == [True] * FEW + [False] * (1000 - FEW)
    assert flood.over(WINDOW - 1) == []
    (told,) = flood.over(WINDOW)
    assert told == {
        "of": "duty.failed",
        "level": "warning",
        "duty": "organise",
        "error": "away",
        "failures": 999,
        "count": 1000 - FEW,
        "since": "2026-01-31T03:15:00Z",
    }
    assert flood.over(2 * WINDOW) == []
    assert flood.passes(line(error="away"), 2 * WINDOW)  # another window


def test_words_that_are_new_are_written_but_not_new_numbers_and_not_for_ever() -> None:
    flood = Flood()
    for n in range(100):
        flood.passes(line(error=f"process {n} is gone"), 0)
    assert flood.passes(line(error="the disk is full"), 1)
    assert not flood.passes(line(error="the disk is full"), 1)
    written = sum(flood.passes(line(error=f"word {'x' * n}"), 2) for n in range(1000))
    assert written == MOST - FEW - 1


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("AB"), st.sampled_from(["NEW", "DONE"])), max_size=200))
def test_each_run_job_and_state_is_written_at_least_once_and_all_are_counted(
    seen: list[tuple[int, str, str]],
) -> None:
    flood = Flood()
    written = []
    for run, job, became in seen:
        one = line(event="job.moved", run=run, job=job, became=became, why="as it goes")
        if flood.passes(one, 0):
            written.append((run, job, became))
    assert set(written) == set(seen)
    told = flood.over(WINDOW)
    assert len(written) + sum(one["count"] for one in told) == len(seen)
    for one in told:
        key = (one["run"], one["job"], one["became"])
        assert seen.count(key) == written.count(key) + one["count"]


def test_a_field_that_nobody_has_thought_of_makes_a_difference() -> None:
    flood = Flood()
    assert all(flood.passes(line(novelty=n), 0) for n in range(100))


def test_very_many_things_at_once_take_no_more_room_and_write_more_never_less() -> None:
    flood = Flood()
    told = 0
    for n in range(3 * TOLD_APART):
        assert flood.passes(line(run=n), 0)
        told += len(flood.over(0))
    assert len(flood._known) <= TOLD_APART
    assert told == 0


def test_at_the_end_all_that_was_counted_is_told() -> None:
    flood = Flood()
    for _ in range(FEW + 3):
        flood.passes(line(), 0)
    assert [one["count"] for one in flood.over(1, all_of_them=True)] == [3]
