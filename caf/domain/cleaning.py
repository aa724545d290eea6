"""What may be removed of the working areas, and what is: decided here, as pure functions, and nowhere else.

An area is one attempt's folder. It may go only if its job is over, all of it is in the archive (or the job says that
it is removable), nobody keeps it, and it is old enough. Then the oldest goes first, and no more goes than is needed.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from caf.domain.accounts import Account, Counts, Use, Weight
from caf.domain.jobs import FINAL, State


@dataclass(frozen=True, slots=True)
class Area:
    """What is known of an attempt's area that is there. Times are s since 1970.

    `archive_wanted`: its job has an archive and the attempt waits for it; `archive_error` is why it is not there yet.
    `held` says why it could not be removed, until it is tried again.
    """

    job_id: int
    run: int
    job: str
    attempt: int
    state: State
    good: bool  # the attempt ended well
    over: float
    weight: Weight | None
    submitted: bool = True
    archived: float | None = None
    archive_wanted: bool = False
    archive_error: str | None = None
    scripts: int = 0  # after-scripts that are still to be run
    pinned_until: float | None = None
    pinned_by: str = ""
    held: str | None = None
    removable: bool = False  # its job says that it needs no archive

    @property
    def key(self) -> tuple[int, int]:
        """Give what tells it from all others."""
        return self.job_id, self.attempt


@dataclass(frozen=True, slots=True)
class Rules:
    """How full it may get (per cent), how long areas stay (s), how many of each job's newest stay in any case."""

    high: float
    low: float
    keep: float
    keep_failed: float
    keep_newest: Mapping[str, int] = field(default_factory=dict)


def oldest_first(area: Area) -> tuple[float, int, str, int]:
    """Give what areas are ordered by."""
    return area.over, area.run, area.job, area.attempt


def kept_because(area: Area, rules: Rules, now: float, newer: int) -> str | None:
    """Say why an area stays; None if it may go. `newer` areas of its job are there that ended after it."""
    if area.state not in FINAL:
        waits = "waits for a person" if area.state is State.WAITING else f"is {area.state}"
        return f"its job {waits}"
    if area.scripts:
        return "its after-scripts are still to be run"
    if (why := _not_archived(area)) is not None:
        return why
    if area.pinned_until is not None and area.pinned_until > now:
        return f"it is pinned by {area.pinned_by}"
    if newer < (newest := rules.keep_newest.get(area.job, 0)):
        return (
            f"it is one of the newest {newest} of its job, which stay" if newest > 1 else "it is the newest of its job"
        )
    keep = rules.keep if area.good else rules.keep_failed
    if now - area.over < keep:
        return f"it ended {'' if area.good else 'badly '}less than {_days(keep)} ago"
    if area.weight is None:
        return "it has not been weighed yet"
    return area.held


def _not_archived(area: Area) -> str | None:
    if area.archived is not None:
        return None
    if area.archive_wanted:
        return f"it is not archived yet{f': {area.archive_error}' if area.archive_error else ''}"
    if area.removable:
        return None
    if not area.submitted:
        return "it was never submitted, so it has no archive, and its job does not say `removable = true`"
    return "it has no archive, and its job does not say `removable = true`"


def _days(seconds: float) -> str:
    for size, unit in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to go, in this order. `needed`: a limit is above its mark. `short`: what of it cannot be freed."""

    removals: tuple[Area, ...] = ()
    needed: bool = False
    short: tuple[Use, ...] = ()

    @property
    def nothing_left(self) -> bool:
        """Tell whether something would have to go, and nothing may."""
        return self.needed and not self.removals


def candidates(
    areas: Iterable[Area],
    rules: Rules,
    now: float,
    left: Counter[str],
    kept: Callable[[Area, str], None] | None = None,
) -> Iterator[Area]:
    """Give the areas that may go. They come oldest first, if need be in several portions.

    `left` counts each job's areas that are there; it is counted down, for the newest stay. `kept` is told of each of
    the others, and why it stays.
    """
    for area in areas:
        left[area.job] -= 1
        why = kept_because(area, rules, now, left[area.job])
        if why is None:
            yield area
        elif kept is not None:
            kept(area, why)


@dataclass(slots=True)
class _Need:
    use: Use
    left: int


class Planner:
    """Decides what goes: the oldest of those that may, until every limit that was too full is at the low mark.

    An account that is not known (None) never asks for anything. `going_on`: an earlier round began to clean and has
    not reached the low mark yet, so it is the low one that counts. Of a limit of which only a share is told nobody
    can say how much must go: one area does, and then it is measured again.
    """

    def __init__(self, account: Account | None, rules: Rules, *, going_on: bool = False) -> None:
        mark = rules.low if going_on else rules.high
        full = [] if account is None else [use for use in account.uses if use.over(mark)]
        self._needs = [_Need(use, 1 if use.used is None else use.excess(rules.low)) for use in full]
        self._found: list[Area] = []

    @property
    def wants(self) -> bool:
        """Tell whether more must go."""
        return any(need.left > 0 for need in self._needs)

    def offer(self, areas: Iterable[Area]) -> None:
        """Take of the areas that may go as many as must; one whose going would help nobody stays."""
        for area in areas:
            if not self.wants:
                return
            if not any(need.left > 0 and _gives(area, need.use) for need in self._needs):
                continue
            self._found.append(area)
            for need in self._needs:
                need.left -= _gives(area, need.use)

    def plan(self) -> Plan:
        """Give what was decided."""
        short = tuple(need.use for need in self._needs if need.left > 0)
        return Plan(tuple(self._found), bool(self._needs), short)


def plan(account: Account | None, may_go: Iterable[Area], rules: Rules, *, going_on: bool = False) -> Plan:
    """Decide what goes, of areas that come all at once."""
    planner = Planner(account, rules, going_on=going_on)
    planner.offer(may_go)
    return planner.plan()


def _gives(area: Area, use: Use) -> int:
    if area.weight is None:
        return 0
    amount = area.weight.by(use.counts)
    return min(amount, 1) if use.used is None else amount


def reads_as(counts: Counts, amount: float) -> str:
    """Give an amount for people: "3.2 GB", "12,000 files"."""
    if counts is Counts.FILES:
        return f"{amount:,.0f} files"
    for size, unit in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if amount >= size:
            return f"{amount / size:.3g} {unit}"
    return f"{amount:.0f} B"
