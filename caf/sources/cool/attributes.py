"""Attributes of runs that are read from a column of any folder: those of the configuration, and two built in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from caf.domain.errors import SourceError
from caf.sources.cool.attached import RUN_BITS, Attached
from caf.sources.cool.folders import Column, near
from caf.sources.cool.values import json_member, json_value, text


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be read: `channel` None is the lowest that has a record; `per_run` folders get a record each run."""

    name: str
    folder: str
    column: str
    per_run: bool = False
    channel: int | str | None = None
    tag: str = "HEAD"


TIER0_TAG = Wanted("tier0_tag", "/TRIGGER/L1Calo/V1/Conditions/DerivedRunPars", "tierZeroTag", per_run=True)
GAIN_STRATEGY = Wanted("gain_strategy", "/TRIGGER/Receivers/Conditions/Strategy", "name", channel=0)


def wanted(attributes: Mapping[str, Mapping[str, Any]]) -> list[Wanted]:
    """Read the configured attributes, sorted by name."""
    return [Wanted(name, **attributes[name]) for name in sorted(attributes)]


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute found in a replica; `latest` is the largest key at which a record of its folder begins."""

    wanted: Wanted
    source: Attached
    column: Column
    channel: int | None
    latest: int = 0

    @property
    def inherits(self) -> bool:
        """True if a value may be an earlier run's."""
        return self.wanted.per_run and not self.source.folder.time_based

    def join(self, start: str) -> str:
        """Return the joins that add the run's record; `start` is the SQL of the run's start in ns."""
        if self.source.folder.time_based:
            return self.source.join_at(start, self.channel)
        return self.source.join_of_run(self.channel)

    def maps(self) -> list[str]:
        """Return the statements that `join` builds on."""
        return [] if self.source.folder.time_based else self.source.map_own(self.channel)

    def text(self) -> str:
        return text(self.source, self.column.name)

    def json(self) -> str:
        return json_value(self.source, self.column)

    def note(self) -> str:
        """Return SQL of the note's JSON member, null when the value is the run's own."""
        since = f"({self.source.alias}.IOV_SINCE >> {RUN_BITS})"
        final = f"CASE WHEN m.run < {self.latest >> RUN_BITS} THEN 'true' ELSE 'false' END"
        member = f"""{json_member(self.wanted.name)} || '{{"final":' || {final} || ',"from":' || {since} || '}}'"""
        return f"CASE WHEN {self.is_inherited} THEN {member} END"

    @property
    def is_inherited(self) -> str:
        """The SQL of whether the value is an earlier run's."""
        return f"{self.source.present} IS NOT NULL AND ({self.source.alias}.IOV_SINCE >> {RUN_BITS}) <> m.run"


def column_of(source: Attached, asked: Wanted) -> Column:
    """Return the attribute's column; SourceError with near names when the folder has none."""
    column = source.folder.column(asked.column)
    if column is None:
        names = near(asked.column, (each.name for each in source.folder.payload))
        raise SourceError(f"attribute {asked.name}: {source.folder.path} has no column {asked.column}{names}")
    return column


def channel_of(channels: Mapping[int, str], asked: Wanted) -> int | None:
    """Return the number of the attribute's channel; SourceError with near names when the folder has none."""
    if asked.channel is None:
        return next(iter(channels)) if len(channels) == 1 else None
    where = f"attribute {asked.name}: {asked.folder} has no channel {asked.channel}"
    if isinstance(asked.channel, str):
        numbers = {name: number for number, name in channels.items() if name}
        if asked.channel not in numbers:
            raise SourceError(where + near(asked.channel, numbers))
        return numbers[asked.channel]
    # A folder that nothing was ever stored in has no channels at all, and that is no slip of the pen.
    if channels and asked.channel not in channels:
        raise SourceError(where + near(str(asked.channel), map(str, channels)))
    return asked.channel
