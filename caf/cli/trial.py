"""Whether working areas can be made of the jobs' templates: each is made once, of a run that never was, and removed.

It is caf.storage's own code that makes them, so what is found here is what would fail every job of that kind.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caf.domain.errors import CafError
from caf.domain.runs import Kind
from caf.storage.area import prepare
from caf.storage.templates import names_in

if TYPE_CHECKING:
    from caf.config import Configuration, JobTable

RUN = 490001
MADE_UP: dict[Kind, Any] = {Kind.INTEGER: 1, Kind.FLAG: True, Kind.TIME: 1_700_000_000 * 10**9, Kind.MASK: 1}


def faults(configuration: "Configuration", job: str, folder: str | None) -> list[str]:
    """Give in a line each what keeps this job's area from being made in a folder; empty if nothing does."""
    with tempfile.TemporaryDirectory(prefix=".caf-check-", dir=folder) as work:
        try:
            prepare(
                request(
                    configuration,
                    job,
                    work=work,
                    run=RUN,
                    attributes=_attributes(configuration.kinds(), columns_named(configuration)),
                    inputs=[{"path": f"/raw/{RUN:08d}/data24_calib.{RUN:08d}.RAW._0001.data", "size": 1}],
                    listener=configuration.jobs[job].listeners[0],
                )
            )
        except CafError as error:
            return str(error).replace(f"{work}/", "").split("\n")
    return []


def not_found(table: "JobTable") -> str | None:
    """Give the job's program if it is none of its area's files and this machine does not have it."""
    program = table.command[0]
    inside = "/" in program and not program.startswith("/")
    return program if not inside and shutil.which(program) is None else None


def columns_named(configuration: "Configuration") -> list[str]:
    """Give the tags of runs in templates that only a column of the table can give a value, if the source is one."""
    if configuration.source.kind != "table":
        return []
    known = {_tag(name) for name in configuration.kinds()} | {"RUN_NUMBER", "RUN_NUMBER_PADDED", "RUN_NUMBER_PADDED_8"}
    every = (name for job in configuration.jobs.values() for name in job.templates)
    named = tags_in(configuration.caf.templates, every)
    own = {tag for job in configuration.jobs.values() for tag in job.tags}
    return sorted(tag for tag in named - known - own if tag.startswith("RUN_"))


def tags_in(folder: Path, names: Iterable[str]) -> set[str]:
    """Give the tags of templates, as far as these can be read."""
    return {tag for text in _texts(folder, names) for tag in names_in(text)}


def _tag(attribute: str) -> str:
    name = attribute.upper()  # as caf.storage.templates names them
    return name if name == "RUN" or name.startswith("RUN_") else f"RUN_{name}"


def _texts(folder: Path, names: Iterable[str]) -> Iterator[str]:
    for name in dict.fromkeys(names):
        try:
            yield (folder / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # it is said of the job


def _attributes(kinds: Mapping[str, Kind], columns: Iterable[str]) -> dict[str, Any]:
    made_up = {name: MADE_UP.get(kind, "text") for name, kind in kinds.items()}
    return {**made_up, **{tag.removeprefix("RUN_").lower(): "text" for tag in columns}, "run": RUN}


def request(
    configuration: "Configuration",
    job: str,
    *,
    work: str,
    run: int,
    attributes: Mapping[str, Any],
    inputs: Sequence[Mapping[str, Any]],
    listener: str,
    attempt: int = 1,
    **more: Any,
) -> dict[str, Any]:
    """Describe an area as `caf.storage.area.prepare` wants it; `more` replaces or adds to what is the same for all."""
    table = configuration.jobs[job]
    return {
        "work": work,
        "templates": str(configuration.caf.templates),
        "run": run,
        "job": job,
        "attempt": attempt,
        "database_id": "none",
        "job_id": 0,
        "files": list(table.templates),
        "command": list(table.command),
        "listener": listener,
        "attributes": dict(attributes),
        "tags": dict(table.tags),
        "inputs": [dict(one) for one in inputs],
        "log": table.log.format(run=run, job=job),
        "facts": {},
        **more,
    }
