"""The afterwards duty: runs the after-scripts of attempts that are DONE or FAILED, on this host, one at a time.

Which are due was noted in the transaction of the outcome, so none is missed. That one has begun is committed before it
is started, so a script runs at most once for an outcome, except where the supervisor's own end interrupted it: then
what is left of it is killed, and it is run once more; interrupted again, it is given up and shown. Whatever becomes of
a script, the job's state stays.
"""

import json
import os
import signal
import sqlite3
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from caf.config import JobTable
from caf.config.units import duration_text
from caf.domain.errors import StorageError
from caf.domain.jobs import State
from caf.store import afterwards
from caf.store.afterwards import Script, told
from caf.tasks.checks import Check, run_check
from caf.tasks.house import QUICK, House

TRIES = 2
ROUND, SOONEST = 5.0, 0.0  # s
SHARE = 0.8  # of the time that a round has, one script may take as much
AGAIN, LONGEST_WAIT = 30.0, 3600.0  # s after the first time that an area could not be used, doubled up to
# As for checks, only the shell touches the area; what the script says goes into its log there.
ENTER = 'cd "$1" && shift && exec "$@" >>log/after.log 2>&1'
MARK = "CAF_AFTER"


@dataclass(slots=True)
class Done:
    """What one round did. `again_in` is when (s) another one is worth while, if before the usual time."""

    ran: int = 0
    failed: int = 0
    again_in: float | None = None

    def summary(self) -> str | None:
        """Say what happened, if anything did."""
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.ran} after-script{'s' * (self.ran != 1)} run{failed}" if self.ran else None


def scripts_of(table: JobTable, run: int, job: str, outcome: State) -> tuple[Script, ...]:
    """Give what a job has run after such an outcome, the names of its run filled in."""
    commands = table.after.done if outcome is State.DONE else table.after.failed if outcome is State.FAILED else ()
    return tuple(
        Script(tuple(word.format(run=run, job=job) for word in command), table.after_timeout) for command in commands
    )


async def run_once(house: House) -> Done:
    """Run what is due. StorageError if an area cannot be used just now: its scripts wait, with back-off."""
    done = Done()
    await _after_interruption(house, done)
    until = house.clock() + ROUND
    while (row := await house.database.call(afterwards.next_in_line, house.clock(), LONGEST_WAIT)) is not None:
        await _run(house, row, done)
        if house.clock() >= until:
            break
    due = await house.database.call(afterwards.next_due)
    done.again_in = None if due is None else max(due - house.clock(), SOONEST)
    return done


async def _after_interruption(house: House, done: Done) -> None:
    """End what is left of scripts that a former supervisor, or a round that was abandoned, has begun."""
    rows = await house.database.call(afterwards.interrupted)
    if not rows:
        return
    end_leftovers({_mark(house, row) for row in rows})
    for row in rows:
        if row["tries"] < TRIES:
            await house.database.call(afterwards.let_begin_again, row)
        else:
            error = f"interrupted {TRIES} times by the end of the supervisor, and not run again"
            await _end(house, row, error, done)


def end_leftovers(marks: Collection[str]) -> None:
    """Kill the processes that carry one of these marks in their environment."""
    wanted = {f"{MARK}={mark}".encode() for mark in marks}
    for pid in [int(name) for name in os.listdir("/proc") if name.isdecimal()]:
        with suppress(OSError):  # gone, or another's
            process = os.pidfd_open(pid)  # held while it is looked at: the number cannot become another's
            try:
                if wanted & set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")):
                    signal.pidfd_send_signal(process, signal.SIGKILL)
            finally:
                os.close(process)


def _mark(house: House, row: sqlite3.Row) -> str:
    return f"{house.database_id}-{row['job_id']}-{row['attempt']}-{row['step']}"


async def _run(house: House, row: sqlite3.Row, done: Done) -> None:
    area = house.area(row, row["attempt"])
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(house.clock()))
    line = f"--- {at} {row['outcome']}: {told(row)}"
    work = str(house.configuration.caf.work)
    try:
        begins = await house.files.call("begin_after", work, house.database_id, area, line, timeout=QUICK)
    except StorageError as error:
        if not error.transient:
            await _end(house, row, str(error), done)
            return
        again = house.clock() + min(AGAIN * 2 ** min(row["looks"], 10), LONGEST_WAIT)
        await house.database.call(afterwards.put_off, row, again, str(error))
        raise
    await house.database.call(afterwards.begin, row, house.clock())
    await _end(house, row, await _error(house, row, area, begins), done)


async def _error(house: House, row: sqlite3.Row, area: str, begins: int) -> str | None:
    """Run a script to its end; gives what was wrong with that, None if nothing was."""
    limit = min(row["timeout"], SHARE * house.configuration.duties.timeout)
    names = {"RUN": row["run"], "JOB": row["job"], "ATTEMPT": row["attempt"], "OUTCOME": row["outcome"]}
    environment = {f"CAF_{name}": str(value) for name, value in names.items()}
    environment |= {"CAF_RESULT": row["result"] or "", MARK: _mark(house, row)}
    try:
        code, said = await run_check(Check(area, json.loads(row["command"]), limit, environment, ENTER))
    except OSError as error:
        return f"it could not be started: {error.strerror or error}"
    if code == 0:
        return None
    try:
        words = said or await house.files.call("after_words", area, begins, timeout=QUICK)
    except StorageError as error:
        words = str(error)
    return how_it_ended(code, limit) + (f"; it says: {words}" if words else "")


def how_it_ended(code: int | None, limit: float) -> str:
    """Say how a script that did not end well ended; None: not within its time."""
    if code is None:
        return f"it did not end within {duration_text(limit)} and was killed"
    meaning = {126: " (the command is not executable)", 127: " (the command was not found)"}.get(code, "")
    return f"it ended with signal {-code}" if code < 0 else f"it ended with exit code {code}{meaning}"


async def _end(house: House, row: sqlite3.Row, error: str | None, done: Done) -> None:
    await house.database.call(afterwards.end, row, house.clock(), error)
    done.ran += 1
    done.failed += error is not None
    which = {"run": row["run"], "job": row["job"], "attempt": row["attempt"], "command": told(row)}
    if error is None:
        house.log.info("after.done", **which)
    else:
        house.log.warning("after.failed", **which, error=error)
