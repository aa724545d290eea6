"""The command `caf`: the commands there are, and how every one of them ends."""

import io
import os
import sys
from typing import Annotated

import typer

from caf import __version__
from caf.cli import check, database, initialise, jobs, listeners, orders, runs, status, supervise, why
from caf.cli.options import ConfigFirst, StateFirst, group
from caf.cli.text import harmless
from caf.domain.errors import CafError, ConfigError

DONE, ATTENTION, WRONG = 0, 1, 2
INTERRUPTED = 130


def _version(asked: bool) -> None:
    if asked:
        print(f"caf {__version__}")
        raise typer.Exit()


def application() -> typer.Typer:
    """Put the commands together."""
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

    for module in (supervise, initialise, status, check):
        module.add_to(app)
    app.add_typer(runs.app, name="runs")
    listed = jobs.app
    orders.add_to(listed)
    why.add_to(listed)
    app.add_typer(listed, name="jobs")
    app.add_typer(listeners.app, name="listeners")
    app.add_typer(database.app, name="db")
    jobs.add_to(app)
    return app


def main() -> None:
    """Run one command and end the process with its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_status())


def _status() -> int:
    try:
        try:
            application()(prog_name="caf")
        finally:
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
