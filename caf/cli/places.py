"""What `caf check` says of the other places that listeners.toml names: for backups, the page, the log, the quota."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from caf.batch.interface import Finding

if TYPE_CHECKING:
    from caf.config import Configuration


def places(configuration: "Configuration") -> Iterator[Finding]:
    """Look at what the duties clean, housekeeping and report, and the log, will want. Nothing is made or written."""
    caf, quota, report = configuration.caf, configuration.quota, configuration.report
    if quota is not None:
        yield _account(quota.provider, quota.client)
    if report is not None:
        yield _folder("report", report.path, made=True)
        if report.metrics is not None:
            yield _folder("metrics", report.metrics.parent, made=False)
    if caf.backup is not None:
        yield _folder("backup", caf.backup, made=True)
    if caf.log is not None:
        yield _folder("log", caf.log.parent, made=False)


def _account(provider: str, client: tuple[str, ...] | None) -> Finding:
    """Say whether the program is there that is asked how full the account is; the clean duty asks it."""
    from caf.tasks.clean.measure import CLIENTS

    words = client or CLIENTS.get(provider)  # none for what needs no client
    program = words[0] if words else None
    if program is not None and shutil.which(program) is None:
        return Finding("BAD", f"quota: {program} is not on this machine: install it, or correct [quota] provider")
    return Finding("ok", f"quota: provider {provider}{f', {program} is here' * (program is not None)}: `caf quota`")


def _folder(what: str, folder: Path, *, made: bool) -> Finding:
    """Say whether a folder is there, or can be made. Who checks need not be who runs caf, so rights are a warning."""
    place = next(one for one in (folder, *folder.parents) if os.path.lexists(one))
    if not place.is_dir() or (place != folder and not made):
        return Finding("BAD", f"{what}: {folder} is not there: make the folder, or correct the path")
    if not os.access(place, os.W_OK | os.X_OK):
        return Finding("warn", f"{what}: {place} is not yours to write in; the account that runs caf must be able to")
    if place == folder:
        return Finding("ok", f"{what}: {folder}")
    if place != folder.parent:
        return Finding("warn", f"{what}: {folder} would be made in {place}: is something not mounted, or misspelt?")
    return Finding("ok", f"{what}: {folder}, made when it is needed")
