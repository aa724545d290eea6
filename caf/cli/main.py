"""The command `caf`: the commands there are, and how every one of them ends."""

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from caf import __version__
from caf.cli.options import ConfigFirst, StateFirst, group
from caf.cli.text import harmless
from caf.domain.errors import CafError, ConfigError

GROUPS = {
    "runs": "Runs: list them, show one, decide about one.",
    "jobs": "Jobs: list, explain, start, hold, end.",
    "listeners": "Listeners: which runs are wanted, why, and what a change would do.",
    "db": "caf's own database.",
}
COMMANDS = {
    "run": "supervise:run",
    "demo": "supervise:demo",
    "init": "initialise:init",
    "status": "status:status",
    "check": "check:check",
    "history": "trail:history",
    "ack": "orders:ack_at_once",
    "pause": "pauses:pause",
    "resume": "pauses:resume",
    "runs list": "runs:list_runs",
    "runs show": "runs:show_run",
    "runs assign": "decide:assign",
    "runs ignore": "decide:ignore",
    "jobs list": "jobs:list_jobs",
    "jobs show": "jobs:show_job",
    "jobs why": "why:why",
    "jobs history": "trail:job_history",
    "jobs log": "jobs:job_log",
    "jobs prepare": "prepare:prepare",
    "jobs start": "orders:start",
    "jobs reject": "orders:reject",
    "jobs hold": "orders:hold",
    "jobs reset": "reset:reset",
    "jobs kill": "orders:kill",
    "jobs adopt": "answers:adopt",
    "jobs lost": "answers:lost",
    "jobs mark": "answers:mark",
    "jobs ack": "orders:ack",
    "listeners list": "listeners:list_listeners",
    "listeners explain": "explain:explain",
    "listeners replay": "replay:replay",
    "db check": "database:check",
    "db import": "database:import_old",
}
"""Each command and where its function is, in the order of the help."""

DONE, ATTENTION, WRONG = 0, 1, 2
INTERRUPTED = 130


def _version(asked: bool) -> None:
    if asked:
        print(f"caf {__version__}")
        raise typer.Exit()


def application(words: Sequence[str]) -> typer.Typer:
    """Put the commands together: of those that there are, only what the words of the command line ask for.

    Importing and inspecting them all would take longer than most of them do; help, and a word that there is not,
    take that time.
    """
    app = group("Takes calibration runs from the run database to finished, checked calibrations.")

    @app.callback()
    def first(
        config: ConfigFirst = None,
        state: StateFirst = None,
        version: Annotated[
            bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version and end.")
        ] = False,
    ) -> None:
        pass

    wanted = _wanted(words)
    groups: dict[str, typer.Typer] = {}
    for name, where in COMMANDS.items():
        if name != wanted and not (name.startswith(wanted) and wanted[-1:] in ("", " ")):
            continue
        of, _, command = name.rpartition(" ")
        if of and of not in groups:
            groups[of] = group(GROUPS[of])
            app.add_typer(groups[of], name=of)
        module, _, function = where.partition(":")
        (groups[of] if of else app).command(command)(getattr(import_module(f"caf.cli.{module}"), function))
    return app


def _wanted(words: Sequence[str]) -> str:
    """Give the command's name, or a group's with a blank; empty where all commands may be meant."""
    rest = list(words)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option in ("--config", "--state") and rest:
            rest.pop(0)
    for name in (" ".join(rest[:2]), rest[0] if rest else ""):
        if name in COMMANDS:
            return name
    return f"{rest[0]} " if rest and rest[0] in GROUPS else ""


def main() -> None:
    """Run one command and end the process with its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_status())


def _status() -> int:
    try:
        try:
            application(sys.argv[1:])(prog_name="caf")
        finally:
            if sys.stdout is not None:  # closed by `>&-`
                sys.stdout.flush()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else (ATTENTION if end.code else DONE)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the answer has seen enough; the interpreter must not complain when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ATTENTION
    except CafError as error:
        return _tell(error)
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        print(f"caf: {harmless(where)}{error.strerror or error}", file=sys.stderr)
        return ATTENTION
    except Exception as error:
        return _bug(error)
    return DONE


def _tell(error: CafError) -> int:
    lines = [harmless(line) for line in str(error).split("\n")]
    if isinstance(error, ConfigError):
        print("\n".join(lines), file=sys.stderr)
        return WRONG
    print("caf: " + "\n     ".join(lines), file=sys.stderr)
    return ATTENTION


def _bug(error: Exception) -> int:
    if os.environ.get("CAF_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    what = harmless(" ".join(str(error).split()))
    print(
        f"caf: this is a bug in caf: {type(error).__name__}: {what}; "
        "CAF_DEBUG=1 before the same command prints the details for a report",
        file=sys.stderr,
    )
    return ATTENTION
