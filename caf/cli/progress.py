"""How far something long is: a line on standard error, in a terminal only, after two seconds, and gone at the end.

typer's own bar is there at once, stays when it is done, and puts its label into a pipe.
"""

import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TypeVar

from caf.cli.text import WIDTH, span

T = TypeVar("T")
PATIENCE = 2.0  # s; what is over by then needs no bar
PERIOD = 0.1  # s between two pictures of it
_BAR = 20
_shown: "list[Progress]" = []
"""What stands on the last line now: `hide` takes it away before something else is printed."""


class Progress:
    """A line such as `replay [####------]  40 %  4,000 of 10,000 runs  800/s  7 s left`.

    Called with how much is done, and of how much if that is known; `unit` follows the numbers, which are divided by
    `scale` (1e6 for bytes in MB).
    """

    def __init__(
        self, what: str, unit: str = "", scale: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what, self._unit, self._scale, self._clock = what, unit, scale, clock
        self._began = self._next = clock()
        self._next += PATIENCE
        self._size = 0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hide()

    def __call__(self, done: float | None = None, whole: float | None = None) -> None:
        """Show how far it is, if it is time to."""
        now = self._clock()
        if now < self._next or not sys.stderr.isatty():
            return
        self._next = now + PERIOD
        room = shutil.get_terminal_size((WIDTH, 24)).columns - 1
        text = self._line(done, whole, now - self._began)[:room]
        sys.stderr.write("\r" + text.ljust(self._size) + ("\b" * (self._size - len(text))))
        sys.stderr.flush()
        self._size = len(text)
        if self not in _shown:
            _shown.append(self)

    def hide(self) -> None:
        """Take the line away."""
        if self in _shown:
            _shown.remove(self)
            sys.stderr.write("\r" + " " * self._size + "\r")
            sys.stderr.flush()
            self._size = 0

    def _line(self, done: float | None, whole: float | None, seconds: float) -> str:
        if done is None:
            return f"{self._what} ... {span(seconds)}"
        unit = f" {self._unit}" if self._unit else ""
        rate = done / seconds if seconds > 0 else 0.0
        speed = f"  {self._number(rate)}/s" if rate / self._scale >= 1 else ""
        if whole is None or whole <= 0:
            return f"{self._what}: {self._number(done)}{unit}{speed}"
        share = min(1.0, done / whole)
        bar = f"[{'#' * int(share * _BAR):-<{_BAR}}] {share * 100:3.0f} %"
        left = f"  {span((whole - done) / rate)} left" if rate > 0 and done < whole else ""
        return f"{self._what} {bar}  {self._number(done)} of {self._number(whole)}{unit}{speed}{left}"

    def _number(self, value: float) -> str:
        return f"{value / self._scale:,.0f}"


def hide() -> None:
    """Take away what stands on the last line, so that something else can be printed there."""
    for one in list(_shown):
        one.hide()


def followed(things: Iterable[T], what: str, unit: str, whole: int) -> Iterator[T]:
    """Pass things on as they come, and show how many of them came."""
    with Progress(what, unit) as progress:
        for count, thing in enumerate(things):
            progress(count, whole)
            yield thing


@contextmanager
def busy(what: str) -> Iterator[Progress]:
    """Say what is under way, and for how long, while a block runs that cannot tell how far it is."""
    import threading  # what knows how far it is does without

    over = threading.Event()
    with Progress(what) as line:

        def tick() -> None:
            while not over.wait(0.5):
                line()

        thread = threading.Thread(target=tick, daemon=True)
        if sys.stderr.isatty():
            thread.start()
        try:
            yield line
        finally:
            over.set()
            if thread.ident is not None:
                thread.join()
