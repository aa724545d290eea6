"""`caf logs`: the supervisor's log made readable, a line an event."""

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from caf import paths
from caf.cli import colours
from caf.cli.logsource import LogFiles, followed, journal
from caf.cli.options import Config, JobName, Limit, OfRun, Place, Since, StateDir
from caf.cli.text import coloured, harmless, warn
from caf.domain.errors import ConfigError, Refused

NEWEST = 200  # lines, where nothing says which are wanted
BEFORE = 10  # lines before those that come, with --follow
LEVELS = ("debug", "info", "warning", "error", "critical")
GRAVE = ("warning", "error", "critical")
_LAST = ("error", "why", "problem", "said")  # what is text for people ends the line
_OF_A_DUTY = {
    "discover": ("discover", "source", "run", "runs", "jobs"),
    "organise": ("organise", "job", "work", "clock", "slots", "submit", "poll", "batch"),
    "afterwards": ("after",),
    "archive": ("archive", "attempt"),
    "housekeeping": ("backup",),
}
"""What the events of a duty begin with, where that is not its own name."""

Follow = Annotated[bool, typer.Option("-f", "--follow", help="Go on with what comes, until Ctrl-C.")]
Duty = Annotated[str | None, typer.Option("--duty", metavar="NAME", help="Only of this duty, such as organise.")]
Unit = Annotated[str, typer.Option("--unit", metavar="NAME", help="The journal's name for the supervisor.")]
Lines = Annotated[bool, typer.Option("--json", help="For programs: the lines as they were logged.")]


def _level(text: str) -> str:
    found = [level for level in LEVELS if level.startswith(text.lower())]
    if len(found) != 1:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(LEVELS)}")
    return found[0]


Level = Annotated[
    str, typer.Option("--level", metavar="LEVEL", parser=_level, help="This and what is worse: debug for everything.")
]


def logs(
    follow: Follow = False,
    run: OfRun = None,
    job: JobName = None,
    duty: Duty = None,
    level: Level = "info",
    since: Since = None,
    limit: Limit = None,
    unit: Unit = "caf",
    as_json: Lines = False,
    config: Config = None,
    state: StateDir = None,
) -> None:
    """Show what the supervisor has logged.

    From the file that listeners.toml names ([caf] log) with those it was rotated into, else from the journal. Without
    any option the newest 200 lines. Times are UTC.

    Example: caf logs -f --level warning
    """
    earliest = None if since is None else time.time() - since
    wanted = Wanted(run, job, duty, LEVELS.index(level), earliest, as_json)
    if limit is None and earliest is None:
        limit = BEFORE if follow else NEWEST if (run, job, duty, level) == (None, None, None, "info") else None
    show: Callable[[Line], None] = _print_json if as_json else _print
    files = _files(Place.of(config, state))
    came = False
    if files is not None:
        with closing(files):
            for line in _newest(wanted.of(files.past(earliest)), limit):
                show(line)
            for line in wanted.of(followed(files)) if follow else ():
                show(line)
        return
    try:
        lines = wanted.of(journal(unit, earliest, follow=follow))
        for line in lines if follow else _newest(lines, limit):
            came = True
            show(line)
    except Refused as error:
        raise Refused(f"{error}; {_ways_out(unit)}") from None
    if not came:
        warn(f"the journal has nothing of unit {harmless(unit)} that is wanted; {_ways_out(unit)}")


def _files(place: Place) -> LogFiles | None:
    """Give the log's files; None if there are none, or nobody can tell where."""
    try:
        path = paths.log_file(place.config)
    except ConfigError as error:
        warn(f"{harmless(str(error).splitlines()[0])}; so this is the journal")
        return None
    if path is None:
        return None
    files = LogFiles(path)
    if files.there():
        return files
    warn(f"{harmless(path)} is not there, nor a file that it was rotated into; so this is the journal")
    return None


def _ways_out(unit: str) -> str:
    return (
        f"if the supervisor has another unit than {harmless(unit)}: --unit NAME; if you may not read the journal: have "
        "yourself put into the group systemd-journal; or have a file: [caf] log in listeners.toml"
    )


@dataclass(frozen=True, slots=True)
class Line:
    """One line: as it was logged, or as text where it is not caf's."""

    fields: dict[str, Any] | None
    text: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are shown; None does not restrict. Others' lines only where nothing restricts and people read."""

    run: int | None
    job: str | None
    duty: str | None
    level: int
    since: float | None
    as_json: bool

    def of(self, lines: Iterable[bytes]) -> Iterator[Line]:
        """Give those of the lines that are wanted."""
        for raw in lines:
            line = _line(raw)
            if (line.fields is not None and self._has(line.fields)) or (
                line.fields is None and line.text and self._all()
            ):
                yield line

    def _all(self) -> bool:
        """Tell whether nothing is left out, so that what is not caf's may be shown too."""
        nothing = (self.run, self.job, self.duty, self.since) == (None, None, None, None)
        return nothing and self.level < LEVELS.index("warning") and not self.as_json

    def _has(self, fields: dict[str, Any]) -> bool:
        level = fields.get("level")
        if level in LEVELS and LEVELS.index(level) < self.level:
            return False
        if (self.run is not None and fields.get("run") != self.run) or (
            self.job is not None and fields.get("job") != self.job
        ):
            return False
        if self.duty is not None and fields.get("duty") != self.duty:
            event = fields.get("of") if fields.get("event") == "log.repeated" else fields.get("event")
            if str(event).partition(".")[0] not in _OF_A_DUTY.get(self.duty, (self.duty,)):
                return False
        return self.since is None or (_moment(fields) or 0.0) >= self.since


def _line(raw: bytes) -> Line:
    text = raw.decode("utf-8", "replace").rstrip("\n")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return Line(None, text)
    known = isinstance(fields, dict) and isinstance(fields.get("event"), str)
    return Line(fields if known else None, text)


def _newest(lines: Iterator[Line], limit: int | None) -> Iterable[Line]:
    return lines if limit is None else deque(lines, maxlen=limit)


def _moment(fields: dict[str, Any]) -> float | None:
    """Give when a line was logged (s since 1970)."""
    try:
        found = datetime.fromisoformat(fields["at"])
    except (KeyError, TypeError, ValueError):
        return None
    return found.replace(tzinfo=found.tzinfo or UTC).timestamp()


def _print_json(line: Line) -> None:
    print(json.dumps(line.fields), flush=True)  # all that is not ASCII is escaped: a terminal obeys nothing in it


def _print(line: Line) -> None:
    print(readable(line), flush=True)


def readable(line: Line) -> str:
    """Give a line for people."""
    if line.fields is None:
        return harmless(" ".join(line.text.split()))
    fields = dict(line.fields)
    moment, level, event = _moment(fields), str(fields.pop("level", "")), str(fields.pop("event"))
    fields.pop("at", None)
    when = "-" if moment is None else time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(moment))
    words = [_of(fields)] if {"run", "job", "duty"} & fields.keys() else []
    if fields.keys() >= {"was", "became"}:
        words.append(f"{fields.pop('was')} -> {fields.pop('became')}")
    trace = fields.pop("exception", None)
    said = [_text(fields.pop(name)) for name in _LAST if fields.get(name)]
    words += [f"{name}={_text(value)}" for name, value in fields.items()]
    words += [*said, *([_fault(trace)] if trace else [])]
    grave = level.upper() if level in GRAVE else ""
    head = f"{when:<19}  {coloured(f'{harmless(grave):<8}', colours.LEVELS.get(level))}"
    return f"{head}  {harmless(event):<18}  {harmless('  '.join(word for word in words if word))}".rstrip()


def _of(fields: dict[str, Any]) -> str:
    """Take out what a line is about, and say it as one types it."""
    found = [_text(fields.pop(name)) for name in ("duty", "run", "job") if name in fields]
    attempt = fields.pop("attempt", None)
    return " ".join(found) + ("" if attempt is None else f" (attempt {_text(attempt)})")


def _text(value: object) -> str:
    return " ".join((value if isinstance(value, str) else json.dumps(value)).split())


def _fault(trace: Any) -> str:
    """Say in a few words where a fault of the program is."""
    try:
        last = trace[-1]
        frame = last["frames"][-1]
        where = f"{os.path.basename(frame['filename'])}:{frame['lineno']} in {frame['name']}"
        return f"{last['exc_type']}: {_text(last['exc_value'])} ({where})"
    except (TypeError, KeyError, IndexError):
        return _text(str(trace))[:200]
