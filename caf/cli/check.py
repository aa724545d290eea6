"""`caf check`: whether the configuration is right, and whether what it names answers."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from caf.cli.options import Config, Place, StateDir
from caf.cli.text import counted, harmless, span, wrapped
from caf.domain.errors import CafError

if TYPE_CHECKING:
    from caf.config import Configuration

ENOUGH = 200_000_000  # bytes free; below it `caf status` asks for a person too


def check(config: Config = None, state: StateDir = None) -> None:
    """Check the configuration and what it names.

    That is: source, templates, folders, batch system, and that no run can be taken by two listeners.

    The exit status is 2 if the configuration is wrong, 1 if something else is, 0 if all is well.

    Example: caf check --config /etc/caf/listeners.toml
    """
    from caf.config import load

    place = Place.of(config, state)
    configuration = load(place.config)
    listeners = counted(len(configuration.listeners_in_force()), "listener")
    jobs = counted(sum(job.enabled for job in configuration.jobs.values()), "job")
    _say("ok", f"{place.config}: {listeners}, {jobs}")
    if _listeners(configuration):
        raise typer.Exit(2)
    for key in configuration.unheeded():
        _say("note", f"{key} is read, but this version does not act on it yet")
    good = all(
        [_source(configuration), _templates(configuration), _folders(place, configuration), _batch(configuration)]
    )
    if not good:
        raise typer.Exit(1)


def _say(word: str, text: str) -> None:
    """Print a finding: ok, note, warn or BAD."""
    for place, line in enumerate(str(text).split("\n")):
        print(wrapped(harmless(line), first=f"{word:<6}" if place == 0 else " " * 6, rest=" " * 6))


def _listeners(configuration: "Configuration") -> bool:
    """Show what is wrong with the listeners together; tell whether that is an error of the configuration."""
    from caf.config import check_exclusive

    errors, warnings = check_exclusive(configuration)
    for error in errors:
        print(harmless(error), file=sys.stderr)
    for warning in warnings:
        _say("warn", warning)
    for name, table in configuration.listeners.items():
        if table.enabled and not configuration.jobs_for(name):
            _say("note", f"listeners.{name} has no jobs: its runs are shown, and nothing is done with them")
    if not errors:
        _say("ok", "no run can be taken by two listeners" if not warnings else "listeners: nothing but warnings")
    return bool(errors)


def _source(configuration: "Configuration") -> bool:
    from caf.config import TableSource

    source = configuration.source
    # A snapshot of a large database has hundreds of megabytes, which is what the state folder is for.
    with tempfile.TemporaryDirectory(prefix="caf-check-", dir=_scratch(configuration.caf.state)) as folder:
        into = str(Path(folder) / "snapshot.db")
        try:
            if isinstance(source, TableSource):
                from caf.sources.table import read_table

                found = read_table(str(source.path), source.first_run, into)
            else:
                from caf.sources.cool import expand, read_settled

                asked = {name: table.model_dump(mode="json") for name, table in source.attributes.items()}
                files = expand(list(source.replicas))
                found = read_settled(files, source.database, source.first_run, asked, into, source.busy_timeout)
        except CafError as error:
            _say("BAD", f"source: {error}")
            return False
    runs = f"{counted(found['runs'], 'run')}, {found['first']} to {found['last']}" if found["runs"] else "no runs"
    _say("ok", f"source: {runs}")
    for path, file in found.get("folders", {}).items():
        _say("", f"{path} from {file}")
    return _fresh(configuration, [mark[4] for mark in found.get("marks", [])])


def _fresh(configuration: "Configuration", written: list[int]) -> bool:
    """Raise an alarm about a replica that stands still: a dead copy job looks just like no new runs."""
    import time

    stale = configuration.source.stale
    if written and (age := time.time() - min(written) / 1e9) > stale:
        _say("warn", f"source: last written {span(age)} ago, more than stale = {span(stale)}: does the copy job run?")
    return True


def _templates(configuration: "Configuration") -> bool:
    """Make the area of every job once: what is wrong with a template fails each of them, long after this."""
    from caf.cli.trial import columns_named, faults, not_found

    good, scratch = True, _scratch(configuration.caf.work)  # where files may be executable, and elsewhere not
    for job, table in configuration.jobs.items():
        for fault in faults(configuration, job, scratch):
            _say("BAD" if table.enabled else "note", f"jobs.{job}: {fault}")
            good = good and not table.enabled
        if table.enabled and (program := not_found(table)) is not None:
            _say("warn", f"jobs.{job}: {program} is not on this machine, or not executable: correct `command`")
    for tag in columns_named(configuration):
        _say("note", f"#{tag}# in a template has a value only if the table has a column of that name")
    if good:
        names = {name for table in configuration.jobs.values() for name in table.templates}
        _say("ok", f"templates: {len(names)} in {configuration.caf.templates}, and every tag has a value")
    return good


def _scratch(folder: Path) -> str | None:
    """Give a folder for something that is removed at once; None, for the system's own, if it is not to be had."""
    return str(folder) if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK) else None


def _folders(place: Place, configuration: "Configuration") -> bool:
    state = place.given_state if place.given_state is not None else configuration.caf.state
    return all([_folder("state", state), _folder("work", configuration.caf.work)])


def _folder(what: str, path: Path) -> bool:
    """Check that a folder can be written, or can be made, and how much is free there."""
    place = next(_and_above(path))
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        _say("BAD", f"{what}: {path} cannot be written: {place} is no folder, or not yours to write in")
        return False
    free = shutil.disk_usage(place).free
    new = "" if place == path else ", made by the first `caf run`"
    _say("ok" if free >= ENOUGH else "BAD", f"{what}: {path}, {free / 1e9:.1f} GB free{new}")
    return free >= ENOUGH


def _and_above(path: Path) -> Iterator[Path]:
    """Give the path and the folders above it, as far as there are any."""
    return (one for one in (path, *path.parents) if os.path.lexists(one))


def _batch(configuration: "Configuration") -> bool:
    batch = configuration.batch
    if batch.kind != "local":
        _say("BAD", f"batch: {batch.kind} is not there yet in this version: only local")
        return False
    _say("ok", f"batch: {batch.kind}, {counted(batch.slots or os.cpu_count() or 1, 'slot')}")
    return True
