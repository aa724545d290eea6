"""`caf status`: how the duties do, how many runs and jobs there are, and what needs a person."""

import os
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from caf.attention import Need, needs, paused_text
from caf.cli.options import Config, Json, Place, StateDir
from caf.cli.text import Table, ago, harmless, iso, print_json, unbroken, wrapped
from caf.domain.errors import CafError
from caf.store import duties, pauses, queries

OK, WARNING, CRITICAL = 0, 1, 2


def status(
    nagios: Annotated[
        bool, typer.Option("--nagios", help="One line for a monitoring system; exit status 0, 1 or 2.")
    ] = False,
    as_json: Json = False,
    config: Config = None,
    state: StateDir = None,
) -> None:
    """Show how caf does and who is needed.

    Every line that asks for a person ends with the command to type; the exit status is then 1.

    Example: caf status
    """
    now = time.time()
    place = Place.of(config, state)
    try:
        found = _standing(place, now)
    except (CafError, sqlite3.Error, OSError) as error:
        if not nagios:
            raise
        print(f"CAF CRITICAL - {_one_line(str(error))}")
        raise typer.Exit(CRITICAL) from None
    if nagios:
        raise typer.Exit(_nagios(found.facts, found.needed))
    if as_json:
        print_json({**found.facts, "needs": [need.as_object() for need in found.needed]})
    else:
        _print(found, now)
    if found.needed:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class Standing:
    """What there is to show: `facts` as in JSON, the duties' rows, what needs a person, a line for each pause."""

    facts: dict[str, Any]
    duties: list[dict[str, Any]]
    needed: list[Need]
    paused: list[str] = field(default_factory=list)


def _standing(place: Place, now: float) -> Standing:
    """Gather what is shown, fetched whole before anything is printed."""
    folder = place.state
    who = place.supervisor()
    disk = _disk(folder)
    facts: dict[str, Any] = {
        "time": iso(now),
        "state": str(folder),
        "supervisor": who,
        "disk": disk,
        "database": False,
        "duties": [],
        "runs": {},
        "jobs": {},
        "pauses": [],
    }
    with place.database() as conn:
        if conn is None:
            return Standing(facts, [], [])
        facts["database"] = True
        rows = duties.all_duties(conn)
        facts["duties"] = [_duty(row) for row in rows]
        facts["runs"], facts["jobs"] = queries.run_counts(conn), queries.job_counts(conn)
        paused = pauses.pauses(conn)
        facts["pauses"] = [_pause(conn, one) for one in paused]
        lines = [f"{paused_text(conn, one, now)}: {unbroken(one.way_out)}" for one in paused]
        return Standing(facts, rows, needs(conn, now, who, disk["free"] if disk is not None else None), lines)


def _pause(conn: sqlite3.Connection, one: pauses.Pause) -> dict[str, Any]:
    held_up = pauses.held_up(conn, one.job)
    return {"job": one.job, "since": iso(one.since), "who": one.who, "reason": one.reason, "held_up": held_up}


def _disk(folder: Path) -> dict[str, int] | None:
    """Give the bytes free and in all where the database is, for those who are not root."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return {"free": found.f_bavail * found.f_frsize, "total": found.f_blocks * found.f_frsize}


def _duty(row: dict[str, Any]) -> dict[str, Any]:
    times = {name: iso(row[name]) for name in ("started", "succeeded", "failed", "next")}
    return {"name": row["name"], **times, **{name: row[name] for name in ("error", "failures", "progress", "summary")}}


def _print(found: Standing, now: float) -> None:
    facts, needed = found.facts, found.needed
    if not facts["database"]:
        print(f"There is no database yet in {facts['state']}: it is made by the first `caf run`")
        return
    print(f"supervisor: {facts['supervisor'] or 'does not run'}")
    if facts["disk"] is not None:
        free, total = facts["disk"]["free"], facts["disk"]["total"]
        print(f"disk:       {free / 1e9:.1f} GB of {total / 1e9:.1f} GB free in {facts['state']}")
    for what in ("runs", "jobs"):
        counts = ", ".join(f"{count} {name}" for name, count in facts[what].items())
        print(f"{what}:       {counts or 'none yet'}")
    for line in found.paused:
        print(wrapped(line, first="PAUSED:     ", rest=" " * 12))
    if found.duties:
        print()
        table = Table(("DUTY", "SUCCEEDED", "FAILED", "NEXT ROUND", "LAST RESULT"), soft=("LAST RESULT",))
        runs = facts["supervisor"] is not None
        table.show(_line(row, now, runs=runs) for row in found.duties)
    print()
    if not needed:
        print("Nothing needs a person.")
        return
    print("Needs a person:")
    for need in needed:
        print(wrapped(f"- {need.text}: {unbroken(need.command)}", first="", rest="  "))


def _line(row: dict[str, Any], now: float, *, runs: bool) -> tuple[object, ...]:
    ended = ago(row["failed"], now) if row["failed"] is not None else "-"
    due = ago(max(row["next"], now), now) if runs and row["next"] is not None else "-"  # nobody else will do it
    # What is left of a round whose process died says nothing of one under way.
    going = f"under way: {row['progress']}" if runs and row["progress"] is not None else None
    return row["name"], ago(row["succeeded"], now), ended, due, going or row["error"] or row["summary"]


def _nagios(facts: dict[str, Any], needed: list[Need]) -> int:
    """Print the one line that a monitoring system wants, with its performance data, and give its code."""
    counts = " ".join(f"{name.lower()}={count}" for name, count in facts["jobs"].items())
    if not facts["database"]:
        print("CAF WARNING - there is no database yet, no supervisor has run here: `caf run`")
        return WARNING
    code = CRITICAL if any(need.critical for need in needed) else WARNING if needed else OK
    text = "; ".join(f"{need.text}: `{need.command}`" for need in needed) or "nothing needs a person"
    word = ("OK", "WARNING", "CRITICAL")[code]
    print(f"CAF {word} - {_one_line(text)} | {counts}".rstrip(" |"))
    return code


def _one_line(text: str) -> str:
    """A bar would begin the performance data."""
    return harmless(" ".join(text.split())).replace("|", "/")
