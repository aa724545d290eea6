"""A clock that is set, forwards or back: no wait of a job is used up by it, and none goes on for ever.

The machine's other clock, which counts the seconds since it was started and cannot be set, tells by how much. After a
restart of the machine nobody can tell; then at least nothing may lie further ahead than the longest wait there is.
"""

from caf.domain.judging import retry_delay
from caf.store import clock
from caf.store.database import recall
from caf.tasks.house import House
from caf.tasks.organise.rawfiles import LONGEST_WAIT

SET = 60.0  # s; less is the ordinary work of NTP


async def follow_clock(house: House) -> int:
    """Move the times of open jobs along with a clock that was set since the last round."""
    now = house.clock()
    if house.steady is not None:
        boot, steady = house.steady()
        ahead = now - steady
        last_boot, _, before = (await house.database.call(recall, "clock") or "").partition(" ")
        by = ahead - float(before) if last_boot == boot else 0.0
        if last_boot != boot or abs(by) > SET:
            await house.database.call(clock.shift, by, f"{boot} {ahead!r}")
            if by:
                house.log.warning("clock.set", by=round(by, 1))
    tables = house.configuration.jobs.values()
    longest = max([LONGEST_WAIT, *(retry_delay(table.retry_after, table.attempts) for table in tables)])
    if await house.database.call(clock.none_ahead, now, now + longest, SET):
        house.log.warning("clock.set")
    return 0
