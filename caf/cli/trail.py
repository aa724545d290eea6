"""`caf history` and `caf jobs history`: the audit trail."""

import time
from typing import Annotated, Any

import typer

from caf.cli.colours import STATES
from caf.cli.options import Config, Job, JobName, Json, Limit, OfRun, Place, Run, Since, StateDir, as_text
from caf.cli.text import Table, Tinted, iso, none, print_array, span
from caf.store import audit
from caf.store.jobs import find


def job_history(run: Run, job: Job, as_json: Json = False, config: Config = None, state: StateDir = None) -> None:
    """Show every change of one job.

    When, who, from what to what, and why.

    Example: caf jobs history 490001 LArL1CaloRampMaker
    """
    with Place.of(config, state).existing(f"job {job} of run {run}") as conn:
        find(conn, run, job)
        rows = audit.history(conn, run=run, job=job)
    _show_history(rows, as_json, ("AGO", "WHO", "FROM", "TO", "WHY"))


def history(
    run: OfRun = None,
    job: JobName = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="WHO", parser=as_text, help="Only of this person, or this duty.")
    ] = None,
    since: Since = None,
    limit: Limit = None,
    as_json: Json = False,
    config: Config = None,
    state: StateDir = None,
) -> None:
    """Show who changed what, when and why.

    This is the audit trail, the newest last: of people, of duties, and of the configuration.

    Example: caf history --by anna --since 7d
    """
    earliest = None if since is None else time.time() - since
    place = Place.of(config, state)
    with place.database() as conn:
        rows = [] if conn is None else audit.history(conn, run=run, job=job, who=by, since=earliest, limit=limit)
        if conn is not None and not rows:
            from caf.cli.suggest import strange_names  # only where nothing was found

            strange_names(place, conn, job=job)
        if not rows and not as_json:
            none("changes")
    _show_history(rows, as_json, ("AGO", "WHO", "RUN", "JOB", "FROM", "TO", "WHY"))


def _show_history(rows: list[dict[str, Any]], as_json: bool, headings: tuple[str, ...]) -> None:
    if as_json:
        print_array({**row, "at": iso(row["at"])} for row in rows)
        return
    columns = {"AGO": "at", "WHO": "who", "RUN": "run", "JOB": "job", "FROM": "was", "TO": "became", "WHY": "why"}
    now = time.time()
    table = Table(headings, soft=("WHY",), spare=("FROM",))  # the line before it has that
    table.show([_cell(h, row[columns[h]], now) for h in headings] for row in rows)


def _cell(heading: str, value: Any, now: float) -> object:
    if heading == "AGO":
        return span(now - value)
    return Tinted(value, STATES.get(value)) if heading == "TO" else value
