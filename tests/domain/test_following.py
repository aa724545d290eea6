"""What is done about an attempt follows from witnesses: every combination of them is tried."""

import dataclasses
from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caf.domain.following import Decision, Limits, Records, Sight, Sighting, Step, follow
from caf.domain.jobs import LEGAL, Result, State

FOLLOWED = (State.SUBMITTING, State.PENDING, State.RUNNING, State.CANCELLING)
NOW = 1_700_000_000.0
LIMITS = Limits(record_grace=90.0, submit_grace=600.0)
YES_NO = (False, True)


@dataclasses.dataclass(frozen=True)
class Case:
    """One combination of what is known of an attempt."""

    state: State
    records: Records
    sighting: Sighting
    asked: float
    doubted: float | None

    def decide(self) -> Decision:
        return follow(
            self.state,
            self.records,
            self.sighting,
            asked=self.asked,
            doubted=self.doubted,
            now=NOW,
            limits=LIMITS,
        )

    @property
    def trusted(self) -> bool:
        """Records of another attempt say nothing of this one's end, but do not keep it from being ended."""
        return self.state is State.CANCELLING or (self.records.readable and not self.records.foreign)

    @property
    def exit_seen(self) -> bool:
        """A payload may outlive its own exit record: one that is to end is over only when nothing of it runs."""
        alive = self.state is State.CANCELLING and self.sighting.sight is Sight.RUNNING
        return self.records.exit_code is not None and not self.records.foreign and not alive

    @property
    def may_revoke(self) -> bool:
        records = self.records
        begun = records.started is not None or (records.claim and (records.torn or records.exit_code is not None))
        begun = begun or records.foreign or not records.readable
        return self.sighting.sight is not Sight.RUNNING and (records.revoked or not begun)


def _records() -> Iterator[Records]:
    for readable, claim, revoked, foreign, started, code in product(
        YES_NO, YES_NO, YES_NO, YES_NO, (None, NOW - 300), (None, 0, 3)
    ):
        node = None if started is None else "n1"
        for torn in YES_NO if claim and started is None else (False,):
            ended = None if code is None else NOW - 1
            yield Records(readable, claim, revoked, foreign, started, node, code, ended, torn=torn)


def _cases() -> Iterator[Case]:
    sightings = [Sighting(sight, result=result) for sight in Sight for result in (None, Result.MEMORY)]
    asked = (NOW - 599, NOW - 600)
    doubted = (None, NOW - 89, NOW - 90)
    return (Case(*parts) for parts in product(FOLLOWED, _records(), sightings, asked, doubted))


CASES = [(case, case.decide()) for case in _cases()]


def test_there_are_many_cases() -> None:
    assert len(CASES) == 4 * (96 + 24) * 8 * 6


def test_every_decision_is_a_legal_step_with_a_reason_in_one_line() -> None:
    for case, decision in CASES:
        assert decision.why, case
        assert "\n" not in decision.why
        if decision.step is Step.BECOME and decision.target is not None:
            assert (case.state, decision.target) in LEGAL, (case, decision)


def test_nothing_begins_again_without_proof() -> None:
    """Following alone never leads to a state from which another attempt starts; a revoke that is won does."""
    for case, decision in CASES:
        assert decision.target in {None, State.PENDING, State.RUNNING, State.FINISHED}, (case, decision)


def test_an_attempt_is_over_only_with_an_exit_record_or_an_end_that_was_seen() -> None:
    for case, decision in CASES:
        over = decision.step is Step.BECOME and decision.target in {None, State.FINISHED}
        if over:
            cancelling = case.state is State.CANCELLING and not case.may_revoke
            seen = case.sighting.sight is Sight.ENDED and (case.records.claim or cancelling)
            assert case.trusted, case
            assert case.exit_seen or seen, (case, decision)


def test_a_batch_system_that_does_not_know_ends_nothing() -> None:
    for case, decision in CASES:
        if case.sighting.sight is Sight.UNKNOWN and case.records.exit_code is None:
            assert decision.step is not Step.BECOME or decision.target is State.RUNNING, (case, decision)
            if decision.step is Step.BECOME:
                assert case.records.started is not None
            assert decision.result is None


@pytest.mark.parametrize("trouble", ["foreign", "unreadable"])
def test_records_that_cannot_be_trusted_only_raise_doubt(trouble: str) -> None:
    for case, decision in CASES:
        if (case.records.foreign if trouble == "foreign" else not case.records.readable) and not case.trusted:
            assert (decision.step, decision.target) == (Step.DOUBT, None), (case, decision)


def test_an_exit_record_always_wins() -> None:
    """Whatever the batch system says: the payload is over. Of one that failed it may know why, and is believed."""
    for case, decision in CASES:
        if case.trusted and case.exit_seen and not (case.state is State.CANCELLING and case.may_revoke):
            target = None if case.state is State.CANCELLING else State.FINISHED
            failed = case.records.exit_code != 0 and case.state is not State.CANCELLING
            if failed and case.sighting.sight is Sight.RUNNING:  # for a while: see test_ends_told_by_two.py
                assert decision.target is State.RUNNING, case
                continue
            result = case.sighting.result if failed and case.sighting.sight is Sight.ENDED else None
            assert (decision.step, decision.target, decision.result) == (Step.BECOME, target, result), case


def test_cancelling_ends_only_with_proof() -> None:
    for case, decision in CASES:
        if case.state is not State.CANCELLING:
            continue
        if case.may_revoke:
            assert decision.step is Step.REVOKE, (case, decision)
        elif case.exit_seen or case.sighting.sight is Sight.ENDED:
            assert (decision.step, decision.target) == (Step.BECOME, None), (case, decision)
        else:
            assert decision.step is Step.CANCEL, (case, decision)


def test_what_is_seen_running_is_never_let_go() -> None:
    """Whatever a payload writes or removes in its own area: while it is seen running it has not ended."""
    for case, decision in CASES:
        if case.state is State.CANCELLING and case.sighting.sight is Sight.RUNNING:
            assert decision.step is Step.CANCEL, (case, decision)


def test_only_a_person_has_a_payload_ended() -> None:
    assert all(case.state is State.CANCELLING for case, decision in CASES if decision.step is Step.CANCEL)


def test_a_claim_that_the_payload_has_is_never_tried_for() -> None:
    for case, decision in CASES:
        if decision.step is Step.REVOKE:
            begun = case.records.claim and (case.records.started is not None or case.records.torn)
            assert not begun or case.records.revoked, (case, decision)


def test_an_end_without_exit_record_waits_for_record_grace() -> None:
    """File systems lag; the clock is that of the doubt, so the first sight of an end never decides."""
    for case, decision in CASES:
        records = case.records
        if (
            case.state is State.CANCELLING
            or not case.trusted
            or records.exit_code is not None
            or records.revoked
            or not records.claim
            or case.sighting.sight is not Sight.ENDED
        ):
            continue
        if case.doubted is not None and NOW - case.doubted >= LIMITS.record_grace:
            barred = records.started is None and not records.torn  # its start record's place can be taken
            assert decision.step is (Step.REVOKE if barred else Step.BECOME), case
            assert decision.result is (case.sighting.result or Result.NODE)
            assert ("start" if records.started is None else "exit") + " record never came" in decision.why
        else:
            assert decision.step is Step.DOUBT, (case, decision)


def test_a_submission_that_is_not_seen_gets_its_grace_and_is_then_revoked() -> None:
    for case, decision in CASES:
        records = case.records
        if (
            case.state is State.SUBMITTING
            and case.sighting.sight is Sight.UNKNOWN
            and records == Records(claim=False, started=None)
        ):
            young = NOW - case.asked < LIMITS.submit_grace
            assert decision.step is (Step.STAY if young else Step.REVOKE), case


def test_while_the_batch_system_is_silent_nothing_is_revoked() -> None:
    """What is made anew could not be handed over either; its fate is in doubt, and shown with its age."""
    silent = Sighting(Sight.UNKNOWN, reason="the batch system does not answer", answered=False)
    for state in FOLLOWED[:3]:
        decision = Case(state, Records(), silent, NOW - 600, None).decide()
        assert (decision.step, decision.why) == (Step.DOUBT, "the batch system does not answer")


def test_what_ended_without_ever_beginning_is_revoked_with_what_the_batch_system_knows() -> None:
    for case, decision in CASES:
        if case.records == Records() and case.sighting.sight is Sight.ENDED and case.state is not State.CANCELLING:
            assert (decision.step, decision.result) == (Step.REVOKE, case.sighting.result or Result.NODE)


@pytest.mark.parametrize(
    ("state", "sight", "started", "step", "target"),
    [
        (State.SUBMITTING, Sight.PENDING, False, Step.BECOME, State.PENDING),
        (State.SUBMITTING, Sight.RUNNING, False, Step.BECOME, State.RUNNING),
        (State.SUBMITTING, Sight.PENDING, True, Step.BECOME, State.RUNNING),
        (State.SUBMITTING, Sight.UNKNOWN, True, Step.BECOME, State.RUNNING),
        (State.PENDING, Sight.PENDING, False, Step.STAY, State.PENDING),
        (State.PENDING, Sight.PENDING, True, Step.BECOME, State.RUNNING),
        (State.PENDING, Sight.RUNNING, False, Step.BECOME, State.RUNNING),
        (State.RUNNING, Sight.RUNNING, True, Step.STAY, State.RUNNING),
        (State.RUNNING, Sight.PENDING, False, Step.BECOME, State.PENDING),  # requeued before its payload began
        (State.PENDING, Sight.UNKNOWN, False, Step.DOUBT, None),
        (State.RUNNING, Sight.UNKNOWN, True, Step.DOUBT, None),
    ],
)
def test_the_ordinary_way(state: State, sight: Sight, started: bool, step: Step, target: State | None) -> None:
    records = Records(claim=started, started=NOW if started else None, node="n1" if started else None)
    decision = Case(state, records, Sighting(sight, "4711"), NOW, None).decide()
    assert (decision.step, decision.target) == (step, target)


def test_one_that_waits_within_caf_for_its_turn_is_not_pending_yet() -> None:
    """The local batch system has no id for it: if the supervisor dies, it is as if it had never been handed over."""
    decision = Case(State.SUBMITTING, Records(), Sighting(Sight.PENDING, reason="soon"), NOW, None).decide()
    assert (decision.step, decision.target, decision.why) == (Step.STAY, None, "soon")


@settings(max_examples=300)
@given(
    st.sampled_from(FOLLOWED[:3]),
    st.floats(0, 1e6),
    st.one_of(st.none(), st.floats(0, 1e6)),
    st.floats(0, 1e6),
    st.booleans(),
)
def test_no_limit_decides_about_an_attempt_that_may_run(
    state: State, asked: float, doubted: float | None, more: float, started: bool
) -> None:
    """However long it takes: limits save work, and without a witness of its end a claimed attempt stays."""
    records = Records(claim=True, started=asked if started else None)
    limits = Limits(record_grace=0, submit_grace=0)
    for sight in (Sight.UNKNOWN, Sight.PENDING, Sight.RUNNING):
        decision = follow(
            state, records, Sighting(sight), asked=asked, doubted=doubted, now=asked + more, limits=limits
        )
        assert decision.step in {Step.STAY, Step.DOUBT, Step.BECOME}
        assert decision.target is not State.FINISHED
