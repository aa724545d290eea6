"""What is to be done about an attempt that was given to a batch system: decided from witnesses, never from timing.

There are two witnesses. The *records* in the attempt's area were written by the wrapper: the claim (who made it owns
the attempt), the start, the exit. The *sighting* is what the batch system says. A batch system that does not know is
no proof of anything. The only proofs that an attempt is over are its exit record, a batch system that saw it end, or
a claim won by the supervisor, after which nothing can start.
"""

from dataclasses import dataclass
from enum import StrEnum

from caf.domain.jobs import Result, State


class Sight(StrEnum):
    """What a batch system says of a token."""

    PENDING = "pending"
    RUNNING = "running"
    ENDED = "ended"  # it was there and is over, or it certainly never came
    UNKNOWN = "unknown"  # no answer, or not in the answer


@dataclass(frozen=True, slots=True)
class Sighting:
    """One answer. `result` is set where the batch system itself knows how the job ended."""

    sight: Sight
    batch_id: str | None = None
    reason: str | None = None
    result: Result | None = None


@dataclass(frozen=True, slots=True)
class Records:
    """What the attempt's area holds; times in seconds since 1970. Records count only when they are whole."""

    readable: bool = True  # False: the area could not be looked at, which proves nothing
    claim: bool = False
    revoked: bool = False
    foreign: bool = False  # a record names another token
    started: float | None = None
    node: str | None = None
    exit_code: int | None = None
    ended: float | None = None
    why: str | None = None  # the wrapper's own trouble


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait for what may still come, in seconds; this only saves work, nothing is decided by it."""

    record_grace: float = 90.0
    submit_grace: float = 600.0


NOT_YET = "but its exit record is not there yet"
"""How the reason of that one doubt ends which `record_grace` settles."""


class Step(StrEnum):
    """What the organise duty does next about an attempt."""

    STAY = "stay"
    DOUBT = "doubt"  # stay, and show since when its fate is not known
    BECOME = "become"
    REVOKE = "revoke"  # try to win the claim
    CANCEL = "cancel"  # ask the batch system to end it


@dataclass(frozen=True, slots=True)
class Decision:
    """A step and its reason. `target` belongs to BECOME; `result` is what is known of a bad end."""

    step: Step
    why: str
    target: State | None = None
    result: Result | None = None


def follow(
    state: State,
    records: Records,
    sighting: Sighting,
    *,
    asked: float,
    doubted: float | None,
    now: float,
    limits: Limits,
) -> Decision:
    """Decide about an attempt in SUBMITTING, PENDING, RUNNING or CANCELLING.

    `asked` is when its token was stored, `doubted` since when it is known to have ended, as
    far as the batch system saw, without an exit record.
    """
    if not records.readable and state is not State.CANCELLING:
        return Decision(Step.DOUBT, "its working area cannot be read")
    if records.foreign and state is not State.CANCELLING:
        return Decision(Step.DOUBT, "the records in its working area belong to another attempt")
    if records.exit_code is not None and not records.foreign and state is not State.CANCELLING:
        return _over(state, f"the payload ended with exit code {records.exit_code}")
    if state is State.CANCELLING:
        return _cancelling(records, sighting)
    if records.revoked:
        return Decision(Step.REVOKE, "its claim was revoked")
    if sighting.sight is Sight.ENDED:
        return _ended(state, records, sighting, doubted=doubted, now=now, limits=limits)
    if sighting.sight is Sight.UNKNOWN:
        return _unknown(state, records, sighting, asked=asked, now=now, limits=limits)
    running = sighting.sight is Sight.RUNNING or records.started is not None
    target = State.RUNNING if running else State.PENDING
    where = f" on {records.node}" if records.node else ""
    why = f"running{where}" if running else (sighting.reason or "pending")
    return Decision(Step.STAY if target is state else Step.BECOME, why, target)


def _over(state: State, why: str, result: Result | None = None) -> Decision:
    """The payload is over: a job on its way out of CANCELLING goes where it was sent, all others are checked."""
    return Decision(Step.BECOME, why, None if state is State.CANCELLING else State.FINISHED, result)


def _cancelling(records: Records, sighting: Sighting) -> Decision:
    """A payload may outlive its own exit record, and remove its own claim: what is seen running is not over."""
    if sighting.sight is Sight.RUNNING:
        return Decision(Step.CANCEL, "it was asked to end")
    if records.revoked:
        return Decision(Step.REVOKE, "its claim was revoked")
    if records.readable and not records.claim and records.started is None and not records.foreign:
        return Decision(Step.REVOKE, "it has not begun")
    if records.exit_code is not None and not records.foreign:
        return _over(State.CANCELLING, f"the payload ended with exit code {records.exit_code}")
    if sighting.sight is Sight.ENDED:
        return _over(State.CANCELLING, "the batch system saw its end")
    if sighting.sight is Sight.UNKNOWN:
        return Decision(Step.CANCEL, "it was asked to end; the batch system does not know it")
    return Decision(Step.CANCEL, "it was asked to end")


def _ended(
    state: State, records: Records, sighting: Sighting, *, doubted: float | None, now: float, limits: Limits
) -> Decision:
    said = sighting.reason or "the batch system saw its end"
    if not records.claim:
        return Decision(Step.REVOKE, f"{said}, and its payload never began", result=sighting.result or Result.NODE)
    if doubted is None or now - doubted < limits.record_grace:
        return Decision(Step.DOUBT, f"{said}, {NOT_YET}")
    missing = "start" if records.started is None else "exit"
    return _over(state, f"{said}, and its {missing} record never came", sighting.result or Result.NODE)


def _unknown(
    state: State, records: Records, sighting: Sighting, *, asked: float, now: float, limits: Limits
) -> Decision:
    said = sighting.reason or "the batch system does not know it"
    if records.started is not None and state is not State.RUNNING:
        return Decision(Step.BECOME, f"its start record says that it runs on {records.node}", State.RUNNING)
    if state is State.SUBMITTING and not records.claim:
        if now - asked < limits.submit_grace:
            return Decision(Step.STAY, "submitted; not seen yet")
        return Decision(Step.REVOKE, f"{said}, and its payload has not begun")
    return Decision(Step.DOUBT, said)
