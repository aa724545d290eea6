"""One round of housekeeping: what is old is removed from the database, and once a day a backup is made and copied.

A child process does all that touches the backups, so that neither a slow disk nor a second place that hangs holds up
anybody; it is there for the round only.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caf.config import Configuration
from caf.domain.errors import CafError, StoreError
from caf.storage.child import FileChild
from caf.store import backups, pruning
from caf.tasks.house import House

CALLS = {"back_up": "caf.store.backups:back_up", "copy_backup": "caf.storage.backup_copy:copy_backup"}
HOURLY = 3600.0  # s between two looks whether a backup is due; one that failed is tried again sooner
SHARE = 0.4  # of a round's time, for each of the two places


@dataclass(slots=True)
class Kept:
    """What one round did."""

    parts: list[str] = field(default_factory=list)

    def summary(self) -> str | None:
        """Say what happened, if anything did."""
        return ", ".join(self.parts) or None


def interval(configuration: Configuration) -> float:
    """Give how long (s) to wait between two rounds: most of them find that nothing is due."""
    return min(HOURLY, configuration.duties.housekeeping)


async def run_once(house: House) -> Kept:
    """Do one round. What failed is kept for `caf status`, and is an error of the round once all else is done."""
    done = Kept()
    if pruned := await house.database.call(pruning.prune, house.clock()):
        done.parts.append(f"{pruned} old rows removed")
    before = await house.database.call(backups.record)
    every = house.configuration.duties.housekeeping
    found: dict[str, Any] = {"made": None, "error": None, "second": None, **before, "every": every}
    async with FileChild(CALLS) as child:
        if _is_due(found["made"], house.clock(), every):
            await _back_up(house, child, found, done)
        await _copy(house, child, found, done)
    if found != before:
        await house.database.call(backups.keep_record, found)
    errors = [found["error"], (found["second"] or {}).get("error")]
    if any(errors):
        raise StoreError("; ".join(error for error in errors if error))
    return done


def _is_due(made: Mapping[str, Any] | None, now: float, every: float) -> bool:
    """Tell whether a backup is to be made: the last one is old, of a clock that was wrong, or gone."""
    return made is None or not 0 <= now - made["at"] < every or not os.path.exists(made["path"])


async def _back_up(house: House, child: FileChild, found: dict[str, Any], done: Kept) -> None:
    now = house.clock()
    folder = str(house.database.path.parent.absolute() / backups.FOLDER)
    arguments = (str(house.database.path), folder, now, house.configuration.caf.keep_backups)
    try:
        made = await child.call("back_up", *arguments, timeout=SHARE * house.configuration.duties.timeout)
    except CafError as error:
        found["error"] = f"no backup was made: {error}"
        return
    found["error"] = None
    found["made"] = {"at": now, **{name: made[name] for name in ("path", "bytes", "runs", "jobs")}}
    house.log.info("backup.made", path=made["path"], bytes=made["bytes"], held_s=round(made["held"], 3))
    done.parts.append(f"backup of {made['bytes'] / 1e6:.1f} MB made")


async def _copy(house: House, child: FileChild, found: dict[str, Any], done: Kept) -> None:
    """Have the newest backup in the second place, if there is to be one."""
    place = house.configuration.caf.backup
    if place is None:
        found["second"] = None
        return
    second = dict(found["second"] or {})  # `found` shares it with what was read
    if second.get("folder") != str(place):
        second = {"folder": str(place), "copied": None, "error": None}
    found["second"] = second
    made, copied = found["made"], second["copied"]
    if made is None or (copied is not None and Path(copied["path"]).name == Path(made["path"]).name):
        return
    arguments = (made["path"], str(place), house.configuration.caf.keep_backups)
    try:
        there = await child.call("copy_backup", *arguments, timeout=SHARE * house.configuration.duties.timeout)
    except CafError as error:
        second["error"] = f"the backup was not copied: {error}"
        return
    second |= {"error": None, "copied": {"at": made["at"], "path": there["path"]}}
    house.log.info("backup.copied", path=there["path"], bytes=there["bytes"])
    done.parts.append(f"copied to {place}")
