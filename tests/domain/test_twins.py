"""Several batch jobs with one token: only the one that made the claim counts, and the others are shown."""

from itertools import permutations

import pytest

from caf.domain.following import Limits, Records, Sight, Sighting, Step, follow, ids_of, of_owner, together
from caf.domain.jobs import State

NOW = 1_700_000_000.0
BEGUN = Records(claim=True, started=NOW - 300, node="n1", batch_id="17")
PENDING, RUNNING, ENDED = (Sighting(sight, "17") for sight in (Sight.PENDING, Sight.RUNNING, Sight.ENDED))
TWIN = Sighting(Sight.PENDING, "18")


def decide(records: Records, *rows: Sighting, state: State = State.RUNNING) -> tuple[Step, State | None]:
    seen = together(rows)
    decision = follow(state, records, seen, asked=NOW - 9000, doubted=NOW - 900, now=NOW, limits=Limits())
    return decision.step, decision.target


@pytest.mark.parametrize("rows", list(permutations([ENDED, RUNNING, PENDING])))
def test_of_several_rows_with_one_id_the_liveliest_counts(rows: tuple[Sighting, ...]) -> None:
    """A requeued job is shown with its former lives: it is not over."""
    assert together(rows) == RUNNING


@pytest.mark.parametrize("rows", list(permutations([ENDED, TWIN, Sighting(Sight.UNKNOWN, "19")])))
def test_nothing_is_over_while_anything_with_its_token_is_alive(rows: tuple[Sighting, ...]) -> None:
    seen = together(rows)
    assert (seen.sight, seen.batch_id) == (Sight.PENDING, "18")
    assert {one.batch_id for one in seen.others} == {"17", "19"}
    assert decide(Records(claim=True), *rows, state=State.PENDING) == (Step.STAY, State.PENDING)


def test_the_end_of_a_twin_proves_nothing() -> None:
    """It found the claim made, and ended well; whose the payload is, is not among those shown."""
    assert decide(BEGUN, Sighting(Sight.ENDED, "18", "COMPLETED")) == (Step.DOUBT, None)
    assert decide(BEGUN, Sighting(Sight.ENDED, "18"), ENDED) == (Step.BECOME, State.FINISHED)
    assert decide(BEGUN, Sighting(Sight.ENDED, "18"), RUNNING) == (Step.STAY, State.RUNNING)


@pytest.mark.parametrize("state", [State.RUNNING, State.CANCELLING])
def test_a_twin_that_waits_keeps_nothing_from_ending(state: State) -> None:
    assert decide(BEGUN, TWIN, ENDED, state=state)[0] is Step.BECOME


def test_the_end_of_a_twin_does_not_let_a_job_out_of_cancelling() -> None:
    assert decide(BEGUN, Sighting(Sight.ENDED, "18"), state=State.CANCELLING) == (Step.CANCEL, None)


def test_where_nothing_tells_whose_the_attempt_is_all_are_believed_together() -> None:
    unnamed = Records(claim=True, started=NOW - 300)
    assert decide(unnamed, ENDED, TWIN)[0] is Step.STAY
    assert decide(unnamed, ENDED) == (Step.BECOME, State.FINISHED)
    assert of_owner(BEGUN, Sighting(Sight.RUNNING)) == Sighting(Sight.RUNNING)  # a system without ids
    silent = Sighting(Sight.UNKNOWN, answered=False)
    assert of_owner(BEGUN, silent) == silent


def test_a_claim_without_a_start_record_is_taken_back_and_not_believed_to_be_over() -> None:
    """A twin that the system does not show may have made the claim, and stand still before its start record."""
    assert decide(Records(claim=True), ENDED) == (Step.REVOKE, None)
    assert decide(Records(claim=True, torn=True), ENDED) == (Step.BECOME, State.FINISHED)


@pytest.mark.parametrize(
    ("records", "rows", "known", "main", "twins"),
    [
        (Records(), (PENDING,), (None,), "17", ()),
        (Records(), (PENDING, TWIN), ("18",), "18", ("17",)),
        (Records(), (PENDING, TWIN), ("16",), "17", ("18",)),  # what it had is gone, and there are others
        (Records(), (ENDED, TWIN), ("17",), "17", ("18",)),
        (BEGUN, (RUNNING, TWIN), ("18",), "17", ("18",)),  # whose the payload is counts, whatever a person said
        (BEGUN, (Sighting(Sight.ENDED, "18"), RUNNING), (None,), "17", ()),
        (BEGUN, (TWIN,), ("17",), "17", ("18",)),
    ],
)
def test_the_ids_of_a_job_and_of_its_twins(
    records: Records, rows: tuple[Sighting, ...], known: tuple[str | None, ...], main: str, twins: tuple[str, ...]
) -> None:
    assert ids_of(records, of_owner(records, together(rows)), *known) == (main, twins)
