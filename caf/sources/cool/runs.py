"""All runs of a COOL database, read from its replicas into a snapshot."""

import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from caf.domain.errors import SourceError
from caf.sources import absorbed, snapshot
from caf.sources.cool.attributes import GAIN_STRATEGY, TIER0_TAG, wanted
from caf.sources.cool.files import marks, readable
from caf.sources.cool.replicas import Replicas
from caf.sources.cool.run_statement import RunFolders, map_runs, run_statement
from caf.sources.cool.values import add_functions

UPRIGHT_SINCE = 58788  # COMP200 stored RecordingEnabled inverted before this run
_RUN_CONTROL = "/TDAQ/RunCtrl/"
_FOLDERS = {"CONDBR2": ("SOR", "EOR"), "COMP200": ("SOR_Params", "EOR_Params")}


class Known(NamedTuple):
    """The last snapshot that was absorbed: where it is, its token, and the time now (s)."""

    path: str
    token: str
    now: float


def read_runs(
    files: list[str],
    database: str,
    first_run: int,
    attributes: dict[str, dict[str, Any]],
    into: str,
    busy_timeout: float = 5.0,
    known: Known | None = None,
) -> dict[str, Any]:
    """Write all runs from `first_run` on of CONDBR2 or COMP200 to a fresh snapshot `into`.

    Each folder is taken from the first of the files that has it. `attributes` are the configured ones, by name, with
    folder, column and, if wanted, per_run, channel, tag. `busy_timeout` is in seconds. With `known`, the last snapshot,
    only runs that are not in it as they are now are written, if it can be used. Returns {"folders": {path: file},
    "runs": how many, "first": lowest, "last": highest, "differing": whether only those were written}. SourceError when
    it cannot be done; then there is no snapshot.
    """
    if database not in _FOLDERS:
        raise SourceError(f"caf does not know the run folders of {database}: [source] database is CONDBR2 or COMP200")
    try:
        connection = snapshot.create(into)
    except (OSError, sqlite3.Error) as error:
        raise SourceError(f"the snapshot {into} cannot be made: {error}") from error
    done = False
    try:
        result = _fill(connection, files, database, first_run, attributes, busy_timeout, known)
        done = True
    finally:
        connection.close()
        if not done:
            os.unlink(into)
    return result


def read_settled(
    files: list[str],
    database: str,
    first_run: int,
    attributes: dict[str, dict[str, Any]],
    into: str,
    busy_timeout: float = 5.0,
    stamp: str | None = None,
    known: Sequence[Any] | None = None,
) -> dict[str, Any]:
    """Do `read_runs`, but throw away a read during which a file changed; its result also has the files' "marks".

    With a `stamp`, which says all that the reading depends on, one that is there already for the same stamp is used.
    `known` are path, token and the time now (s) of the last snapshot, if only what differs from it is wanted.
    """
    if stamp is not None:
        stamp = f"{absorbed.boot()} {stamp}"  # a snapshot is written without fsync
    if (there := snapshot.finished(into, stamp)) is not None:
        return there
    before = marks(files)
    last = None if known is None else Known(*known)
    result = {**read_runs(files, database, first_run, attributes, into, busy_timeout, last), "marks": before}
    changed = [file for file, mark in zip(files, before, strict=True) if not _is_still(file, mark)]
    if changed:
        os.unlink(into)
        raise SourceError(f"{', '.join(changed)} changed while it was read; it will be read again")
    with closing(sqlite3.connect(into, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        snapshot.finish(connection, stamp, result)
    return result


def _is_still(file: str, mark: list[str | int]) -> bool:
    try:
        return marks([file]) == [mark]
    except SourceError:
        return False


def _fill(
    connection: sqlite3.Connection,
    files: list[str],
    database: str,
    first_run: int,
    attributes: Mapping[str, Mapping[str, Any]],
    busy_timeout: float,
    known: Known | None,
) -> dict[str, Any]:
    connection.execute(f"PRAGMA busy_timeout = {int(busy_timeout * 1000)}")
    add_functions(connection)
    replicas = Replicas(files, database, busy_timeout, connection)
    try:
        found = _find(replicas, attributes)
    finally:
        replicas.close()
    beside = known is not None and absorbed.lay_beside(connection, *known)
    select = run_statement(found, inverted_before=UPRIGHT_SINCE if database == "COMP200" else 0)
    with readable(", ".join(sorted(set(replicas.folders.values()))), busy_timeout):
        connection.execute("BEGIN")
        for statement in map_runs(found, first_run):
            connection.execute(statement)
        names = ", ".join(f'"{name}"' for name in snapshot.NAMES)
        connection.execute(f"INSERT INTO main.run ({names}) {absorbed.differing(select) if beside else select}")
        snapshot.replace_bad_text(connection)
        connection.execute("COMMIT")
    return {"folders": dict(replicas.folders), "differing": beside, **snapshot.summary(connection, "temp.m_sor")}


def _find(replicas: Replicas, attributes: Mapping[str, Mapping[str, Any]]) -> RunFolders:
    start, end = _FOLDERS[replicas.database]
    run_1 = replicas.database == "COMP200"
    configured = (replicas.attribute(asked, required=True) for asked in wanted(attributes))
    return RunFolders(
        sor=replicas.need(_RUN_CONTROL + start, "sor"),
        eor=replicas.find(_RUN_CONTROL + end, "eor"),
        counters=replicas.find(_RUN_CONTROL + "EventCounters", "evc"),
        sfo=replicas.find(_RUN_CONTROL + "FinalSFOStat", "sfo") if run_1 else None,
        lblb=replicas.find("/TRIGGER/LUMI/LBLB", "lb"),
        lb_params=replicas.find(_RUN_CONTROL + "LB_Params", "lbp") if run_1 else None,
        tier0_tag=replicas.attribute(TIER0_TAG, required=False),
        gain_strategy=replicas.attribute(GAIN_STRATEGY, required=False),
        configured=tuple(attribute for attribute in configured if attribute is not None),
    )
