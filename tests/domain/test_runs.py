"""What is computed from a run's record, and how values are read and shown."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf.domain.runs import (
    ATTRIBUTES,
    COUNTERS,
    END_PATCHED,
    NO_END_RECORD,
    SECOND,
    Correction,
    Note,
    Record,
    Value,
    complete,
    has_settled,
    iso_time,
    parse_ranges,
    parse_time,
    to_json,
)

START = 1_700_000_000 * SECOND


def completed(
    values: dict[str, Value],
    *,
    settled: bool = False,
    last_lb_end: int | None = None,
    corrections: Sequence[Correction] = (),
) -> Record:
    return complete({"run": 5, **values}, {}, last_lb_end=last_lb_end, settled=settled, corrections=corrections)


@pytest.mark.parametrize(
    ("stored", "recorded", "events"),
    [(None, None, None), (0, None, 0), (None, 0, 0), (7, 9, 7), (0, 9, 9), (None, 9, 9), (0, 0, 0), (7, None, 7)],
)
def test_events_are_the_stored_or_else_the_recorded_ones(
    stored: int | None, recorded: int | None, events: int | None
) -> None:
    assert completed({"stored_events": stored, "recorded_events": recorded}).values["events"] == events


@given(st.fixed_dictionaries({name: st.one_of(st.none(), st.integers(0, 2)) for name in COUNTERS}))
def test_has_events_is_true_if_any_count_is_above_nought_and_null_if_none_is_known(counts: dict[str, Value]) -> None:
    known = [count for count in counts.values() if count is not None]
    expected = None if not known else any(known)
    assert completed(counts).values["has_events"] is expected


def test_the_end_is_patched_at_settling_only() -> None:
    """A run still going has lumi blocks too."""
    recorded: dict[str, Value] = {"start": START, "end": None, "duration": None, "error_bits": NO_END_RECORD}
    going = completed(recorded, last_lb_end=START + 90 * SECOND)
    assert (going.values["end"], going.values["duration"]) == (None, None)
    assert going.values["error_bits"] == NO_END_RECORD
    assert going.provisional("error_bits")
    settled = completed(recorded, settled=True, last_lb_end=START + 90 * SECOND)
    assert (settled.values["end"], settled.values["duration"]) == (START + 90 * SECOND, 90)
    assert settled.values["error_bits"] == 1 | 16 == NO_END_RECORD | END_PATCHED


def test_an_end_that_was_recorded_is_never_patched() -> None:
    recorded: dict[str, Value] = {"start": START, "end": START + 5 * SECOND, "duration": 5, "error_bits": 0}
    run = completed(recorded, settled=True, last_lb_end=START + 90 * SECOND)
    assert {name: run.values[name] for name in recorded} == recorded


def test_without_lumi_blocks_the_end_stays_unknown() -> None:
    run = completed({"start": START, "end": None, "error_bits": 1 | 4}, settled=True)
    assert (run.values["end"], run.values["error_bits"]) == (None, 1 | 4)


def test_a_run_without_start_gets_an_end_and_no_duration() -> None:
    run = completed({"start": None, "end": None, "error_bits": 1}, settled=True, last_lb_end=START)
    assert run.values["end"] == START
    assert run.values.get("duration") is None


def test_corrections_hold_for_their_runs_and_name_their_reason() -> None:
    fix = Correction(((4, 5), (9, 9)), {"gain_strategy": "X"}, "not written that day")
    assert completed({"gain_strategy": "Y"}, corrections=[fix]).values["gain_strategy"] == "X"
    assert completed({}, corrections=[fix]).corrected == {"gain_strategy": "not written that day"}
    other = complete({"run": 6, "gain_strategy": "Y"}, {}, last_lb_end=None, settled=False, corrections=[fix])
    assert (other.values["gain_strategy"], dict(other.corrected)) == ("Y", {})
    assert [run for run in range(12) if fix.covers(run)] == [4, 5, 9]


def test_a_corrected_counter_gives_corrected_events_and_a_corrected_sum_stays() -> None:
    stored = Correction(((5, 5),), {"stored_events": 100}, "r")
    assert completed({"recorded_events": 7}, corrections=[stored]).values["events"] == 100
    events = Correction(((5, 5),), {"events": 3}, "r")
    assert completed({"recorded_events": 7}, corrections=[stored, events]).values["events"] == 3


def test_a_later_correction_wins() -> None:
    both = [Correction(((5, 5),), {"run_type": kind}, kind) for kind in ("a", "b")]
    run = completed({}, corrections=both)
    assert (run.values["run_type"], run.corrected["run_type"]) == ("b", "b")


def test_completing_leaves_what_was_recorded_alone() -> None:
    recorded: dict[str, Value] = {"run": 5, "end": None, "error_bits": 1}
    notes = {"tier0_tag": Note(3, False)}
    complete(recorded, notes, last_lb_end=START, settled=True, corrections=[Correction(((5, 5),), {"end": 1}, "r")])
    assert recorded == {"run": 5, "end": None, "error_bits": 1}
    assert notes == {"tier0_tag": Note(3, False)}


moments = st.one_of(st.none(), st.integers(0, 100))


@given(st.lists(moments, max_size=4), st.integers(0, 200), st.integers(0, 200), st.integers(0, 50))
def test_settled_means_that_both_clocks_are_past_the_last_moment(
    times: list[int | None], now: int, replica: int, settle: int
) -> None:
    known = [time for time in times if time is not None]
    expected = bool(known) and all(min(now, replica) > time + settle for time in known)
    assert has_settled(now, replica, times, settle) is expected


@given(st.integers(-(10**18), 2**63 - 1))
def test_a_time_shown_is_read_back_to_the_microsecond(ns: int) -> None:
    text = iso_time(ns)
    assert text.endswith("Z")
    assert len(text) == len("2023-11-14T22:13:20.000000Z")
    assert parse_time(text) == ns // 1000 * 1000


def test_times_are_iso_8601() -> None:
    assert iso_time(START + 1_999) == "2023-11-14T22:13:20.000001Z"
    assert parse_time("2023-11-14T22:13:20") == START
    assert parse_time("2023-11-15T00:13:20+02:00") == START
    assert parse_time("2023-11-14") == int(datetime(2023, 11, 14, tzinfo=UTC).timestamp()) * SECOND
    assert iso_time(10**24) == str(10**24)
    for text in ("", "yesterday", "1700000000 s"):
        with pytest.raises(ValueError, match="isoformat"):
            parse_time(text)


ranges = st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 1000)).map(lambda p: (p[0], p[0] + p[1])), min_size=1)


@given(ranges, st.booleans())
def test_ranges_of_runs_are_read_back(wanted: list[tuple[int, int]], blanks: bool) -> None:
    comma, dash = (" , ", " - ") if blanks else (",", "-")
    text = comma.join(str(low) if low == high else f"{low}{dash}{high}" for low, high in wanted)
    assert parse_ranges(text) == tuple(wanted)


@pytest.mark.parametrize("text", ["", " ", "a", "5-", "-5", "5-4", "1,,2", "1-2-3", "1.5", "0x10", "1_000"])
def test_what_is_no_range_of_runs_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"is not a run or a range of runs such as 490001-490100|ends before it begins"
    ):
        parse_ranges(text)


def test_values_are_shown_in_the_fields_manner() -> None:
    assert to_json("start", START) == "2023-11-14T22:13:20.000000Z"
    assert to_json("detector_mask", 1 << 127 | 1) == "0x80000000000000000000000000000001"
    assert to_json("events", 5) == 5
    assert to_json("recorded", False) is False
    assert to_json("timing_regime", 1) == 1
    assert all(to_json(name, None) is None for name in ATTRIBUTES)
