"""`caf pause` and `caf resume`: stop submitting, of one job or of all, while everything else goes on."""

import sqlite3
import time
from typing import Annotated

import typer

from caf.cli.options import By, Config, Place, Reason, StateDir, as_text
from caf.cli.orders import person
from caf.cli.text import counted, harmless, say, unbroken
from caf.domain.errors import NotFound
from caf.domain.spelling import instead
from caf.store import pauses

Name = Annotated[
    str | None,
    typer.Option("--job", metavar="NAME", parser=as_text, help="Only jobs of this name. Default: all of them."),
]
Why = Annotated[
    str, typer.Option("--reason", metavar="TEXT", parser=as_text, show_default=False, help="Why; it is kept.")
]


def pause(reason: Why, job: Name = None, by: By = None, config: Config = None, state: StateDir = None) -> None:
    """Stop submitting, of one job or of all.

    Everything else goes on: runs are found, jobs made and prepared, and those that are out are followed and judged.
    `caf resume` ends it.

    Example: caf pause --job LArL1CaloRampMaker --reason "new release"
    """
    why, who = _one_line(reason), person(by)
    if not why:
        raise typer.BadParameter("must not be empty: the next shift will read it", param_hint="--reason")
    place = Place.of(config, state)
    with place.existing("submitting to pause") as conn:
        if job is not None:
            _must_be_known(conn, place, job)
        made = pauses.pause(conn, job, time.time(), who, why)
        ready = pauses.held_up(conn, job)
    wait = f"{counted(ready, 'job')} that {'is' if ready == 1 else 'are'} ready {'waits' if ready == 1 else 'wait'} for"
    say(f"{harmless(made.what)} is paused; {wait} its end; what is out goes on")
    say(f"To end it: {unbroken(made.way_out)}")


def resume(
    job: Name = None, reason: Reason = None, by: By = None, config: Config = None, state: StateDir = None
) -> None:
    """Go on submitting after a pause.

    With --job it ends the pause of this job, without that of all; each has its own.

    Example: caf resume --job LArL1CaloRampMaker
    """
    who, place = person(by), Place.of(config, state)
    with place.existing("submitting to resume") as conn:
        if job is not None and all(one.job != job for one in pauses.pauses(conn)):
            _must_be_known(conn, place, job)
        left = pauses.resume(conn, job, time.time(), who, _one_line(reason) if reason else None)
    what = "submitting" if job is None else f"submitting of {harmless(job)}"
    mine = [one for one in left if job is None or one.job is None]
    if not mine:
        say(f"{what} goes on")
        return
    others = ", ".join(harmless(one.what) for one in mine)
    commands = " and ".join(unbroken(one.way_out) for one in mine)
    say(f"{what} is not paused by itself any more, but {others} still is, by {harmless(mine[0].who)}: {commands}")


def _one_line(text: str) -> str:
    return harmless(" ".join(text.split()))


def _must_be_known(conn: sqlite3.Connection, place: Place, job: str) -> None:
    """Refuse a name that no job has or will have: a slip of the pen would pause nothing, and seem to."""
    known = pauses.known_jobs(conn)
    if job in known:
        return
    known |= _configured(conn, place)
    if job in known:
        return
    there = instead(job, known)
    raise NotFound(f"no job {harmless(job)}, neither in the configuration nor made already; {harmless(there)}")


def _configured(conn: sqlite3.Connection, place: Place) -> set[str]:
    """Give the names of jobs in the file, and in the configuration that was in force last."""
    from caf import paths
    from caf.store.configurations import last_good

    last = last_good(conn)
    return paths.job_names(place.config, "" if last is None else last[0])
