"""How full the account is that working areas count against: what was measured, and what that comes to.

An account may have several limits (bytes and files, of a user and of a group); each is one Use. What cannot be read
is unknown, and an unknown account is never a reason to delete anything.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self


class Counts(StrEnum):
    """What a limit counts, and so what of an area's weight it gets back."""

    SIZES = "sizes"  # bytes: the files' sizes
    DISK = "disk"  # bytes: the blocks that the file system gave them
    FILES = "files"  # files, folders and whatever else has a name


@dataclass(frozen=True, slots=True)
class Use:
    """What is used of one limit. `limit` None: there is none. Where only a share is told, `told` is it, in per cent."""

    of: str  # whose and where, in words: "user 1234 in /eos/user/"
    counts: Counts
    used: int | None = None
    limit: int | None = None
    told: float | None = None

    @property
    def percent(self) -> float | None:
        """How full it is; None where there is no limit."""
        if self.told is not None:
            return self.told
        if self.limit is None or self.used is None:
            return None
        return 100.0 * self.used / self.limit if self.limit else 100.0

    def over(self, percent: float) -> bool:
        """Tell whether it is fuller than so many per cent."""
        mine = self.percent
        return mine is not None and mine > percent

    def excess(self, percent: float) -> int:
        """Give how much must go so that it is no fuller than so many per cent; 0 where that cannot be said."""
        if self.limit is None or self.used is None:
            return 0
        return max(0, self.used - int(self.limit * percent / 100.0))


@dataclass(frozen=True, slots=True)
class Account:
    """What a provider says. `chosen`: which of its lines count for the path; `remark`: what else is known."""

    uses: tuple[Use, ...]
    chosen: str = ""
    remark: str = ""

    def fullest(self) -> Use | None:
        """Give the limit that is nearest; None if there is no limit at all."""
        limited = [use for use in self.uses if use.percent is not None]
        return max(limited, key=lambda use: use.percent or 0.0, default=None)

    def over(self, percent: float) -> bool:
        """Tell whether any limit is fuller than that."""
        return any(use.over(percent) for use in self.uses)

    def as_object(self) -> dict[str, Any]:
        """Give it for JSON."""
        return {
            "uses": [
                {
                    "of": use.of,
                    "counts": use.counts.value,
                    "used": use.used,
                    "limit": use.limit,
                    "percent": None if use.percent is None else round(use.percent, 2),
                    "told": use.told,
                }
                for use in self.uses
            ],
            "chosen": self.chosen,
            "remark": self.remark,
        }

    @classmethod
    def from_object(cls, given: dict[str, Any]) -> Self:
        """Take it from what `as_object` gave."""
        uses = tuple(
            Use(one["of"], Counts(one["counts"]), one["used"], one["limit"], one["told"]) for one in given["uses"]
        )
        return cls(uses, given["chosen"], given["remark"])


@dataclass(frozen=True, slots=True)
class Weight:
    """What an area weighs: bytes by its files' sizes, bytes on disk, and how many files and folders it has."""

    sizes: int = 0
    disk: int = 0
    files: int = 0

    def by(self, counts: Counts) -> int:
        """Give what a limit gets back when it is gone."""
        return {Counts.SIZES: self.sizes, Counts.DISK: self.disk, Counts.FILES: self.files}[counts]

    def __add__(self, other: "Weight") -> "Weight":
        return Weight(self.sizes + other.sizes, self.disk + other.disk, self.files + other.files)


def total(weights: Iterable[Weight]) -> Weight:
    """Add weights up."""
    return sum(weights, Weight())


def credited(measured: Account, before: Account | None, freed: Weight) -> Account:
    """Take what has been removed since an earlier look as gone, where the account does not show it yet.

    Some quotas lag: without this the same bytes would be removed twice. Each use is the smaller of what is measured
    now and what was measured `before` less what went since; what was written meanwhile shows up once the lag is over.
    """
    if before is None or freed == Weight():
        return measured
    known = {(use.of, use.counts): use for use in before.uses}
    return replace(
        measured, uses=tuple(_credited(use, known.get((use.of, use.counts)), freed) for use in measured.uses)
    )


def _credited(use: Use, before: Use | None, freed: Weight) -> Use:
    if before is None or before.used is None or use.used is None:
        return use
    return replace(use, used=min(use.used, max(0, before.used - freed.by(use.counts))))


def fullness(uses: Sequence[Use]) -> str:
    """Say in few words how full the fullest is: "71.5 %"; "no limit" where there is none."""
    use = Account(tuple(uses)).fullest()
    return "no limit" if use is None or use.percent is None else f"{use.percent:.1f} %"
