"""The dead-man's file: rewritten as long as the supervisor lives, so that a check needs nothing of caf but that file.

Unlike the service manager's watchdog, which would restart a supervisor for nothing while the database is merely
locked, it is not written then: nothing goes on, and somebody should know.
"""

import os
from pathlib import Path

import anyio

from caf import __version__
from caf.domain.errors import CafError
from caf.paths import HEARTBEAT
from caf.store.heartbeat import beat
from caf.tasks.house import House

EVERY = 15.0  # s
GROUPS = 0o660  # as everything in the state folder
ANYBODYS = 0o644  # for a monitor of any account, where somebody has put it elsewhere
RUNS, STOPPED = "runs", "stopped"


async def keep(house: House) -> None:
    """Write it again and again; that it cannot be written is logged once, until it can."""
    told = False
    while True:
        error = await write(house, RUNS)
        if error is not None and not told:
            house.log.error("heartbeat.failed", error=error)
        told = error is not None
        await anyio.sleep(EVERY)


async def write(house: House, state: str) -> str | None:
    """Write it once; gives what was wrong, None if nothing was."""
    elsewhere = house.configuration.caf.heartbeat
    path, mode = (house.state / HEARTBEAT, GROUPS) if elsewhere is None else (elsewhere, ANYBODYS)
    try:
        await house.database.call(beat, path, _lines(house, state), mode)
    except CafError as error:
        return str(error)
    except OSError as error:
        return f"{path}: cannot be written: {error.strerror}"
    return None


def _lines(house: House, state: str) -> str:
    facts = {
        "time": int(house.clock()),  # s since 1970
        "state": state,
        "host": os.uname().nodename,
        "pid": os.getpid(),
        "version": __version__,
        "config": Path(house.configuration.path),
    }
    return "".join(f"{name}={value}\n" for name, value in facts.items())
