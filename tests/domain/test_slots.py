"""How many more jobs may go out: never more than the own limit, never more than the group's share leaves."""

from hypothesis import given
from hypothesis import strategies as st

from caf.domain.jobs import BUSY, FINAL, State
from caf.domain.slots import HOLDING, Room, free_slots, group_room, held, use_of_groups

COUNTS = st.dictionaries(st.sampled_from(State), st.integers(0, 50))
FEW = st.integers(0, 60)
JOBS = st.tuples(st.sampled_from([None, "a", "b"]), st.integers(1, 4))


def test_an_attempt_that_may_live_holds_a_slot_and_one_that_is_over_does_not() -> None:
    assert set(HOLDING) == (BUSY | {State.CANCELLING}) - {State.FINISHED}
    assert not set(HOLDING) & FINAL


@given(FEW, COUNTS)
def test_own_jobs_never_exceed_the_slots(slots: int, own: dict[str, int]) -> None:
    free = free_slots(slots, own)
    assert free >= 0
    assert free == 0 or held(own) + free == slots


@given(FEW, FEW, FEW)
def test_a_group_never_exceeds_its_share(share: int, own: int, others: int) -> None:
    room = group_room(share, own, others)
    assert room >= 0
    assert room == 0 or own + others + room == share


@given(FEW, FEW)
def test_what_is_not_known_leaves_no_room(share: int, own: int) -> None:
    """One job more could take a slot that is somebody else's."""
    assert group_room(share, own, None) == 0


@given(FEW, FEW, FEW, FEW)
def test_it_is_what_the_old_organiser_reckoned_where_all_jobs_are_of_one_group(
    joblimit: int, ncpu: int, mine: int, others: int
) -> None:
    """At most joblimit of the account's own, and no more than ncpu less the jobs of the group's other accounts."""
    allowed = min(joblimit, ncpu - others)
    assert min(free_slots(joblimit, {State.RUNNING: mine}), group_room(ncpu, mine, others)) == max(0, allowed - mine)


@given(st.integers(0, 20), st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 9)), st.lists(JOBS))
def test_jobs_taken_one_by_one_keep_all_limits(
    free: int, rooms: dict[str, int], wanted: list[tuple[str | None, int]]
) -> None:
    room = Room(free, dict(rooms))
    taken = [(group, cpus) for group, cpus in wanted if room.take(group, cpus)]
    counts = use_of_groups(taken)
    assert len(taken) <= free
    assert all(counts.get(group, 0) <= size for group, size in rooms.items())
    assert room.free == free - len(taken) >= 0
    if len(taken) < min(free, len(wanted)):  # somebody was turned away while slots were free: its group had no room
        assert any(counts.get(str(group), 0) + cpus > rooms.get(str(group), 99) for group, cpus in wanted)


def test_a_large_job_is_not_overtaken_by_small_ones_of_its_group_for_ever() -> None:
    room = Room(9, {"a": 3, "b": 3}, share=8)
    assert [room.take("a", 4), room.take("a"), room.take("b"), room.take(None, 4)] == [False, False, True, True]
    room = Room(9, {"a": 3}, share=8)
    assert [room.take("a", 9), room.take("a")] == [False, True]  # it can never go


def test_a_job_of_no_group_needs_no_share() -> None:
    room = Room(1, {"a": 0})
    assert not room.take("a")
    assert room.take(None)
