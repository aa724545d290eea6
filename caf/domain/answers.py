"""What becomes of an attempt that a person has declared lost: a proof only where nothing speaks against it.

The claim is tried for first: who wins it knows that nothing can start any more, and needs nobody's word. Where it was
made already the word stands in for the end that nobody has seen.
"""

from caf.domain.following import Decision, Sight, Sighting, Step
from caf.domain.jobs import Result, State


def contradicted(sighting: Sighting) -> bool:
    """Tell whether the batch system shows an attempt alive, in whichever of its jobs, that is said to be lost."""
    return any(one.sight in {Sight.PENDING, Sight.RUNNING} for one in (sighting, *sighting.others))


def heed_lost(decision: Decision, sighting: Sighting) -> Decision:
    """Give what to do about an attempt that is said to be lost, where `decision` is what the witnesses say.

    An end that was seen counts for more than the word, and so does a batch system that sees the attempt alive.
    """
    over = decision.step is Step.BECOME and decision.target in {None, State.FINISHED}
    if contradicted(sighting) or over:
        return decision
    return Decision(Step.REVOKE, "a person says that it is lost", result=Result.NODE)


def lost_text(word: str) -> str:
    """Give a person's word, kept as "who: why", for a reason."""
    return f"lost, says {word}"
