"""A word that an attempt is lost counts only where nothing speaks against it."""

from itertools import product

import pytest

from caf.domain.answers import contradicted, heed_lost
from caf.domain.following import Decision, Limits, Records, Sight, Sighting, Step, follow
from caf.domain.jobs import FOLLOWED, Answer, Result, State, allowed_answers

RECORDS = [
    Records(),
    Records(readable=False),
    Records(claim=True),
    Records(claim=True, started=1.0, node="n"),
    Records(claim=True, foreign=True, started=1.0),
    Records(claim=True, started=1.0, exit_code=0),
    Records(claim=True, revoked=True),
]


@pytest.mark.parametrize(("state", "sight"), list(product(sorted(FOLLOWED), Sight)))
@pytest.mark.parametrize("records", RECORDS)
def test_in_every_situation(state: State, sight: Sight, records: Records) -> None:
    """Alive: as without the word. An end that was seen: that. Else the claim is tried for, and nothing is concluded."""
    sighting = Sighting(sight)
    said = follow(state, records, sighting, asked=0.0, doubted=0.0, now=1e6, limits=Limits())
    heeded = heed_lost(said, sighting)
    assert contradicted(sighting) == (sight in {Sight.PENDING, Sight.RUNNING})
    if contradicted(sighting) or (said.step is Step.BECOME and said.target in {None, State.FINISHED}):
        assert heeded == said
    else:
        assert (heeded.step, heeded.result) == (Step.REVOKE, Result.NODE)


def test_a_twin_that_is_alive_speaks_against_it_too() -> None:
    twins = Sighting(Sight.UNKNOWN, "1", others=(Sighting(Sight.ENDED, "2"), Sighting(Sight.PENDING, "3")))
    assert contradicted(twins)
    assert not contradicted(Sighting(Sight.ENDED, "1", others=(Sighting(Sight.UNKNOWN, "2"),)))


def test_only_the_claim_can_follow_from_the_word_alone() -> None:
    decision = heed_lost(Decision(Step.DOUBT, "not known"), Sighting(Sight.UNKNOWN))
    assert decision.target is None


def test_which_answers_fit() -> None:
    for state in State:
        for doubtful, acknowledged in product((True, False), repeat=2):
            answers = set(allowed_answers(state, doubtful=doubtful, acknowledged=acknowledged))
            assert (Answer.LOST in answers) == (Answer.ADOPT in answers) == (doubtful and state in FOLLOWED)
            assert (Answer.MARK in answers) == (state is State.DONE)
            assert (Answer.ACK in answers) == (state is State.FAILED and not acknowledged)
