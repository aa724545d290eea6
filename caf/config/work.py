"""The tables of listeners and jobs."""

from typing import Annotated

from pydantic import Field, PlainValidator, ValidationInfo, field_validator

from caf.config.conditions import read_match
from caf.config.copies import Copies
from caf.config.fields import (
    Archive,
    Argument,
    Command,
    Duration,
    Flag,
    Inside,
    InsidePattern,
    Interval,
    JobCommand,
    KnownListener,
    Line,
    NotEmpty,
    Once,
    RunGlob,
    Size,
    Tag,
    Whole,
)
from caf.config.tables import Address, Table
from caf.config.units import DAY, MINUTE
from caf.domain.matching import Condition, Listener, Operator


class ListenerTable(Table):
    """[listeners.NAME]: which runs are taken. `match` holds the conditions in the file's order, without first_run."""

    enabled: Flag = True
    first_run: Whole = Field(default=0, ge=0)
    min_events: Whole | None = Field(default=None, ge=0)
    raw: tuple[RunGlob, ...] | None = None
    expect_every: Interval | None = None
    match: Annotated[tuple[Condition, ...], PlainValidator(read_match)] = ()

    def as_listener(self, name: str) -> Listener:
        """Give what runs are matched with; no least number of events is the same as none needed."""
        first = (Condition("run", Operator.AT_LEAST, self.first_run),) if self.first_run else ()
        return Listener(name, first + self.match, self.min_events or None)


class SuccessTable(Table):
    """What makes a payload's end a success: all of it."""

    exit_code: Whole = Field(default=0, ge=0, le=255)
    log_has: tuple[Line, ...] = ()
    log_lacks: tuple[Line, ...] = ()
    outputs: tuple[InsidePattern, ...] = ()
    check: tuple[Argument, ...] = ()
    check_timeout: Interval = 10 * MINUTE

    @field_validator("check")
    @classmethod
    def _program(cls, check: tuple[str, ...]) -> tuple[str, ...]:
        if check and not check[0].strip():
            raise ValueError('must begin with a program, such as ["config/check.sh"]')
        return check


class AfterTable(Table):
    """Light commands on the supervisor's host once a job is judged. Arguments may hold {run}, {run:08d} and {job}."""

    done: tuple[JobCommand, ...] = ()
    failed: tuple[JobCommand, ...] = ()


class JobTable(Table):
    """[jobs.NAME]: what is done with a run of its listeners. Durations in seconds, sizes in bytes.

    `raw` None: the listener's. Patterns may hold {run}, {run:08d} and {job}.
    """

    listeners: Annotated[tuple[KnownListener, ...], NotEmpty, Once]
    enabled: Flag = True
    needs_validation: Flag = Field(default=False, alias="validate")
    raw: tuple[RunGlob, ...] | None = None
    files_wait: Duration = 14 * DAY
    files_quiet: Duration = 5 * MINUTE
    staging_wait: Duration = 2 * DAY
    templates: Annotated[tuple[Inside, ...], Once] = ()
    command: Command
    tags: dict[Tag, Argument] = Field(default_factory=dict)
    scratch: Flag = False
    copy_back: Copies = Field(default_factory=dict, alias="copy")
    queue: Line | None = None
    group: Line | None = None
    cpus: Whole = Field(default=1, ge=1)
    memory: Size | None = None
    memory_limit: Size | None = None
    walltime: Interval | None = None
    walltime_limit: Interval | None = None
    options: tuple[Line, ...] = ()
    priority: Whole = 0
    attempts: Whole = Field(default=3, ge=1)
    retry_after: Duration = 10 * MINUTE
    log: InsidePattern = "log/stdout"
    success: SuccessTable = SuccessTable()
    after: AfterTable = AfterTable()
    after_timeout: Interval = 10 * MINUTE
    archive: Archive | None = None
    archive_exclude: tuple[Line, ...] = ()
    removable: Flag = False
    keep_newest: Whole = Field(default=0, ge=0)
    show: tuple[InsidePattern, ...] = ()
    mail: tuple[Address, ...] = ()

    @field_validator("memory_limit", "walltime_limit")
    @classmethod
    def _has_room_to_grow(cls, limit: float | None, info: ValidationInfo) -> float | None:
        asked = str(info.field_name).removesuffix("_limit")
        if limit is not None and asked in info.data and (info.data[asked] is None or info.data[asked] > limit):
            raise ValueError(f"is how far {asked} may grow: give {asked} too, and no more than the limit")
        return limit
