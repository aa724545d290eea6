"""`caf run` and `caf demo`: the supervisor, and the rehearsal that shows it at work."""

from pathlib import Path
from typing import Annotated

import typer

from caf.cli.options import Config, Place, StateDir, UnusedConfig, UnusedState


def run(
    once: Annotated[bool, typer.Option("--once", help="Do one round of every duty, and end.")] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Use working areas that belong to another database.")
    ] = False,
    config: Config = None,
    state: StateDir = None,
) -> None:
    """Run the supervisor.

    It finds runs and takes their jobs to the end, until it is told to stop.

    Example: caf run --once
    """
    from caf.supervisor import main

    place = Place.of(config, state)
    raise typer.Exit(main(place.config, once=once, take_over=take_over, state=place.given_state))


def demo(
    directory: Annotated[Path, typer.Argument(metavar="[DIR]", show_default=False, help="An empty folder.")] = Path(
        "caf-demo"
    ),
    config: UnusedConfig = None,
    state: UnusedState = None,
) -> None:
    """Rehearse it all with made-up runs.

    It happens in an empty folder and needs nothing else; at the end it says what happened.

    Example: caf demo /tmp/caf-demo
    """
    from caf.cli.progress import Progress
    from caf.demo.rehearsal import rehearse

    with Progress("rehearsal", "jobs") as progress:
        raise typer.Exit(rehearse(directory, progress))
