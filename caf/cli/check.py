"""`caf check`: whether the configuration is right, and whether what it names answers."""

import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caf.cli.colours import ANSWERS, coloured
from caf.cli.options import Config, Place, StateDir
from caf.cli.places import places
from caf.cli.progress import busy, hide
from caf.cli.sourced import Sourced, scratch, sourced
from caf.cli.text import counted, harmless, span, wrapped
from caf.domain.errors import CafError
from caf.domain.overlap import overlaps

if TYPE_CHECKING:
    from caf.batch.interface import Finding
    from caf.config import Configuration, CoolSource

ENOUGH = 200_000_000  # bytes free; below it `caf status` asks for a person too
FEW = 5  # of many alike, as many are shown
_said: Counter[str] = Counter()
"""How many findings of each word the check has said so far."""


def check(
    probe: Annotated[
        bool, typer.Option("--probe", help="Also submit one small job, which proves that nodes see the work folder.")
    ] = False,
    config: Config = None,
    state: StateDir = None,
) -> None:
    """Check the configuration and what it names.

    That is: source, templates, folders, batch system, mail server, credentials, and that no run can be taken by two
    listeners.

    The exit status is 2 if the configuration is wrong, 1 if something else is, 0 if all is well.

    Example: caf check --config /etc/caf/listeners.toml
    """
    from caf.config import load
    from caf.config.unheeded import JOB_KEYS

    place = Place.of(config, state)
    configuration = load(place.config)
    _said.clear()
    listeners = counted(len(configuration.listeners_in_force()), "listener")
    jobs = counted(sum(job.enabled for job in configuration.jobs.values()), "job")
    _say("ok", f"{place.config}: {listeners}, {jobs}")
    if _listeners(place, configuration):
        print("Correct the listeners first: nothing else was checked")
        raise typer.Exit(2)
    for key in configuration.unheeded():
        _say("note", f"{key} does nothing without [{JOB_KEYS[key.rpartition('.')[2]]}], which is not in the file")
    with busy("checking"):
        good = [
            _source(place, configuration),
            _templates(configuration),
            _folders(place, configuration),
            _findings(places(configuration)),
            _batch(configuration) and _probe(configuration, asked=probe),
            _mail(configuration),
            _credentials(configuration),
        ]
    _verdict()
    if not all(good):
        raise typer.Exit(1)


def _verdict() -> None:
    """End with what it comes to; notes need nothing."""
    hide()
    bad, warned = _said["BAD"], _said["warn"]
    warnings = counted(warned, "warning")
    if bad:
        print(coloured(f"{counted(bad, 'thing')} to mend{f', {warnings}' if warned else ''}", ANSWERS.get("BAD")))
    else:
        print(f"all is well, with {warnings}" if warned else coloured("all is well", ANSWERS.get("ok")))


def _say(word: str, text: str) -> None:
    """Print a finding: ok, note, warn or BAD."""
    hide()
    _said[word] += 1
    for place, line in enumerate(str(text).split("\n")):
        told = wrapped(harmless(line), first=f"{word:<6}" if place == 0 else " " * 6, rest=" " * 6)
        print(coloured(word, ANSWERS.get(word)) + told[len(word) :] if place == 0 else told)


def _listeners(place: Place, configuration: "Configuration") -> bool:
    """Show what is wrong with the listeners together; tell whether that is an error of the configuration."""
    from caf.cli.listeners import real_runs
    from caf.config import check_exclusive

    errors, warnings = check_exclusive(configuration)
    found = overlaps(configuration.listeners_in_force(), configuration.kinds())
    real = real_runs(place, configuration, found)
    for error in errors:
        print(harmless(error), file=sys.stderr)
    for warning in warnings:
        _say("warn", warning)
    for (one, other), run in real.items():
        text = f"run {run} is one that both {one} and {other} would take: `caf runs show {run}`"
        print(text, file=sys.stderr) if errors else _say("warn", text)
    for name, table in configuration.listeners.items():
        if table.enabled and not configuration.jobs_for(name):
            _say("note", f"listeners.{name} has no jobs: its runs are shown, and nothing is done with them")
    if not errors:
        _say("ok", "no run can be taken by two listeners" if not warnings else "listeners: nothing but warnings")
    return bool(errors)


def _source(place: Place, configuration: "Configuration") -> bool:
    from caf.config import TableSource

    source = configuration.source
    state = place.given_state if place.given_state is not None else configuration.caf.state
    try:
        with sourced(configuration, state, source.first_run) as read:
            found = read.account
            runs = (
                f"{counted(found['runs'], 'run')}, {found['first']} to {found['last']}" if found["runs"] else "no runs"
            )
            _say("ok", f"source: {runs}")
            good = _table(found) if isinstance(source, TableSource) else _cool(source, read)
    except CafError as error:
        _say("BAD", f"source: {error}")
        return False
    _fresh(configuration, read.written)
    return good


def _cool(source: "CoolSource", read: Sourced) -> bool:
    """Show what is read from where, and what the replicas lack; tell whether nothing grave is."""
    from caf.cli.origins import origins
    from caf.sources.cool import expand
    from caf.sources.cool.traps import traps

    attributes = {name: table.model_dump(mode="json") for name, table in source.attributes.items()}
    for line in origins(source.database, attributes, read.account["folders"]):
        _say("", line)
    files = expand(list(source.replicas))
    found = traps(files, source.database, attributes, str(read.snapshot), source.busy_timeout)
    for trap in found:
        _say("BAD" if trap.grave else "warn", trap.text)
    return not any(trap.grave for trap in found)


def _table(found: dict[str, Any]) -> bool:
    """Show the first rows that could not be read; the others were, and `caf run` logs them all."""
    problems = found.get("problems", [])
    for problem in problems[:FEW]:
        _say("warn", f"source: {problem}")
    if len(problems) > FEW:
        _say("warn", f"source: and {len(problems) - FEW} more such rows")
    return True


def _fresh(configuration: "Configuration", written: int) -> None:
    """Raise an alarm about a replica that stands still: a dead copy job looks just like no new runs."""
    stale = configuration.source.stale
    if (age := time.time() - written / 1e9) > stale:
        _say("warn", f"source: last written {span(age)} ago, more than stale = {span(stale)}: does the copy job run?")


def _templates(configuration: "Configuration") -> bool:
    """Make the area of every job once: what is wrong with a template fails each of them, long after this."""
    from caf.cli.trial import columns_named, faults, not_found

    good, folder = True, scratch(configuration.caf.work)  # where files may be executable, and elsewhere not
    for job, table in configuration.jobs.items():
        for fault in faults(configuration, job, folder):
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
    """Show what answers, whether queues are there, and what would be handed over; tell whether nothing is bad."""
    from caf.cli.site import examine

    batch = configuration.batch
    _say("ok", f"batch: {batch.kind}, {counted(batch.slots or os.cpu_count() or 1, 'slot')}")
    _shares(configuration)
    try:
        return _findings([] if batch.kind == "local" else examine(configuration))
    except CafError as error:
        _say("BAD", f"batch: {error}")
        return False


def _probe(configuration: "Configuration", *, asked: bool) -> bool:
    from caf.cli.site import probe

    return not asked or _findings(probe(configuration))


def _findings(found: "Iterable[Finding]") -> bool:
    good = True
    for one in found:
        _say(one.word, one.text)
        good = good and one.word != "BAD"
    return good


def _shares(configuration: "Configuration") -> None:
    """Note where `group_slots` limits nothing: a group's share that is not kept hurts others, not oneself."""
    batch = configuration.batch
    if batch.group_slots is None:
        return
    if batch.kind == "local":
        _say("note", 'batch.group_slots means nothing with kind = "local": this machine has no groups, slots counts')
        return
    enabled = {name: job for name, job in configuration.jobs.items() if job.enabled}
    large = [name for name, job in enabled.items() if job.group is not None and job.cpus > batch.group_slots]
    if large:
        _say(
            "warn",
            f"batch.group_slots is less than the `cpus` of {', '.join(large)}: correct one, or it never goes out",
        )
    alone = [name for name, job in enabled.items() if job.group is None]
    if alone:
        _say("note", f"batch.group_slots does not count {', '.join(alone)}: no `group` is given there")


def _credentials(configuration: "Configuration") -> bool:
    """Have them renewed once, into a cache that nobody uses."""
    if configuration.credentials is None:
        return True
    from caf.cli.renewal import good, tried

    try:
        _say("ok", f"credentials: {good(tried(configuration.credentials))}; the supervisor's own are left alone")
    except CafError as error:
        _say("BAD", f"credentials: {error}")
        return False
    return True


def _mail(configuration: "Configuration") -> bool:
    """Greet the mail server, and send nothing."""
    mail = configuration.mail
    if mail is None:
        return True
    from caf.cli.mailserver import greeted

    try:
        starttls = greeted(mail.server)
    except CafError as error:
        _say("BAD", f"mail: {error}: correct [mail] server, or see to that server; mail is kept meanwhile")
        return False
    plain = mail.server.startswith("smtp:") and not starttls
    _say("ok", f"mail: {mail.server} answers{', without TLS' if plain else ''}; nothing was sent")
    return True
