"""The log's file, written by a process of its own: whatever becomes of the file, the supervisor never waits for it.

The supervisor hands each line over a socket that never blocks; a line that finds it full is missing in the file and
counted (standard output has it). The writer outlives a supervisor that is killed until all that it was handed is
written. It opens the file anew when that was moved or removed, and appends, so that one that was truncated goes on from
its beginning: both ways of logrotate. Run as a program, this module is the writer; it imports next to nothing.
"""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

LONGEST = 100_000  # bytes of a line; a longer one is not in the file
ROOM = 4 * 1024 * 1024  # bytes that may wait for a slow disk; the kernel's own limit may be lower
AGAIN = 5.0  # s between two writers, if one has ended by itself
HELD_UP = 5.0  # s without an answer: the file system does not answer
FAREWELL = 2.0  # s that the writer has for what is left when the supervisor ends
ASK = b"\0"  # to the writer: how does it go?


class LogFile:
    """The supervisor's side of one file. `lost` counts the lines that it does not have, `trouble` says why."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lost = 0
        self.trouble: str | None = None
        self._lost_there = 0  # as the writer said last
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._not_before = 0.0
        self._asked: float | None = None  # since when an answer is waited for
        self._handed_over = False  # the writer has been asked, or will find that in its turn

    def write(self, line: bytes) -> None:
        """Hand a line over; whatever goes wrong only loses it to the file."""
        try:
            if len(line) <= LONGEST and (writer := self._writer()) is not None:
                writer.send(line)
                return
        except BlockingIOError:  # it is full
            pass
        except OSError:
            self._give_up()
        self.lost += 1

    def look(self) -> str | None:
        """Hear from the writer how it goes, and ask again; one that has ended is started anew. Gives the trouble."""
        now = time.monotonic()
        try:
            if self._socket is None and (self.trouble is None or self._writer() is None):
                return self.trouble
            assert self._socket is not None
            with suppress(BlockingIOError):
                while answer := self._socket.recv(4096):
                    self._hear(answer.decode("utf-8", "replace"))
                self._give_up()
                return self.trouble
            if self._asked is None:
                self._asked = now
            if not self._handed_over:  # the socket may be full: then at the next look
                self._socket.send(ASK)
                self._handed_over = True
        except BlockingIOError:
            pass
        except OSError:
            self._give_up()
            return self.trouble
        if self._asked is not None and now - self._asked > HELD_UP:
            self.trouble = f"{self.path}: the file system does not answer"
        return self.trouble

    def close(self) -> None:
        """Let the writer write what it has, for a little while; it goes on by itself if that does not do."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(FAREWELL)
            self._process = None

    def _hear(self, answer: str) -> None:
        lost, _, trouble = answer.partition("\0")
        self.lost += int(lost) - self._lost_there
        self._lost_there, self._asked, self._handed_over = int(lost), None, False
        self.trouble = trouble or None

    def _writer(self) -> socket.socket | None:
        """Give the socket to the writer, started if there is none; None if one has ended only just now."""
        if self._socket is None:
            if time.monotonic() < self._not_before:
                return None
            self._not_before = time.monotonic() + AGAIN
            ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with its:
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
                command = [sys.executable, "-I", "-S", __file__, str(self.path)]
                self._process = subprocess.Popen(command, stdin=its.fileno(), start_new_session=True)
            ours.setblocking(False)
            self._socket, self._lost_there = ours, 0
            self._asked, self._handed_over = None, False
        return self._socket

    def _give_up(self) -> None:
        """Forget a writer that is gone; a later line starts another one."""
        self.trouble = f"{self.path}: the process that writes it has ended"
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.poll()


class Appender:
    """The writer's side: appends to whatever file has the name now."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: int | None = None
        self._torn = False  # the file ends in the middle of a line
        self._full = False
        self.lost = 0
        self.trouble = ""

    def write(self, line: bytes) -> None:
        """Append a line, or keep why that cannot be done."""
        try:
            file = self._current()
            left = memoryview(b"\n" + line if self._torn else line)
            while left:
                left = left[os.write(file, left) :]
                self._torn = True
        except OSError as error:
            self.lost, self.trouble = self.lost + bool(line), f"{self._path}: {error.strerror or error}"
            self._full = error.errno in {errno.ENOSPC, errno.EDQUOT}
            self._close()
        else:
            self._torn, self.trouble = False, ""

    def answer(self) -> bytes:
        """Say how it goes, and whether a folder is there again; whether a full disk has room, the next line tells."""
        if self.trouble and not self._full:
            self.write(b"")
        return f"{self.lost}\0{self.trouble}".encode()[:4096]

    def _current(self) -> int:
        """Give the file that has the name, opened anew if it is another one by now."""
        if self._file is not None:
            with suppress(FileNotFoundError):
                there, ours = os.stat(self._path), os.fstat(self._file)
                if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                    return self._file
            self._close()
            self._torn = False
        # A pipe in its place must not hang the writer until somebody reads it.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        self._file = os.open(self._path, flags, 0o640)
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
            self._file = None


def main() -> None:
    """Write what comes by the socket that is standard input, up to its end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # meant for the supervisor, whose last words are still to come
    os.umask(0o007)
    appender = Appender(sys.argv[1])
    with socket.socket(fileno=0) as end:
        while True:
            try:
                line = end.recv(LONGEST)
            except ConnectionResetError:  # the supervisor has gone, an answer unread; its last lines still come
                continue
            if not line:
                return
            if line != ASK:
                appender.write(line)
                continue
            with suppress(OSError):
                end.send(appender.answer(), socket.MSG_DONTWAIT)


if __name__ == "__main__":
    main()
