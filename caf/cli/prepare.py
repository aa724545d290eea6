"""`caf jobs prepare`: what a job's working area would be, made somewhere else to be looked at, or tried by hand."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caf import __version__
from caf.cli.options import Config, Job, Place, Run, StateDir
from caf.cli.text import counted, harmless, say, unbroken, warn
from caf.domain.errors import CafError, NotFound
from caf.domain.runs import Record, to_json

if TYPE_CHECKING:
    from caf.config import Configuration, JobTable

LIMIT = 120.0  # s; looking for raw files
SHOWN = 5
NOBODYS = "caf-none-0-{attempt}-00000000"  # a token of no database
Into = Annotated[
    Path,
    typer.Option("--into", metavar="DIR", show_default=False, help="A folder that is not there yet, or empty."),
]


@dataclass(frozen=True, slots=True)
class Known:
    """What an area is made from, besides the configuration. `seen` is where the run was looked up."""

    record: Record
    listener: str | None
    seen: str
    attempt: int = 1
    given: Mapping[str, str] | None = None


def prepare(run: Run, job: Job, into: Into, config: Config = None, state: StateDir = None) -> None:
    """Show what a job's working area would be.

    The templates rendered, job.json and the script, made in another folder by the configuration file as it is. Nothing
    else is changed, and no database is needed: a run that caf does not know is looked for in the run database.

    Example: caf jobs prepare 490001 LArL1CaloRampMaker --into /tmp/look
    """
    from caf.batch.script import script
    from caf.cli.trial import request
    from caf.config import load
    from caf.storage.area import lay_out, write_script

    place = Place.of(config, state)
    configuration = load(place.config)
    table = _table(configuration, job)
    known = _known(place, configuration, run, job)
    listener = known.listener if known.listener in table.listeners else table.listeners[0]
    raw = _raw(configuration, table, listener, run)
    area = str(into.absolute())
    attributes = {name: to_json(name, value) for name, value in known.record.values.items()}
    wanted = request(
        configuration,
        job,
        work=str(configuration.caf.work),
        run=run,
        attributes=attributes,
        inputs=raw["files"],
        listener=listener,
        attempt=known.attempt,
        set=dict(known.given or {}),
    )
    wanted["facts"] = {
        "caf": __version__,
        "configuration": {"id": None, "sha256": configuration.sha256, "path": str(configuration.path)},
        "listener": listener,
        "log": wanted["log"],
        "attributes": attributes,
        "corrected": dict(known.record.corrected),
    }
    lay_out(wanted, area)
    token = NOBODYS.format(attempt=known.attempt)
    command = list(table.command)
    write_script(area, script(area=area, token=token, run=run, job=job, attempt=known.attempt, command=command))
    _tell(into, wanted, known, raw)


def _table(configuration: "Configuration", job: str) -> "JobTable":
    table = configuration.jobs.get(job)
    if table is None:
        near = get_close_matches(job, configuration.jobs, n=1)
        known = f"did you mean {near[0]}?" if near else f"there are {', '.join(configuration.jobs) or 'none'}"
        raise NotFound(f"no job {harmless(job)} in {configuration.path.name}; {known}")
    return table


def _known(place: Place, configuration: "Configuration", run: int, job: str) -> Known:
    """Look a run up in caf's database, else in the run database."""
    import json

    from caf.cli.sourced import judged
    from caf.store import queries
    from caf.store.discovery import record_of_run
    from caf.store.meant import unknown_run

    with place.database() as conn:
        row = queries.run(conn, run) if conn is not None else None
        if conn is not None and row is not None:
            record = record_of_run(conn, run, configuration.corrections_in_force())
            own = next((one for one in queries.jobs_of(conn, run) if one["job"] == job), None)
            if own is None:
                return Known(record, row["listener"], "caf's database")
            given = json.loads(own["tags"] or "{}")
            return Known(record, own["listener"], "caf's database", own["attempt"], given)
        unknown = (f"no run {run}: nothing is known yet", "") if conn is None else unknown_run(conn, run)
    state = place.given_state if place.given_state is not None else configuration.caf.state
    found = judged(configuration, state, run, unknown)
    return Known(found.record, found.verdict.listener, "the run database")


def _raw(configuration: "Configuration", table: "JobTable", listener: str, run: int) -> dict[str, Any]:
    """Look for the raw files, by a child process: a mount that does not answer must not keep anybody waiting."""
    patterns = table.raw if table.raw is not None else configuration.listeners[listener].raw
    if not patterns:
        return {"files": []}
    import asyncio

    from caf.storage.child import FileChild

    async def ask() -> dict[str, Any]:
        async with FileChild({"find": "caf.storage.raw:find_raw"}) as child:
            found: dict[str, Any] = await child.call("find", [p.format(run=run) for p in patterns], run, timeout=LIMIT)
            return found

    try:
        return asyncio.run(ask())
    except CafError as error:
        return {"files": [], "why": str(error)}


def _tell(into: Path, wanted: Mapping[str, Any], known: Known, raw: Mapping[str, Any]) -> None:
    run, job = wanted["run"], wanted["job"]
    say(f"{into}: job {job} of run {run} as it would be, attempt {wanted['attempt']}; the run is from {known.seen}")
    for name in wanted["files"]:
        print(f"  {into / 'config' / name}")
    print(f"  {into / 'job.json'}")
    print(f"  {into / 'caf.sh'}")
    print(f"  {counted(len(raw['files']), 'raw file')}")
    for file in raw["files"][:SHOWN]:
        print(f"    {harmless(file['path'])}")
    if len(raw["files"]) > SHOWN:
        print(f"    and {len(raw['files']) - SHOWN} more")
    if wanted["set"]:
        print(f"  set for this time: {', '.join(f'{name}={value}' for name, value in wanted['set'].items())}")
    say(f"Nothing else was changed. All paths lead into {into}; to try it by hand: {unbroken(f'sh {into}/caf.sh')}")
    if known.listener != wanted["listener"]:
        taken = f"{known.listener} takes" if known.listener else "no listener takes"
        warn(f"{taken} run {run}, so that caf makes no such job: shown as if {wanted['listener']} did")
    if raw.get("why"):
        warn(f"its raw files are not there, and the templates show none: {harmless(raw['why'])}")
        raise typer.Exit(1)
