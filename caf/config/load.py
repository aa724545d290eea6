"""From the text of listeners.toml to a Configuration, or to all that is wrong with it at once."""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, ValidationError

from caf.config.conditions import CorrectionTable
from caf.config.faults import dotted, found, in_lines
from caf.config.fields import Name, Surroundings
from caf.config.lines import Lines
from caf.config.tables import (
    BatchTable,
    CafTable,
    CoolSource,
    CredentialsTable,
    DutiesTable,
    MailTable,
    QuotaTable,
    ReportTable,
    Table,
    TableSource,
)
from caf.config.unheeded import unheeded
from caf.config.work import JobTable, ListenerTable
from caf.domain.errors import ConfigError
from caf.domain.matching import Listener
from caf.domain.runs import ATTRIBUTES, Correction, Kind


def _kind(source: object) -> object:
    return source.get("kind", "cool") if isinstance(source, dict) else "cool"


Source = Annotated[
    Annotated[CoolSource, Tag("cool")] | Annotated[TableSource, Tag("table")],
    Discriminator(_kind),
]


class Tables(Table):
    """The whole file."""

    caf: CafTable = Field(default_factory=dict, validate_default=True)
    duties: DutiesTable = DutiesTable()
    source: Source
    corrections: tuple[CorrectionTable, ...] = ()
    listeners: dict[Name, ListenerTable] = Field(default_factory=dict)
    jobs: dict[Name, JobTable] = Field(default_factory=dict)
    batch: BatchTable = BatchTable()
    quota: QuotaTable | None = None
    mail: MailTable | None = None
    report: ReportTable | None = None
    credentials: CredentialsTable | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """What stands in a listeners.toml. Tables that may be absent, and then are off, are None.

    Paths are absolute, durations float seconds, sizes int bytes; `sha256` is that of the text in UTF-8.
    """

    caf: CafTable
    duties: DutiesTable
    source: CoolSource | TableSource
    corrections: tuple[CorrectionTable, ...]
    listeners: Mapping[str, ListenerTable]
    jobs: Mapping[str, JobTable]
    batch: BatchTable
    quota: QuotaTable | None
    mail: MailTable | None
    report: ReportTable | None
    credentials: CredentialsTable | None
    text: str
    path: Path
    sha256: str

    def listeners_in_force(self) -> tuple[Listener, ...]:
        """Give the enabled listeners in the file's order; the condition on first_run, if any, comes first."""
        return tuple(table.as_listener(name) for name, table in self.listeners.items() if table.enabled)

    def corrections_in_force(self) -> tuple[Correction, ...]:
        """Give the corrections in the file's order."""
        return tuple(table.as_correction() for table in self.corrections)

    def kinds(self) -> dict[str, Kind]:
        """Give every attribute that a run can have, with what it holds."""
        added = set(self.source.attributes) if isinstance(self.source, CoolSource) else set()
        added |= {condition.attribute for table in self.listeners.values() for condition in table.match}
        return {**dict.fromkeys(sorted(added), Kind.ANY), **ATTRIBUTES}

    def jobs_for(self, listener: str) -> list[str]:
        """Give the names of the enabled jobs that serve a listener, in the file's order."""
        return [name for name, job in self.jobs.items() if job.enabled and listener in job.listeners]

    def unheeded(self) -> list[str]:
        """Give the dotted names of what the file asks for and nothing acts on, for want of the table that it needs."""
        absent = [name for name in ("quota", "mail") if getattr(self, name) is None]
        return [dotted(key) for key in unheeded(absent, self.jobs)]


def load(path: Path) -> Configuration:
    """Read a file. ConfigError holds all that is wrong with it, one line each."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; `caf init DIR` writes one to start from") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder, not a file; `caf init DIR` writes a file to start from") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"{path}: cannot be read ({why}); `caf init DIR` writes one to start from") from None
    try:
        text = data.decode("utf-8-sig")  # some editors begin a file with a byte-order mark
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path.name}:{line}: is not text in UTF-8; save it as UTF-8, or `caf init DIR` writes one to start from"
        ) from None
    return parse(text, path)


def parse(text: str, path: Path) -> Configuration:
    """Read a text; `path` is where it stands, for messages and for the paths that are relative to it."""
    lines = Lines(text)
    values = _values(text, path, lines)
    place = path.absolute()
    listeners = values.get("listeners")
    context = Surroundings(
        folder=place.parent,
        listeners=frozenset(listeners) if isinstance(listeners, dict) else frozenset(),
        kinds=MappingProxyType(_kinds(values)),
    )
    try:
        tables = Tables.model_validate(values, context=context)
    except ValidationError as error:
        raise ConfigError("\n".join(in_lines(found(error, Tables), lines, path.name))) from None
    return Configuration(
        **{name: getattr(tables, name) for name in Tables.model_fields},
        text=text,
        path=place,
        sha256=hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
    )


def _kinds(values: Mapping[str, Any]) -> dict[str, Kind]:
    """Give the attributes that conditions may name, as far as the source's table can be understood."""
    source = values.get("source")
    added = source.get("attributes") if isinstance(source, dict) else None
    if isinstance(source, dict) and source.get("kind") == "table":
        added = dict.fromkeys(_columns(values))
    return {**(dict.fromkeys(added, Kind.ANY) if isinstance(added, dict) else {}), **ATTRIBUTES}


def _columns(values: Mapping[str, Any]) -> Iterator[str]:
    """Give what conditions and corrections name that may be columns of a table, whose header is not read here.

    A name like that of an attribute is taken for a slip of the pen, not for a column.
    """
    listeners, corrections = values.get("listeners"), values.get("corrections")
    tables = [table.get("match") for table in _tables(listeners.values() if isinstance(listeners, dict) else ())]
    tables += [table.get("set") for table in _tables(corrections if isinstance(corrections, list) else ())]
    for table in _tables(tables):
        for name in table:
            if re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) and not get_close_matches(name, ATTRIBUTES, cutoff=0.75):
                yield name


def _tables(values: Iterable[object]) -> Iterator[dict[str, Any]]:
    return (value for value in values if isinstance(value, dict))


def _values(text: str, path: Path, lines: Lines) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"{path.name}:1: has brackets too deep within each other") from None
    except ValueError as error:  # tomllib's own error is one, and so is that of a number of too many digits
        raise ConfigError(_syntax(str(error), text, path, lines)) from None


_WHERE = re.compile(r"\s*\((?:at line (\d+), column \d+|at end of document)\)$")


def _syntax(message: str, text: str, path: Path, lines: Lines) -> str:
    """Say where the text is no TOML; for a key that is given twice, where both stand."""
    where = _WHERE.search(message)
    line = int(where[1]) if where and where[1] else text.rstrip("\n").count("\n") + 1
    if lines.duplicate and lines.duplicate[1] <= line and message.startswith("Cannot"):
        key, second, first = lines.duplicate
        return f"{path.name}:{second}: {dotted(key)}: is given twice; the first is on line {first}"
    return f"{path.name}:{line}: this is not TOML: {_WHERE.sub('', message)}"
