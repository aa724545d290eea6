"""`caf jobs list`, `show`, `history`, `log`, and `caf history`: what is known of jobs."""

import sqlite3
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from caf import paths
from caf.cli import joblog
from caf.cli.options import (
    Config,
    Job,
    JobName,
    Json,
    Limit,
    Listener,
    Place,
    Run,
    Runs,
    SinceChange,
    StateDir,
    States,
    group,
)
from caf.cli.text import Table, ago, iso, print_array, print_json, print_pairs
from caf.domain.errors import ConfigError, NotFound
from caf.domain.jobs import allowed_words
from caf.store import audit, queries
from caf.store.jobs import find

app = group("Jobs: list, explain, start, hold, end.")
AttemptNumber = Annotated[
    int | None, typer.Option("--attempt", metavar="N", min=1, max=2**31, help="Default: the last one that has a log.")
]
_KEYS = ("run", "job", "listener", "state", "result", "attempt", "batch_id", "reason", "updated")
_MORE = ("token", "next_state", "unknown_since", "not_before", "created")
_TIMES = ("updated", "unknown_since", "not_before", "created")


@app.command("list")
def list_jobs(
    state: States = None,
    job: JobName = None,
    listener: Listener = None,
    runs: Runs = None,
    since: SinceChange = None,
    limit: Limit = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """List jobs.

    All of them, or those that the options leave.

    Example: caf jobs list --state FAILED --since 7d
    """
    now = time.time()
    place, states = Place.and_states(config, state)
    wanted = queries.JobFilter(states, job, listener, runs or (), None if since is None else now - since, limit)
    with place.database() as conn:
        pages = queries.jobs(conn, wanted) if conn is not None else iter(())
        if as_json:
            print_array(as_object(row) for page in pages for row in page)
            return
        table = Table(("RUN", "JOB", "STATE", "RESULT", "CHANGED", "REASON"), soft=("REASON",))
        for page in pages:
            table.show(
                (row["run"], row["job"], row["state"], row["result"], ago(row["updated"], now), row["reason"])
                for row in page
            )


def as_object(row: sqlite3.Row) -> dict[str, Any]:
    """Give a job as `caf jobs list --json` shows it; docs/reference.md promises these keys."""
    return {name: iso(row[name]) if name in _TIMES else row[name] for name in (*_KEYS, *_MORE)}


@app.command("show")
def show_job(run: Run, job: Job, as_json: Json = False, config: Config = None, state: StateDir = None) -> None:
    """Show all that is known of one job.

    Its state, its attempts, and where its files are.

    Example: caf jobs show 490001 LArL1CaloRampMaker
    """
    place = Place.of(config, state)
    with place.existing(f"job {job} of run {run}") as conn:
        row = find(conn, run, job)
        attempts = [_attempt(attempt) for attempt in queries.attempts_of(conn, row["id"])]
    folder = area_of(place, row, row["attempt"])
    commands = [f"caf jobs {word} {run} {job}" for word in allowed_words(row["state"])]
    if as_json:
        more = {name: row[name] for name in ("priority", "tries", "looks", "configuration_id")}
        acknowledged = {"acknowledged": bool(row["acknowledged"])}
        area = {"area": None if folder is None else str(folder)}
        print_json({**as_object(row), **more, **acknowledged, **area, "attempts": attempts, "commands": commands})
        return
    now = time.time()
    print_pairs(
        (name, ago(row[name], now) if name in _TIMES and row[name] is not None else row[name]) for name in _KEYS + _MORE
    )
    print_pairs([("area", folder or "not known: the configuration cannot be read")])
    if attempts:
        print()
        columns = ("attempt", "batch_id", "node", "started", "ended", "exit_code", "result", "reason")
        table = Table([column.upper() for column in columns], soft=("NODE", "REASON", "STARTED", "ENDED"))
        table.show([_when(attempt[column]) for column in columns] for attempt in attempts)
    print(f"\nWhy it is where it is: `caf jobs why {run} {job}`")
    print(f"You can say: {', '.join(f'`{command}`' for command in commands)}")


def _attempt(row: sqlite3.Row) -> dict[str, Any]:
    return {
        name: iso(row[name]) if name in ("asked", "started", "ended") else row[name]
        for name in row.keys()  # noqa: SIM118 - a Row is a sequence of values, not of names
        if name != "job_id"
    }


def _when(value: Any) -> Any:
    """Shorten an ISO time to seconds."""
    return value[:19].replace("T", " ") if isinstance(value, str) and value[10:11] == "T" else value


def area_of(place: Place, row: sqlite3.Row, attempt: int) -> Path | None:
    """Give where an attempt's files are; None where the configuration cannot be read."""
    try:
        return paths.area(paths.work_folder(place.config), row["run"], row["job"], attempt)
    except ConfigError:
        return None


@app.command("history")
def job_history(run: Run, job: Job, as_json: Json = False, config: Config = None, state: StateDir = None) -> None:
    """Show every change of one job.

    When, who, from what to what, and why.

    Example: caf jobs history 490001 LArL1CaloRampMaker
    """
    with Place.of(config, state).existing(f"job {job} of run {run}") as conn:
        find(conn, run, job)
        rows = audit.history(conn, run=run, job=job)
    _show_history(rows, as_json, ("WHEN", "WHO", "FROM", "TO", "WHY"))


def history(
    run: Annotated[int | None, typer.Option("--run", metavar="N", min=0, max=2**63 - 1, help="Only this run.")] = None,
    job: JobName = None,
    limit: Limit = None,
    as_json: Json = False,
    config: Config = None,
    state: StateDir = None,
) -> None:
    """Show who changed what, when and why.

    This is the audit trail, the newest last.

    Example: caf history --run 490001
    """
    with Place.of(config, state).database() as conn:
        rows = audit.history(conn, run=run, job=job, limit=limit) if conn is not None else []
    _show_history(rows, as_json, ("WHEN", "WHO", "RUN", "JOB", "FROM", "TO", "WHY"))


def _show_history(rows: list[dict[str, Any]], as_json: bool, headings: tuple[str, ...]) -> None:
    if as_json:
        print_array({**row, "at": iso(row["at"])} for row in rows)
        return
    columns = {"WHEN": "at", "WHO": "who", "RUN": "run", "JOB": "job", "FROM": "was", "TO": "became", "WHY": "why"}
    now = time.time()
    table = Table(headings, soft=("WHY",))
    table.show([ago(row["at"], now) if h == "WHEN" else row[columns[h]] for h in headings] for row in rows)


@app.command("log")
def job_log(
    run: Run,
    job: Job,
    attempt: AttemptNumber = None,
    stderr: Annotated[bool, typer.Option("--stderr", help="What it wrote to standard error instead.")] = False,
    lines: Annotated[
        int | None, typer.Option("--lines", metavar="N", min=1, max=2**31, help="Only the last N lines.")
    ] = None,
    config: Config = None,
    state: StateDir = None,
) -> None:
    """Print a job's log as it is now.

    Example: caf jobs log 490001 LArL1CaloRampMaker --lines 50
    """
    place = Place.of(config, state)
    with place.existing(f"job {job} of run {run}") as conn:
        row = find(conn, run, job)
    work = paths.work_folder(place.config)
    numbers = [attempt] if attempt is not None else range(row["attempt"], 0, -1)
    for number in numbers:
        folder = paths.area(work, run, job, number)
        if folder.is_dir():
            joblog.show(folder, stderr=stderr, lines=lines)
            return
    which = f"attempt {attempt}" if attempt is not None else "it"
    raise NotFound(
        f"job {job} of run {run} is {row['state']}: {which} has no working area in {work}, so no log; "
        f"`caf jobs why {run} {job}`"
    )


def add_to(application: typer.Typer) -> None:
    """Add the command that is about all jobs and runs."""
    application.command("history")(history)
