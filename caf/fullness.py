"""How full the account of the working areas is, in words: for `caf status`, `caf quota`, mails and the report."""

from typing import Any

from caf.domain.accounts import Account, Counts, Use, Weight
from caf.domain.cleaning import reads_as
from caf.store.quota import Standing
from caf.wording import ago, harmless, iso, span


def used(use: Use) -> str:
    """Say what is used of a limit, and how full that is."""
    what = reads_as(use.counts, use.used) if use.used is not None else "it is not known how much"
    most = f" of {reads_as(use.counts, use.limit)}" if use.limit is not None else ""
    share = "no limit" if use.percent is None else f"{use.percent:.1f} %"
    return f"{share}: {what}{most}"


def summary(found: Standing, now: float) -> str:
    """Say in one line how full it is, what is written a day, and when it will be full."""
    if found.account is None:
        return harmless(f"not known: {found.error}")
    fullest = found.account.fullest()
    text = "no limit" if fullest is None else f"{used(fullest)} ({fullest.of})"
    if found.error is not None:
        text = f"not known since {ago(found.measured, now)}, then {text}: {found.error}"
    if found.a_day is not None:
        text += f"; {reads_as(Counts.SIZES, found.a_day)} a day"
    if (left := full_in(found, now)) is not None:
        text += f"; full in {span(left)}" if left > 0 else "; full, whatever is removed"
    if found.going_on:
        text += "; being cleaned"
    return harmless(text)


def bytes_of(account: Account | None) -> Counts:
    """Give which bytes the account counts, so that what an area weighs can be compared with what is in use."""
    counted = set() if account is None else {use.counts for use in account.uses}
    return Counts.SIZES if Counts.SIZES in counted and Counts.DISK not in counted else Counts.DISK


def removed(account: Account | None, freed: Weight) -> str:
    """Say what was removed."""
    size = bytes_of(account)
    return f"{reads_as(size, freed.by(size))}, {reads_as(Counts.FILES, freed.files)}"


def full_in(found: Standing, now: float) -> float | None:
    """Give in how many seconds from now it will be full; None if never as things go, or not known."""
    return None if found.full_in is None else max(0.0, found.full_in - max(0.0, now - found.at))


def trouble(found: Standing | None, now: float) -> list[tuple[str, str, bool]]:
    """Give what needs a person: which it is, in words, and whether it is critical.

    That the account cannot be read is told by the duty, which fails then.
    """
    if found is None or found.error is not None or found.account is None:
        return []
    name, fullest = harmless(found.path), found.account.fullest()
    if found.nothing_left and fullest is not None:
        full = f"{name} is too full, {used(fullest)} ({harmless(fullest.of)})"
        return [("full", f"{full}; above {found.high:g} % working areas go, but none of them may", True)]
    left = full_in(found, now)
    if found.filling and left is not None:
        when = f"in {span(left)}" if left > 0 else "now"
        return [("filling", f"{name} will be full {when}, in spite of cleaning: {harmless(found.full_of)}", False)]
    return []


def as_object(found: Standing) -> dict[str, Any]:
    """Give it for JSON; times as ISO 8601."""
    account = (found.account or Account(())).as_object()
    free = found.removable
    return {
        "at": iso(found.at),
        "provider": found.provider,
        "path": found.path,
        "high": found.high,
        "low": found.low,
        "measured": iso(found.measured),
        "error": found.error,
        "limits": [{key: value for key, value in use.items() if key != "told"} for use in account["uses"]],
        "chosen": account["chosen"],
        "remark": account["remark"],
        "nothing_left": found.nothing_left,
        "going_on": found.going_on,
        "removable": None if free is None else {"sizes": free.sizes, "disk": free.disk, "files": free.files},
        "a_day": found.a_day,
        "by_job": dict(found.by_job),
        "full_in": found.full_in,
        "full_of": found.full_of,
    }
