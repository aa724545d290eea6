"""`caf watch`: the status, live."""

import os
import signal
import sqlite3
import sys
import time
from contextlib import ExitStack
from typing import Annotated

import typer

from caf import paths
from caf.cli.colours import BAD, coloured
from caf.cli.options import Config, Place, StateDir, duration
from caf.cli.screen import Ended, Screen
from caf.cli.standing import Standing, standing
from caf.cli.statuslines import laid_out
from caf.cli.text import harmless, wrapped
from caf.domain.errors import CafError
from caf.store.database import data_version

USUAL = 2.0  # s
OLDEST = 10.0  # s; what is shown depends on the clock too, if nothing is written


def _every(text: str) -> float:
    seconds = duration(text)
    if seconds < 1:
        raise typer.BadParameter("must be 1s or more")
    return seconds


Every = Annotated[
    float | None, typer.Option("--every", metavar="2s", parser=_every, help="How often it is looked. Default: 2s.")
]


def watch(every: Every = None, config: Config = None, state: StateDir = None) -> None:
    """Show how caf does and who is needed, live.

    The same as `caf status`, as long as you look; q or Ctrl-C ends it. Into a pipe or a file it prints the status
    once a period.

    Example: caf watch --every 5s
    """
    source = Source(Place.of(config, state))
    try:
        if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
            _on_screen(source, every or USUAL)
        else:
            _in_turn(source, every or USUAL)
    except Ended as end:
        if end.number != signal.SIGINT:  # as it would have ended without a screen to give back
            signal.signal(end.number, signal.SIG_DFL)
            os.kill(os.getpid(), end.number)
    except KeyboardInterrupt:
        pass
    finally:
        source.close()


class Source:
    """The database, opened once, and what was read last: it is read again if something was written, or it is old."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._open = ExitStack()
        self._conn: sqlite3.Connection | None = None
        self._seen: tuple[object, ...] = ()
        self._file: tuple[int, int] | None = None
        self._found: Standing | None = None
        self._read = 0.0

    def look(self, now: float) -> Standing:
        """Give how things stand."""
        self._reopen()
        seen = (self._place.supervisor(), None if self._conn is None else data_version(self._conn))
        if self._found is None or seen != self._seen or not 0 <= now - self._read < OLDEST:
            self._found, self._seen, self._read = standing(self._place, self._conn, now), seen, now
        return self._found

    def close(self) -> None:
        """Close the database."""
        self._open.close()
        self._conn, self._file, self._found = None, None, None

    def _reopen(self) -> None:
        """Open it where it was not there yet, and again where a restore has put another one in its place."""
        try:
            there = os.stat(self._place.state / paths.DATABASE)
            file = (there.st_dev, there.st_ino) if there.st_size else None
        except OSError:
            file = None
        if file is None or file != self._file:
            self.close()
            self._conn = self._open.enter_context(self._place.database())
            self._file = file


def _on_screen(source: Source, every: float) -> None:
    source.look(time.time())  # what is wrong from the beginning is told in the ordinary way
    with Screen() as screen:
        due = 0.0
        while True:
            if time.monotonic() >= due:
                due = time.monotonic() + every
            screen.draw(_frame(source, screen.size()))
            if screen.wait(max(0.0, due - time.monotonic())).lower().startswith("q"):
                return


def _frame(source: Source, size: os.terminal_size) -> list[str]:
    """Lay a screen out; what goes wrong is shown, and may pass."""
    now = time.time()
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    title = f"caf at {when}" + "q: end".rjust(max(2, size.columns - len(when) - 7))
    try:
        lines = laid_out(source.look(now), now).broken(size.columns).fitted(max(1, size.lines - 2))
    except (CafError, sqlite3.Error, OSError) as error:
        source.close()
        lines = [coloured(line, BAD) for line in wrapped(harmless(str(error)), first="", rest="  ").split("\n")]
    return [title[: size.columns], "", *lines]


def _in_turn(source: Source, every: float) -> None:
    """Print one status after another, for a pipe or a file."""
    while True:
        now = time.time()
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
        print(f"caf at {when}", *laid_out(source.look(now), now).lines(), "", sep="\n", flush=True)
        time.sleep(every)
