"""Records of another attempt neither end this one nor keep it from being ended."""

import pytest

from caf.domain.following import Limits, Records, Sight, Sighting, Step, follow
from caf.domain.jobs import State

FOREIGN = Records(claim=True, foreign=True, started=1.0, exit_code=0)


@pytest.mark.parametrize("sight", list(Sight))
def test_a_job_with_foreign_records_can_be_cancelled(sight: Sight) -> None:
    """A payload under a restored database is asked to end, and let go only when it was seen to have ended."""
    decision = follow(State.CANCELLING, FOREIGN, Sighting(sight), asked=0.0, doubted=None, now=10.0, limits=Limits())
    assert decision.step is (Step.BECOME if sight is Sight.ENDED else Step.CANCEL)


@pytest.mark.parametrize("state", [State.SUBMITTING, State.PENDING, State.RUNNING])
@pytest.mark.parametrize("sight", list(Sight))
def test_foreign_records_decide_nothing_else(state: State, sight: Sight) -> None:
    decision = follow(state, FOREIGN, Sighting(sight), asked=0.0, doubted=None, now=1e9, limits=Limits())
    assert decision.step is Step.DOUBT
