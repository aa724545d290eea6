"""What is to be done about an attempt that was given to a batch system: decided from witnesses, never from timing.

There are two witnesses. The *records* in the attempt's area were written by the wrapper: the claim (who made it owns
the attempt), the start, the exit. The *sighting* is what the batch system says. A batch system that does not know is
no proof of anything. The only proofs that an attempt is over are its exit record, a batch system that saw it end, or
a claim won by the supervisor, after which nothing can start.

A batch system may have more than one job with one token: an answer was lost and somebody handed the script over again,
or it doubled the job itself. Only the one that made the claim can run the payload, so that such a *twin* harms nothing;
but its end proves nothing either. Where the start record tells whose the attempt is, only that one is listened to.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    """One answer. `result` and `exit_code` are set where the batch system itself knows how the job ended.

    `others` are its answers about further batch jobs that carry the same token, made by `together`. `answered` is
    False where there was no answer at all. `stuck`: it is pending for a reason that does not pass by itself.
    """

    sight: Sight
    batch_id: str | None = None
    reason: str | None = None
    result: Result | None = None
    others: tuple["Sighting", ...] = ()
    answered: bool = True
    exit_code: int | None = None
    stuck: bool = False


_LIVELIEST_FIRST = (Sight.RUNNING, Sight.PENDING, Sight.UNKNOWN, Sight.ENDED)


def together(sightings: Sequence[Sighting]) -> Sighting:
    """Make one answer of all the rows that a batch system shows for one token, however many ids they have.

    Of several rows with one id the liveliest counts: a requeued job is shown with its former lives. So nothing is over
    while anything is alive.
    """
    ranked = sorted(sightings, key=lambda one: _LIVELIEST_FIRST.index(one.sight))
    ids: dict[str | None, Sighting] = {}
    for one in ranked:
        ids.setdefault(one.batch_id, one)
    first, *rest = ids.values()
    return replace(first, others=tuple(rest))


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
    torn: bool = False  # there is a start record, but it is not whole
    batch_id: str | None = None  # of the batch job that made the claim, where its start record tells
    process: str | None = None  # the wrapper's, as the local batch system names it


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait for what may still come, in seconds; this only saves work, nothing is decided by it."""

    record_grace: float = 90.0
    submit_grace: float = 600.0


REVOKED = "its claim was revoked"
NOT_YET = "but its exit record is not there yet"
"""How the reason of that one doubt ends which `record_grace` settles."""


def of_owner(records: Records, sighting: Sighting) -> Sighting:
    """Give what the batch system says of the one job that owns the attempt, the others behind it."""
    if not sighting.others and (records.batch_id is None or sighting.batch_id in {None, records.batch_id}):
        return sighting  # as nearly always, of very many
    seen = (replace(sighting, others=()), *sighting.others)
    known = [one for one in seen if one.batch_id is not None]
    if records.batch_id is None or records.foreign or not known:
        return sighting
    rest = tuple(one for one in seen if one.batch_id != records.batch_id)
    for one in seen:
        if one.batch_id == records.batch_id:
            return replace(one, others=rest)
    why = f"batch job {records.batch_id}, which runs its payload, is not among those that the batch system shows"
    return Sighting(Sight.UNKNOWN, records.batch_id, why, others=rest)


def ids_of(records: Records, sighting: Sighting, *known: str | None) -> tuple[str | None, tuple[str, ...]]:
    """Give the id of the batch job that counts, and those of its twins that are not over.

    The one that owns the attempt counts, else the first of the `known` ones that the batch system shows.
    """
    seen = {one.batch_id: one for one in (*reversed(sighting.others), sighting) if one.batch_id is not None}
    owner = None if records.foreign else records.batch_id
    main = owner or next((one for one in known if one in seen), None) or sighting.batch_id
    twins = (batch_id for batch_id, one in seen.items() if batch_id != main and one.sight is not Sight.ENDED)
    return main, tuple(sorted(twins))


STUCK = "it will not start by itself: "
"""How the reason of a pending job begins that needs a person."""


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
    sighting = of_owner(records, sighting)
    if not records.readable and state is not State.CANCELLING:
        return Decision(Step.DOUBT, "its working area cannot be read")
    if records.foreign and state is not State.CANCELLING:
        return Decision(Step.DOUBT, "the records in its working area belong to another attempt")
    if records.exit_code is not None and not records.foreign and state is not State.CANCELLING:
        return _recorded(state, records, sighting, now=now, limits=limits)
    if state is State.CANCELLING:
        return _cancelling(records, sighting)
    if records.revoked:
        return Decision(Step.REVOKE, REVOKED)
    if sighting.sight is Sight.ENDED:
        return _ended(state, records, sighting, doubted=doubted, now=now, limits=limits)
    if sighting.sight is Sight.UNKNOWN:
        return _unknown(state, records, sighting, asked=asked, now=now, limits=limits)
    running = sighting.sight is Sight.RUNNING or records.started is not None
    if state is State.SUBMITTING and not running and sighting.batch_id is None:
        return Decision(Step.STAY, sighting.reason or "it waits for its turn")  # with caf itself, not yet with another
    target = State.RUNNING if running else State.PENDING
    where = f" on {records.node}" if records.node else ""
    pending = (STUCK if sighting.stuck else "") + (sighting.reason or "pending")
    why = f"running{where}" if running else pending
    return Decision(Step.STAY if target is state else Step.BECOME, why, target)


def _over(state: State, why: str, result: Result | None = None) -> Decision:
    """The payload is over: a job on its way out of CANCELLING goes where it was sent, all others are checked."""
    return Decision(Step.BECOME, why, None if state is State.CANCELLING else State.FINISHED, result)


def _recorded(state: State, records: Records, sighting: Sighting, *, now: float, limits: Limits) -> Decision:
    """The payload has left its exit record; why it failed may be known to the batch system alone, and a little later.

    A payload that is sent TERM at its time limit, or loses a process to the memory limit, ends with any exit code.
    """
    why = f"the payload ended with exit code {records.exit_code}"
    if records.exit_code == 0:
        return _over(state, why)
    awaited = sighting.sight is Sight.RUNNING or not sighting.answered
    if awaited and records.ended is not None and abs(now - records.ended) < limits.record_grace:
        step = Step.STAY if state is State.RUNNING else Step.BECOME
        return Decision(step, f"{why}; the batch system has yet to say why", State.RUNNING)
    if sighting.sight is not Sight.ENDED or sighting.result is None:
        return _over(state, why)
    return _over(state, f"{sighting.reason}; {why}", sighting.result)


def _cancelling(records: Records, sighting: Sighting) -> Decision:
    """A payload may outlive its own exit record, and remove its own claim: what is seen running is not over."""
    if sighting.sight is Sight.RUNNING:
        return Decision(Step.CANCEL, "it was asked to end")
    if records.revoked:
        return Decision(Step.REVOKE, REVOKED)
    begun = records.started is not None or (records.claim and (records.torn or records.exit_code is not None))
    if records.readable and not begun and not records.foreign:
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
    result = sighting.result or Result.NODE
    if records.started is None and not records.torn:  # who made the claim may still stand before its start record
        return Decision(Step.REVOKE, f"{said}, and its start record never came", result=result)
    missing = "start" if records.started is None else "exit"
    return _over(state, f"{said}, and its {missing} record never came", result)


def _unknown(
    state: State, records: Records, sighting: Sighting, *, asked: float, now: float, limits: Limits
) -> Decision:
    said = sighting.reason or "the batch system does not know it"
    if records.started is not None and state is not State.RUNNING:
        return Decision(Step.BECOME, f"its start record says that it runs on {records.node}", State.RUNNING)
    if state is State.SUBMITTING and not records.claim:
        if now - asked < limits.submit_grace:
            return Decision(Step.STAY, "submitted; not seen yet")
        if not sighting.answered:  # whatever is made anew could not be handed over now
            return Decision(Step.DOUBT, said)
        return Decision(Step.REVOKE, f"{said}, and its payload has not begun")
    return Decision(Step.DOUBT, said)
