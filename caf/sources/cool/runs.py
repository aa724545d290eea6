"""All runs of a COOL database, read from its replicas into a snapshot."""

import os
import sqlite3
from collections.abc import Mapping
from typing import Any

from caf.domain.errors import SourceError
from caf.sources import snapshot
from caf.sources.cool.attributes import GAIN_STRATEGY, TIER0_TAG, wanted
from caf.sources.cool.files import marks, readable
from caf.sources.cool.replicas import Replicas
from caf.sources.cool.run_statement import RunFolders, map_runs, run_statement
from caf.sources.cool.values import add_functions

UPRIGHT_SINCE = 58788  # COMP200 stored RecordingEnabled inverted before this run
_RUN_CONTROL = "/TDAQ/RunCtrl/"
_FOLDERS = {"CONDBR2": ("SOR", "EOR"), "COMP200": ("SOR_Params", "EOR_Params")}


def read_runs(
    files: list[str],
    database: str,
    first_run: int,
    attributes: dict[str, dict[str, Any]],
    into: str,
    busy_timeout: float = 5.0,
) -> dict[str, Any]:
    """Write all runs from `first_run` on of CONDBR2 or COMP200 to a fresh snapshot `into`.

    Each folder is taken from the first of the files that has it. `attributes` are the configured ones, by name, with
    folder, column and, if wanted, per_run, channel, tag. `busy_timeout` is in seconds. Returns
    {"folders": {path: file}, "runs": how many, "first": lowest, "last": highest}. SourceError when it cannot be done;
    then there is no snapshot.
    """
    if database not in _FOLDERS:
        raise SourceError(f"caf does not know the run folders of {database}: [source] database is CONDBR2 or COMP200")
    try:
        connection = snapshot.create(into)
    except (OSError, sqlite3.Error) as error:
        raise SourceError(f"the snapshot {into} cannot be made: {error}") from error
    done = False
    try:
        result = _fill(connection, files, database, first_run, attributes, busy_timeout)
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
) -> dict[str, Any]:
    """Do `read_runs`, but throw away a read during which a file changed; its result also has the files' "marks"."""
    before = marks(files)
    result = read_runs(files, database, first_run, attributes, into, busy_timeout)
    changed = [file for file, mark in zip(files, before, strict=True) if not _is_still(file, mark)]
    if changed:
        os.unlink(into)
        raise SourceError(f"{', '.join(changed)} changed while it was read; it will be read again")
    return {**result, "marks": before}


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
) -> dict[str, Any]:
    connection.execute(f"PRAGMA busy_timeout = {int(busy_timeout * 1000)}")
    add_functions(connection)
    replicas = Replicas(files, database, busy_timeout, connection)
    try:
        found = _find(replicas, attributes)
    finally:
        replicas.close()
    with readable(", ".join(sorted(set(replicas.folders.values()))), busy_timeout):
        connection.execute("BEGIN")
        for statement in map_runs(found, first_run):
            connection.execute(statement)
        connection.execute(run_statement(found, inverted_before=UPRIGHT_SINCE if database == "COMP200" else 0))
        snapshot.replace_bad_text(connection)
        connection.execute("COMMIT")
    return {"folders": dict(replicas.folders), **snapshot.summary(connection)}


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
