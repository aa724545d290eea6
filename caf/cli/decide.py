"""`caf runs assign` and `ignore`: what a person decides about a run. No round of a duty overrules it."""

import sqlite3
import time
from typing import TYPE_CHECKING, Annotated

import typer

from caf.cli.inforce import in_force
from caf.cli.options import By, Config, Place, Run, StateDir, Why, as_text, because
from caf.cli.orders import person
from caf.cli.text import harmless, say
from caf.domain.errors import NotFound
from caf.domain.spelling import instead
from caf.store import persons, queries
from caf.store.discovery import record_of_run
from caf.store.meant import no_run

if TYPE_CHECKING:
    from caf.config import Configuration

Whose = Annotated[
    str, typer.Argument(metavar="LISTENER", parser=as_text, show_default=False, help="A listener's name.")
]


def assign(
    run: Run, listener: Whose, reason: Why, by: By = None, config: Config = None, state: StateDir = None
) -> None:
    """Give a run to a listener.

    Its jobs are made in the next round. No later verdict changes it; another assign or ignore does.

    Example: caf runs assign 490005 LArEnergyScan --reason "agreed with LAr"
    """
    why, who = because(reason), person(by)
    place = Place.of(config, state)
    with place.existing(f"run {run}") as conn:
        row = _row(conn, run)
        configuration = in_force(conn, place)
        few = _needs_validation(conn, configuration, row, listener)
        persons.assign(conn, run, listener, time.time(), who, why, needs_validation=few)
        have = [job["job"] for job in queries.jobs_of(conn, run)]
    names = configuration.jobs_for(listener)
    say(f"run {run} is ACCEPTED by {listener}: {_then(run, have, names)}")
    if few and not have:
        say("It has too few events: its jobs wait for a person, see `caf status`")


def _row(conn: sqlite3.Connection, run: int) -> sqlite3.Row:
    row = queries.run(conn, run)
    if row is None:
        raise NotFound(no_run(conn, run))
    return row


def _needs_validation(
    conn: sqlite3.Connection, configuration: "Configuration", row: sqlite3.Row, listener: str
) -> bool:
    """Tell whether the run has too few events for the listener; what was never counted is too few."""
    table = configuration.listeners.get(listener)
    if table is None:
        raise NotFound(
            f"no listener {harmless(listener)} in {configuration.path.name} as it is in force; "
            f"{instead(listener, configuration.listeners)}; `caf listeners list` shows them"
        )
    if not table.min_events:
        return False
    events = record_of_run(conn, row["run"], configuration.corrections_in_force()).values.get("events")
    return not isinstance(events, int | float) or events < table.min_events


def _then(run: int, have: list[str], names: list[str]) -> str:
    if have:
        return f"its jobs {', '.join(have)} are kept: `caf jobs list --runs {run}`"
    if not names:
        return "but no enabled job serves this listener, so that nothing is done with it"
    return f"its jobs are made in the next round: {', '.join(names)}"


def ignore(run: Run, reason: Why, by: By = None, config: Config = None, state: StateDir = None) -> None:
    """Leave a run to nobody.

    Jobs that it has are not touched. No later verdict changes it; `caf runs assign` does.

    Example: caf runs ignore 490005 --reason "test of the new crate"
    """
    why, who = because(reason), person(by)
    with Place.of(config, state).existing(f"run {run}") as conn:
        _row(conn, run)
        persons.ignore(conn, run, time.time(), who, why)
        have = [job["job"] for job in queries.jobs_of(conn, run)]
    left = f"; its jobs {', '.join(have)} are left as they are: `caf jobs list --runs {run}`" if have else ""
    say(f"run {run} is IGNORED{left}")
