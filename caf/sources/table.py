"""Runs from a table that people or programs keep: CSV, or JSON lines (*.jsonl, *.ndjson, *.json: an object a line).

Columns are attributes of runs; one that caf does not know becomes an attribute of its own (`extra`). Empty fields of a
CSV, and null, are unknown. One line is one row, so that whatever is wrong with a row ends with it.
"""

import csv
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from caf.domain.errors import SourceError
from caf.domain.runs import DERIVED_ATTRIBUTES
from caf.sources import snapshot
from caf.sources.table_values import KINDS, guessed, snapshot_row

JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
MAX_PROBLEMS = 100

Row = dict[str, Any]


def read_table(path: str, first_run: int, into: str) -> dict[str, Any]:
    """Write all runs from `first_run` on of a table to a fresh snapshot `into`.

    Returns {"runs": how many, "first": lowest, "last": highest, "problems": ["runs.csv:17: ...", ...]}: a row that
    cannot be read is a problem and is left out, and of a run that stands twice the last row counts. SourceError when
    the file, or its column `run`, is not there; then there is no snapshot.
    """
    try:
        stream = open(path, encoding="utf-8-sig", errors="replace", newline="\n")  # noqa: SIM115  # closed below
    except FileNotFoundError as error:
        raise SourceError(f"{path} is missing: check [source] path, and that its file system is mounted") from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
    with stream:
        try:
            connection = snapshot.create(into)
        except (OSError, sqlite3.Error) as error:
            raise SourceError(f"the snapshot {into} cannot be made: {error}") from error
        done = False
        try:
            problems = _fill(connection, path, stream, first_run)
            result = {**snapshot.summary(connection), "problems": problems}
            done = True
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
        finally:
            connection.close()
            if not done:
                os.unlink(into)
    return result


class _Problems:
    """What was wrong, line by line; after many only their number."""

    def __init__(self, file: str) -> None:
        self._file, self._said, self._more = file, list[str](), 0

    def add(self, line: int, problem: str) -> None:
        if len(self._said) < MAX_PROBLEMS:
            said = f"{self._file}:{line}: {problem}"
            self._said.append(said.encode("utf-8", errors="replace").decode("utf-8"))
        else:
            self._more += 1

    def all(self) -> list[str]:
        return self._said + ([f"{self._file}: and {self._more} more such lines"] if self._more else [])


def _fill(connection: sqlite3.Connection, path: str, stream: Iterable[str], first_run: int) -> list[str]:
    problems = _Problems(os.path.basename(path))
    names = ", ".join(f'"{name}"' for name in snapshot.NAMES)
    into = f"INTO run ({names}) VALUES ({', '.join('?' * len(snapshot.NAMES))})"
    insert, replace = f"INSERT OR IGNORE {into}", f"INSERT OR REPLACE {into}"
    rows = _json_rows if path.lower().endswith(JSON_SUFFIXES) else _csv_rows
    connection.execute("BEGIN")
    for line, whole, read in rows(path, stream, problems):
        try:
            values = snapshot_row(read())
            if any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in values):
                raise ValueError("a number or time is beyond what can be stored")
        except (ValueError, OverflowError) as error:
            unfinished = "the last line has no end yet, and is left out until it has one"
            problems.add(line, str(error) if whole else f"{unfinished} ({error})")
            continue
        if values[0] < first_run:
            continue
        if not connection.execute(insert, values).rowcount:
            problems.add(line, f"run {values[0]} stands in an earlier line too; this line counts")
            connection.execute(replace, values)
    connection.execute("COMMIT")
    return problems.all()


# Each row comes as its line's number, whether the line is whole, and what reads it: ValueError if it cannot be read.
_Rows = Iterator[tuple[int, bool, Callable[[], Row]]]


def _csv_rows(path: str, stream: Iterable[str], problems: _Problems) -> _Rows:
    header: list[str] = []
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        if header:
            yield number, line.endswith("\n"), partial(_csv_row, line, header)
            continue
        header = _header(path, line)
        _leave_out_computed(header, number, problems)
    if not header:
        raise SourceError(f"{path} is empty: its first line must name the columns, run among them")


def _leave_out_computed(names: Iterable[str], line: int, problems: _Problems) -> None:
    for name in sorted(DERIVED_ATTRIBUTES.keys() & set(names)):
        problems.add(line, f"column {name} is left out: caf computes it (from stored_events, recorded_events, ...)")


def _header(path: str, line: str) -> list[str]:
    try:
        names = [name.strip() for name in _fields(line)]
    except ValueError as error:
        raise SourceError(f"{path}: its first line does not name columns: {error}") from error
    if "run" not in names:
        raise SourceError(
            f"{path} has no column run: its first line must name the columns, and is {line.strip()[:80]!r}"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(f"{path} has two columns {twice[0]!r}")
    return names


def _fields(line: str) -> list[str]:
    try:
        return next(csv.reader([line.rstrip("\r\n")], strict=True))
    except csv.Error as error:
        raise ValueError(f"not CSV: {error}") from error


def _csv_row(line: str, header: list[str]) -> Row:
    fields = _fields(line)
    if len(fields) != len(header):
        raise ValueError(f"{len(fields)} fields where the header has {len(header)}")
    values: Row = {}
    for name, field in zip(header, (field.strip() for field in fields), strict=True):
        if name and field:
            values[name] = field if name in KINDS else guessed(field)
    return values


def _json_rows(path: str, stream: Iterable[str], problems: _Problems) -> _Rows:
    objects = with_run = 0
    computed: set[str] = set()

    def row(number: int, line: str) -> Row:
        nonlocal objects, with_run
        values = _json_row(line)
        objects += 1
        with_run += "run" in values
        _leave_out_computed(values.keys() - computed, number, problems)
        computed.update(values.keys() & DERIVED_ATTRIBUTES.keys())
        return values

    for number, line in enumerate(stream, 1):
        if line.strip():
            yield number, line.endswith("\n"), partial(row, number, line)
    if objects and not with_run:
        raise SourceError(f"{path} has no column run: each line must be an object with a member run")


def _json_row(line: str) -> Row:
    try:
        values = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError("not a JSON object")
    return {name: value for name, value in values.items() if value is not None}


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
