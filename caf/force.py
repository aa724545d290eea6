"""Which listeners.toml is in force: put there at the start, at SIGHUP and when the file changes; a bad one never is.

A changed configuration touches runs that are open or new, and jobs to be made; jobs that are made keep the one they
were made with.
"""

from collections.abc import Iterable
from pathlib import Path

import anyio

from caf import log
from caf.config import Configuration, check_exclusive, parse
from caf.domain.errors import CafError, ConfigError, StorageError
from caf.duty import Duty
from caf.store import configurations
from caf.store.database import Database
from caf.tasks.house import QUICK, House

LOOK = 2.0  # s between two looks at the file


def checked(configuration: Configuration) -> Configuration:
    """Give the configuration back if its listeners exclude each other."""
    errors, _ = check_exclusive(configuration)
    if errors:
        raise ConfigError("\n".join(errors))
    return configuration


async def keep(database: Database, configuration: Configuration, now: float) -> int:
    """Keep a configuration that comes into force, and give its id."""
    text, sha256, path = configuration.text, configuration.sha256, str(configuration.path)
    return await database.call(configurations.enforce, text, sha256, path, now)


async def reject(house: House, complaint: str) -> None:
    """Say once, and keep for `caf status`, why the file is not in force."""
    known = await house.database.call(configurations.complaint)
    if known is not None and known[1] == complaint:
        return
    house.log.error("config.rejected", error=complaint, instead="the last good configuration")
    await house.database.call(configurations.complain, complaint, house.clock())


async def reload(house: House) -> None:
    """Put the file into force as it is now, or say why the old one stays."""
    old = house.configuration
    try:
        new = await _read(house, old.path)
        for place in ("state", "work"):
            if getattr(new.caf, place) != getattr(old.caf, place):
                raise ConfigError(f"{old.path.name}: caf.{place}: is changed by a restart only")
        if new.batch.kind != old.batch.kind:
            raise ConfigError(f"{old.path.name}: batch.kind: is changed by a restart only")
        # The children that run have its path from the start.
        if new.credentials and (not old.credentials or new.credentials.cache != old.credentials.cache):
            raise ConfigError(f"{old.path.name}: credentials.cache: is changed, or a first one made, by a restart only")
    except ConfigError as error:
        await reject(house, str(error))
        return
    except StorageError as error:
        await reject(house, f"{old.path}: cannot be read: {error}")
        return
    corrected = await house.database.call(configurations.complaint) is not None
    await house.database.call(configurations.complain, None, house.clock())
    if new.sha256 == old.sha256:
        if corrected:  # the log's last word would be the rejection
            house.log.info("config.loaded", path=str(new.path), sha256=new.sha256[:12])
        return
    house.configuration_id = await keep(house.database, new, house.clock())
    house.configuration = new
    log.keep_in(new.caf.log)
    house.log.info("config.loaded", path=str(new.path), sha256=new.sha256[:12])


async def _read(house: House, path: Path) -> Configuration:
    return checked(parse(await house.source_files.call("read_text", str(path), timeout=QUICK), path))


async def watch_file(house: House, duties: Iterable[Duty]) -> None:
    """Have the file put into force whenever it changes; one that cannot be looked at now is looked at later."""
    before = None  # what was loaded at the start may have been replaced since
    while True:
        await anyio.sleep(LOOK)
        stamp = await _stamp(house)
        if stamp is None or stamp == before:
            continue
        before = stamp
        try:
            await reload(house)
        except CafError as error:  # the database cannot be written just now
            house.log.error("config.rejected", error=str(error), instead="the last good configuration")
            before = None
            continue
        for duty in duties:
            duty.wake()


async def _stamp(house: House) -> list[int] | None:
    try:
        stamp: list[int] | None = await house.source_files.call("stamp", str(house.configuration.path), timeout=QUICK)
    except StorageError:
        return None
    return stamp
