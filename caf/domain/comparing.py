"""What to conclude about working areas that a database does not know: it is an older copy, or another was used here.

An attempt was given to a batch system if its area holds the script with its token, and it is begun only when all before
it are proved to be over. So the highest such attempt is the one that counts. It is *adopted*: followed from then on as
if this database had begun it, by its token, its records and the batch system, so that nothing runs twice and nothing is
judged but what is there. What cannot be understood is left to a person.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from caf.domain.jobs import FINAL, IDLE, State


@dataclass(frozen=True, slots=True)
class Folder:
    """One attempt's area. `ours`: it was made for this very job and attempt, by whichever database."""

    number: int
    ours: bool
    token: str | None  # of its script; None: it was never given one
    revoked: bool = False  # its claim was won by a supervisor: its payload never began
    replaceable: bool = False  # this database's own, and prepared only: preparing makes it anew


class Finding(StrEnum):
    """What is done about a job's areas that the database does not know."""

    NOTHING = "nothing"
    ADOPT = "adopt"  # follow that attempt
    HOLD = "hold"  # a person must look; the next attempt is above all that is there
    RAISE = "raise"  # only that


@dataclass(frozen=True, slots=True)
class Conclusion:
    """A finding about one job. `number` is the attempt to adopt, or the next one."""

    finding: Finding
    number: int = 0
    token: str | None = None
    why: str = ""


def conclude(state: State, attempt: int, folders: Sequence[Folder], removed: int = 0) -> Conclusion:
    """Decide about one job, given where the database thinks it stands, and the areas that it does not know.

    `removed` is its newest attempt whose area was removed (0: none): that one was over, and nothing tells how it ended.
    """
    later = sorted(
        (one for one in folders if one.number > attempt or (one.number == attempt and state in IDLE)),
        key=lambda one: one.number,
    )
    begun = [one for one in later if one.ours and one.token is not None]
    strange = [one.number for one in later if not one.ours]
    above = later[-1].number + 1 if later else attempt
    if removed >= attempt and removed >= above - 1 and state not in FINAL:
        return Conclusion(Finding.HOLD, removed + 1, why=f"attempt {removed} was over, and its area was cleaned away")
    if begun:
        last = begun[-1]
        if strange and strange[-1] > last.number:
            return Conclusion(Finding.HOLD, above, why=f"area {strange[-1]} does not say whose it is")
        if last.revoked:
            return Conclusion(Finding.HOLD, above, why=f"attempt {last.number} was withdrawn, and why is not known")
        return Conclusion(
            Finding.ADOPT, last.number, last.token, f"attempt {last.number} was found in its working area"
        )
    if strange and state in IDLE:
        return Conclusion(Finding.HOLD, above, why=f"area {strange[-1]} does not say whose it is")
    if state in {State.WAITING, State.NEW, State.STAGING} and any(not one.replaceable for one in later):
        return Conclusion(Finding.RAISE, above, why=f"areas up to {above - 1} are another database's")
    return Conclusion(Finding.NOTHING)
