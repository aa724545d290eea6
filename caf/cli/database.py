"""`caf db`: whether the database is whole, and agrees with itself; taking over that of the system before."""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caf import paths
from caf.cli.options import By, Config, Json, Place, StateDir
from caf.cli.progress import Progress
from caf.cli.text import counted, harmless, print_json
from caf.domain.errors import StoreError
from caf.store.database import connect, explain

if TYPE_CHECKING:
    from caf.legacy.taking_over import TakenOver


def check(
    mend: Annotated[bool, typer.Option("--mend", help="Put right what can be derived; no supervisor may run.")] = False,
    areas: Annotated[bool, typer.Option("--areas", help="Compare with the working areas too; --mend does it.")] = False,
    as_json: Json = False,
    by: By = None,
    config: Config = None,
    state: StateDir = None,
) -> None:
    """Check that the database is whole.

    And that it agrees with itself, and with the records in the working areas; the exit status is 1 if anything is
    wrong and was not mended.

    Example: caf db check --mend
    """
    from caf.cli.orders import person
    from caf.cli.soundness import looked_into, mended

    place = Place.of(config, state)
    found = mended(place, person(by)) if mend else looked_into(place, areas=areas)
    if as_json:
        print_json({"database": found.there, "findings": found.findings, "mended": found.mended})
    else:
        for line in (*(f"mended: {line}" for line in found.mended), *found.findings):
            print(harmless(line))
        if not found.findings:
            print("the database is whole and agrees with itself" if found.there else "there is no database yet")
    if found.findings:
        raise typer.Exit(1)


def import_old(
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False, help="The old system's rundb.db.")],
    config: Config = None,
    state: StateDir = None,
) -> None:
    """Take over the database of the system before caf.

    Its runs, verdicts and jobs, so that nothing is run again; what was running there waits for a person. The file is
    only read. It can be done again: what is known already stays as it is.

    Example: caf db import rundb.db
    """
    from caf.cli.orders import person
    from caf.config import load
    from caf.legacy.taking_over import take_over

    place = Place.of(config, state)
    configuration = load(place.config)
    path = place.state / paths.DATABASE
    make_folder(path.parent)
    # One that is there is not migrated under a supervisor that may run.
    new = not path.exists() or path.stat().st_size == 0
    with closing(connect(path, create=new)) as conn:
        try:
            with Progress("import", "runs") as progress:
                taken = take_over(conn, file, configuration, person(None), time.time(), progress)
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {explain(error)}") from error
    _tell(file, taken)


def make_folder(folder: Path) -> None:
    """Make the state folder as the supervisor does, for the group to write in."""
    os.umask(0o007)
    try:
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o2770)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be made: {error.strerror}: make it, or correct [caf] state") from None


def _tell(file: Path, taken: "TakenOver") -> None:
    jobs = ", ".join(f"{count} {state}" for state, count in taken.jobs.items())
    made = counted(sum(taken.jobs.values()), "job")
    print(harmless(f"{file.name}: {counted(taken.runs, 'run')} and {made} taken over{f' ({jobs})' if jobs else ''}"))
    if taken.known_runs or taken.known_jobs:
        known = f"{counted(taken.known_runs, 'run')} and {counted(taken.known_jobs, 'job')}"
        print(f"{known} were known already and stay as they are")
    for line in (*taken.notes, *taken.asks):
        print(harmless(line))
