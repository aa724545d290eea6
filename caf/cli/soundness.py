"""Whether the database is whole and agrees with the working areas, and mending what can be derived."""

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from caf import paths
from caf.cli.options import Place
from caf.cli.progress import Progress, busy
from caf.lock import held
from caf.storage.records import read_records
from caf.storage.survey import attempts_in, survey
from caf.store import mending, queries
from caf.store.database import database_id
from caf.store.mending import Area

AT_ONCE = 200  # areas


@dataclass(slots=True)
class Soundness:
    """What was found, and what of it was mended; `there` is false where there is no database yet."""

    there: bool = False
    findings: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)


def looked_into(place: Place, *, areas: bool) -> Soundness:
    """Look whether all is well; with `areas` in the working areas too."""
    found = Soundness()
    with place.database() as conn:
        if conn is not None:
            found.there, found.findings = True, _findings(conn)
            if areas and not any(line.startswith("damaged") for line in found.findings):
                found.findings += [one.text for one in mending.compare(conn, _areas(place), database_id(conn))]
    return found


def mended(place: Place, who: str) -> Soundness:
    """Mend what can be derived, and look what is left. Refused while a supervisor runs."""
    if not (place.state / paths.DATABASE).exists():
        return Soundness()
    with held(place.state / paths.LOCK, time.time(), "caf db check --mend"), place.database() as conn:
        if conn is None:
            return Soundness()
        identity = database_id(conn)
        differences = mending.compare(conn, _areas(place), identity)
        done = mending.mend(conn, differences, time.time(), who)
        left = [one.text for one in differences if one.mend is None]
        return Soundness(True, [*_findings(conn), *left], done)


def _findings(conn: sqlite3.Connection) -> list[str]:
    with busy("looking through the database"):
        return queries.findings(conn)


def _areas(place: Place) -> Iterator[Area]:
    """Give all working areas, read some at a time."""
    work = str(paths.work_folder(place.config))
    every = [(run, job, number) for run, job, numbers in attempts_in(work) for number in numbers]
    with Progress("look", "working areas") as progress:
        for first in range(0, len(every), AT_ONCE):
            some = every[first : first + AT_ONCE]
            names = [f"{work}/{run}_{job}/{number}" for run, job, number in some]
            for which, seen, records in zip(some, survey(names), read_records(names), strict=True):
                yield Area(*which, seen, records)
            progress(first + len(some), len(every))
