"""Options that many commands share, and where they lead: to the file, the state folder, the database."""

import errno
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from caf import paths
from caf.cli.text import harmless
from caf.domain.errors import NotFound, StoreError
from caf.domain.jobs import State
from caf.domain.spelling import instead
from caf.store.database import connect, explain

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}
_DURATION = re.compile(r"([0-9]{1,9})([smhdw])", re.ASCII)
_LARGEST = 2**63 - 1  # what an integer of SQLite can hold


def group(help_text: str, *, alone: bool = False) -> typer.Typer:
    """Make a group of commands. Markup and pretty tracebacks would import rich and show what nobody should see.

    `alone`: its name is a command of its own as well.
    """
    return typer.Typer(
        help=help_text,
        no_args_is_help=not alone,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def _or_before(context: typer.Context, parameter: typer.CallbackParam, value: Any) -> Any:
    """Take what was given before the command where nothing is given after it."""
    return value if value is not None else context.find_root().params.get(str(parameter.name))


def duration(text: str) -> float:
    """Read a time span such as 90s, 15m, 8h or 7d; gives seconds."""
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise typer.BadParameter(f"{text!r} is not a duration such as 90s, 15m, 8h or 7d")
    return int(found[1]) * _UNITS[found[2]]


def whole(least: int) -> Callable[[str], int]:
    """Give what reads a whole number; click's own type would show its largest, of 19 digits, in every help."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is no whole number") from None
        if not least <= number <= _LARGEST:
            raise typer.BadParameter(f"{text} is less than {least}" if number < least else f"{text} is too large")
        return number

    return read


def _ranges(text: str) -> tuple[tuple[int, int], ...]:
    from caf.domain.runs import parse_ranges  # most changes of a state do without it

    try:
        return parse_ranges(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def as_text(text: str) -> str:
    """Take a word of the command line as text that a database can keep: its bytes need not be UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def because(reason: str) -> str:
    """Give a reason as one harmless line; wrong usage if there is nothing in it."""
    line = harmless(" ".join(reason.split()))
    if not line:
        raise typer.BadParameter("must not be empty: the next shift will read it", param_hint="--reason")
    return line


def _state_or_folder(text: str) -> State | Path:
    """Tell the two meanings of --state apart: a job's state by its name, the folder of the database by being one."""
    if text.upper() in State.__members__:
        return State[text.upper()]
    if "/" in text or Path(text).is_dir():
        return Path(text)
    raise typer.BadParameter(f"{text!r} is neither a job's state nor a folder; {instead(text, State)}")


def _folder_before(context: typer.Context, value: list[Any] | None) -> list[Any]:
    before = context.find_root().params.get("state")
    given = list(value or ())
    return given if before is None or any(isinstance(one, Path) for one in given) else [*given, Path(before)]


# readable: what cannot be read is for caf to say, with what helps.
ConfigFirst = Annotated[
    Path | None,
    typer.Option("--config", envvar="CAF_CONFIG", metavar="FILE", readable=False, help="Default: ./listeners.toml."),
]
StateFirst = Annotated[
    Path | None,
    typer.Option("--state", envvar="CAF_STATE", metavar="DIR", readable=False, help="Default: as the file says."),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        readable=False,
        callback=_or_before,
        help="Default: $CAF_CONFIG, else ./listeners.toml.",
    ),
]
StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        readable=False,
        callback=_or_before,
        help="The folder of the database. Default: $CAF_STATE, else what the file says.",
    ),
]
# Commands that look at neither file nor database take the two as well, as every command does.
UnusedConfig = Annotated[Path | None, typer.Option("--config", readable=False, hidden=True)]
UnusedState = Annotated[Path | None, typer.Option("--state", readable=False, hidden=True)]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]
Run = Annotated[int, typer.Argument(metavar="RUN", min=0, max=_LARGEST, show_default=False, help="A run's number.")]
Job = Annotated[str, typer.Argument(metavar="JOB", parser=as_text, show_default=False, help="A job's name.")]
States = Annotated[
    list[Any] | None,
    typer.Option(
        "--state",
        metavar="STATE",
        parser=_state_or_folder,
        callback=_folder_before,
        help="Only jobs in this state; may be given again. (With a folder: that of the database.)",
    ),
]
JobName = Annotated[str | None, typer.Option("--job", metavar="NAME", parser=as_text, help="Only this job.")]
Listener = Annotated[str | None, typer.Option("--listener", metavar="NAME", parser=as_text, help="Only of this one.")]
Runs = Annotated[
    Any | None, typer.Option("--runs", metavar="A-B[,C]", parser=_ranges, help="Only these, such as 490001-490100.")
]
Limit = Annotated[int | None, typer.Option("--limit", metavar="N", parser=whole(1), help="The newest N.")]
OfRun = Annotated[int | None, typer.Option("--run", metavar="N", parser=whole(0), help="Only of this run.")]
SinceStart = Annotated[
    float | None, typer.Option("--since", metavar="7d", parser=duration, help="Only runs started within that time.")
]
SinceChange = Annotated[
    float | None, typer.Option("--since", metavar="7d", parser=duration, help="Only what changed within that time.")
]
Since = Annotated[
    float | None, typer.Option("--since", metavar="7d", parser=duration, help="Only of that last stretch of time.")
]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", parser=as_text, help="Why; it is kept.")]
Why = Annotated[
    str, typer.Option("--reason", metavar="TEXT", parser=as_text, show_default=False, help="Why; it is kept.")
]
By = Annotated[
    str | None, typer.Option("--by", metavar="WHO", parser=as_text, help="Default: who you are logged in as.")
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where this command looks."""

    config: Path
    given_state: Path | None

    @classmethod
    def of(cls, config: Path | None, state: Path | None) -> "Place":
        """Take what the command line and the environment say, or the file in this folder."""
        return cls(config if config is not None else paths.DEFAULT_CONFIG, state)

    @classmethod
    def and_states(cls, config: Path | None, given: list[Any] | None) -> "tuple[Place, list[State]]":
        """Take --state as both of what it can mean: the folder of the database, and jobs' states."""
        folders = [one for one in given or () if isinstance(one, Path)]
        return cls.of(config, folders[-1] if folders else None), [one for one in given or () if isinstance(one, State)]

    @property
    def state(self) -> Path:
        """The state folder. ConfigError where neither the file nor the command line name it."""
        return paths.state_folder(self.config, self.given_state)

    @contextmanager
    def database(self) -> Iterator[sqlite3.Connection | None]:
        """Open the database for a command; None where there is none yet, and everything is empty."""
        path = self.state / paths.DATABASE
        with _allowed(path):
            size = _size(path)
            conn = connect(path) if size else None
        if conn is None:
            yield None
            return
        try:
            yield conn
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {explain(error)}") from error
        finally:
            conn.close()

    def supervisor(self) -> str | None:
        """Say which process is the supervisor; None if none runs."""
        from caf.lock import holder  # most commands do without

        path = self.state / paths.LOCK
        with _allowed(path):
            return holder(path)

    @contextmanager
    def existing(self, what: str) -> Iterator[sqlite3.Connection]:
        """Open the database for a command about one thing; Refused where there is none yet."""
        with self.database() as conn:
            if conn is None:
                raise NotFound(f"no {what}: nothing is known yet, there is no {self.state / paths.DATABASE}; `caf run`")
            yield conn


def _size(path: Path) -> int:
    """Give the bytes of a file; 0 where it is not there."""
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0
    if size and not os.access(path, os.R_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return size


@contextmanager
def _allowed(path: Path) -> Iterator[None]:
    """Say of a file that may not be read whose it is, and what helps."""
    try:
        yield
    except PermissionError:
        from caf.cli.access import denied

        raise StoreError(denied(path)) from None
    except OSError as error:
        raise StoreError(f"{path}: cannot be opened: {error.strerror}; check the folder's owner and mode") from None
