"""The tables of listeners.toml but for listeners and jobs: caf itself, its duties, and the world around it."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from caf.config.fields import (
    Duration,
    Flag,
    Glob,
    HostCommand,
    HostCommandIfAny,
    Interval,
    Line,
    NotEmpty,
    Once,
    Place,
    Size,
    Whole,
)
from caf.config.units import DAY, HOUR, MINUTE, SECOND
from caf.domain.runs import ATTRIBUTES


class Table(BaseModel):
    """One table of the file. What it does not know is an error, for a key that is ignored silently is a trap."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class CafTable(Table):
    """[caf]: where things are kept, and how patient caf is. Paths are absolute, durations in seconds."""

    state: Place = Field(default=Path("state"), validate_default=True)
    work: Place = Field(default=Path("work"), validate_default=True)
    templates: Place = Field(default=Path("templates"), validate_default=True)
    settle: Duration = 24 * HOUR
    max_new_jobs: Whole = Field(default=50, ge=1)
    record_grace: Duration = 90 * SECOND
    submit_grace: Duration = 10 * MINUTE
    unknown_after: Duration = 4 * HOUR
    log: Place | None = None
    heartbeat: Place | None = None
    backup: Place | None = None
    keep_backups: Whole = Field(default=7, ge=1)


class DutiesTable(Table):
    """[duties]: how often each is done, and how long one may take; in seconds."""

    discover: Interval = 10 * MINUTE
    organise: Interval = 2 * MINUTE
    clean: Interval = 5 * MINUTE
    report: Interval = 1 * MINUTE
    housekeeping: Interval = 1 * DAY
    timeout: Interval = 30 * MINUTE


def _channel(given: object) -> int | str:
    if isinstance(given, bool) or not isinstance(given, int | str) or given == "":
        raise ValueError("must be the number or the name of a channel")
    if isinstance(given, int) and not 0 <= given < 2**32:  # CoolKernel's ChannelId
        raise ValueError("must be between 0 and 4294967295")
    return given


def _folder(given: object) -> object:
    if isinstance(given, str) and (not given.startswith("/") or given.endswith("/")):
        raise ValueError("must be the full path of a COOL folder, such as /TRIGGER/L1Calo/V1/Conditions/DerivedRunPars")
    return given


RESERVED = frozenset(ATTRIBUTES) | {"status", "listener", "needs_validation"}
"""Names that `caf runs list --json` gives a meaning already."""


class AttributeTable(Table):
    """[source.attributes.NAME]: the column of a COOL folder that becomes an attribute of runs.

    `channel` None: the lowest that has a record.
    """

    folder: Annotated[Line, BeforeValidator(_folder)]
    column: Line
    per_run: Flag = False
    channel: Annotated[int | str | None, BeforeValidator(_channel)] = None
    tag: Line = "HEAD"


class CoolSource(Table):
    """[source] with kind = "cool": SQLite replicas of COOL."""

    kind: Literal["cool"] = "cool"
    replicas: Annotated[tuple[Glob, ...], NotEmpty]
    database: Literal["CONDBR2", "COMP200"] = "CONDBR2"
    first_run: Whole = Field(default=0, ge=0)
    stale: Interval = 2 * HOUR
    attributes: dict[str, AttributeTable] = Field(default_factory=dict)
    busy_timeout: Interval = 5 * SECOND

    @field_validator("attributes")
    @classmethod
    def _names(cls, attributes: dict[str, AttributeTable]) -> dict[str, AttributeTable]:
        for name in attributes:
            if name in RESERVED:
                raise ValueError(f"'{name}' is built in: give yours another name")
            if not (name.isascii() and name.isidentifier() and name == name.lower() and len(name) <= 40):
                raise ValueError(f"'{name}' is not a usable name: small letters, digits and _, a letter first")
        return attributes


class TableSource(Table):
    """[source] with kind = "table": a CSV or JSON lines file whose columns are attributes."""

    kind: Literal["table"]
    path: Place
    first_run: Whole = Field(default=0, ge=0)
    stale: Interval = 2 * HOUR


SOURCES: dict[str, type[CoolSource] | type[TableSource]] = {"cool": CoolSource, "table": TableSource}


class BatchTable(Table):
    """[batch]: where jobs run. `slots` None: as many as the machine has cores. `client_timeout` (s): for one call."""

    kind: Literal["local", "slurm", "htcondor", "lsf"] = "local"
    slots: Whole | None = Field(default=None, ge=1)
    group_slots: Whole | None = Field(default=None, ge=1)
    client_timeout: Interval = 60 * SECOND


class QuotaTable(Table):
    """[quota]: how full the working areas' account may get, in per cent; `path` None: the working areas.

    `client`: the words that a site's client is called with, None its name alone. `user` and `group`: whose limits
    count, None the supervisor's own and the group of `path`. Durations in seconds; `timeout` is for one call.
    """

    path: Place | None = None
    provider: Literal["filesystem", "tree", "quota", "eos", "afs"] = "filesystem"
    limit: Size | None = Field(default=None, validate_default=True)
    high: Annotated[float, Field(strict=True, gt=0, le=100)] = 85
    low: Annotated[float, Field(strict=True, ge=0, le=100, validate_default=True)] = 75
    keep: Duration = 2 * DAY
    keep_failed: Duration = 30 * DAY
    warn_before: Duration = 7 * DAY
    client: HostCommand | None = None
    user: Line | None = None
    group: Line | None = None
    timeout: Interval = 60 * SECOND

    @field_validator("limit")
    @classmethod
    def _tree_has_a_limit(cls, limit: int | None, info: ValidationInfo) -> int | None:
        if limit is None and info.data.get("provider") == "tree":
            raise ValueError('is needed with provider = "tree": write the size that counts as full, such as "500GB"')
        return limit

    @field_validator("low")
    @classmethod
    def _below_high(cls, low: float, info: ValidationInfo) -> float:
        if low >= info.data.get("high", 101):
            raise ValueError(f"must be less than high, which is {info.data['high']:g}")
        return low


_SERVER = re.compile(r"smtps?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?/?", re.ASCII)
_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?", re.ASCII
)
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)


def _server(given: object) -> object:
    found = _SERVER.fullmatch(given) if isinstance(given, str) else None
    if isinstance(given, str) and (found is None or int(found[1] or 1) not in range(1, 65536)):
        raise ValueError('must be the address of a mail server, such as "smtp://localhost:25"')
    return given


def is_address(text: str) -> bool:
    """Tell whether a text is one mail address, without a name, that any mail server can be told as it is."""
    return _ADDRESS.fullmatch(text) is not None


def _address(given: object) -> object:
    if isinstance(given, str) and not is_address(given):
        raise ValueError("must be a mail address, such as l1calo-calib@example.org")
    return given


def _clock(given: object) -> object:
    if isinstance(given, str) and not _CLOCK.fullmatch(given):
        raise ValueError('must be an hour and a minute of the day, such as "07:00"')
    return given


Address = Annotated[Line, BeforeValidator(_address)]


class MailTable(Table):
    """[mail]: who is written to when a person is needed. `summary` is on the clock of the supervisor's machine.

    `sender` None: caf@ and the machine's full name. `every` (s) is the least time between two digests.
    """

    server: Annotated[Line, BeforeValidator(_server)] = "smtp://localhost:25"
    to: Annotated[tuple[Address, ...], NotEmpty, Once]
    sender: Address | None = Field(default=None, alias="from")
    every: Interval = 15 * MINUTE
    summary: Annotated[Line, BeforeValidator(_clock)] = "07:00"


class ReportTable(Table):
    """[report]: the folder of the status page and its data. `metrics` None: caf.prom in that folder.

    What is copied beside the page is kept for `keep` (s), of files up to `largest` (bytes); of runs that nobody takes
    the page has those among the `runs` newest.
    """

    path: Place = Field(default=Path("www"), validate_default=True)
    metrics: Place | None = None
    keep: Duration = 90 * DAY
    largest: Size = 20_000_000
    runs: Whole = Field(default=20_000, ge=1)


class CredentialsTable(Table):
    """[credentials]: the command that renews them, how often, and what is done after it; each has `timeout` (s).

    `cache` None: below the state folder.
    """

    renew: HostCommand
    every: Interval = 8 * HOUR
    after: HostCommandIfAny = ()
    cache: Place | None = None
    timeout: Interval = 1 * MINUTE
