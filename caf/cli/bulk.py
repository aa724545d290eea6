"""The same word about many jobs: first what it would do, then, with --yes, doing it."""

import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import typer

from caf.cli.options import Place
from caf.cli.progress import Progress
from caf.cli.text import counted, harmless
from caf.domain.errors import Refused
from caf.domain.jobs import SPOILING, State
from caf.store.bulk import GROUP, Meant, do_group
from caf.store.queries import JobFilter, jobs

SHOWN = 10
INTERRUPTED = 130

Do = Callable[[sqlite3.Connection, Meant], sqlite3.Row]


@dataclass(slots=True)
class Done:
    """How far it is, and what came of it: the first few jobs and refusals by name, all of them counted."""

    done: int = 0
    refused: int = 0
    now: list[sqlite3.Row] = field(default_factory=list)
    became: Counter[tuple[str, str]] = field(default_factory=Counter)
    refusals: list[str] = field(default_factory=list)

    def add(self, outcomes: Sequence[sqlite3.Row | Refused]) -> None:
        """Take in what became of some jobs."""
        for one in outcomes:
            if isinstance(one, Refused):
                self.refused += 1
                self.refusals += [str(one)] if self.refused <= SHOWN else []
                continue
            self.done += 1
            self.became[one["job"], one["state"]] += 1
            if self.done <= SHOWN:
                self.now.append(one)


def many(
    place: Place,
    word: str,
    wanted: JobFilter,
    do: Do,
    *,
    yes: bool,
    possible: Callable[[State], bool],
    line: Callable[[sqlite3.Row], str],
) -> None:
    """Do it to all jobs that the filter finds, some hundreds at a time; without `yes` say what it would do.

    `possible` says in which states it can be done at all, `line` what a job is now.
    """
    with place.database() as conn:
        meant = [] if conn is None else list(_meant(conn, wanted))
        if conn is not None and not meant:
            from caf.cli.suggest import strange_names  # only where nothing was found

            strange_names(place, conn, job=wanted.job, listener=wanted.listener)
        if not yes:
            _preview(word, meant, possible)
            raise typer.Exit(1)
        result = Done()
        with _interruptible() as interrupted:
            try:
                if conn is not None:
                    _do_all(conn, word, meant, do, result, interrupted)
            finally:
                _tell(word, len(meant), result, line)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if result.refused:
        raise typer.Exit(1)


def _meant(conn: sqlite3.Connection, wanted: JobFilter) -> Iterator[Meant]:
    for page in jobs(conn, wanted):
        yield from (Meant(row["run"], row["job"], State(row["state"])) for row in page)


def _do_all(
    conn: sqlite3.Connection, word: str, meant: Sequence[Meant], do: Do, result: Done, interrupted: list[int]
) -> None:
    """Do it in groups; after each the database is left alone for as long as it took, so that others have their turn."""
    with Progress(word, "jobs") as progress:
        for first in range(0, len(meant), GROUP):
            if interrupted:
                break
            start = time.monotonic()
            result.add(do_group(conn, meant[first : first + GROUP], do))
            so_far = result.done + result.refused
            progress(so_far, len(meant))
            if so_far < len(meant):
                time.sleep(time.monotonic() - start)


@contextmanager
def _interruptible() -> Iterator[list[int]]:
    """Note Ctrl-C instead of ending in the middle of something: what has begun is finished and counted."""
    noted: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: noted.append(number))
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


def _tell(word: str, total: int, result: Done, line: Callable[[sqlite3.Row], str]) -> None:
    """Say what was done: of few jobs each by name, of many how many of each kind."""
    if result.done <= SHOWN:
        for row in result.now:
            print(line(row))
    else:
        _table(result.became)
    for refusal in result.refusals:
        print(f"caf: {harmless(refusal)}", file=sys.stderr)
    if result.refused > SHOWN:
        print(f"caf: ... and {result.refused - SHOWN} more were refused", file=sys.stderr)
    left = total - result.done - result.refused
    ended = f", {left} left as they were: the same command again does the rest" if left else ""
    print(f"{word}: {result.done} done, {result.refused} refused{ended}")


def _preview(word: str, meant: Sequence[Meant], possible: Callable[[State], bool]) -> None:
    """Say what would be done, and what would not."""
    able = [one for one in meant if possible(one.state)]
    print(f"would {word} {counted(len(able), 'job')}" + (":" if able else "; nothing to do"))
    if len(able) <= SHOWN:
        for one in able:
            print(f"  {one.run} {harmless(one.job)} ({one.state})")
    else:
        _table(Counter((one.job, one.state.value) for one in able))
        print(f"  of runs {able[0].run} to {able[-1].run}")
    if others := len(meant) - len(able):
        print(f"{others} more would be refused, for in their state {word} is not possible")
    if good := sum(one.state is State.DONE for one in able) if word in SPOILING else 0:
        print(f"{good} of them {'is' if good == 1 else 'are'} DONE: a result there would count as good no more")
    if able:
        print("To do it, type the same with --yes")


def _table(counts: Counter[tuple[str, str]]) -> None:
    """Show how many jobs there are of each name and state, the most first."""
    kinds = counts.most_common()
    size = len(str(max(counts.values(), default=0)))
    for (job, state), count in kinds[:SHOWN]:
        print(f"  {count:>{size}} {harmless(job)} ({state})")
    if len(kinds) > SHOWN:
        print(f"  ... and {sum(count for _, count in kinds[SHOWN:])} more")
