"""The commands there are, and putting together those of them that a command line asks for."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated

import typer

from caf import __version__
from caf.cli.options import ConfigFirst, StateFirst, group

GROUPS = {
    "runs": "Runs: list them, show one, decide about one.\n\nExample: caf runs list --since 7d",
    "jobs": "Jobs: list, explain, start, hold, end.\n\nExample: caf jobs list --state FAILED",
    "listeners": "Listeners: what they want, and what a change would do.\n\nExample: caf listeners list",
    "quota": "How full the account of the working areas is.\n\nExample: caf quota --plan",
    "db": "caf's own database: check it, back it up.\n\nExample: caf db check",
}
COMMANDS = {
    "run": "supervise:run",
    "demo": "supervise:demo",
    "init": "initialise:init",
    "status": "status:status",
    "watch": "watch:watch",
    "check": "check:check",
    "completion": "completion:completion",
    "history": "trail:history",
    "logs": "logs:logs",
    "ack": "orders:ack_at_once",
    "pause": "pauses:pause",
    "resume": "pauses:resume",
    "quota": "quota:show",
    "quota pin": "pins:pin",
    "quota unpin": "pins:unpin",
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
    "db backup": "backups:backup",
    "db restore": "backups:restore",
    "db migrate": "migrating:migrate",
    "db import": "database:import_old",
}
"""Each command and where its function is, in the order of the help."""
BEFORE = ("--config", "--state")
"""Options with a value that may stand before the command."""


def _version(asked: bool) -> None:
    if asked:
        print(f"caf {__version__}")
        raise typer.Exit()


def application(words: Sequence[str]) -> typer.Typer:
    """Put the commands together: of those that there are, only what the words of the command line ask for.

    Importing and inspecting them all would take longer than most of them do; help, and a word that there is not,
    take that time.
    """
    app = group("Takes calibration runs from the run database to checked calibrations.\n\nExample: caf status")

    @app.callback()
    def first(
        config: ConfigFirst = None,
        state: StateFirst = None,
        version: Annotated[
            bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version and end.")
        ] = False,
    ) -> None:
        pass

    name, _ = split(words)
    wanted = f"{name} " if name in GROUPS else name if name in COMMANDS else ""
    groups: dict[str, typer.Typer] = {}
    for name in COMMANDS:
        if name != wanted and not (f"{name} ".startswith(wanted) and wanted[-1:] in ("", " ")):
            continue
        of, _, command = (name, "", "") if name in GROUPS else name.rpartition(" ")
        if of and of not in groups:
            groups[of] = group(GROUPS[of], alone=of in COMMANDS)
            app.add_typer(groups[of], name=of)
        function = function_of(name)
        if not command:  # what a group does by itself
            groups[of].callback(invoke_without_command=True)(function)
        else:
            (groups[of] if of else app).command(command)(function)
    return app


def function_of(name: str) -> Callable[..., None]:
    """Give the function that carries a command out; only now its module is imported."""
    module, _, function = COMMANDS[name].partition(":")
    found: Callable[..., None] = getattr(import_module(f"caf.cli.{module}"), function)
    return found


def split(words: Sequence[str]) -> tuple[str, list[str]]:
    """Give the name of the command that is meant, or of a group, and the words after it; no name if there is none."""
    rest = list(words)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option in BEFORE and rest:
            rest.pop(0)
    for count in (2, 1):
        name = " ".join(rest[:count])
        if len(rest) >= count and (name in COMMANDS or name in GROUPS):
            return name, rest[count:]
    return "", rest
