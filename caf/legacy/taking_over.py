"""rundb.db into caf's database, so that nothing is run again.

Verdicts and jobs need a configuration to stand on. It is one of their own, made of the names that rundb.db has: each
listener takes the runs that it took, and each job has nothing that could run. Whoever starts such a job gets what
the configuration of that day says of it, as with every job that a person asks for again.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from pathlib import Path

from caf.config import Configuration, check_exclusive
from caf.domain.errors import ConfigError
from caf.domain.jobs import State
from caf.legacy.geneva import WITHOUT_ZONE, zone
from caf.legacy.names import usable
from caf.legacy.rundb import OldDatabase, read
from caf.legacy.standing import LISTENER, UNKNOWN, Reader
from caf.legacy.toml import Section, comment
from caf.store import configurations
from caf.store.imported import Kept, keep

PAGE = 500  # runs in one transaction


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What was taken over, what was there already, and in a line each what a person may want to know."""

    runs: int
    jobs: dict[str, int]
    known_runs: int
    known_jobs: int
    notes: list[str] = field(default_factory=list)
    asks: list[str] = field(default_factory=list)


def take_over(
    conn: sqlite3.Connection,
    path: Path,
    configuration: Configuration,
    who: str,
    now: float,
    progress: Callable[[int, int], None] = lambda done, all_of: None,
) -> TakenOver:
    """Take rundb.db over; what is known already stays as it is, so that it can be done again.

    StoreError where the file is no such database, ConfigError where the configuration could not be run with.
    `progress` is called with the runs done and all there are, after each transaction.
    """
    errors, _ = check_exclusive(configuration)
    if errors:
        raise ConfigError("\n".join(errors))
    old = read(path)
    origin = path.name
    serves = {name: table.listeners for name, table in configuration.jobs.items()}
    reader = Reader(old, origin, serves, zone())
    listeners, jobs = _names(old, "listener"), _names(old, "jobconfiguration")
    text = _configuration(origin, listeners, jobs)
    # Never the last one in force, whatever happens: the one that is comes after it.
    imported = configurations.keep(conn, text, sha256(text.encode()).hexdigest(), str(path.absolute()), 0.0)
    last = configurations.last_good(conn)
    if last is None or last[0] == text:
        configurations.keep(conn, configuration.text, configuration.sha256, str(configuration.path), now)
    kept, numbers = Kept(), old.runs()
    pages = iter(numbers)
    done = 0
    while page := [reader.run(run) for run in islice(pages, PAGE)]:
        keep(conn, imported, listeners, page, who, origin, now, kept)
        done += len(page)
        progress(done, len(numbers))
    counts = {state.value: kept.jobs[state] for state in State if kept.jobs[state]}
    notes = [*old.problems, *_strangers(configuration, listeners, jobs), *reader.notes]
    if reader.known_zone is None:
        notes.append(WITHOUT_ZONE)
    return TakenOver(kept.runs, counts, kept.known_runs, kept.known_jobs, notes, _asks(reader, kept))


def _names(old: OldDatabase, column: str) -> list[str]:
    """Give the names in a column as caf can have them, in an order that does not change."""
    rows = (old.status if column == "listener" else old.jobs).values()
    given = {row[column] for of_run in rows for row in of_run if row[column] is not None}
    for name in sorted(str(one) for one in given):
        usual, changed = usable(name)
        if changed:
            old.problems.append(f"the name {name!r} is not usable any more: it is {usual} now")
    return sorted({usable(str(name))[0] for name in given})


def _configuration(origin: str, listeners: list[str], jobs: list[str]) -> str:
    """Write the configuration that imported verdicts and jobs stand on. It depends on the names alone."""
    lines = comment([f"Made by `caf db import`: the listeners and jobs of {origin}. It was never in force."])
    source = Section("source")
    source.add("kind", "table")
    source.add("path", origin)
    sections = [source]
    for name in listeners:
        section = Section(f"listeners.{name}.match")
        section.add(LISTENER, name)
        sections.append(section)
    # A job needs a listener; one of a run without a verdict has this.
    if UNKNOWN not in listeners:
        sections.append(Section(f"listeners.{UNKNOWN}"))
        sections[-1].add("enabled", value=False)
    for name in jobs:
        section = Section(f"jobs.{name}")
        section.add("listeners", list(dict.fromkeys([*listeners, UNKNOWN])))
        section.add("validate", value=True)
        section.add("templates", [f"{name} is not in listeners.toml, so nothing can be run"])
        section.add("command", ["false"])
        sections.append(section)
    for section in sections:
        lines += ["", *section.lines()]
    return "\n".join([*lines, ""])


def _strangers(configuration: Configuration, listeners: list[str], jobs: list[str]) -> list[str]:
    """Name what the present configuration does not have: it is taken over under its own name."""
    notes = []
    for what, names, known in (
        ("listeners", listeners, configuration.listeners),
        ("jobs", jobs, configuration.jobs),
    ):
        strangers = [name for name in names if name not in known]
        if strangers:
            notes.append(f"{what} that {configuration.path.name} does not have: {', '.join(strangers)}")
    return notes


def _asks(reader: Reader, kept: Kept) -> list[str]:
    asks = []
    if count := kept.jobs[State.WAITING]:
        waits = "job waits" if count == 1 else "jobs wait"
        asks.append(f"{count} imported {waits} for a person: caf jobs list --state WAITING")
    if runs := reader.without_jobs:
        few = ", ".join(str(run) for run in runs[:5]) + (f" and {len(runs) - 5} more" if len(runs) > 5 else "")
        were = "1 run was" if len(runs) == 1 else f"{len(runs)} runs were"
        of = "it" if len(runs) == 1 else "them"
        said = f"{were} accepted, but no jobs had been made of {of}, and none are ({few}); to have them made:"
        asks.append(f"{said} caf runs assign {runs[0]} LISTENER --reason TEXT")
    for run, job, state, was in kept.clashes:
        asks.append(f"run {run} {job} was {was}, but caf made one itself, which is {state}: caf jobs kill {run} {job}")
    return asks
