"""Conditions have three answers, and a verdict follows from all of them."""

from collections.abc import Mapping, Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf.domain.matching import Answer, Condition, Listener, Operator, Status, Verdict, answer, judge, split_answers
from caf.domain.runs import Note, Record, Value

HOLDS, FAILS, UNKNOWN = Answer.HOLDS, Answer.FAILS, Answer.UNKNOWN
Op = Operator

# operator, wanted, a value for which it holds, one for which it fails, what settled null answers
OPERATORS: Sequence[tuple[Operator, Value | tuple[Value, ...], Value, Value, Answer]] = [
    (Op.EQUAL, "scan", "scan", "Scan", FAILS),
    (Op.EQUAL, True, True, False, FAILS),
    (Op.EQUAL, 0, 0, 1, FAILS),
    (Op.EQUAL, "", "", "x", FAILS),
    (Op.ONE_OF, ("a", "b"), "b", "ab", FAILS),
    (Op.NOT_IN, ("a", "b"), "ab", "b", HOLDS),
    (Op.NOT_IN, "a", "b", "a", HOLDS),
    (Op.CONTAINS, "Scan", "xSCANx", "sca", FAILS),
    (Op.CONTAINS, "", "", None, FAILS),
    (Op.KNOWN, True, "", None, FAILS),
    (Op.KNOWN, False, None, "", HOLDS),
    (Op.AT_LEAST, 5, 5, 4, FAILS),
    (Op.AT_LEAST, 0.5, 1, 0, FAILS),
    (Op.AT_MOST, 5, 5, 6, FAILS),
    (Op.BITS, 0b110, 0b1111, 0b1010, FAILS),
    (Op.BITS, 1 << 100, 1 << 100, 1 << 36, FAILS),
]


def record(
    values: Mapping[str, Value],
    *,
    settled: bool = False,
    notes: Mapping[str, Note] | None = None,
    corrected: Mapping[str, str] | None = None,
) -> Record:
    return Record(values, notes or {}, corrected or {}, settled)


@pytest.mark.parametrize(("operator", "wanted", "good", "bad", "of_null"), OPERATORS)
def test_each_operator_holds_fails_and_knows_null(
    operator: Operator, wanted: Value, good: Value, bad: Value, of_null: Answer
) -> None:
    condition = Condition("x", operator, wanted)

    def settled(value: Value) -> Answer:
        return answer(condition, value, provisional=False, settled=True)

    def open_(value: Value, *, provisional: bool = False) -> Answer:
        return answer(condition, value, provisional=provisional, settled=False)

    assert settled(good) is HOLDS
    assert settled(bad) is FAILS
    assert settled(None) is of_null
    for value, expected in ((good, HOLDS), (bad, FAILS)):
        assert open_(value) is (UNKNOWN if value is None else expected)
        assert open_(value, provisional=True) is UNKNOWN
    assert open_(None) is UNKNOWN


@pytest.mark.parametrize("operator", [Op.AT_LEAST, Op.AT_MOST, Op.BITS])
def test_a_text_is_never_a_number(operator: Operator) -> None:
    """An attribute that a configuration added has the type that its folder gives it."""
    assert answer(Condition("x", operator, 1), "17", provisional=False, settled=True) is FAILS


def test_an_empty_text_is_known() -> None:
    """COOL stores a NULL string that is there as "": it was recorded."""
    empty = Condition("tier0_tag", Op.EQUAL, "")
    other = Condition("tier0_tag", Op.EQUAL, "scan")
    assert answer(empty, "", provisional=False, settled=False) is HOLDS
    assert answer(other, "", provisional=False, settled=False) is FAILS


def test_a_provisional_value_decides_nothing_before_the_run_has_settled() -> None:
    listener = Listener("L", (Condition("tier0_tag", Op.EQUAL, "scan"),))
    notes = {"tier0_tag": Note(inherited_from=7, final=False)}
    for tag in ("scan", "other"):
        assert judge([listener], record({"tier0_tag": tag}, notes=notes)).status is Status.OPEN
    assert judge([listener], record({"tier0_tag": "scan"}, notes=notes, settled=True)).listener == "L"
    final = {"tier0_tag": Note(inherited_from=7)}
    assert judge([listener], record({"tier0_tag": "scan"}, notes=final)).listener == "L"


def test_a_corrected_value_is_not_provisional() -> None:
    listener = Listener("L", (Condition("tier0_tag", Op.EQUAL, "scan"),))
    notes = {"tier0_tag": Note(inherited_from=7, final=False)}
    corrected = record({"tier0_tag": "scan"}, notes=notes, corrected={"tier0_tag": "wrong that day"})
    assert judge([listener], corrected).listener == "L"


@pytest.mark.parametrize(
    ("events", "settled", "expected"),
    [
        (None, False, (Status.OPEN, None)),
        (None, True, (Status.ACCEPTED, True)),  # never counted: too few are assumed
        (1699, False, (Status.ACCEPTED, True)),
        (1700, False, (Status.ACCEPTED, False)),
        (0, True, (Status.ACCEPTED, True)),
    ],
)
def test_min_events_stays_open_until_known_or_settled(
    events: int | None, settled: bool, expected: tuple[Status, bool | None]
) -> None:
    listener = Listener("L", (Condition("run_type", Op.EQUAL, "scan"),), min_events=1700)
    verdict = judge([listener], record({"run_type": "scan", "events": events}, settled=settled))
    assert (verdict.status, verdict.needs_validation) == expected


def test_min_events_of_a_listener_that_fails_keeps_no_run_open() -> None:
    listener = Listener("L", (Condition("run_type", Op.EQUAL, "scan"),), min_events=1700)
    assert judge([listener], record({"run_type": "physics"})).status is Status.UNCLAIMED


def test_a_minimum_of_nought_asks_for_no_counters() -> None:
    verdict = judge([Listener("L", (), min_events=0)], record({}))
    assert (verdict.status, verdict.needs_validation) == (Status.ACCEPTED, False)


def test_first_run_is_the_first_number_taken() -> None:
    listener = Listener("L", (Condition("run", Op.AT_LEAST, 210001),))
    assert judge([listener], record({"run": 210000})).status is Status.UNCLAIMED
    assert judge([listener], record({"run": 210001})).status is Status.ACCEPTED


def _status(answers: Sequence[Answer]) -> Answer:
    return FAILS if FAILS in answers else UNKNOWN if UNKNOWN in answers else HOLDS


@pytest.mark.parametrize("two", list(product(list(Answer), repeat=4)))
def test_every_combination_of_two_listeners_of_two_conditions(two: Sequence[Answer]) -> None:
    """A listener fails if any condition fails, else is unknown if any is; OPEN if any listener is unknown."""
    names = ["a", "b", "c", "d"]
    values = {n: {HOLDS: 1, FAILS: 0, UNKNOWN: None}[a] for n, a in zip(names, two, strict=True)}
    first, second = (Listener(n, tuple(Condition(c, Op.EQUAL, 1) for c in cs)) for n, cs in (("A", "ab"), ("B", "cd")))
    verdict = judge([first, second], record(values))
    whole = [_status(two[:2]), _status(two[2:])]
    if UNKNOWN in whole:
        expected: tuple[Status, str | None] = (Status.OPEN, None)
    elif whole == [HOLDS, HOLDS]:
        expected = (Status.CONFLICT, None)
    elif HOLDS in whole:
        expected = (Status.ACCEPTED, "AB"[whole.index(HOLDS)])
    else:
        expected = (Status.UNCLAIMED, None)
    assert (verdict.status, verdict.listener) == expected
    assert (verdict.needs_validation is None) == (verdict.status is not Status.ACCEPTED)


values = st.one_of(st.none(), st.integers(0, 3), st.sampled_from(["", "a", "b"]))
conditions = st.builds(
    Condition,
    st.sampled_from(["x", "y", "z"]),
    st.sampled_from([Op.EQUAL, Op.NOT_IN, Op.AT_LEAST, Op.CONTAINS]),
    st.one_of(st.integers(0, 3), st.sampled_from(["a", "b"])),
)
listener_lists = st.lists(
    st.tuples(st.lists(conditions, max_size=3).map(tuple), st.one_of(st.none(), st.integers(0, 5))), max_size=4
).map(lambda parts: [Listener(f"L{n}", found, least) for n, (found, least) in enumerate(parts)])
records = st.builds(
    lambda v, events, settled, notes: record({**v, "events": events}, settled=settled, notes=notes),
    st.fixed_dictionaries({"x": values, "y": values, "z": values}),
    st.one_of(st.none(), st.integers(0, 5)),
    st.booleans(),
    st.dictionaries(st.sampled_from(["x", "y"]), st.builds(Note, final=st.booleans())),
)


@given(listener_lists, records)
def test_the_stored_text_gives_back_every_answer(listeners: list[Listener], run: Record) -> None:
    """The text of answers and the listeners tell all that was decided; no listener at all included."""
    verdict = judge(listeners, run)
    parts = split_answers(listeners, verdict.answers)
    assert list(parts) == [listener.name for listener in listeners]
    for listener in listeners:
        letters, enough = parts[listener.name]
        assert letters == tuple(
            answer(
                c,
                run.values.get(c.attribute),
                provisional=run.provisional(c.attribute),
                settled=run.settled,
            )
            for c in listener.conditions
        )
        assert (enough is None) == (listener.min_events is None)


@given(listener_lists, records, records)
def test_equal_texts_mean_equal_verdicts(listeners: list[Listener], one: Record, other: Record) -> None:
    """Verdicts are interned by their text, so the text must decide everything else."""
    first, second = judge(listeners, one), judge(listeners, other)
    if first.answers == second.answers:
        assert first == second


@given(listener_lists, records)
def test_a_settled_run_is_never_open(listeners: list[Listener], run: Record) -> None:
    settled = Record(run.values, run.notes, run.corrected, True)
    verdict = judge(listeners, settled)
    assert verdict.status is not Status.OPEN
    assert UNKNOWN not in verdict.answers


@given(listener_lists, records)
def test_settling_changes_no_verdict_that_was_reached(listeners: list[Listener], run: Record) -> None:
    """What was decided on known values stays decided when nulls become values."""
    before = judge(listeners, run)
    after = judge(listeners, Record(run.values, run.notes, run.corrected, True))
    if before.status is not Status.OPEN:
        assert (after.status, after.listener) == (before.status, before.listener)


def test_a_text_of_another_configuration_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        split_answers([Listener("L", ())], "h h")


def test_nobody_listens() -> None:
    assert judge([], record({"run": 1})) == Verdict(Status.UNCLAIMED, None, None, "")
