"""What replicas fall into when they are copied: the HEAD left out, intervals cut, folders missing, the wrong era."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from caf.sources.cool.attributes import GAIN_STRATEGY, TIER0_TAG, Wanted, wanted
from caf.sources.cool.files import open_replica, readable
from caf.sources.cool.folders import OPEN_ENDED, Catalogue, Folder, databases, quoted
from caf.sources.cool.versions import version_of

FIRST_OF_CONDBR2 = 236107
RUN_BITS = 32
_RUN_CONTROL = "/TDAQ/RunCtrl/"
BUILT_IN = {
    "CONDBR2": ((f"{_RUN_CONTROL}EOR", "the ends of runs"), (f"{_RUN_CONTROL}EventCounters", "partitions and events")),
    "COMP200": (
        (f"{_RUN_CONTROL}EOR_Params", "the ends of runs"),
        (f"{_RUN_CONTROL}EventCounters", "partitions and events"),
        (f"{_RUN_CONTROL}FinalSFOStat", "stored events"),
        (f"{_RUN_CONTROL}LB_Params", "lumi blocks"),
    ),
}
"""Folders of each database that may be missing, with what is not known then. Without the start of run nothing is."""


@dataclass(frozen=True, slots=True)
class Trap:
    """What is wrong with a replica and what to do; `grave` if what it should say cannot be read at all."""

    text: str
    grave: bool


def traps(
    files: list[str], database: str, attributes: Mapping[str, Mapping[str, Any]], snapshot: str, busy_timeout: float
) -> list[Trap]:
    """Look for traps in the replicas that `snapshot` was just read from; the arguments are those of `read_runs`."""
    found = []
    with ExitStack() as stack:
        catalogues = []
        for file in files:
            connection = stack.enter_context(closing(open_replica(file, busy_timeout)))
            with readable(file, busy_timeout):
                if database in databases(connection, file):
                    catalogues.append(Catalogue(connection, file, database))
        starts = stack.enter_context(closing(sqlite3.connect(snapshot)))
        found += [Trap(text, False) for text in _wrong_era(starts, database)]
        with readable(", ".join(files), busy_timeout):
            for path, meaning in (*BUILT_IN[database], ("/TRIGGER/LUMI/LBLB", "the ends of runs without a record")):
                if _first(catalogues, path) is None:
                    found.append(_missing(path, meaning))
            for asked in (TIER0_TAG, GAIN_STRATEGY, *wanted(attributes)):
                catalogue = _first(catalogues, asked.folder)
                if catalogue is None:
                    found.append(_missing(asked.folder, asked.name))
                else:
                    found += _of_attribute(catalogue, asked, starts)
    return found


def _first(catalogues: list[Catalogue], path: str) -> Catalogue | None:
    return next((catalogue for catalogue in catalogues if catalogue.has(path)), None)


def _missing(path: str, meaning: str) -> Trap:
    return Trap(f"no replica has {path}, which tells {meaning}: copy it too, if a condition asks for it", False)


def _wrong_era(starts: sqlite3.Connection, database: str) -> Iterator[str]:
    """Tell of runs that this database is not the one for (AtlCoolCopy.cxx draws the line at the same run)."""
    late = database == "COMP200"
    side = f"run {'>=' if late else '<'} {FIRST_OF_CONDBR2}"
    count, first, last = starts.execute(f"SELECT count(*), min(run), max(run) FROM run WHERE {side}").fetchone()
    if count:
        other = "CONDBR2" if late else "COMP200"
        where = f"from {FIRST_OF_CONDBR2} on" if late else f"before {FIRST_OF_CONDBR2}"
        yield (
            f"{_runs(count)} of {database} ({first} to {last}) should be in {other}, which has those {where}: "
            "is [source] database right?"
        )


def _of_attribute(catalogue: Catalogue, asked: Wanted, starts: sqlite3.Connection) -> Iterator[Trap]:
    folder = catalogue.folder(asked.folder)
    where = f"{asked.name}: {folder.path} in {folder.file}"
    head = asked.tag.upper() in ("", "HEAD")
    bounds = _bounds(catalogue, folder, asked)
    if bounds is None:
        tags = ", ".join(catalogue.tags(folder)) if folder.multi_version else ""
        if head and tags:
            text = f"{where} has tags ({tags}) but nothing in its HEAD: copied without -ih? Copy it again with it"
            yield Trap(text, True)
        else:
            yield Trap(f"{where} holds no records{'' if head else f' in its tag {asked.tag}'}: copy it again", False)
        return
    first, last = bounds
    if folder.time_based:
        yield from _uncovered(where, first, last, starts)
    elif asked.per_run and last < OPEN_ENDED:
        yield from _cut_short(where, last >> RUN_BITS, starts)


def _bounds(catalogue: Catalogue, folder: Folder, asked: Wanted) -> tuple[int, int] | None:
    """Give the keys at which the records of one version begin and end; None if it has no records."""
    version = version_of(catalogue, folder, asked.tag)
    tables, condition = f"{quoted(folder.iov_table)} i", version.condition("i")
    if isinstance(asked.channel, int):
        condition += f" AND i.CHANNEL_ID = {asked.channel}"
    if version.tag_id is not None:
        tables += f" JOIN {quoted(folder.iov2tag_table)} t ON t.OBJECT_ID = i.OBJECT_ID AND t.TAG_ID = {version.tag_id}"
    query = f"SELECT min(i.IOV_SINCE), max(i.IOV_UNTIL) FROM {tables} WHERE 1 = 1{condition}"
    first, last = catalogue.connection.execute(query).fetchone()
    return None if first is None else (first, last)


def _uncovered(where: str, first: int, last: int, starts: sqlite3.Connection) -> Iterator[Trap]:
    """Tell of runs that started when no record was valid, and of intervals that end although time goes on."""
    outside = f"start < {first} OR start >= {last}"
    count, low, high = starts.execute(f"SELECT count(*), min(run), max(run) FROM run WHERE {outside}").fetchone()
    until = f"to {_day(last)}" if last < OPEN_ENDED else "on"
    if count:
        text = f"{where} is valid from {_day(first)} {until}: {_runs(count)} ({low} to {high}) started outside of it; "
        yield Trap(f"{text}was it copied with a range (-ts, -tu, -tr)? Copy it whole", False)
    elif last < OPEN_ENDED:
        yield Trap(f"{where} ends at {_day(last)}: intervals were cut when it was copied (-tr)? Copy it without", False)


def _cut_short(where: str, end: int, starts: sqlite3.Connection) -> Iterator[Trap]:
    """Tell of a folder whose last record is valid to some run only: later ones have nothing, not even to inherit."""
    count = starts.execute(f"SELECT count(*) FROM run WHERE run >= {end}").fetchone()[0]
    text = f"{where} is valid before run {end} only, though its last record has no end when it is written"
    yield Trap(f"{text}: intervals were cut (-tr)? It is missing for {_runs(count)}; copy it again without", False)


def _runs(count: int) -> str:
    return f"{count} run{'' if count == 1 else 's'}"


def _day(ns: int) -> str:
    try:
        return datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return f"{ns} ns"
