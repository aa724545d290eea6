"""What a look at the run database changes about one run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf.domain.discovery import Moments, Rules, Seen, Standing, merge, reconsider, record_of, standing_after
from caf.domain.matching import Condition, Listener, Operator, Status, Verdict
from caf.domain.runs import SECOND, Correction, Note, Value

HOUR = 3600 * SECOND
DAY = 24 * HOUR
NOW = 1_700_000_000 * SECOND
LISTENER = Listener("L", (Condition("tier0_tag", Operator.EQUAL, "scan"),))
RULES = Rules(1, [LISTENER], (), DAY)

names = st.sampled_from(["tier0_tag", "end", "stored_events", "colour"])
readings = st.builds(
    Seen,
    st.dictionaries(names, st.one_of(st.none(), st.integers(0, 2))),
    st.dictionaries(names, st.builds(Note, st.one_of(st.none(), st.just(3)), st.booleans())),
    st.one_of(st.none(), st.integers(0, 2)),
)


@given(st.lists(readings, min_size=1, max_size=5))
def test_a_known_value_never_becomes_null_again(looks: list[Seen]) -> None:
    known = looks[0]
    for read in looks[1:]:
        before, known = known, merge(known, read)
        for name, value in before.values.items():
            assert value is None or known.values[name] is not None
        for name, value in read.values.items():
            assert value is None or older(before, read, name) or known.values[name] == value
        ends = [end for end in (before.last_lb_end, read.last_lb_end) if end is not None]
        assert known.last_lb_end == max(ends, default=None)


def is_sure(seen: Seen, name: str) -> bool:
    return seen.values.get(name) is not None and (name not in seen.notes or seen.notes[name].final)


def older(known: Seen, read: Seen, name: str) -> bool:
    """Whether a value was final and is provisional in a reading: so that one is of an older copy."""
    return is_sure(known, name) and name in read.notes and not read.notes[name].final


@given(readings, readings)
def test_a_final_value_never_becomes_provisional_again(known: Seen, read: Seen) -> None:
    merged = merge(known, read)
    assert {name for name in known.values if is_sure(known, name)} <= {
        name for name in merged.values if is_sure(merged, name)
    }


@pytest.mark.parametrize(
    ("known", "read", "merged"), [(5, 5, 5), (5, 0, 0), (0, 5, 0), (1, 4, 0), (5, 4, 4), (16, 5, 0), (0, 16, 16)]
)
def test_a_record_that_was_there_is_not_missing_in_an_older_copy(known: int, read: int, merged: int) -> None:
    bits = merge(Seen({"error_bits": known}, {}, None), Seen({"error_bits": read}, {}, None)).values["error_bits"]
    assert bits == merged


@given(readings, readings)
def test_a_value_that_is_kept_keeps_its_note_and_a_new_one_brings_its_own(known: Seen, read: Seen) -> None:
    merged = merge(known, read)
    for name, value in merged.values.items():
        kept = name not in read.values or (read.values[name] is None and known.values.get(name) is not None)
        kept = kept or older(known, read, name)
        assert merged.notes.get(name) == (known if kept else read).notes.get(name), (name, value)


@given(readings, readings)
def test_reading_the_same_again_changes_nothing(known: Seen, read: Seen) -> None:
    merged = merge(known, read)
    assert merge(merged, read) == merged


def seen(**values: Value) -> Seen:
    return Seen({"run": 5, "run_type": "x", **values}, {}, None)


def settled(run: Seen, *, now: int = NOW, replica: int | None = None, change: int | None = None) -> bool:
    moments = Moments(now, now if replica is None else replica, NOW - DAY * 365, change)
    return record_of(run, RULES, moments).settled


def test_the_first_look_at_a_run_of_2015_settles_it_at_once() -> None:
    start = 1_430_000_000 * SECOND
    moments = Moments(NOW, NOW, first_seen=NOW, last_change=None)
    record, verdict = reconsider(seen(start=start), RULES, moments)
    assert record.settled
    assert verdict.status is Status.UNCLAIMED


def test_a_dead_replica_settles_nothing() -> None:
    """A copy that was last written an hour after the run says nothing about what came later."""
    run = seen(start=NOW - 900 * DAY)
    assert settled(run)
    assert not settled(run, replica=NOW - 900 * DAY + HOUR)
    assert not settled(run, replica=NOW - 899 * DAY)
    assert settled(run, replica=NOW - 899 * DAY + 1)


@pytest.mark.parametrize(
    ("run", "change", "due"),
    [
        (seen(start=NOW), None, NOW + DAY),
        (seen(start=NOW, end=NOW + HOUR), None, NOW + HOUR + DAY),
        (Seen({"run": 5, "start": NOW}, {}, NOW + 2 * HOUR), None, NOW + 2 * HOUR + DAY),
        (seen(start=NOW, end=NOW + HOUR), NOW + 3 * HOUR, NOW + 3 * HOUR + DAY),
        (seen(start=NOW, end=NOW + HOUR), NOW - HOUR, NOW + HOUR + DAY),
    ],
    ids=["start", "end", "last lumi block", "a later change", "an earlier change"],
)
def test_a_run_settles_a_day_after_the_last_that_is_known_of_it(run: Seen, change: int | None, due: int) -> None:
    assert not settled(run, now=due, change=change)
    assert settled(run, now=due + 1, change=change)


def test_a_run_without_any_time_settles_a_day_after_caf_first_saw_it() -> None:
    for age, expected in ((DAY, False), (DAY + 1, True)):
        moments = Moments(NOW, NOW, first_seen=NOW - age, last_change=None)
        assert record_of(seen(), RULES, moments).settled is expected


def test_a_corrected_time_does_not_move_the_settling() -> None:
    """Settling is about what the run database may still write, so it is reckoned from what was recorded."""
    rules = Rules(1, [LISTENER], [Correction(((5, 5),), {"start": NOW}, "r")], DAY)
    moments = Moments(NOW, NOW, NOW - 365 * DAY, None)
    assert record_of(seen(start=NOW - 10 * DAY), rules, moments).settled


def test_an_open_run_is_decided_when_it_has_settled() -> None:
    run = seen(start=NOW)
    assert reconsider(run, RULES, Moments(NOW, NOW, NOW, None))[1].status is Status.OPEN
    assert reconsider(run, RULES, Moments(NOW + 2 * DAY, NOW + 2 * DAY, NOW, None))[1].status is Status.UNCLAIMED


verdicts = st.sampled_from(
    [
        Verdict(Status.OPEN, None, None, "u"),
        Verdict(Status.ACCEPTED, "L", False, "h"),
        Verdict(Status.UNCLAIMED, None, None, "f"),
        Verdict(Status.CONFLICT, None, None, "h h"),
    ]
)
standings = st.sampled_from(
    [
        Standing(Status.IGNORED, None, True),
        Standing(Status.ACCEPTED, "M", True),
        Standing(Status.ACCEPTED, "L", False),
        Standing(Status.OPEN, None, False),
        None,
    ]
)


@given(standings, verdicts)
def test_what_a_person_decided_stays(before: Standing | None, verdict: Verdict) -> None:
    after = standing_after(before, verdict)
    if before is not None and before.by_person:
        assert after == before
    else:
        assert after == Standing(verdict.status, verdict.listener, False)
