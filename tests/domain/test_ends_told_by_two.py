"""A payload that failed has left its exit record; why it failed may be known to the batch system alone."""

import pytest

from caf.domain.following import STUCK, Decision, Limits, Records, Sight, Sighting, Step, follow
from caf.domain.jobs import Result, State

NOW = 1_700_000_000.0
KILLED = Records(claim=True, started=NOW - 100, node="n1", exit_code=143, ended=NOW - 5)


def decide(sighting: Sighting, records: Records = KILLED, state: State = State.RUNNING, now: float = NOW) -> Decision:
    return follow(state, records, sighting, asked=NOW - 200, doubted=None, now=now, limits=Limits())


def test_what_the_batch_system_knows_of_a_failure_counts() -> None:
    decision = decide(Sighting(Sight.ENDED, "7", "TIMEOUT", Result.WALLTIME))
    assert (decision.step, decision.target, decision.result) == (Step.BECOME, State.FINISHED, Result.WALLTIME)
    assert decision.why == "TIMEOUT; the payload ended with exit code 143"


def test_a_payload_that_ended_well_needs_no_other_witness() -> None:
    good = Records(claim=True, started=NOW - 100, node="n1", exit_code=0, ended=NOW - 5)
    decision = decide(Sighting(Sight.RUNNING, "7"), good)
    assert (decision.step, decision.target, decision.result) == (Step.BECOME, State.FINISHED, None)


@pytest.mark.parametrize("state", [State.SUBMITTING, State.PENDING, State.RUNNING])
@pytest.mark.parametrize("sighting", [Sighting(Sight.RUNNING, "7"), Sighting(Sight.UNKNOWN, answered=False)])
def test_a_batch_system_that_has_not_noticed_the_end_yet_is_waited_for(sighting: Sighting, state: State) -> None:
    decision = decide(sighting, state=state)
    step = Step.STAY if state is State.RUNNING else Step.BECOME
    assert (decision.step, decision.target) == (step, State.RUNNING)


@pytest.mark.parametrize("by", [-90.0, 90.0], ids=["a clock that is wrong", "long enough"])
def test_it_is_not_waited_for_without_end(by: float) -> None:
    decision = decide(Sighting(Sight.RUNNING, "7"), now=NOW - 5 + by)
    assert (decision.step, decision.target, decision.result) == (Step.BECOME, State.FINISHED, None)


def test_a_batch_system_that_has_forgotten_it_is_not_waited_for() -> None:
    assert decide(Sighting(Sight.UNKNOWN)).target is State.FINISHED


def test_a_pending_job_that_cannot_start_asks_for_a_person() -> None:
    nothing = Records()
    assert decide(Sighting(Sight.PENDING, "7", "PartitionConfig", stuck=True), nothing, State.PENDING).why == (
        f"{STUCK}PartitionConfig"
    )
    assert decide(Sighting(Sight.PENDING, "7", "Priority"), nothing, State.PENDING).why == "Priority"
