"""The credentials duty: has them renewed by a command, at an interval and well before the ticket ends.

The ticket is kept in a cache of caf's own, which all of the supervisor's children find by KRB5CCNAME. A first renewal
is tried before anything else, for working areas may be on a file system that asks for a ticket.
"""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caf import log
from caf.config import Configuration, CredentialsTable
from caf.domain import credentials as words
from caf.domain.errors import CredentialsError, StorageError
from caf.storage.child import FileChild
from caf.storage.credentials import AFTER, DEAD, DONE
from caf.store import credentials
from caf.store.credentials import Standing
from caf.store.database import Database
from caf.tasks.house import House

CALLS = {"renew": "caf.storage.credentials:renew_in_child"}
FOLDER, CACHE = "credentials", "krb5cc"
VARIABLE = "KRB5CCNAME"
IDLE, ROUND = 3600.0, 300.0  # s between two rounds, without and with [credentials]
SHARE = 2 / 3  # of a ticket's life, after which a new one is got
SOON, LASTING = 4.0, 600.0  # s between two tries, and of what does not pass by itself: realms lock accounts after some
MARGIN = 15.0  # s beyond the commands' own time


@dataclass(slots=True)
class Renewed:
    """What one round did. `again_in` is when (s) the next renewal is due."""

    done: bool = False
    expires: float | None = None
    again_in: float | None = None

    def summary(self) -> str | None:
        """Say what happened, if anything did."""
        if not self.done:
            return None
        return "renewed" if self.expires is None else f"renewed, good until {utc(self.expires)}"


def interval(configuration: Configuration) -> float:
    """Give how long (s) to wait between two rounds, at most."""
    table = configuration.credentials
    return IDLE if table is None else min(table.every, ROUND)


def cache_of(configuration: Configuration, folder: Path) -> Path | None:
    """Give the cache's path; `folder` is that of the database. None without [credentials]."""
    table = configuration.credentials
    return None if table is None else table.cache or folder.absolute() / FOLDER / CACHE


@asynccontextmanager
async def at_hand(configuration: Configuration, folder: Path, database: Database) -> AsyncIterator[None]:
    """Renew, and have all children find the cache: clients, file children, local jobs, checks, scripts.

    It is tried at every start, whenever it was done last, for a reboot takes tokens away. What goes wrong is left to
    the duty.
    """
    table, cache, before = configuration.credentials, cache_of(configuration, folder), os.environ.get(VARIABLE)
    if table is None or cache is None:
        yield
        return
    os.environ[VARIABLE] = f"FILE:{cache}"
    try:
        now = time.time()
        known = await database.call(credentials.standing) or Standing(now)
        await _renew(table, cache, known, database, now, log.get_log())
        yield
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before


async def run_once(house: House) -> Renewed:
    """Renew if it is time. CredentialsError says what is wrong and what to do, also while that is not tried again."""
    table, cache = house.configuration.credentials, cache_of(house.configuration, house.state)
    known = await house.database.call(credentials.standing)
    if table is None or cache is None:
        if known is not None:
            await house.database.call(credentials.forget)
        return Renewed()
    now = house.clock()
    known = known or Standing(now)
    if (wait := due(known, table, now) - now) > 0:
        if known.error is not None:
            raise CredentialsError(known.error)
        return Renewed(again_in=wait)
    known = await _renew(table, cache, known, house.database, now, house.log)
    if known.error is not None:
        raise CredentialsError(known.error)
    now = house.clock()
    return Renewed(True, known.expires, max(due(known, table, now) - now, 1.0))


def due(known: Standing, table: CredentialsTable, now: float) -> float:
    """Give when the next renewal is due; a time to come is one of a clock that was wrong, and does not count."""
    if known.tried > now or known.asked != _asked(table):
        return now
    if known.error is not None:
        return known.tried + min(LASTING if known.lasting else SOON, table.every)
    if known.renewed is None:
        return now
    left = table.every if known.expires is None else SHARE * (known.expires - known.renewed)
    return known.renewed + min(table.every, left)


def _asked(table: CredentialsTable) -> str:
    return repr((table.renew, table.after, table.cache))


async def _renew(
    table: CredentialsTable, cache: Path, known: Standing, database: Database, now: float, own_log: Any
) -> Standing:
    """Try once, keep how it went, and log it."""
    asked = (list(table.renew), list(table.after), str(cache), table.timeout, now)
    try:
        async with FileChild(CALLS) as child:  # one of its own: a command that hangs holds up nobody
            told = await child.call("renew", *asked, timeout=2 * table.timeout + MARGIN)
    except StorageError as trouble:
        told = {"step": "cache", "error": str(trouble), "expires": None}
    error, lasting = complaint(told, table)
    fresh = told["step"] in {DONE, AFTER}
    expires = told["expires"] if fresh else known.expires
    since = None if error is None else known.since if known.error is not None else now
    renewed = known.renewed if error is not None else now
    stands = Standing(now, renewed, expires, error, since, lasting, _asked(table))
    if error is None:
        own_log.info("credentials.renewed", until=None if expires is None else utc(expires))
    else:
        own_log.warning("credentials.failed", error=error, lasting=lasting)
    await database.call(credentials.keep, stands)
    return stands


def complaint(told: dict[str, Any], table: CredentialsTable) -> tuple[str | None, bool]:
    """Say what is wrong, None if nothing is, and whether it lasts."""
    if told["step"] == DONE:
        return None, False
    if "error" in told:
        return f"{told['error']}: see [credentials] cache", False
    if told["step"] == AFTER:
        return words.AFTER.told(f"{table.after[0]}: {told['words']}"), words.AFTER.lasting
    found = words.DEAD if told["step"] == DEAD else words.trouble(told["code"], told["words"])
    return found.told(told["words"]), found.lasting


def utc(moment: float) -> str:
    """Give a time as an operator reads it."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))
