"""What may go of working areas, and what does: whatever the account, the areas and the rules."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caf.domain.accounts import Account, Counts, Use, Weight, credited, total
from caf.domain.cleaning import Area, Plan, Rules, candidates, kept_because, oldest_first, plan
from caf.domain.jobs import FINAL, State

NOW = 1_000_000.0
DAY = 86_400.0
FEW = settings(max_examples=60)
RULES = Rules(85, 75, 2 * DAY, 30 * DAY)
FREE = Area(1, 490001, "Fit", 1, State.DONE, True, NOW - 3 * DAY, Weight(10, 10, 1), archived=NOW - DAY)

weights = st.builds(Weight, *[st.integers(0, 100)] * 3)
some_time = st.one_of(st.none(), st.floats(NOW - 40 * DAY, NOW + DAY))
areas = st.builds(
    Area,
    st.integers(1, 20),
    st.integers(1, 5),
    st.sampled_from(["Fit", "Ramp"]),
    st.integers(1, 3),
    st.sampled_from([*FINAL, State.NEW, State.WAITING, State.RUNNING, State.CANCELLING]),
    st.booleans(),
    st.floats(NOW - 60 * DAY, NOW + DAY),
    st.one_of(st.none(), weights),
    submitted=st.booleans(),
    archived=some_time,
    archive_wanted=st.booleans(),
    scripts=st.integers(0, 1),
    pinned_until=some_time,
    held=st.sampled_from([None, None, None, "cannot remove it"]),
    removable=st.booleans(),
)
free_ones = st.lists(
    st.builds(lambda over, weight: replace(FREE, over=over, weight=weight), st.floats(0, NOW), weights)
)
all_rules = st.builds(
    lambda low, more, keep, failed, newest: Rules(low + more, low, keep, failed, newest),
    st.floats(0, 90),
    st.floats(0.1, 10),
    st.floats(0, 5 * DAY),
    st.floats(0, 40 * DAY),
    st.dictionaries(st.sampled_from(["Fit", "Ramp"]), st.integers(0, 3)),
)
uses = st.builds(
    lambda counts, used, limit: Use("it", counts, used, limit),
    st.sampled_from(Counts),
    st.integers(0, 1000),
    st.one_of(st.none(), st.integers(1, 1000)),
)
# An account's limits differ in what they count or whom they are of.
accounts = st.builds(lambda found: Account(tuple(found)), st.lists(uses, max_size=3, unique_by=lambda use: use.counts))


def done(account: Account | None, found: Sequence[Area], rules: Rules, *, going_on: bool = False) -> Plan:
    ordered = sorted(found, key=oldest_first)
    there = Counter(area.job for area in ordered)
    return plan(account, candidates(ordered, rules, NOW, there), rules, going_on=going_on)


def after(account: Account, gone: Sequence[Area]) -> Account:
    return credited(account, account, total(area.weight or Weight() for area in gone))


@FEW
@given(accounts, st.lists(areas, max_size=20), all_rules, st.booleans())
def test_only_what_may_go_ever_goes(account: Account, found: list[Area], rules: Rules, going_on: bool) -> None:
    for area in done(account, found, rules, going_on=going_on).removals:
        assert area.state in FINAL
        assert area.archived is not None or (area.removable and not area.archive_wanted)
        assert area.pinned_until is None or area.pinned_until <= NOW
        assert NOW - area.over >= (rules.keep if area.good else rules.keep_failed)
        assert not area.scripts
        assert area.held is None
        assert area.weight is not None


@FEW
@given(accounts, st.lists(areas, max_size=20), all_rules)
def test_the_newest_of_each_job_are_there_afterwards(account: Account, found: list[Area], rules: Rules) -> None:
    gone = done(account, found, rules).removals
    for job, newest in rules.keep_newest.items():
        mine = sorted((area for area in found if area.job == job), key=oldest_first)
        assert not [area for area in mine[len(mine) - newest :] if any(area is one for one in gone)] or not newest


@FEW
@given(accounts, free_ones, all_rules, st.booleans())
def test_never_more_goes_than_reaches_the_low_mark(
    account: Account, found: list[Area], rules: Rules, going_on: bool
) -> None:
    """Without the last one some limit that was too full would still be above it."""
    mark = rules.low if going_on else rules.high
    gone = done(account, found, rules, going_on=going_on).removals
    too_full = Account(tuple(use for use in account.uses if use.over(mark)))
    assert bool(gone) <= bool(too_full.uses)
    if gone:
        assert after(too_full, gone[:-1]).over(rules.low)


@FEW
@given(accounts, free_ones, all_rules)
def test_what_is_not_enough_is_all_that_helps(account: Account, found: list[Area], rules: Rules) -> None:
    rules = replace(rules, keep=0.0, keep_newest={})
    made = done(account, found, rules)
    if made.short:
        assert after(Account(made.short), made.removals).over(rules.low)
        left = [area for area in found if not any(area is one for one in made.removals)]
        assert not any((area.weight or Weight()).by(use.counts) for area in left for use in made.short)
    elif made.needed:
        too_full = Account(tuple(use for use in account.uses if use.over(rules.high)))
        assert not after(too_full, made.removals).over(rules.low)


@FEW
@given(accounts, free_ones, all_rules)
def test_the_oldest_goes_first(account: Account, found: list[Area], rules: Rules) -> None:
    gone = done(account, found, rules).removals
    assert list(gone) == sorted(gone, key=oldest_first)


@FEW
@given(st.lists(areas, max_size=20), all_rules)
def test_an_unknown_account_is_no_reason_to_remove_anything(found: list[Area], rules: Rules) -> None:
    assert done(None, found, rules, going_on=True) == Plan()


@FEW
@given(st.lists(areas, max_size=20), all_rules)
def test_of_each_area_it_is_said_why_it_stays_or_it_may_go(found: list[Area], rules: Rules) -> None:
    kept: list[Area] = []
    left = Counter(area.job for area in found)
    may_go = list(candidates(found, rules, NOW, left, lambda area, why: kept.append(area) if why else None))
    assert len(kept) + len(may_go) == len(found)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, None),
        ({"state": State.WAITING}, "its job waits for a person"),
        ({"state": State.RUNNING}, "its job is RUNNING"),
        ({"scripts": 1}, "its after-scripts are still to be run"),
        (
            {"archived": None, "archive_wanted": True, "archive_error": "it is away"},
            "it is not archived yet: it is away",
        ),
        ({"archived": None, "archive_wanted": True, "removable": True}, "it is not archived yet"),
        ({"archived": None}, "it has no archive, and its job does not say `removable = true`"),
        ({"archived": None, "removable": True}, None),
        (
            {"archived": None, "submitted": False},
            "it was never submitted, so it has no archive, and its job does not say `removable = true`",
        ),
        ({"pinned_until": NOW + 1, "pinned_by": "anna: why"}, "it is pinned by anna: why"),
        ({"pinned_until": NOW - 1}, None),
        ({"over": NOW - DAY}, "it ended less than 2 d ago"),
        ({"good": False}, "it ended badly less than 30 d ago"),
        ({"good": False, "over": NOW - 31 * DAY}, None),
        ({"weight": None}, "it has not been weighed yet"),
        ({"held": "cannot remove it"}, "cannot remove it"),
    ],
)
def test_why_an_area_stays_is_said(change: dict[str, object], why: str | None) -> None:
    assert kept_because(replace(FREE, **change), RULES, NOW, 0) == why  # type: ignore[arg-type]  # fields by name


def test_of_a_limit_of_which_only_a_share_is_known_one_area_goes() -> None:
    """Nobody can say how much must go: then it is measured again."""
    found = [replace(FREE, over=float(number), attempt=number) for number in range(1, 4)]
    account = Account((Use("volume", Counts.SIZES, told=97.0),))
    assert [area.attempt for area in done(account, found, RULES).removals] == [1]
    assert done(Account((Use("volume", Counts.SIZES, told=85.0),)), found, RULES) == Plan()


def test_inodes_alone_are_a_reason() -> None:
    account = Account((Use("disk", Counts.DISK, 10, 100), Use("disk", Counts.FILES, 95, 100)))
    found = [replace(FREE, over=float(number), weight=Weight(1, 1, 12)) for number in range(1, 4)]
    assert len(done(account, found, RULES).removals) == 2


def test_what_a_lagging_account_does_not_show_yet_is_not_removed_twice() -> None:
    before = Account((Use("it", Counts.SIZES, 90, 100), Use("it", Counts.FILES, 5, None)))
    assert credited(before, before, Weight(20, 20, 2)).uses[0].used == 70
    grown = replace(before, uses=(replace(before.uses[0], used=60), before.uses[1]))
    assert credited(grown, before, Weight(20, 20, 2)).uses[0].used == 60
    assert credited(before, None, Weight(20, 20, 2)) == before
