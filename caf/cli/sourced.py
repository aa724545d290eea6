"""The run database read once, by a command: into a snapshot that is removed at once."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caf.domain.discovery import Moments, Rules, Seen, reconsider
from caf.domain.errors import NotFound, SourceError
from caf.domain.matching import Verdict
from caf.domain.runs import SECOND, Record, iso_time
from caf.store import queries

if TYPE_CHECKING:
    from caf.config import Configuration


@dataclass(frozen=True, slots=True)
class Sourced:
    """What was read: the snapshot's file, the source's own account of it, when its oldest file was written (ns)."""

    snapshot: Path
    account: dict[str, Any]
    written: int


@contextmanager
def sourced(configuration: "Configuration", state: Path, first_run: int) -> Iterator[Sourced]:
    """Read all runs of the source from `first_run` on. SourceError if it cannot be read.

    A snapshot of a large database has hundreds of megabytes, which is what the state folder is for.
    """
    from caf.config import TableSource
    from caf.sources.cool import expand, marks, read_settled
    from caf.sources.table import read_table

    source = configuration.source
    with tempfile.TemporaryDirectory(prefix="caf-check-", dir=scratch(state)) as folder:
        into = Path(folder) / "snapshot.db"
        if isinstance(source, TableSource):
            looked_at = marks([str(source.path)])
            found = read_table(str(source.path), first_run, str(into))
        else:
            asked = {name: table.model_dump(mode="json") for name, table in source.attributes.items()}
            files = expand(list(source.replicas))
            found = read_settled(files, source.database, first_run, asked, str(into), source.busy_timeout)
            looked_at = found["marks"]
        yield Sourced(into, found, min(int(mark[4]) for mark in looked_at))


@dataclass(frozen=True, slots=True)
class Judged:
    """A run that caf has not seen yet, as the file would judge it if it came `now`; times in ns."""

    seen: Seen
    record: Record
    verdict: Verdict
    written: int
    now: int


def judged(configuration: "Configuration", state: Path, run: int, unknown: tuple[str, str]) -> Judged:
    """Read the run database, and judge one run of it by the file; if it has none NotFound, with `unknown` round it."""
    none, meant = unknown
    if run < configuration.source.first_run:
        raise NotFound(f"{none}; [source] first_run = {configuration.source.first_run} leaves it out{meant}")
    now = time.time_ns()
    try:
        with sourced(configuration, state, run) as read:
            seen, written = queries.seen_in(read.snapshot, run), read.written
    except SourceError as error:
        raise NotFound(f"{none}, and the run database cannot be asked: {error}") from None
    if seen is None:
        when = f"{iso_time(written)[:16].replace('T', ' ')} UTC"
        raise NotFound(f"{none}; the run database, last written {when}, does not have it either{meant}")
    listeners, corrections = configuration.listeners_in_force(), configuration.corrections_in_force()
    rules = Rules(0, listeners, corrections, int(configuration.caf.settle * SECOND))
    record, verdict = reconsider(seen, rules, Moments(now, written, now, None))
    return Judged(seen, record, verdict, written, now)


def scratch(folder: Path) -> str | None:
    """Give a folder for something that is removed at once; None, for the system's own, if it is not to be had."""
    return str(folder) if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK) else None
