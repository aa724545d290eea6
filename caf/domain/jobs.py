"""The life of a job: its states, the one table of transitions, and how an attempt can end.

The store fills its `transition` table from TRANSITIONS and refuses everything else; the diagram in docs/design.md is
made from it too.
"""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a job stands."""

    WAITING = "WAITING"  # a person must validate it first
    NEW = "NEW"  # its raw files are looked for
    STAGING = "STAGING"  # raw files were asked for from tape
    PREPARED = "PREPARED"  # the working area is ready; it waits for a slot
    SUBMITTING = "SUBMITTING"  # the token is stored; the batch system may or may not know it
    PENDING = "PENDING"  # the batch system has it
    RUNNING = "RUNNING"  # the payload runs
    FINISHED = "FINISHED"  # the payload is over; it is being checked
    CANCELLING = "CANCELLING"  # a person wants it elsewhere; it goes there once its end is proved
    DONE = "DONE"
    FAILED = "FAILED"
    REJECTED = "REJECTED"  # a person said: never
    CANCELLED = "CANCELLED"  # a person killed it


class Result(StrEnum):
    """Why a job ended as it did."""

    OK = "ok"
    EXIT_CODE = "exit_code"
    LOG = "log"
    OUTPUTS = "outputs"
    CHECK = "check"
    SIGNAL = "signal"
    MEMORY = "memory"
    WALLTIME = "walltime"
    NODE = "node"
    REFUSED = "refused"
    STAGING = "staging"
    PREPARATION = "preparation"


class Word(StrEnum):
    """What a person can say of a job."""

    START = "start"
    REJECT = "reject"
    RESET = "reset"
    HOLD = "hold"
    KILL = "kill"


class Answer(StrEnum):
    """What a person can say of a job that changes its state not at all, or only with proof."""

    ADOPT = "adopt"  # the attempt whose fate is not known is there
    LOST = "lost"  # it is gone
    MARK = "mark"  # a DONE result is good or bad
    ACK = "ack"  # a failure was seen


FINAL = frozenset({State.DONE, State.FAILED, State.REJECTED, State.CANCELLED})
IDLE = frozenset({State.WAITING, State.NEW, State.STAGING, State.PREPARED})
"""Nothing of the current attempt has been given to a batch system."""
BUSY = frozenset({State.SUBMITTING, State.PENDING, State.RUNNING, State.FINISHED})
"""The current attempt has, or may have, a life outside of caf: it is left only with proof of its end."""
FOLLOWED = frozenset({State.SUBMITTING, State.PENDING, State.RUNNING, State.CANCELLING})
"""The batch system is asked about the current attempt, whose fate may be unknown."""
OPEN = frozenset(State) - FINAL - {State.WAITING}
"""What the organise duty has work with."""

INFRASTRUCTURE = frozenset({Result.MEMORY, Result.WALLTIME, Result.NODE, Result.REFUSED})
"""Failures that another attempt may cure; a payload's own failure is not tried again."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One legal change. `word` is what a person says for it; None: the organise duty does it."""

    source: State
    target: State
    word: Word | None = None


def _table() -> tuple[Transition, ...]:
    s = State
    organise = [
        (s.NEW, s.STAGING),
        (s.NEW, s.PREPARED),
        (s.STAGING, s.PREPARED),
        (s.NEW, s.FAILED),
        (s.STAGING, s.FAILED),
        (s.PREPARED, s.NEW),
        (s.PREPARED, s.SUBMITTING),
        (s.SUBMITTING, s.PENDING),
        (s.SUBMITTING, s.RUNNING),
        (s.SUBMITTING, s.FINISHED),
        (s.SUBMITTING, s.PREPARED),
        (s.SUBMITTING, s.NEW),
        (s.SUBMITTING, s.FAILED),
        (s.PENDING, s.RUNNING),
        (s.RUNNING, s.PENDING),
        (s.PENDING, s.FINISHED),
        (s.RUNNING, s.FINISHED),
        (s.FINISHED, s.DONE),
        (s.FINISHED, s.FAILED),
        (s.PENDING, s.NEW),
        (s.RUNNING, s.NEW),
        (s.FINISHED, s.NEW),
        (s.CANCELLING, s.NEW),
        (s.CANCELLING, s.WAITING),
        (s.CANCELLING, s.CANCELLED),
    ]
    rows = [Transition(source, target) for source, target in organise]
    rows += [Transition(s.WAITING, s.NEW, Word.START), Transition(s.WAITING, s.REJECTED, Word.REJECT)]
    for source in State:  # in the order of the enumeration, so that the diagram is always the same
        if source in FINAL or source in IDLE:
            if source is not s.WAITING:
                rows += [Transition(source, s.NEW, Word.RESET), Transition(source, s.WAITING, Word.HOLD)]
            if source is not s.CANCELLED:
                rows.append(Transition(source, s.CANCELLED, Word.KILL))
        elif source in BUSY or source is s.CANCELLING:
            rows += [Transition(source, s.CANCELLING, word) for word in (Word.RESET, Word.HOLD, Word.KILL)]
    return tuple(rows)


TRANSITIONS = _table()
LEGAL = frozenset((row.source, row.target) for row in TRANSITIONS)

GOAL = {Word.START: State.NEW, Word.REJECT: State.REJECTED, Word.RESET: State.NEW, Word.HOLD: State.WAITING}
GOAL[Word.KILL] = State.CANCELLED
"""Where a person's word leads in the end, if need be by way of CANCELLING."""


SPOILING = frozenset({Word.HOLD, Word.KILL})
"""What leaves a job that is DONE without a good result, and has none follow by itself: allowed, but not offered."""


def allowed_words(state: State) -> tuple[Word, ...]:
    """Give what a person may say of a job in this state, in a fixed order."""
    said = {row.word for row in TRANSITIONS if row.source is state}
    return tuple(word for word in Word if word in said)


def allowed_answers(state: State, *, doubtful: bool, acknowledged: bool) -> tuple[Answer, ...]:
    """Give what else a person may say of a job in this state."""
    if state in FOLLOWED:
        return (Answer.ADOPT, Answer.LOST) if doubtful else ()
    if state is State.FAILED:
        return () if acknowledged else (Answer.ACK,)
    return (Answer.MARK,) if state is State.DONE else ()


def target_of(state: State, word: Word) -> State | None:
    """Give where a person's word takes a job in this state at once; None if it is not allowed."""
    for row in TRANSITIONS:
        if row.source is state and row.word is word:
            return row.target
    return None


def attempt_after(source: State, target: State, attempt: int) -> int:
    """Give the number of the attempt after a change: it grows when a used attempt is left to begin again.

    An attempt is used from SUBMITTING on: its token was stored, and its folder is never used again.
    """
    begins_again = target in {State.NEW, State.WAITING, State.PREPARED}
    return attempt + 1 if begins_again and source not in IDLE else attempt
