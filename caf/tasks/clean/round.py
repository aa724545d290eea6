"""One round of the clean duty: weigh what is new, finish what was begun, measure, and remove what must and may go.

Everything that touches files is done by a file child of the duty's own, which ends with the round; so a file system
that hangs holds up this duty alone. The whole plan is recorded before anything is done, each area's begin before its
first file is touched, and its end after the last; a death in between costs nothing but time.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from caf.config.tables import QuotaTable
from caf.domain.accounts import Account, fullness
from caf.domain.cleaning import Plan, Planner
from caf.domain.errors import CafError, QuotaError, StorageError, StorageTimeout
from caf.store import found, quota, removals
from caf.store.quota import Standing
from caf.tasks.clean.measure import begin_stretch, measure, since_walked, still_good, with_credit
from caf.tasks.clean.outlook import forecast, look_through, rules_of
from caf.tasks.clean.remove import finish, remove, weigh
from caf.tasks.clean.shift import Cleaned, Round
from caf.tasks.house import QUICK, House

ROUND, SOONEST = 60.0, 1.0  # s


async def run_once(house: House) -> Cleaned:
    """Do one round. CafError at the end if something could not be measured, weighed or removed."""
    table = house.configuration.quota
    if table is None:
        await house.database.call(quota.forget)
        await house.database.call(removals.withdraw)
        return Cleaned()
    files = house.clean_files or house.files
    if files.abandoned:
        raise StorageTimeout(
            f"{files.abandoned} processes hang in the file system of the working areas and cannot be killed: nothing "
            "is asked there before they are gone"
        )
    round_ = Round(house, table, files, house.clock() + ROUND, Cleaned())
    try:
        await _do(round_)
    finally:
        if house.clean_files is not None:
            await files.close()
    return round_.done


async def _do(round_: Round) -> None:
    """Do the steps; one that fails does not keep the others from being done, unless the file system hangs."""
    steps: tuple[Callable[[Round], Awaitable[None]], ...] = (weigh, finish, _clean)
    trouble: CafError | None = None
    for step in steps:
        try:
            await step(round_)
        except CafError as error:
            trouble = trouble or error
            if isinstance(error, StorageTimeout):
                break
    if trouble is not None:
        raise trouble
    count, first = await round_.house.database.call(removals.troubled)
    if first is not None:
        others = f" and {count - 1} more" if count > 1 else ""
        raise CafError(
            f"working area {first['attempt']} of {first['job']} of run {first['run']}{others} could not be removed or "
            f"weighed, and will be tried again: {first['error']}"
        )


async def _clean(round_: Round) -> None:
    """Measure, and remove what must go and may."""
    house, table = round_.house, round_.table
    known = await house.database.call(quota.standing)
    standing, fresh = await _measured(round_, _carried_on(house, table, known))
    assert standing.account is not None
    keep = fresh and await house.database.call(quota.keep_measured, standing.account, standing.at)
    weigh_all = fresh and (keep or standing.removable is None)
    account = await (with_credit(house, standing.account) if fresh else since_walked(house, standing))
    going_on = await house.database.call(removals.intended)
    planner = Planner(account, rules_of(house.configuration, table), going_on=going_on)
    if weigh_all or planner.wants:
        free, later = await look_through(house, rules_of(house.configuration, table), planner, weigh=weigh_all)
        if weigh_all:
            standing = await forecast(house, account, replace(standing, removable=free), later)
    plan = planner.plan()
    nothing_left = plan.nothing_left and account.over(table.high)
    if nothing_left and (known is None or not known.nothing_left):
        house.log.error("quota.full", full=fullness(account.uses), high=table.high)
    standing = replace(standing, nothing_left=nothing_left, going_on=bool(plan.removals))
    await house.database.call(quota.keep_standing, standing)
    if plan.removals or going_on:
        await _act(round_, account, plan)
        left = await house.database.call(removals.intended)
        await house.database.call(quota.keep_standing, replace(standing, going_on=left))


def _carried_on(house: House, table: QuotaTable, known: Standing | None) -> Standing:
    """Begin with what the last round found, if it is of the same account."""
    path = str(table.path or house.configuration.caf.work)
    fresh = Standing(house.clock(), table.provider, path, table.high, table.low, table.warn_before)
    if known is None or (known.provider, known.path) != (table.provider, path):
        return fresh
    marks = {name: getattr(fresh, name) for name in ("at", "high", "low", "warn_before")}
    return replace(known, **marks, error=None)


async def _measured(round_: Round, standing: Standing) -> tuple[Standing, bool]:
    """Measure; False with what is known of a tree that was walked a short time ago. QuotaError is kept, and raised."""
    house = round_.house
    if still_good(standing, house.clock()):
        return standing, False
    try:
        account, took = await measure(house, round_.table, round_.files)
    except QuotaError as error:
        house.log.warning("quota.unknown", error=str(error))
        await house.database.call(removals.withdraw)
        lost = replace(standing, error=str(error), nothing_left=False, going_on=False)
        await house.database.call(quota.keep_standing, lost)
        raise
    return replace(standing, account=account, measured=house.clock(), took=took), True


async def _act(round_: Round, account: Account, plan: Plan) -> None:
    """Record what is intended, and do it as far as the round's time goes."""
    house = round_.house
    if not plan.removals or (house.compare and await house.database.call(found.compare_due)):
        await house.database.call(removals.withdraw)
        return
    await _ours(round_)
    await begin_stretch(house, account)
    why = (
        f"{fullness(account.uses)} full, and {round_.table.high:g} % is the most: the oldest went, "
        f"down to {round_.table.low:g} %"
    )
    await house.database.call(removals.intend, plan.removals, why, house.clock())
    for area in plan.removals:
        if round_.over:
            round_.done.again_in = SOONEST
            return
        if await remove(round_, area):
            round_.done.areas += 1
            round_.done.freed += area.weight.disk if area.weight is not None else 0


async def _ours(round_: Round) -> None:
    """Refuse a folder of working areas that is another's, or not mounted: none of the areas is to blame for that."""
    work = str(round_.house.configuration.caf.work)
    mark = await round_.files.call("mark_of", work, timeout=QUICK)
    if (mark["owner"], mark["generation"]) != (round_.house.database_id, round_.house.generation):
        raise StorageError(
            f"{work} has the mark of database {mark['owner']}, start {mark['generation']}; this is "
            f"{round_.house.database_id}, {round_.house.generation}: nothing is removed; is it mounted, or does "
            "another supervisor run?"
        )
