"""`caf listeners explain`: why a run was or was not taken, condition by condition."""

import sqlite3
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from caf.cli.colours import ANSWERS, coloured
from caf.cli.options import Config, Json, Place, Run, StateDir
from caf.cli.sourced import judged
from caf.cli.text import ago, harmless, print_json, shown, wrapped
from caf.domain.explaining import taken_apart
from caf.domain.matching import Status
from caf.domain.runs import SECOND, iso_time, parse_time
from caf.report.kept import Kept
from caf.store import queries
from caf.store.meant import unknown_run

if TYPE_CHECKING:
    from caf.config import Configuration


def explain(run: Run, as_json: Json = False, config: Config = None, state: StateDir = None) -> None:
    """Explain why a run was or was not taken.

    Every condition of every listener, what it wants and what was seen; the nearest listeners first. A run that caf does
    not know yet is looked for in the run database.

    Example: caf listeners explain 490001
    """
    place = Place.of(config, state)
    with place.database() as conn:
        row = queries.run(conn, run) if conn is not None else None
        if conn is not None and row is not None:
            explained = _known(conn, row)
        else:
            unknown = (f"no run {run}: nothing is known yet", "") if conn is None else unknown_run(conn, run)
            explained = None
    if explained is None:  # no reader holds up the supervisor while the run database is read
        explained = _only_sourced(place, run, unknown)
    if as_json:
        print_json(explained)
    else:
        _print(explained)


def _known(conn: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any]:
    """Explain a known run: as it was judged, under the configuration of its day."""
    kept = Kept(conn)
    verdict = queries.verdict(conn, row["verdict_id"])
    configuration = kept.configuration(verdict["configuration_id"])
    source = queries.source_times(conn)
    needs = row["needs_validation"]
    settles = None
    if row["status"] == Status.OPEN:
        times = (row[name] for name in ("start", "end", "last_lb_end", "last_change"))
        settles = _settles(times, int(row["first_seen"] * SECOND), configuration)
    return {
        "run": row["run"],
        "known": True,
        "status": row["status"],
        "listener": row["listener"],
        "needs_validation": None if needs is None else bool(needs),
        "decided_by": row["decided_by"],
        "reason": row["reason"],
        "settled": bool(row["settled"]),
        "again_until": settles,
        "replica_time": iso_time(source["replica_time"]) if source is not None else None,
        "configuration": verdict["configuration_id"],
        "listeners": taken_apart(configuration.listeners_in_force(), verdict["answers"], kept.record(row)),
    }


def _only_sourced(place: Place, run: int, unknown: tuple[str, str]) -> dict[str, Any]:
    """Explain a run that caf has not seen yet: read the run database, and judge it by the file as if it came now."""
    from caf.config import load

    configuration = load(place.config)
    state = place.given_state if place.given_state is not None else configuration.caf.state
    found = judged(configuration, state, run, unknown)
    seen, record, verdict = found.seen, found.record, found.verdict
    times = (seen.values.get("start"), seen.values.get("end"), seen.last_lb_end)
    return {
        "run": run,
        "known": False,
        "status": verdict.status,
        "listener": verdict.listener,
        "needs_validation": verdict.needs_validation,
        "decided_by": None,
        "reason": None,
        "settled": record.settled,
        "again_until": _settles(times, found.now, configuration) if verdict.status is Status.OPEN else None,
        "replica_time": iso_time(found.written),
        "configuration": None,
        "listeners": taken_apart(configuration.listeners_in_force(), verdict.answers, record),
    }


def _settles(times: Iterable[Any], first_seen: int, configuration: "Configuration") -> str:
    """Give when an OPEN run settles if nothing more comes; the replica must be newer than that too."""
    known = [moment for moment in times if moment is not None]
    return iso_time((max(known) if known else first_seen) + int(configuration.caf.settle * SECOND))


def _print(explained: dict[str, Any]) -> None:
    taken = f", taken by {explained['listener']}" if explained["listener"] else ""
    reason = f": {harmless(explained['reason'])}" if explained["reason"] else ""
    person = f" (decided by {harmless(explained['decided_by'])}{reason})" if explained["decided_by"] else ""
    if explained["known"]:
        print(f"run {explained['run']} is {explained['status']}{taken}{person}")
    else:
        print(f"run {explained['run']} is in the run database, and caf has not taken it over yet.")
        print(f"By the configuration file as it is, seen now, it would be {explained['status']}{taken}.")
    if explained["needs_validation"]:
        print("It has too few events: a person must validate it.")
    if explained["again_until"] is not None:
        until = (
            f"{_minutes(explained['again_until'])} ({ago(parse_time(explained['again_until']) / SECOND, time.time())})"
        )
        print(f"It is looked at again until {until}; what is not known then never was.")
        written = explained["replica_time"]
        if written is not None and written <= explained["again_until"] < iso_time(time.time_ns()):
            print(f"That is past, but the run database's copy was last written {_minutes(written)}: it must be newer.")
    for listener in explained["listeners"]:
        failing = "1 condition fails" if listener["failing"] == 1 else f"{listener['failing']} conditions fail"
        word = {"holds": "takes it", "unknown": "may take it: something is not known yet"}.get(listener["answer"])
        print(f"\n{listener['name']}: {word or f'does not take it: {failing}'}")
        for mark, line in _lines(listener):
            text = wrapped(f"{mark:<4}{line}", first="  ", rest=" " * 8)
            print(text.replace(mark, coloured(mark, ANSWERS[mark]), 1))


def _lines(listener: dict[str, Any]) -> Iterator[tuple[str, str]]:
    marks = {"holds": "ok", "fails": "NO", "unknown": "??"}
    for condition in listener["conditions"]:
        yield marks[condition["answer"]], f"{harmless(condition['text'])}; seen: {_value(condition)}"
    if (enough := listener["min_events"]) is not None:
        mark = {**marks, "fails": "few"}[enough["answer"]]
        yield mark, f"events is at least {enough['wanted']} (else: validation); seen: {_value(enough)}"


def _value(seen: dict[str, Any]) -> str:
    """Give what was seen, with what must be known of it."""
    text = "not known" if seen["seen"] is None else ('""' if seen["seen"] == "" else shown(seen["seen"]))
    remarks = []
    if seen["corrected"] is not None:
        remarks.append(f"corrected: {harmless(seen['corrected'])}")
    elif seen["inherited_from"] is not None:
        remarks.append(f"inherited from run {seen['inherited_from']}")
    if seen["provisional"]:
        remarks.append("may still change")
    return text + (f" ({', '.join(remarks)})" if remarks else "")


def _minutes(iso: str) -> str:
    return f"{iso[:16].replace('T', ' ')} UTC"
