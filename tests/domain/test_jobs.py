"""The one table of transitions is the one that was agreed on, written out here a second time."""

from itertools import product

import pytest

from caf.domain.jobs import (
    BUSY,
    FINAL,
    GOAL,
    IDLE,
    LEGAL,
    OPEN,
    TRANSITIONS,
    State,
    Word,
    allowed_words,
    attempt_after,
    target_of,
)

# From docs/design.md. NEW and STAGING to FAILED are what the results `preparation` and `staging` are for; PREPARED
# and SUBMITTING (its claim revoked) to NEW is for raw files that have changed or gone since.
ORGANISE = """
NEW: STAGING PREPARED FAILED
STAGING: PREPARED FAILED
PREPARED: NEW SUBMITTING
SUBMITTING: PENDING RUNNING FINISHED PREPARED NEW FAILED
PENDING: RUNNING FINISHED NEW
RUNNING: PENDING FINISHED NEW
FINISHED: DONE FAILED NEW
CANCELLING: NEW WAITING CANCELLED
"""
PERSON = """
WAITING: start=NEW reject=REJECTED kill=CANCELLED
NEW: reset=NEW hold=WAITING kill=CANCELLED
STAGING: reset=NEW hold=WAITING kill=CANCELLED
PREPARED: reset=NEW hold=WAITING kill=CANCELLED
SUBMITTING: reset=CANCELLING hold=CANCELLING kill=CANCELLING
PENDING: reset=CANCELLING hold=CANCELLING kill=CANCELLING
RUNNING: reset=CANCELLING hold=CANCELLING kill=CANCELLING
FINISHED: reset=CANCELLING hold=CANCELLING kill=CANCELLING
CANCELLING: reset=CANCELLING hold=CANCELLING kill=CANCELLING
DONE: reset=NEW hold=WAITING kill=CANCELLED
FAILED: reset=NEW hold=WAITING kill=CANCELLED
REJECTED: reset=NEW hold=WAITING kill=CANCELLED
CANCELLED: reset=NEW hold=WAITING
"""


def _lines(table: str) -> dict[str, list[str]]:
    return {name: targets.split() for name, _, targets in (line.partition(":") for line in table.split("\n") if line)}


ORGANISED = {(source, target) for source, targets in _lines(ORGANISE).items() for target in targets}
SAID = {(source, *part.split("=")) for source, parts in _lines(PERSON).items() for part in parts}


def test_the_table_is_what_was_agreed_on() -> None:
    assert {(row.source, row.target) for row in TRANSITIONS if row.word is None} == ORGANISED
    assert {(row.source, str(row.word), row.target) for row in TRANSITIONS if row.word is not None} == SAID
    assert len(TRANSITIONS) == len(ORGANISED) + len(SAID)


def test_legal_is_the_table_and_nothing_else() -> None:
    assert ORGANISED | {(source, target) for source, _, target in SAID} == LEGAL


def test_the_words_of_each_state() -> None:
    for state in State:
        words = {word for source, word, _ in SAID if source == state}
        assert allowed_words(state) == tuple(word for word in Word if word in words)
    for state, word in product(State, Word):
        target = {target for source, said, target in SAID if (source, said) == (state, word)}
        assert {target_of(state, word)} - {None} == target


def test_the_sets_of_states_part_them_all() -> None:
    assert {"DONE", "FAILED", "REJECTED", "CANCELLED"} == FINAL
    assert {"WAITING", "NEW", "STAGING", "PREPARED"} == IDLE
    assert {"SUBMITTING", "PENDING", "RUNNING", "FINISHED"} == BUSY
    assert FINAL | IDLE | BUSY | {"CANCELLING"} == set(State)
    assert set(State) - FINAL - {"WAITING"} == OPEN


def test_a_busy_attempt_is_left_by_a_person_only_through_cancelling() -> None:
    """Nothing that may have a life outside of caf is ended by a word alone."""
    for state in BUSY | {State.CANCELLING}:
        assert {target_of(state, word) for word in allowed_words(state)} == {State.CANCELLING}


def test_every_word_leads_where_it_says() -> None:
    assert GOAL == {"start": "NEW", "reject": "REJECTED", "reset": "NEW", "hold": "WAITING", "kill": "CANCELLED"}
    for state, word in product(State, Word):
        assert target_of(state, word) in {None, GOAL[word], State.CANCELLING}
    ends = {target for source, target in LEGAL if source is State.CANCELLING} - {State.CANCELLING}
    assert ends == {GOAL[word] for word in allowed_words(State.CANCELLING)}


USED = {"SUBMITTING", "PENDING", "RUNNING", "FINISHED", "CANCELLING", "DONE", "FAILED", "REJECTED", "CANCELLED"}


@pytest.mark.parametrize(("source", "target"), sorted(LEGAL))
def test_an_attempt_grows_on_leaving_a_used_state_to_begin_again(source: State, target: State) -> None:
    grows = source in USED and target in {"NEW", "WAITING", "PREPARED"}
    assert attempt_after(source, target, 3) == (4 if grows else 3)


def test_every_way_back_to_submitting_uses_another_attempt() -> None:
    """Whatever is done to a job: between two submissions its attempt has grown, so no folder is used twice."""
    seen = set()
    todo = [(target, attempt_after(State.SUBMITTING, target, 1)) for s, target in LEGAL if s is State.SUBMITTING]
    while todo:
        state, attempt = todo.pop()
        if (state, attempt) in seen or attempt > 2:
            continue
        seen.add((state, attempt))
        todo += [(target, attempt_after(state, target, attempt)) for source, target in LEGAL if source is state]
    assert (State.SUBMITTING, 2) in seen
    assert (State.SUBMITTING, 1) not in seen


def test_every_state_can_be_reached_and_every_job_can_come_to_an_end() -> None:
    def reached(first: State) -> set[State]:
        found, todo = {first}, [first]
        while todo:
            state = todo.pop()
            new = {target for source, target in LEGAL if source is state} - found
            found |= new
            todo += new
        return found

    assert reached(State.NEW) == set(State)
    assert all(State.DONE in reached(state) for state in State)
