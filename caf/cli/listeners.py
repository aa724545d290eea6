"""`caf listeners list` and `explain`: what is wanted, and why a run was or was not taken."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from caf.cli.kept import Kept
from caf.cli.options import Config, Json, Place, Run, StateDir
from caf.cli.text import ago, harmless, print_array, print_json, shown, wrapped
from caf.cli.words import condition_text, wanted_json
from caf.domain.errors import NotFound
from caf.domain.matching import Answer, Condition, Listener, Status, split_answers
from caf.domain.runs import SECOND, Record, iso_time, parse_time, to_json
from caf.store import discovery, queries

if TYPE_CHECKING:
    import sqlite3

    from caf.config import Configuration

_ANSWERS = {Answer.HOLDS: "holds", Answer.FAILS: "fails", Answer.UNKNOWN: "unknown"}


def list_listeners(as_json: Json = False, config: Config = None, state: StateDir = None) -> None:
    """List the listeners.

    Their conditions, their jobs, and which of them overlap.

    Example: caf listeners list
    """
    from caf.config import load

    rows = described(load(Place.of(config, state).config))
    if as_json:
        print_array(rows)
        return
    for row in rows:
        print(row["name"] + ("" if row["enabled"] else "  (not enabled: takes no run)"))
        for condition in row["conditions"]:
            print(f"  {harmless(condition['text'])}")
        if row["min_events"] is not None:
            print(f"  with fewer than {row['min_events']} events a person must validate it")
        print(f"  jobs: {', '.join(row['jobs']) or 'none'}")
        if not row["can_match"]:
            print("  CAN NEVER MATCH: no run satisfies all of its conditions")
        for overlap in row["overlaps"]:
            words = "overlaps" if overlap["certain"] else "may overlap"
            print(f"  {words.upper()} {overlap['with']}: both would take {_witness(overlap['witness'])}")


def _witness(witness: dict[str, Any]) -> str:
    return "a run with " + (", ".join(f"{name} {shown(value)}" for name, value in witness.items()) or "anything")


def described(configuration: "Configuration") -> list[dict[str, Any]]:
    """Give each listener as `caf listeners list --json` shows it; docs/reference.md promises these keys."""
    from caf.domain.overlap import can_match, overlaps

    kinds = configuration.kinds()
    found = overlaps(configuration.listeners_in_force(), kinds)
    rows = []
    for name, table in configuration.listeners.items():
        listener = table.as_listener(name)
        rows.append(
            {
                "name": name,
                "enabled": table.enabled,
                "min_events": listener.min_events,
                "conditions": [_wanted(condition) for condition in listener.conditions],
                "jobs": configuration.jobs_for(name),
                "can_match": can_match(listener, kinds),
                "overlaps": [
                    {
                        "with": overlap.second if overlap.first == name else overlap.first,
                        "witness": {key: to_json(key, value) for key, value in overlap.witness.items()},
                        "real_run": None,
                        "certain": overlap.certain,
                    }
                    for overlap in found
                    if name in (overlap.first, overlap.second)
                ],
            }
        )
    return rows


def _wanted(condition: Condition) -> dict[str, Any]:
    return {
        "attribute": condition.attribute,
        "operator": condition.operator.value,
        "wanted": wanted_json(condition),
        "text": condition_text(condition),
    }


def explain(run: Run, as_json: Json = False, config: Config = None, state: StateDir = None) -> None:
    """Explain why a run was or was not taken.

    Every condition of every listener, what it wants and what was seen; the nearest listeners first.

    Example: caf listeners explain 490001
    """
    place = Place.of(config, state)
    with place.existing(f"run {run}") as conn:
        row = queries.run(conn, run)
        if row is None:
            raise NotFound(queries.unknown_run(conn, run))
        kept = Kept(conn)
        verdict = queries.verdict(conn, row["verdict_id"])
        configuration = kept.configuration(verdict["configuration_id"])
        record = kept.record(row)
        source = discovery.source_row(conn)
    needs = row["needs_validation"]
    listeners = configuration.listeners_in_force()
    explained = {
        "run": run,
        "status": row["status"],
        "listener": row["listener"],
        "needs_validation": None if needs is None else bool(needs),
        "decided_by": row["decided_by"],
        "reason": row["reason"],
        "settled": bool(row["settled"]),
        "again_until": None,
        "replica_time": iso_time(source["replica_time"]) if source is not None else None,
        "configuration": verdict["configuration_id"],
        "listeners": _answers(listeners, verdict["answers"], record),
    }
    if row["status"] == Status.OPEN:
        explained["again_until"] = iso_time(_settles(row, int(configuration.caf.settle * SECOND)))
    if as_json:
        print_json(explained)
    else:
        _print(explained)


def _settles(row: "sqlite3.Row", settle: int) -> int:
    """Give when an OPEN run settles if nothing more comes; the replica must be newer than that too."""
    moments = [row[name] for name in ("start", "end", "last_lb_end", "last_change") if row[name] is not None]
    return (max(moments) if moments else int(row["first_seen"] * SECOND)) + settle


def _answers(listeners: tuple[Listener, ...], answers: str, record: Record) -> list[dict[str, Any]]:
    """Take a verdict apart; the listeners that came nearest to taking the run come first."""
    parts = split_answers(listeners, answers)
    rows = []
    for listener in listeners:
        letters, enough = parts[listener.name]
        worst = Answer.FAILS if Answer.FAILS in letters else Answer.HOLDS
        if worst is Answer.HOLDS and Answer.UNKNOWN in (*letters, enough):
            worst = Answer.UNKNOWN
        row: dict[str, Any] = {"name": listener.name, "answer": _ANSWERS[worst], "failing": letters.count(Answer.FAILS)}
        row["conditions"] = [
            {**_wanted(condition), **_seen(condition.attribute, record), "answer": _ANSWERS[letter]}
            for condition, letter in zip(listener.conditions, letters, strict=True)
        ]
        row["min_events"] = None
        if listener.min_events is not None and enough is not None:
            seen = _seen("events", record)
            row["min_events"] = {"wanted": listener.min_events, **seen, "answer": _ANSWERS[enough]}
        rows.append((letters.count(Answer.FAILS), letters.count(Answer.UNKNOWN), row))
    rows.sort(key=lambda ranked: ranked[:2])
    return [row for _, _, row in rows]


def _seen(attribute: str, record: Record) -> dict[str, Any]:
    note = record.notes.get(attribute)
    return {
        "seen": to_json(attribute, record.values.get(attribute)),
        "inherited_from": note.inherited_from if note is not None else None,
        "provisional": record.provisional(attribute),
        "corrected": record.corrected.get(attribute),
    }


def _print(explained: dict[str, Any]) -> None:
    taken = f", taken by {explained['listener']}" if explained["listener"] else ""
    person = f" (decided by {harmless(explained['decided_by'])})" if explained["decided_by"] else ""
    print(f"run {explained['run']} is {explained['status']}{taken}{person}")
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
        for line in _lines(listener):
            print(wrapped(line, first="  ", rest=" " * 8))


def _lines(listener: dict[str, Any]) -> Iterator[str]:
    marks = {"holds": "ok  ", "fails": "NO  ", "unknown": "??  "}
    for condition in listener["conditions"]:
        yield f"{marks[condition['answer']]}{harmless(condition['text'])}; seen: {_value(condition)}"
    if (enough := listener["min_events"]) is not None:
        mark = {**marks, "fails": "few "}[enough["answer"]]
        yield f"{mark}events is at least {enough['wanted']} (else: validation); seen: {_value(enough)}"


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
