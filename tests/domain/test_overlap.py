"""Overlap is decided exactly: against brute force over small universes, and for the cases that operators met."""

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caf.config import load
from caf.domain.matching import Answer, Condition, Listener, Operator, answer
from caf.domain.overlap import can_match, overlaps, smallest_with
from caf.domain.runs import ATTRIBUTES, Kind, Value

SHIPPED = Path(__file__).resolve().parents[2] / "listeners.toml"
KINDS = {"text": Kind.TEXT, "number": Kind.INTEGER, "flag": Kind.FLAG, "mask": Kind.MASK, "any": Kind.ANY}
Op = Operator

LETTERS = ["", "a", "b", "ab", "ba", "aB", "A", "c"]
# Every condition below speaks of these letters and numbers only, so what can match at all matches here; the texts of
# all words in either order stand for the unbounded rest, and so do numbers beyond the largest bound.
TEXTS: list[Value] = [None, *LETTERS, "abba", "other", "a_b", "ab_ba", "ba_ab", "cab", "abc", "c_ab_ba", "zz", "zy"]
TEXTS += ["".join(p) for n in (2, 3) for p in product(["a", "b", "ab", "ba", "c", "z"], repeat=n)]
NUMBERS: list[Value] = [None, *range(-64, 65)]
FLAGS: list[Value] = [None, True, False]

texts = st.sampled_from(LETTERS)
numbers = st.integers(-9, 17)
known = st.builds(lambda a, w: (Op.KNOWN, w), st.none(), st.booleans())


def lists(values: st.SearchStrategy[Value]) -> st.SearchStrategy[tuple[Value, ...]]:
    return st.lists(values, min_size=1, max_size=4).map(tuple)


def of(operator: Operator, wanted: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[Operator, object]]:
    return wanted.map(lambda value: (operator, value))


def conditions(
    attribute: str, *choices: st.SearchStrategy[tuple[Operator, object]]
) -> st.SearchStrategy[list[Condition]]:
    return st.lists(st.one_of(*choices, known), max_size=4).map(
        lambda found: [Condition(attribute, operator, wanted) for operator, wanted in found]
    )


def sets(values: st.SearchStrategy[Value]) -> list[st.SearchStrategy[tuple[Operator, object]]]:
    return [of(Op.EQUAL, values), of(Op.ONE_OF, lists(values)), of(Op.NOT_IN, lists(values))]


text_conditions = conditions("text", *sets(texts), of(Op.CONTAINS, st.sampled_from(["a", "b", "ab", "BA", "c"])))
bounds = [of(Op.AT_LEAST, numbers), of(Op.AT_MOST, numbers), of(Op.BITS, st.integers(1, 15))]
number_conditions = conditions("number", *sets(numbers), *bounds)
mask_conditions = conditions("mask", *sets(st.integers(0, 17)), *bounds)
flag_conditions = conditions("flag", *sets(st.booleans()))


def holds(found: Sequence[Condition], value: Value) -> bool:
    return all(answer(c, value, provisional=False, settled=True) is Answer.HOLDS for c in found)


def check_against(universe: Sequence[Value], first: list[Condition], second: list[Condition]) -> None:
    possible = [value for value in universe if holds(first + second, value)]
    pair = (Listener("A", tuple(first)), Listener("B", tuple(second)))
    found = overlaps(pair, KINDS)
    assert bool(found) is bool(possible)
    assert can_match(Listener("both", tuple(first + second)), KINDS) is bool(possible)
    for overlap in found:
        for attribute, value in overlap.witness.items():
            assert holds(first + second, value), (attribute, value)


@settings(max_examples=400, deadline=None)
@given(text_conditions, text_conditions)
def test_texts_overlap_exactly_where_some_text_or_null_fits(first: list[Condition], second: list[Condition]) -> None:
    check_against(TEXTS, first, second)


@settings(max_examples=600, deadline=None)
@given(number_conditions, number_conditions)
def test_numbers_overlap_exactly_where_some_number_or_null_fits(
    first: list[Condition], second: list[Condition]
) -> None:
    check_against(NUMBERS, first, second)


@settings(max_examples=400, deadline=None)
@given(mask_conditions, mask_conditions)
def test_masks_are_never_negative(first: list[Condition], second: list[Condition]) -> None:
    check_against([v for v in NUMBERS if v is None or (isinstance(v, int) and v >= 0)], first, second)


@settings(max_examples=200, deadline=None)
@given(flag_conditions, flag_conditions)
def test_flags_have_two_values_and_null(first: list[Condition], second: list[Condition]) -> None:
    check_against(FLAGS, first, second)


@settings(max_examples=150, deadline=None)
@given(text_conditions, number_conditions, flag_conditions, text_conditions, number_conditions, flag_conditions)
def test_listeners_overlap_where_every_attribute_does(
    t1: list[Condition], n1: list[Condition], f1: list[Condition],
    t2: list[Condition], n2: list[Condition], f2: list[Condition],
) -> None:  # fmt: skip
    first, second = Listener("A", (*t1, *n1, *f1)), Listener("B", (*t2, *n2, *f2))
    possible = all(
        any(holds(both, value) for value in universe)
        for both, universe in ((t1 + t2, TEXTS), (n1 + n2, NUMBERS), (f1 + f2, FLAGS))
    )
    assert bool(overlaps((first, second), KINDS)) is possible


@settings(max_examples=400, deadline=None)
@given(text_conditions, text_conditions)
def test_only_a_text_of_two_words_makes_an_overlap_uncertain(first: list[Condition], second: list[Condition]) -> None:
    both = first + second
    words = {str(c.wanted).casefold() for c in both if c.operator is Op.CONTAINS}
    maximal = [w for w in words if not any(w != other and w in other for other in words)]
    finite = any(c.operator in (Op.EQUAL, Op.ONE_OF) for c in both)
    for overlap in overlaps((Listener("A", tuple(first)), Listener("B", tuple(second))), KINDS):
        assert overlap.certain is (finite or len(maximal) < 2)


@given(st.integers(-300, 300), st.integers(0, 255))
def test_the_smallest_number_with_bits_is_the_smallest(low: int, bits: int) -> None:
    assert smallest_with(low, bits) == next(n for n in range(low, low + 1024) if n & bits == bits)


def test_a_mask_of_128_bits_can_be_too_short_for_its_bounds() -> None:
    top = (1 << 128) - 1
    above = Listener("A", (Condition("mask", Op.AT_LEAST, top),))
    not_top = Listener("B", (Condition("mask", Op.NOT_IN, (top,)),))
    assert can_match(above, KINDS)
    assert not overlaps((above, not_top), KINDS)


@pytest.mark.parametrize(
    ("first", "second", "witness"),
    [
        ([(Op.AT_LEAST, 1.2)], [(Op.AT_MOST, 1.8)], True),
        ([(Op.AT_LEAST, 1.2)], [(Op.AT_MOST, 1.1)], False),
        ([(Op.AT_LEAST, 1), (Op.AT_MOST, 2)], [(Op.NOT_IN, (1, 2))], True),
        ([(Op.CONTAINS, "25")], [(Op.AT_LEAST, 900), (Op.AT_MOST, 1030)], True),
        ([(Op.CONTAINS, "phase")], [(Op.AT_LEAST, 0)], False),
        ([(Op.CONTAINS, "phase")], [(Op.NOT_IN, (1, "phase"))], True),
        ([(Op.EQUAL, "a")], [(Op.EQUAL, 1)], False),
    ],
)
def test_an_attribute_of_any_type_may_hold_texts_and_real_numbers(
    first: list[tuple[Operator, Value]], second: list[tuple[Operator, Value]], witness: bool
) -> None:
    pair = [
        Listener(name, tuple(Condition("any", operator, wanted) for operator, wanted in found))
        for name, found in (("A", first), ("B", second))
    ]
    assert bool(overlaps(pair, KINDS)) is witness


def test_without_its_gain_strategy_the_energy_scan_overlaps_the_high_voltage_one() -> None:
    """So it was in the group's configuration, and nothing noticed."""
    configuration = load(SHIPPED)
    scan, *others = configuration.listeners_in_force()
    assert scan.name == "LArEnergyScan"
    open_to_all = tuple(c for c in scan.conditions if c.attribute != "gain_strategy")
    (overlap,) = overlaps((dataclasses.replace(scan, conditions=open_to_all), *others), configuration.kinds())
    assert (overlap.first, overlap.second, overlap.certain) == ("LArEnergyScan", "LArEnergyScanHV", True)
    assert overlap.witness == {
        "run": 210001,
        "run_type": "LarCalibL1Calo",
        "partition": "L1CaloCombined",
        "tier0_tag": "L1CaloEnergyScan",
        "gain_strategy": "CalibGainsEt",
        "recorded": True,
        "clean_stop": True,
        "end": int(datetime(2015, 6, 3, 10, tzinfo=UTC).timestamp()) * 10**9,
    }


def test_the_shipped_listeners_are_exclusive_and_each_can_take_a_run() -> None:
    configuration = load(SHIPPED)
    listeners = configuration.listeners_in_force()
    assert overlaps(listeners, configuration.kinds()) == []
    assert all(can_match(listener, configuration.kinds()) for listener in listeners)


def test_a_least_number_of_events_separates_nothing() -> None:
    same = (Condition("run_type", Op.EQUAL, "cismono"),)
    assert overlaps((Listener("A", same, 1700), Listener("B", same)), ATTRIBUTES)


def test_types_that_contain_each_other_overlap_with_contains_and_not_with_equality() -> None:
    """The old system compared run types by containment: LarCalibL1Calo_cismono would satisfy two listeners."""
    lar = Listener("A", (Condition("run_type", Op.CONTAINS, "LarCalibL1Calo"),))
    tile = Listener("B", (Condition("run_type", Op.CONTAINS, "cismono"),))
    (overlap,) = overlaps((lar, tile), ATTRIBUTES)
    assert not overlap.certain
    assert overlap.witness == {"run_type": "LarCalibL1Calo_cismono"}
    exact = Listener("B", (Condition("run_type", Op.EQUAL, "cismono"),))
    assert overlaps((lar, exact), ATTRIBUTES) == []


def test_null_is_the_last_resort_of_a_witness() -> None:
    never = Listener("A", (Condition("tier0_tag", Op.KNOWN, False),))
    none_of = Listener("B", (Condition("tier0_tag", Op.NOT_IN, ("L1CaloEnergyScan",)),))
    (overlap,) = overlaps((never, none_of), ATTRIBUTES)
    assert overlap.witness == {"tier0_tag": None}
    (overlap,) = overlaps((none_of, dataclasses.replace(none_of, name="C")), ATTRIBUTES)
    assert overlap.witness == {"tier0_tag": "other"}
