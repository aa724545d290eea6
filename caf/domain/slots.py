"""How many more jobs may be handed to the batch system: caf's own limit, and the group's share less what others use.

Its own limit is one of jobs. A group's share is one of processors, as batch systems count it: a job takes `cpus` of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from caf.domain.jobs import FOLLOWED

HOLDING = FOLLOWED
"""The states in which a job has a slot, or may have: one that is to end has it until its end is proved."""


def held(own: Mapping[str, int]) -> int:
    """Count the slots that jobs hold, given how many there are in each state."""
    return sum(own.get(state, 0) for state in HOLDING)


def free_slots(slots: int, own: Mapping[str, int]) -> int:
    """Give how many more of caf's own jobs may be out at once; never negative, also when `slots` was lowered."""
    return max(0, slots - held(own))


AHEAD_FOR = 0.1  # s of work that may be handed over ahead of the slots
MOST_AHEAD = 128


def ahead(slots: int, duration: float | None) -> int:
    """Give how many jobs that last so long (s) may be handed over beyond the slots, to begin in turn.

    None: it is not known how long they last. Of jobs that last a while there are none.
    """
    if duration is None:
        return 0
    return min(MOST_AHEAD, int(AHEAD_FOR * slots / max(duration, 0.001)))


def group_room(group_slots: int, own: int, others: int | None) -> int:
    """Give how many more processors a group's share has for caf, beside its `own` there and those of `others`.

    The daemons of 2014 reckoned alike: no more than `ncpu` less the jobs of the group's other accounts.
    None for `others` is "not known". Then there is no room: one job more could take a slot that is somebody else's,
    and waiting costs no more than until the batch system answers again.
    """
    if others is None:
        return 0
    return max(0, group_slots - max(0, others) - own)


@dataclass(slots=True)
class Room:
    """What is left while jobs are chosen one by one: of jobs overall, of processors in each group that has a share."""

    free: int
    groups: dict[str, int]
    share: int | None = None

    def take(self, group: str | None, cpus: int = 1) -> bool:
        """Take room for a job of this group; False where there is too little. None: a job of no group.

        What is left then is kept for that job, or else small ones would keep a large one waiting for ever; but not for
        one that is larger than the whole share.
        """
        if self.free <= 0:
            return False
        if group is not None and group in self.groups:
            if self.groups[group] < cpus:
                if self.share is None or cpus <= self.share:
                    self.groups[group] = 0
                return False
            self.groups[group] -= cpus
        self.free -= 1
        return True


def use_of_groups(jobs: Iterable[tuple[str | None, int]]) -> dict[str, int]:
    """Sum up the processors of jobs by their group; those of no group are left out."""
    counts: dict[str, int] = {}
    for group, cpus in jobs:
        if group is not None:
            counts[group] = counts.get(group, 0) + cpus
    return counts
