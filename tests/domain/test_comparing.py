"""What is concluded from areas that a database does not know: in doubt a person looks, and nothing is used twice."""

from hypothesis import given
from hypothesis import strategies as st

from caf.domain.comparing import Finding, Folder, conclude
from caf.domain.jobs import IDLE, State

folders = st.builds(
    Folder,
    number=st.integers(1, 6),
    ours=st.booleans(),
    token=st.sampled_from([None, "t"]),
    revoked=st.booleans(),
    replaceable=st.booleans(),
)
some = st.lists(folders, max_size=5, unique_by=lambda one: one.number)
states, attempts = st.sampled_from(list(State)), st.integers(1, 4)


def later(state: State, attempt: int, found: list[Folder]) -> list[Folder]:
    return [one for one in found if one.number >= attempt + (state not in IDLE)]


@given(states, attempts, some)
def test_the_next_attempt_is_above_all_that_may_be_in_use(state: State, attempt: int, found: list[Folder]) -> None:
    done = conclude(state, attempt, found)
    there = later(state, attempt, found)
    if done.finding in {Finding.HOLD, Finding.RAISE}:
        assert done.number == max(one.number for one in there) + 1
    if done.finding is Finding.ADOPT:
        assert done.number == max(one.number for one in there if one.ours and one.token is not None)
        assert all(one.ours for one in there if one.number > done.number)
    assert done.number == 0 or done.number >= attempt


@given(states, attempts, some)
def test_nothing_is_followed_but_what_was_begun_and_is_ours(state: State, attempt: int, found: list[Folder]) -> None:
    done = conclude(state, attempt, found)
    if done.finding is Finding.ADOPT:
        (chosen,) = [one for one in found if one.number == done.number]
        assert (chosen.ours, chosen.token, chosen.revoked) == (True, done.token, False)
    else:
        assert done.token is None


@given(states, attempts, some)
def test_no_job_that_may_have_begun_is_left_to_begin_again(state: State, attempt: int, found: list[Folder]) -> None:
    """Whatever holds a token at or above the next attempt: it is followed, or a person is asked."""
    if any(one.ours and one.token is not None for one in later(state, attempt, found)):
        assert conclude(state, attempt, found).finding in {Finding.ADOPT, Finding.HOLD}


@given(states, attempts)
def test_without_areas_nothing_is_done(state: State, attempt: int) -> None:
    assert conclude(state, attempt, []).finding is Finding.NOTHING


def test_a_running_job_is_not_disturbed_by_what_is_not_understood() -> None:
    strange = [Folder(2, ours=False, token=None)]
    assert conclude(State.RUNNING, 1, strange).finding is Finding.NOTHING
    assert conclude(State.NEW, 1, strange).finding is Finding.HOLD


def test_its_own_prepared_area_is_made_anew() -> None:
    own = [Folder(1, ours=True, token=None, replaceable=True)]
    assert conclude(State.NEW, 1, own).finding is Finding.NOTHING
    assert conclude(State.PREPARED, 1, own).finding is Finding.NOTHING
