"""One round of the organise duty: follow, judge, prepare, submit.

The order frees slots before they are filled. Each step commits what it decided for all jobs in one transaction. A
batch system or file system in trouble stops its own step for this round, not the others, and is reported at the end.
"""

from dataclasses import dataclass, field

from caf.domain.errors import BatchError, CafError, StorageError, StoreError
from caf.domain.jobs import State
from caf.store import jobs
from caf.tasks.house import QUICK, House
from caf.tasks.organise.follow import AGAIN, FOLLOWED, follow_attempts
from caf.tasks.organise.judge import judge_finished
from caf.tasks.organise.prepare import prepare_new
from caf.tasks.organise.submit import submit_prepared

SOONEST = 1.0  # s


@dataclass(slots=True)
class Organised:
    """What one round did. `again_in` is when (s) another one is worth while, if before the usual time."""

    moved: int = 0
    again_in: float | None = None
    troubles: list[str] = field(default_factory=list)

    def summary(self) -> str | None:
        """Say what happened, if anything did."""
        return f"{self.moved} change{'s' * (self.moved != 1)} of jobs" if self.moved else None


async def run_once(house: House) -> Organised:
    """Do one round. What went wrong in some step is raised as one error after all steps had their turn."""
    done = Organised()
    for step in (follow_attempts, _find_work, judge_finished, prepare_new, submit_prepared):
        try:
            done.moved += await step(house)
        except (BatchError, StorageError) as error:
            done.troubles.append(str(error))
            if step is _find_work:
                break
        except StoreError:
            raise
        except Exception as bug:
            house.log.exception("duty.failed", duty="organise", error=f"{step.__name__}: {bug}")
            done.troubles.append(f"a fault in caf ({step.__name__}): {type(bug).__name__}: {bug}")
    done.again_in = await _again_in(house)
    if done.troubles:
        raise CafError("; ".join(dict.fromkeys(done.troubles)))
    return done


async def _find_work(house: House) -> int:
    """Make sure that the folder of working areas is there, and ours: else areas would be judged, or made, elsewhere."""
    work = str(house.configuration.caf.work)
    owner = await house.files.call("marker_of", work, timeout=QUICK)
    if owner != house.database_id:
        raise StorageError(f"{work} is not this database's: is its file system mounted? jobs wait until it is back")
    return 0


async def _again_in(house: House) -> float | None:
    """Give when (s) something is due: a back-off runs out, a job is asked once more to end, a doubt is settled."""
    now = house.clock()
    due = await house.database.call(jobs.next_due)
    times = [] if due is None else [due - now]
    for row in await house.database.call(jobs.in_states, FOLLOWED):
        if row["state"] == State.CANCELLING:
            times.append(AGAIN)
        if row["unknown_since"] is not None:
            times.append(row["unknown_since"] + house.configuration.caf.record_grace - now)
    soon = [time for time in times if time > 0]
    overdue = due is not None and due <= now
    return max(min(soon), SOONEST) if soon and not overdue else SOONEST if overdue else None
