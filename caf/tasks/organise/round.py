"""One round of the organise duty: follow, judge, prepare, submit.

The order frees slots before they are filled. Each step commits what it decided for all jobs in one transaction. A
batch system or file system in trouble stops its own step for this round, not the others, and is reported at the end.

A whole round looks at every job. In between there are quick ones, at the ends of local jobs and while there is more to
prepare: they do the same steps, but follow only the attempts that have just ended, and refill the slots first.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from caf.domain.errors import BatchError, CafError, StorageError, StoreError
from caf.tasks.house import QUICK, House
from caf.tasks.organise.clock import follow_clock
from caf.tasks.organise.compare import compare_areas
from caf.tasks.organise.follow import AGAIN, follow_attempts
from caf.tasks.organise.judge import judge_finished
from caf.tasks.organise.moves import commit_and_look, commit_gathered, slots_freed
from caf.tasks.organise.prepare import prepare_new
from caf.tasks.organise.submit import submit_prepared

SOONEST = 1.0  # s
FEW = 60  # jobs prepared in a quick round
Step = Callable[[House], Awaitable[int]]


@dataclass(slots=True)
class Organised:
    """What one round did. `again_in` is when (s) another one is worth while, if before the usual time."""

    moved: int = 0
    again_in: float | None = None
    more: bool = False  # a quick round is worth while at once
    troubles: list[str] = field(default_factory=list)

    def summary(self) -> str | None:
        """Say what happened, if anything did."""
        return f"{self.moved} change{'s' * (self.moved != 1)} of jobs" if self.moved else None


async def run_once(house: House) -> Organised:
    """Do one round. What went wrong in some step is raised as one error after all steps had their turn."""
    house.just_ended()  # they are looked at with all others
    follow = (follow_clock, _compare, follow_attempts)
    return await _round(house, (*follow, _find_work, judge_finished, prepare_new, submit_prepared))


async def run_quick(house: House) -> Organised:
    """Do a quick round. What it leaves undone, or fails at, the next whole round does.

    Two commits: that of the ends with the tokens of what takes their slots, and, while that already runs, all the rest.
    """
    follow = partial(_follow, tokens=house.just_ended())
    refill = (_compare, follow, _find_work, submit_prepared, _commit_ends)
    house.gathered = []
    try:
        return await _round(house, (*refill, judge_finished, _prepare_few))
    finally:
        house.gathered = None  # after a failure: the next whole round sees the same again


async def _commit_ends(house: House) -> int:
    """Commit ends whose slots nobody took: they are judged next."""
    return await commit_gathered(house) if slots_freed(house) else 0


async def _prepare_few(house: House) -> int:
    """Prepare some, and submit them if there are slots: most often these have been filled again already."""
    moved = await prepare_new(house, FEW)
    if moved:
        await commit_gathered(house)
        moved += await submit_prepared(house)
    return moved


async def _follow(house: House, tokens: set[str]) -> int:
    return await follow_attempts(house, tokens) if tokens else 0


async def _round(house: House, steps: Sequence[Step]) -> Organised:
    done = Organised()
    for step in steps:
        try:
            done.moved += await step(house)
        except (BatchError, StorageError) as error:
            done.troubles.append(str(error))
            if step in {_compare, _find_work}:
                break
        except StoreError:
            raise
        except Exception as bug:
            name = getattr(step, "__name__", "a step")
            house.log.exception("duty.failed", duty="organise", error=f"{name}: {bug}")
            done.troubles.append(f"a fault in caf ({name}): {type(bug).__name__}: {bug}")
    await _look_ahead(house, done)
    if done.troubles:
        raise CafError("; ".join(dict.fromkeys(done.troubles)))
    return done


async def _compare(house: House) -> int:
    """Compare areas that were taken over; before that is done nothing else is."""
    if not house.compare:
        return 0
    await _find_work(house)
    return await compare_areas(house)


async def _find_work(house: House) -> int:
    """Make sure that the folder of working areas is there, and ours: else areas would be judged, or made, elsewhere."""
    work = str(house.configuration.caf.work)
    mark = await house.files.call("mark_of", work, timeout=QUICK)
    if mark["owner"] != house.database_id:
        raise StorageError(f"{work} is not this database's: is its file system mounted? jobs wait until it is back")
    if mark["generation"] != house.generation:
        raise StorageError(
            f"another supervisor was started for {work}, with a copy of this database: nothing is submitted; end one"
        )
    return 0


async def _look_ahead(house: House, done: Organised) -> None:
    """See when something is due: a back-off runs out, a job is asked once more to end, a doubt is settled."""
    due = await commit_and_look(house)
    now = house.clock()
    times = [] if due.not_before is None else [due.not_before - now]
    if due.cancelling:
        times.append(AGAIN)
    if due.doubted is not None:
        times.append(due.doubted + house.configuration.caf.record_grace - now)
    soon = [time for time in times if time > 0]
    overdue = due.not_before is not None and due.not_before <= now
    done.again_in = max(min(soon), SOONEST) if soon and not overdue else SOONEST if overdue else None
    done.more = due.waiting and done.moved > 0 and not done.troubles
