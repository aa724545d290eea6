"""`caf jobs list`, `show`, `history`, `log`, and `caf history`: what is known of jobs."""

import sqlite3
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from caf import paths
from caf.cli import areas, joblog, scripts
from caf.cli.colours import of_job, of_result
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
)
from caf.cli.text import (
    Table,
    Tinted,
    ago,
    harmless,
    iso,
    none,
    print_array,
    print_json,
    print_pairs,
    say,
    span,
    unbroken,
)
from caf.domain.errors import ConfigError, NotFound
from caf.domain.jobs import State
from caf.store import afterwards, pins, queries, removals
from caf.store.answers import words_for
from caf.store.jobs import find

AttemptNumber = Annotated[
    int | None, typer.Option("--attempt", metavar="N", min=1, max=2**31, help="Default: the last one that has a log.")
]
_KEYS = ("run", "job", "listener", "state", "result", "attempt", "batch_id", "reason", "updated")
_MORE = ("token", "next_state", "unknown_since", "lost", "not_before", "created", "mark", "acknowledged")
_FLAGS = ("acknowledged",)
_TIMES = ("updated", "unknown_since", "not_before", "created")


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
        table = Table(("RUN", "JOB", "STATE", "RESULT", "SINCE", "REASON"), soft=("REASON",), spare=("RESULT",))
        some = False
        for page in pages:
            some = True
            table.show(_line(row, now) for row in page)
        if not some:
            none("jobs")
        if conn is not None and not some and (job, listener) != (None, None):
            from caf.cli.suggest import strange_names  # only where nothing was found

            strange_names(place, conn, job=job, listener=listener)


def _line(row: sqlite3.Row, now: float) -> tuple[object, ...]:
    result = row["result"] if row["state"] == State.FAILED else row["mark"]  # DONE says it, no other state has one
    doubt = "" if row["unknown_since"] is None else f"in doubt for {span(now - row['unknown_since'])}: "
    seen = " (acknowledged)" if row["acknowledged"] else ""
    state, result = Tinted(row["state"], of_job(row)), Tinted(result, of_job(row))
    return row["run"], row["job"], state, result, span(now - row["updated"]), f"{doubt}{row['reason']}{seen}"


def as_object(row: sqlite3.Row) -> dict[str, Any]:
    """Give a job as `caf jobs list --json` shows it; docs/reference.md promises these keys."""
    values = {name: iso(row[name]) if name in _TIMES else row[name] for name in (*_KEYS, *_MORE)}
    return values | {name: bool(row[name]) for name in _FLAGS}


def show_job(run: Run, job: Job, as_json: Json = False, config: Config = None, state: StateDir = None) -> None:
    """Show all that is known of one job.

    Its state, its attempts, and where its files are.

    Example: caf jobs show 490001 LArL1CaloRampMaker
    """
    place = Place.of(config, state)
    with place.existing(f"job {job} of run {run}") as conn:
        row = find(conn, run, job)
        attempts = queries.attempts_of(conn, row["id"])
        after = afterwards.of_job(conn, row["id"])
        kept = removals.of_job(conn, row["id"])
        pin = pins.pin_of(conn, row["id"], time.time())
    folder = area_of(place, row, row["attempt"])
    commands = words_for(row)
    if as_json:
        names = ("priority", "tries", "looks", "configuration_id", "memory", "walltime", "marked")
        more = {name: row[name] for name in names}
        area = {"area": None if folder is None else str(folder)}
        tried = {"attempts": [_attempt(one) | areas.of_attempt(kept, one["attempt"]) for one in attempts]}
        ran = {"afterwards": scripts.as_objects(after)}
        stays = {"pin": areas.pin_object(pin)}
        print_json({**as_object(row), **more, **area, **tried, **ran, **stays, "commands": commands})
        return
    now = time.time()
    given = [name for name in (*_KEYS, *_MORE, "memory", "walltime", "marked") if row[name] is not None]
    pairs = [(name, _told(row, name, now)) for name in given]
    print_pairs([*pairs, ("area", folder or "not known: the configuration cannot be read")])
    if attempts:
        print()
        columns = ("attempt", "result", "exit_code", "node", "started", "ended", "reason")
        headings = [column.upper().replace("_", " ") for column in columns]
        table = Table(headings, soft=("NODE", "REASON"), spare=("NODE", "STARTED"))
        table.show([_of_attempt(one, column, now) for column in columns] for one in attempts)
    print()
    told = [scripts.line(one, now) for one in after]
    for line in (*told, *filter(None, map(_archived, attempts)), *areas.lines(kept, pin, now)):
        say(harmless(line))
    say(f"Why it is where it is: {unbroken(f'caf jobs why {run} {job}')}")
    say(f"You can say: {', '.join(unbroken(command) for command in commands)}")


def _told(row: sqlite3.Row, name: str, now: float) -> object:
    if name in _TIMES:
        return ago(row[name], now)
    if name in _FLAGS:
        return bool(row[name])
    return Tinted(row[name], of_job(row)) if name == "state" else row[name]


def _of_attempt(row: sqlite3.Row, column: str, now: float) -> object:
    if column in ("started", "ended") and row[column] is not None:
        return ago(row[column], now)
    return Tinted(row[column], of_result(row[column])) if column == "result" else row[column]


def _attempt(row: sqlite3.Row) -> dict[str, Any]:
    given = dict(row)
    for name in ("job_id", "archive_due", "archive_tries"):
        del given[name]
    return given | {name: iso(given[name]) for name in ("asked", "started", "ended", "archived")}


def _archived(row: sqlite3.Row) -> str | None:
    """Say where an attempt's area is kept, or why not yet."""
    if row["archive_error"] is not None:
        return f"Attempt {row['attempt']} could not be archived yet: {row['archive_error']}"
    return None if row["archive"] is None else f"Attempt {row['attempt']} is archived in {row['archive']}"


def area_of(place: Place, row: sqlite3.Row, attempt: int) -> Path | None:
    """Give where an attempt's files are; None where the configuration cannot be read."""
    try:
        return paths.area(paths.work_folder(place.config), row["run"], row["job"], attempt)
    except ConfigError:
        return None


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
        kept = removals.of_job(conn, row["id"])
    work = paths.work_folder(place.config)
    numbers = [attempt] if attempt is not None else range(row["attempt"], 0, -1)
    missing = None
    for number in numbers:
        folder = paths.area(work, run, job, number)
        if not folder.is_dir():
            continue
        note = None if number in (attempt, row["attempt"]) else _older(row, number)
        try:
            joblog.show(folder, stderr=stderr, lines=lines, note=note)
        except NotFound as error:
            missing = missing or error
        else:
            return
    if missing is not None:
        raise missing
    now = time.time()
    for number in numbers:
        if gone := areas.where(kept, number, "", now):
            raise NotFound(f"job {job} of run {run} is {row['state']}, and its log is gone: {gone}")
    which = f"attempt {attempt}" if attempt is not None else "it"
    raise NotFound(
        f"job {job} of run {run} is {row['state']}: {which} has no working area in {work}, so no log; "
        f"`caf jobs why {run} {job}`"
    )


def _older(row: sqlite3.Row, number: int) -> str:
    return f"attempt {row['attempt']} is {row['state']} and has no log yet; this is the log of attempt {number}"
