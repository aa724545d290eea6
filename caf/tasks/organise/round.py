"""One round of the organise duty: follow, judge, prepare, submit.

The order frees slots before they are filled. Each step commits what it decided for all jobs in one transaction. A
batch system or file system in trouble stops its own step for this round, not the others, and is reported at the end.
"""

from dataclasses import dataclass, field

from caf.domain.errors import BatchError, CafError, StorageError
from caf.store import jobs
from caf.tasks.house import House
from caf.tasks.organise.follow import follow_attempts
from caf.tasks.organise.judge import judge_finished
from caf.tasks.organise.prepare import prepare_new
from caf.tasks.organise.submit import submit_prepared


@dataclass(slots=True)
class Organised:
    """What one round did. `again_in` is when (s) another one is worth while, if before the usual time."""

    moved: int = 0
    again_in: float | None = None
    troubles: list[str] = field(default_factory=list)

    def summary(self) -> str | None:
        """Say what happened, if anything did."""
        return f"{self.moved} changes of jobs" if self.moved else None


async def run_once(house: House) -> Organised:
    """Do one round. What went wrong in some step is raised as one error after all steps had their turn."""
    done = Organised()
    for step in (follow_attempts, judge_finished, prepare_new, submit_prepared):
        try:
            done.moved += await step(house)
        except (BatchError, StorageError) as error:
            done.troubles.append(str(error))
    due = await house.database.call(jobs.next_due)
    if due is not None:
        done.again_in = max(due - house.clock(), 1.0)
    if done.troubles:
        raise CafError("; ".join(dict.fromkeys(done.troubles)))
    return done
