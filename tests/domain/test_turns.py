"""Whose turn it is: nobody starves, and how many go before one is what will happen."""

from hypothesis import given
from hypothesis import strategies as st

from caf.domain.turns import FRESH, ahead, in_turn, is_live, take_turns

NAMES = st.lists(st.sampled_from("ABCDEFG"), unique=True, min_size=1)
LENGTHS = st.lists(st.integers(0, 6), min_size=1, max_size=5)


def lines_of(lengths: list[int]) -> list[list[tuple[int, int]]]:
    return [[(line, place) for place in range(length)] for line, length in enumerate(lengths)]


@given(LENGTHS, st.integers(0, 40))
def test_all_take_turns_and_nobody_is_left_out_or_taken_twice(lengths: list[int], limit: int) -> None:
    lines = lines_of(lengths)
    taken = take_turns(lines, limit)
    assert len(taken) == min(limit, sum(lengths)) == len(set(taken))
    for line, length in enumerate(lengths):
        mine = [place for whose, place in taken if whose == line]
        assert mine == list(range(len(mine)))  # of one line in its order
        others = [sum(whose == other for whose, _ in taken) for other in range(len(lengths))]
        assert len(mine) == length or all(len(mine) >= count - 1 for count in others)  # nobody is two turns ahead


@given(LENGTHS)
def test_how_many_go_before_one_is_its_place_when_all_are_taken(lengths: list[int]) -> None:
    taken = take_turns(lines_of(lengths), sum(lengths))
    for number, (line, place) in enumerate(taken):
        assert ahead(place, lengths[:line], lengths[line + 1 :]) == number


@given(NAMES, st.none() | st.sampled_from("ABCDEFGH"))
def test_the_turn_goes_round_from_whose_it_was_last(names: list[str], last: str | None) -> None:
    order = in_turn(names, last)
    assert sorted(order) == sorted(names)
    if last in names:
        assert order[-1] == last


@given(NAMES, st.integers(1, 30))
def test_with_one_slot_at_a_time_every_name_has_its_turn_before_any_has_a_second(names: list[str], rounds: int) -> None:
    """A name with thousands of jobs does not keep the one job of another waiting."""
    served: list[str] = []
    for _ in range(rounds):
        served.append(in_turn(names, served[-1] if served else None)[0])
    for first in range(rounds - len(names) + 1):
        assert set(served[first : first + len(names)]) == set(names)


def test_a_run_is_fresh_for_a_week() -> None:
    assert is_live(1000.0, 1000.0 + FRESH)
    assert not is_live(1000.0, 1001.0 + FRESH)
    assert is_live(5000.0, 1000.0)  # a clock that is a little wrong hurts nobody
