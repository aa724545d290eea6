"""What can stand for a value on the command line: names, numbers and words, asked of the file and the database."""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from caf import paths
from caf.cli.options import Place
from caf.domain.jobs import State
from caf.domain.matching import Status
from caf.store import duties, queries
from caf.store.database import connect

Words = Iterable[tuple[str, str]]
NEWEST = 30  # runs
_HURRY = 0.3  # s that a busy database may take
_DIGITS = 9  # of a run's number
FILES = frozenset(("--config", "--against", "--from", "--jobs", "--templates", "--into", "--state", "FILE", "DIR"))
"""What is a file or a folder: the shell knows those itself."""
FREE = frozenset(("--reason", "--by", "--limit", "--lines", "--attempt", "--until", "--unit", "--set", "BATCH_ID"))
"""What nobody can know but who types it."""
_LIKELY = {
    "jobs start": (State.WAITING,),
    "jobs reject": (State.WAITING,),
    "jobs ack": (State.FAILED,),
    "ack": (State.FAILED,),
    "jobs mark": (State.DONE,),
}
"""What a command is for: of other jobs it would be refused."""


@dataclass(frozen=True, slots=True)
class Asked:
    """For which command, at which place, and with which run before the word that is completed."""

    command: str
    place: Place
    run: int | None = None

    @property
    def states(self) -> Sequence[State]:
        """Give the states of jobs that the command is for; none: all."""
        return _LIKELY.get(self.command, ())


def values(name: str, asked: Asked, now: str) -> list[tuple[str, str]]:
    """Give what can stand for an option or an argument, and begins with what is typed, each with what it is."""
    return [word for word in KNOWN[name](asked, now) if word[0].startswith(now)]


def place_of(before: Sequence[str]) -> Place:
    """Give where the command that is typed will look."""
    given: dict[str, str] = {"--config": os.environ.get("CAF_CONFIG", ""), "--state": os.environ.get("CAF_STATE", "")}
    for option, value in pairwise(before):
        if option == "--config" or (option == "--state" and value.upper() not in State.__members__):
            given[option] = os.path.expanduser(value)
    return Place.of(*(Path(text) if text else None for text in given.values()))


def _open(place: Place) -> closing[sqlite3.Connection]:
    return closing(connect(place.state / paths.DATABASE, busy_timeout=_HURRY))


def _jobs(asked: Asked, _now: str) -> Iterator[tuple[str, str]]:
    """Give the jobs of the run, if one is named, else all names there are."""
    if asked.run is not None:
        with _open(asked.place) as conn:
            rows = queries.jobs_of(conn, asked.run)
        yield from ((row["job"], row["state"]) for row in rows if not asked.states or row["state"] in asked.states)
        return
    yield from ((name, "") for name in _names("job", asked.place))


def _names(kind: str, place: Place) -> list[str]:
    from caf.cli.suggest import names_of

    try:
        with _open(place) as conn:
            return sorted(names_of(kind, place, conn))
    except Exception:
        return sorted(names_of(kind, place, None))  # what is in the file is better than nothing


def _listeners(asked: Asked, _now: str) -> Iterator[tuple[str, str]]:
    return ((name, "") for name in _names("listener", asked.place))


def _runs(asked: Asked, now: str) -> Iterator[tuple[str, str]]:
    """Give the newest runs whose numbers begin so; for a command about jobs, of those that have some."""
    if now and not now.isdigit():
        return
    number = int(now or 0)
    more = range(max(0, _DIGITS - len(now)) + 1)
    ranges = [(number * 10**count, (number + 1) * 10**count - 1) for count in more] if number else ()
    with _open(asked.place) as conn:
        if asked.command.startswith(("jobs ", "ack", "quota ")):
            wanted = queries.JobFilter(states=asked.states, runs=ranges, limit=NEWEST)
            found = [
                (row["run"], f"{row['job']} {row['state']}") for page in queries.jobs(conn, wanted) for row in page
            ]
        else:
            those = queries.RunFilter(runs=ranges, limit=NEWEST)
            pages = queries.runs(conn, those)
            found = [(row["run"], " ".join(filter(None, (row["status"], row["listener"])))) for p in pages for row in p]
    known: dict[int, list[str]] = {}
    for run, text in found:
        known.setdefault(run, []).append(text)
    for run in sorted(known, reverse=True):
        yield str(run), ", ".join(known[run])


def _duties(asked: Asked, _now: str) -> Iterator[tuple[str, str]]:
    with _open(asked.place) as conn:
        rows = duties.all_duties(conn)
    return ((row["name"], "") for row in rows)


def _of(*words: str) -> Callable[[Asked, str], Words]:
    return lambda _asked, _now: [(word, "") for word in words]


KNOWN: dict[str, Callable[[Asked, str], Words]] = {
    "RUN": _runs,
    "--run": _runs,
    "--runs": _runs,
    "JOB": _jobs,
    "--job": _jobs,
    "LISTENER": _listeners,
    "--listener": _listeners,
    "STATE": _of(*State),
    "--status": _of(*Status),
    "--duty": _duties,
    "--level": _of("debug", "info", "warning", "error", "critical"),
    "--since": _of("1h", "8h", "1d", "7d", "30d"),
    "--every": _of("1s", "2s", "5s", "30s"),
    "HOW": _of("good", "bad"),
    "SHELL": _of("bash", "zsh", "fish"),
}
"""Options by their names, arguments by what help calls them; STATE is a --state that takes a job's."""
