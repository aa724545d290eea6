"""A terminal's other screen: drawn without flicker, read a key at a time, given back as it was whatever ends it."""

import os
import select
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Sequence
from types import FrameType, TracebackType

from caf.cli.colours import uncoloured
from caf.cli.text import broken, width

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"  # the other screen; without a cursor
_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NEWS = (signal.SIGWINCH, signal.SIGTSTP)


class Ended(BaseException):
    """A signal came that ends it; raised wherever that was, for a terminal that is stopped (Ctrl-S) blocks."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _end(number: int, _frame: FrameType | None) -> None:
    for one in _END:  # a second one must not come between while the terminal is given back
        signal.signal(one, signal.SIG_IGN)
    raise Ended(number)


class Screen:
    """What is on it while the block runs; `Ended` comes out of the block on Ctrl-C, TERM and HUP."""

    def __init__(self) -> None:
        self._keys = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
        self._out = sys.stdout.fileno()
        self._shown: list[str] = []
        self._stop = False

    def __enter__(self) -> "Screen":
        self._woken, self._wakes = os.pipe()
        for end in (self._woken, self._wakes):
            os.set_blocking(end, False)
        self._before = {number: signal.getsignal(number) for number in (*_END, *_NEWS)}
        self._wakes_before = signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)
        self._typed = termios.tcgetattr(self._keys) if self._keys is not None else None
        for number in _NEWS:
            signal.signal(number, self._note)
        for number in _END:
            signal.signal(number, _end)
        try:
            self._begin()
        except BaseException:
            self._give_back()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in (*_END, *_NEWS):  # nothing comes between now
            signal.signal(number, signal.SIG_IGN)
        self._give_back()
        signal.set_wakeup_fd(self._wakes_before)
        for number, before in self._before.items():
            signal.signal(number, before)
        os.close(self._woken)
        os.close(self._wakes)

    def size(self) -> os.terminal_size:
        """Give columns and rows as they are now."""
        return shutil.get_terminal_size((80, 24))

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines from the top, in one write; nothing is written if they are there already."""
        columns, rows = self.size()
        pieces = [piece for line in lines for piece in broken(line, columns)][:rows]
        if pieces == self._shown:
            return
        self._shown = pieces
        # What fills its line is not erased to the end, for the cursor then still stands on its last character.
        ended = [piece if width(uncoloured(piece)) >= columns else f"{piece}\x1b[K" for piece in pieces]
        self._write("\x1b[H" + "\r\n".join(ended) + ("\x1b[J" if len(pieces) < rows else ""))

    def wait(self, seconds: float) -> str:
        """Wait for a key and give it; empty: the time is over, or the size has changed."""
        inputs = [self._woken] if self._keys is None else [self._woken, self._keys]
        ready = select.select(inputs, [], [], seconds)[0]
        if self._woken in ready:
            os.read(self._woken, 1000)
            self._shown = []
        if self._stop:
            self._pause()
        if self._keys is not None and self._keys in ready:
            typed = os.read(self._keys, 100)
            if not typed:  # the terminal is gone
                raise Ended(signal.SIGHUP)
            return typed.decode("ascii", "replace")
        return ""

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._stop = self._stop or number == signal.SIGTSTP

    def _pause(self) -> None:
        """Do what Ctrl-Z asks for, and come back with `fg`."""
        self._stop = False
        self._give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._note)
        self._begin()

    def _begin(self) -> None:
        if self._keys is not None:
            tty.setcbreak(self._keys)
        self._shown = []
        self._write(_ENTER)

    def _give_back(self) -> None:
        try:
            termios.tcflow(self._out, termios.TCOON)  # it may have been stopped
            self._write(_LEAVE)
            if self._keys is not None and self._typed is not None:
                termios.tcsetattr(self._keys, termios.TCSADRAIN, self._typed)
        except (OSError, termios.error):
            pass  # the terminal is gone

    def _write(self, text: str) -> None:
        left = text.encode("utf-8", "replace")
        while left:
            left = left[os.write(self._out, left) :]
