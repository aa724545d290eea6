"""`caf quota pin` and `caf quota unpin`: keep a job's working areas from being removed, until a day."""

import datetime
import time
from contextlib import suppress
from typing import Annotated

import typer

from caf.cli.options import By, Config, Job, Place, Reason, Run, StateDir, Why, because, duration
from caf.cli.orders import person
from caf.cli.text import counted, harmless, iso, say, unbroken
from caf.store import pins

DAY = 86_400.0
LAST = 253_402_300_799.0  # the last second of 9999, which is how people say "for ever"; no later one can be written


def _moment(text: str) -> float:
    """Read a day, which counts to its end, or a moment, both UTC unless they name a zone; or a time span from now."""
    with suppress(typer.BadParameter):
        return min(time.time() + duration(text), LAST)
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        try:
            moment = datetime.datetime.fromisoformat(text)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is no day such as 2027-03-31, no 2027-03-31T12:00, and no 3d") from None
        return moment.replace(tzinfo=moment.tzinfo or datetime.UTC).timestamp()
    return min(datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC).timestamp() + DAY, LAST)


Until = Annotated[
    float,
    typer.Option(
        "--until",
        metavar="DATE",
        parser=_moment,
        show_default=False,
        help="Such as 2027-03-31, to its end; or 3d from now.",
    ),
]


def pin(
    run: Run, job: Job, until: Until, reason: Why, by: By = None, config: Config = None, state: StateDir = None
) -> None:
    """Keep the working areas of a job, however full the disk gets.

    All its attempts' areas that are there, and those to come. A later pin takes the place of this one.

    Example: caf quota pin 490011 LArL1CaloHV --until 2027-03-31 --reason "odd"
    """
    why, who, now = because(reason), person(by), time.time()
    if until <= now:
        raise typer.BadParameter("is over already", param_hint="--until")
    with Place.of(config, state).existing(f"job {job} of run {run}") as conn:
        gone = pins.pin(conn, run, job, until, now, who, why)
    stay = f"working areas of job {harmless(job)} of run {run} stay until {str(iso(until))[:16].replace('T', ' ')} UTC"
    left = f"; {counted(len(gone), 'older one')} {'is' if len(gone) == 1 else 'are'} gone already" if gone else ""
    say(f"{stay}{left}; to end that: {unbroken(f'caf quota unpin {run} {job}')}")


def unpin(
    run: Run, job: Job, reason: Reason = None, by: By = None, config: Config = None, state: StateDir = None
) -> None:
    """Let the working areas of a pinned job be removed again.

    They go when it is their turn, and only as far as they must.

    Example: caf quota unpin 490011 LArL1CaloHV
    """
    why, who = because(reason) if reason is not None else None, person(by)
    with Place.of(config, state).existing(f"job {job} of run {run}") as conn:
        pins.unpin(conn, run, job, time.time(), who, why)
    say(f"working areas of job {harmless(job)} of run {run} may be removed again: {unbroken('caf quota --plan')}")
