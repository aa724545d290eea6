"""`caf runs`: what is known of runs, and where they stand."""

import json
import sqlite3
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from caf.cli import misses
from caf.cli.colours import STATES, coloured, of_result
from caf.cli.misses import MISSED, Misses, Nearest
from caf.cli.options import Config, Json, Limit, Listener, Place, Run, Runs, SinceStart, StateDir
from caf.cli.text import Table, Tinted, ago, harmless, iso, none, print_array, print_json, print_pairs, shown
from caf.domain.errors import NotFound
from caf.domain.matching import Status
from caf.domain.runs import ATTRIBUTES, SECOND, Record, parse_time, to_json
from caf.domain.spelling import instead
from caf.report.kept import Kept
from caf.store import queries
from caf.store.meant import no_run


def _status(text: str) -> Status:
    if text.upper() in Status.__members__:
        return Status[text.upper()]
    raise typer.BadParameter(f"{text!r} is no status of a run; {instead(text, Status)}")


Statuses = Annotated[
    list[Any] | None,
    typer.Option("--status", metavar="STATUS", parser=_status, help="Only runs in it; may be given again."),
]


def list_runs(
    status: Statuses = None,
    listener: Listener = None,
    runs: Runs = None,
    since: SinceStart = None,
    limit: Limit = None,
    as_json: Json = False,
    config: Config = None,
    state: StateDir = None,
) -> None:
    """List runs.

    All of them, or those that the options leave. With --status UNCLAIMED or OPEN each is shown with its nearest miss:
    the listener with the fewest failing conditions, which these are, and what was seen.

    Example: caf runs list --status UNCLAIMED --since 7d
    """
    now, place = time.time(), Place.of(config, state)
    earliest = None if since is None else now - since
    wanted = queries.RunFilter(status or (), listener, runs or (), earliest, limit)
    asked = MISSED.intersection(wanted.statuses)  # else no configuration need be read, which takes time
    with place.database() as conn:
        pages = _pages(conn, wanted, near=bool(asked)) if conn is not None else iter(())
        if as_json:
            print_array(_for_json(*one, near=bool(asked)) for page in pages for one in page)
            return
        if asked:
            heading = {Status.UNCLAIMED: "NEAREST MISS", Status.OPEN: "WAITS FOR"}
            last = heading[next(iter(asked))] if len(asked) == 1 else "NEAREST LISTENER"
            table = Table(("RUN", "STATUS", "TYPE", "STARTED", last), soft=("TYPE", last), spare=("STARTED",))
        else:
            headings = ("RUN", "STATUS", "LISTENER", "TYPE", "EVENTS", "STARTED", "START (UTC)")
            table = Table(headings, soft=("TYPE", "LISTENER"), spare=("START (UTC)",), numbers=("EVENTS",))
        some = False
        for page in pages:
            some = True
            table.show(_near_line(*one, now) if asked else _line(*one[:2], now) for one in page)
        if not some:
            none("runs")
        if conn is not None and not some and listener is not None:
            from caf.cli.suggest import strange_names  # only where nothing was found

            strange_names(place, conn, listener=listener)


Listed = tuple[sqlite3.Row, Record, Nearest | None]


def _pages(conn: sqlite3.Connection, wanted: queries.RunFilter, *, near: bool) -> Iterator[list[Listed]]:
    kept = Kept(conn)
    memory = Misses(conn, kept)
    for page in queries.runs(conn, wanted):
        yield [(row, kept.record(row), memory.of(row) if near else None) for row in page]


def _for_json(row: sqlite3.Row, record: Record, miss: Nearest | None, *, near: bool) -> dict[str, Any]:
    return as_object(row, record) | ({"nearest_miss": misses.as_object(miss, record)} if near else {})


def as_object(row: sqlite3.Row, record: Record) -> dict[str, Any]:
    """Give a run as `caf runs list --json` shows it; docs/reference.md promises these keys."""
    needs = row["needs_validation"]
    standing = {
        "run": row["run"],
        "status": row["status"],
        "listener": row["listener"],
        "needs_validation": None if needs is None else bool(needs),
    }
    values = record.values
    known = {name: to_json(name, values.get(name)) for name in ATTRIBUTES}
    return {**standing, **known, **{name: value for name, value in values.items() if name not in known}}


def _line(row: sqlite3.Row, record: Record, now: float) -> tuple[object, ...]:
    values = record.values
    start = values.get("start")
    moment = str(to_json("start", start))[:16].replace("T", " ") if start is not None else None
    since = ago(start / SECOND, now) if isinstance(start, int) else None
    status = Tinted(row["status"], STATES.get(row["status"]))
    return row["run"], status, row["listener"], values.get("run_type"), values.get("events"), since, moment


def _near_line(row: sqlite3.Row, record: Record, miss: Nearest | None, now: float) -> tuple[object, ...]:
    number, status, listener, run_type, _, since, _ = _line(row, record, now)
    return number, status, run_type, since, misses.as_text(miss, record) if miss is not None else listener


def show_run(run: Run, as_json: Json = False, config: Config = None, state: StateDir = None) -> None:
    """Show all that is known of one run.

    Its attributes, its verdict, its jobs.

    Example: caf runs show 490001
    """
    place = Place.of(config, state)
    with place.existing(f"run {run}") as conn:
        row = queries.run(conn, run)
        if row is None:
            raise NotFound(no_run(conn, run))
        record = Kept(conn).record(row)
        whole = _whole(conn, row, record)
    if as_json:
        print_json(whole)
    else:
        _print(whole, [name for name in whole if name in ATTRIBUTES or name in record.values])


def _whole(conn: sqlite3.Connection, row: sqlite3.Row, record: Record) -> dict[str, Any]:
    verdict = queries.verdict(conn, row["verdict_id"])
    return {
        **as_object(row, record),
        "settled": bool(row["settled"]),
        "inherited": {n: note.inherited_from for n, note in record.notes.items() if note.inherited_from is not None},
        "provisional": [name for name in record.notes if record.provisional(name)],
        "corrected": dict(record.corrected),
        "first_seen": iso(row["first_seen"]),
        "judged": iso(row["judged"]),
        "last_change": to_json("start", row["last_change"]),
        "decided_by": row["decided_by"],
        "reason": row["reason"],
        "disputed": bool(row["disputed"]),
        "verdict": {"configuration": verdict["configuration_id"], "answers": verdict["answers"]},
        "jobs": [
            {name: job[name] for name in ("job", "state", "result", "attempt", "reason")}
            for job in queries.jobs_of(conn, row["run"])
        ],
        "former_verdicts": [_former(former) for former in queries.former_verdicts(conn, row["run"])],
    }


def _former(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "status": row["status"],
        "listener": row["listener"],
        "judged": iso(row["judged"]),
        "replaced": iso(row["replaced"]),
        "why": row["why"],
        "configuration": row["configuration_id"],
        "answers": row["answers"],
        "seen": json.loads(row["seen"]),
    }


def _print(whole: dict[str, Any], attributes: list[str]) -> None:
    run = whole["run"]
    taken = f" by {whole['listener']}" if whole["listener"] else ""
    person = f", by {harmless(whole['decided_by'])}: {harmless(whole['reason'] or '')}" if whole["decided_by"] else ""
    print(f"run {run}: {coloured(whole['status'], STATES.get(whole['status']))}{taken}{person}")
    if whole["needs_validation"]:
        print("A person must validate it: its jobs wait.")
    if whole["disputed"]:
        print("Its jobs no longer agree with its verdict; they are left as they are.")
    print(f"Why: `caf listeners explain {run}`")
    print()
    print_pairs((name, shown(whole[name]) + _remark(whole, name)) for name in attributes)
    if whole["jobs"]:
        print()
        table = Table(("JOB", "STATE", "RESULT", "REASON"), soft=("REASON",), spare=("RESULT",))
        table.show(_of_job(job) for job in whole["jobs"])
    for former in whole["former_verdicts"]:
        before = f"{former['status']}{' by ' + former['listener'] if former['listener'] else ''}"
        print(f"\nUntil {former['replaced'][:16].replace('T', ' ')} UTC it was {before}; {harmless(former['why'])}.")


def _of_job(job: dict[str, Any]) -> tuple[object, ...]:
    state, result = Tinted(job["state"], STATES.get(job["state"])), Tinted(job["result"], of_result(job["result"]))
    return job["job"], state, result, job["reason"]


def _remark(whole: dict[str, Any], name: str) -> str:
    remarks = []
    if name in ("start", "end") and whole[name] is not None:
        remarks.append(ago(parse_time(whole[name]) / SECOND, time.time()))
    if name in whole["corrected"]:
        remarks.append(f"corrected: {harmless(whole['corrected'][name])}")
    if name in whole["inherited"]:
        remarks.append(f"inherited from run {whole['inherited'][name]}")
    if name in whole["provisional"]:
        remarks.append("may still change")
    return f"  ({'; '.join(remarks)})" if remarks else ""
