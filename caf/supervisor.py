"""The one process: takes the lock, opens what the duties need, keeps them going, and stops in order."""

import faulthandler
import gc
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import anyio

from caf import __version__, heartbeat, lock, log
from caf.attention import LOG_TROUBLE
from caf.config import Configuration, load, parse
from caf.domain.errors import CafError, ConfigError, StoreError
from caf.duty import Duty
from caf.force import checked, reject, reload, watch_file
from caf.notify import ALIVE, notify, watchdog_interval
from caf.opening import open_house
from caf.paths import DATABASE, LOCK, state_folder
from caf.store import configurations
from caf.store.database import connect, remember
from caf.tasks.house import House

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
NOTICE = 0.5  # s between two looks whether a command wrote to the database
LOCK_LOOK = 5.0  # s between two looks whether the lock's file is still there, and at how the log does
FAREWELL = 5.0  # s that rounds under way have to finish when the supervisor is asked to stop


def main(config: Path, *, once: bool = False, take_over: bool = False, state: Path | None = None) -> int:
    """Run the supervisor until it is told to stop, or for one round of every duty; gives the exit status.

    ConfigError on a first start with a bad configuration; later ones go on with the last good one.
    """
    os.umask(0o007)
    with suppress(RuntimeError, ValueError, AttributeError):  # no standard error
        faulthandler.enable()  # SIGABRT, which the service manager sends to one that hangs, shows where
    log.configure()
    configuration, complaint = choose(config, state)
    folder = (state or configuration.caf.state).absolute()
    _make_folder(folder)
    os.chdir("/")  # whoever started it may take the folder away; and what clients hand over must not depend on it
    with lock.held(folder / LOCK, time.time()) as mine, log.kept_in(configuration.caf.log):
        return anyio.run(_supervise, configuration, complaint, folder, once, take_over, mine)


def choose(config: Path, state: Path | None) -> tuple[Configuration, str | None]:
    """Load listeners.toml; if that cannot be used, give the last good one and the complaint about the new one."""
    try:
        return checked(load(config)), None
    except ConfigError as error:
        last = _last_good(config, state)
        if last is None:
            raise
        return parse(last[0], Path(last[1])), str(error)


def _last_good(config: Path, state: Path | None) -> tuple[str, str] | None:
    """Give text and path of the configuration that was in force last, if there is one."""
    folder, sure = state, True
    if folder is None:
        try:
            folder = state_folder(config)
        except ConfigError:  # not even TOML: where its database is when the file does not say otherwise
            folder, sure = config.absolute().parent / "state", False
    if not (folder / DATABASE).exists():
        return None
    conn = connect(folder / DATABASE)
    try:
        last = configurations.last_good(conn)
    finally:
        conn.close()
    return last if last is not None and (sure or last[1] == str(config.absolute())) else None


def _make_folder(folder: Path) -> None:
    try:
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o2770)  # operators of the group write here too; mkdir itself drops the set-group-id bit
    except OSError as error:
        raise StoreError(f"{folder}: cannot be made: {error.strerror}: make it, or correct [caf] state") from None


async def _supervise(
    configuration: Configuration, complaint: str | None, folder: Path, once: bool, take_over: bool, mine: lock.Lock
) -> int:
    # Signals are received before anything is opened, so that one that comes early is heeded, not fatal.
    with anyio.open_signal_receiver(*SIGNALS) as signals:
        return await _in_house(configuration, complaint, folder, once, take_over, mine, signals)


async def _in_house(
    configuration: Configuration,
    complaint: str | None,
    folder: Path,
    once: bool,
    take_over: bool,
    mine: lock.Lock,
    signals: AsyncIterator[signal.Signals],
) -> int:
    async with open_house(configuration, folder, take_over) as (house, duties):
        gc.freeze()  # what is there by now stays: to look through it for garbage again and again costs some per cent
        house.log.info("supervisor.started", version=__version__, pid=os.getpid(), database=house.database_id)
        if complaint is not None:
            await reject(house, complaint)
        else:
            await house.database.call(configurations.complain, None, house.clock())
        house.log.info("config.loaded", path=str(configuration.path), sha256=configuration.sha256[:12])
        if unheeded := configuration.unheeded():
            house.log.warning("config.unheeded", keys=unheeded)
        if once:
            for name, duty in duties.items():
                await duty.round(house)
                while name == "organise" and house.checks.any() and not duty.failures:
                    await house.checks.all_ended()
                    await duty.round(house)
            return 1 if any(duty.failures for duty in duties.values()) else 0
        await _serve(house, tuple(duties.values()), mine, signals)
        house.log.info("supervisor.stopped")
    return 0 if mine.lost() is None else 1


async def _serve(
    house: House, duties: tuple[Duty, ...], mine: lock.Lock, signals: AsyncIterator[signal.Signals]
) -> None:
    """Keep all duties going until a signal ends it; then let the rounds under way finish."""
    stopping = anyio.Event()
    async with anyio.create_task_group() as group:
        async with anyio.create_task_group() as rounds:
            for duty in duties:
                rounds.start_soon(duty.keep, house, stopping)
            group.start_soon(_watch_database, house, duties)
            group.start_soon(watch_file, house, duties)
            group.start_soon(_watch_self, house)
            group.start_soon(heartbeat.keep, house)
            group.start_soon(_watch_log, house)
            group.start_soon(_watch_lock, house, mine, stopping, rounds.cancel_scope)
            group.start_soon(_heed, signals, house, duties, stopping, rounds.cancel_scope)
            house.log.info("supervisor.ready")
            notify("READY=1\nSTATUS=running")
        group.cancel_scope.cancel()
    await heartbeat.write(house, heartbeat.STOPPED)


async def _heed(
    signals: AsyncIterator[signal.Signals],
    house: House,
    duties: tuple[Duty, ...],
    stopping: anyio.Event,
    rounds: anyio.CancelScope,
) -> None:
    """TERM and INT end the supervisor in order, a second one at once; HUP has listeners.toml read again."""
    async for number in signals:
        if number == signal.SIGHUP:
            await _reload(house)
        elif stopping.is_set():
            rounds.cancel()
        else:
            house.log.info("supervisor.stopping", signal=signal.Signals(number).name)
            notify("STOPPING=1")
            stopping.set()
            rounds.deadline = anyio.current_time() + FAREWELL
        for duty in duties:
            duty.wake()


async def _reload(house: House) -> None:
    """Read listeners.toml again; the service manager is told when that begins and ends, and what came of it."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
    try:
        await reload(house)
        bad = await house.database.call(configurations.complaint) is not None
    except CafError as error:  # the database cannot be written just now; the file is looked at again by itself
        house.log.error("config.rejected", error=str(error), instead="the last good configuration")
        bad = True
    state = "running; listeners.toml is not in force: caf status" if bad else "running"
    notify(f"READY=1\nSTATUS={state}")


async def _watch_database(house: House, duties: tuple[Duty, ...]) -> None:
    """Wake the duties when a command wrote to the database; that it is busy just now is no news."""
    before = await _data_version(house)
    while True:
        await anyio.sleep(NOTICE)
        version = await _data_version(house)
        if version is not None and version != before:
            before = version
            house.log.debug("database.changed")
            for duty in duties:
                duty.wake()


async def _watch_log(house: House) -> None:
    """Look after the log now and then; why its file is not written is kept for `caf status`."""
    kept: str | None = "nothing is known of it"
    while True:
        trouble = log.look()
        if trouble != kept:
            with suppress(StoreError):
                await house.database.call(remember, LOG_TROUBLE, trouble)
                kept = trouble
        await anyio.sleep(LOCK_LOOK)


async def _watch_lock(house: House, mine: lock.Lock, stopping: anyio.Event, rounds: anyio.CancelScope) -> None:
    """Stop at once if somebody removed the lock's file: from then on another supervisor can be at work here."""
    why = None
    while why is None:
        await anyio.sleep(LOCK_LOOK)
        why = mine.lost()
    house.log.error("supervisor.lock_lost", why=why)
    notify("STOPPING=1")
    stopping.set()
    rounds.cancel()


async def _data_version(house: House) -> int | None:
    try:
        return await house.database.data_version()
    except StoreError:
        return None


async def _watch_self(house: House) -> None:
    """Tell the service manager that event loop and database are alive; a wedged duty is no reason for a restart."""
    interval = watchdog_interval()
    while interval is not None:
        await _data_version(house)
        notify(ALIVE)
        await anyio.sleep(interval)
