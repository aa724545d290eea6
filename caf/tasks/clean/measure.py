"""How full the account is: asked for in a file child, read by caf/quota. What cannot be read is a QuotaError."""

from collections.abc import Callable
from typing import Any

from caf.config.tables import QuotaTable
from caf.domain.accounts import Account, Weight, credited
from caf.domain.errors import QuotaError, StorageError
from caf.quota import afs, eos, filesystem, linux, tree
from caf.storage.child import FileChild
from caf.store import quota, removals
from caf.store.quota import Standing
from caf.tasks.house import QUICK, House

LAG = 900.0  # s; so long an account may take to show what was removed
SHARE = 20.0  # a tree is walked so seldom that it takes a twentieth of the time
WALK = 1500.0  # s that walking a tree may take
CLIENTS = {"quota": ("quota",), "eos": ("eos",), "afs": ("fs",)}

Read = Callable[[str], Account]


async def measure(house: House, table: QuotaTable, files: FileChild) -> tuple[Account, float]:
    """Give the account as it is now, and how long (s) it took to ask. QuotaError where it cannot be known."""
    path = str(table.path or house.configuration.caf.work)
    began = house.clock()
    try:
        place = await files.call("placed", path, str(house.configuration.caf.work), timeout=QUICK)
        _must_hold(table.provider, path, place)
        if table.provider == "filesystem":
            found = filesystem.read(await files.call("file_system", path, timeout=QUICK))
        elif table.provider == "tree":
            weight = await files.call("weigh_tree", path, timeout=WALK)
            found = tree.read(path, weight, int(table.limit or 0))
        else:
            found = await _ask(table, files, path, place)
    except StorageError as error:
        failure = QuotaError(f"how full {path} is cannot be read, so nothing is removed: {error}")
        failure.transient = error.transient
        raise failure from error
    except QuotaError as error:
        raise QuotaError(f"how full {path} is cannot be read, so nothing is removed: {error}") from error
    return found, max(0.0, house.clock() - began)


def still_good(known: Standing, now: float) -> bool:
    """Tell whether a tree was walked so short a time ago, for what that took, that it need not be walked again."""
    if known.provider != "tree" or known.account is None or known.measured is None:
        return False
    return 0 <= now - known.measured < SHARE * known.took


def _must_hold(provider: str, path: str, place: dict[str, Any]) -> None:
    """Refuse an account that removing working areas does not make emptier."""
    if provider in {"filesystem", "quota"}:
        if not place["same_device"]:
            raise QuotaError(f"`path` in [quota], {path}, is on another file system than the working areas")
    elif not place["holds"]:
        raise QuotaError(f"`path` in [quota], {path}, does not hold the working areas")


async def _ask(table: QuotaTable, files: FileChild, path: str, place: dict[str, Any]) -> Account:
    """Ask the site's client; what it says in other words is asked for again where there are any."""
    client = table.client or CLIENTS[table.provider]
    questions: list[tuple[list[str], Read]] = []
    if table.provider == "quota":
        group = place["gid"] if table.group is None else await _number(files, table.group)
        questions += [(linux.arguments(client, table.user), lambda text: linux.read(text, place["device"], group))]
    elif table.provider == "eos":
        names = (table.user,) if table.user else (str(place["uid"]), place["user"])
        groups = (table.group,) if table.group else (str(place["gid"]), place["group"])
        who = eos.Who(tuple(filter(None, names)), tuple(filter(None, groups)))
        questions += [(eos.arguments(client, path), lambda text: eos.read(text, path, who))]
    else:
        questions += [(afs.arguments(client, path), lambda text: afs.read(text, path))]
        questions += [(afs.share_arguments(client, path), lambda text: afs.read_share(text, path))]
    failure: QuotaError | None = None
    for arguments, read in questions:
        said = await files.call("ask", arguments, table.timeout, timeout=table.timeout + QUICK)
        try:
            return _read(said, read, trusted=table.provider == "quota")
        except QuotaError as error:
            failure = failure or error
    assert failure is not None
    raise failure


async def _number(files: FileChild, group: str) -> int:
    number: int | None = await files.call("group_number", group, timeout=QUICK)
    if number is None:
        raise QuotaError(f"there is no group {group} on this machine: name another one as `group` in [quota]")
    return number


def _read(said: dict[str, Any], read: Read, *, trusted: bool) -> Account:
    """Read what a client said. The exit code of `quota` says that a limit is passed, not that it failed."""
    complaint = " ".join(said["err"].split())[:200]
    if said["code"] and not trusted:
        raise QuotaError(f"the client ended with {said['code']}: {complaint or said['out'].strip()[:200] or 'no word'}")
    try:
        return read(said["out"])
    except QuotaError as error:
        raise QuotaError(f"{error}; it complains: {complaint}" if complaint else str(error)) from error


async def with_credit(house: House, account: Account) -> Account:
    """Take what was removed of late as gone, even if the account does not show it yet."""
    before = await house.database.call(quota.before)
    if before is None or not 0 <= house.clock() - before[0] < LAG:
        return account
    return credited(account, before[1], await house.database.call(removals.freed_since, before[0]))


async def begin_stretch(house: House, account: Account) -> None:
    """Keep the account as it is before anything is removed, unless that was done a short time ago."""
    before = await house.database.call(quota.before)
    if before is None or not 0 <= house.clock() - before[0] < LAG:
        await house.database.call(quota.keep_before, house.clock(), account)


async def since_walked(house: House, known: Standing) -> Account:
    """Give what a tree had when it was walked, less what was removed since."""
    account, walked = known.account, known.measured
    assert account is not None
    freed: Weight = await house.database.call(removals.freed_since, walked or 0.0)
    return credited(account, account, freed)
