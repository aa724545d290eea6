"""Processes of this machine: who one is, whether it lives, and what carries an attempt's token.

A process is known by pid, start time and boot, so that a pid that is used again is never taken for it.
"""

import errno
import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caf.domain.errors import BatchError

SHELL = "/bin/sh"
IGNORED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD)
"""Signals that Python, nohup, or whoever started all this may have ignored; no shell could have them back."""
NOT_FOR_OTHERS = frozenset(
    {
        b"NOTIFY_SOCKET",
        b"WATCHDOG_USEC",
        b"WATCHDOG_PID",
        b"LISTEN_FDS",
        b"LISTEN_PID",
        b"LISTEN_FDNAMES",
        b"INVOCATION_ID",
    }
)
"""Variables meant for the supervisor alone: a payload with them could say READY or STOPPING in its name."""
STAT = 4096  # bytes, more than a line of /proc/PID/stat has
NO_MORE_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
EXEC_LOOKS = 100  # one a millisecond, at a process that hides its token within exec


@dataclass(frozen=True, slots=True)
class Identity:
    """A process of one boot: its pid alone may be used again."""

    pid: int
    ticks: int
    boot: str

    def __str__(self) -> str:
        return f"{self.pid}-{self.ticks}-{self.boot[:8]}"

    @classmethod
    def parse(cls, batch_id: str) -> "Identity | None":
        """Read what `str` gave; the boot is its first eight characters."""
        pid, _, rest = batch_id.partition("-")
        ticks, _, boot = rest.partition("-")
        return cls(int(pid), int(ticks), boot) if pid.isdecimal() and ticks.isdecimal() and boot else None


def process_of(start: Mapping[str, object]) -> str | None:
    """Give the batch id of the process that wrote a start record; None if it could not tell what is needed for it."""
    pid, ticks, boot = start.get("pid"), start.get("start_ticks"), start.get("boot")
    if isinstance(pid, int) and isinstance(ticks, int) and isinstance(boot, str) and boot:
        return str(Identity(pid, ticks, boot))
    return None


def boot_id() -> str:
    """Give the kernel's name for the time since it was started."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def process_start(pid: int) -> int | None:
    """Give a process's start in clock ticks since boot (field 22 of its stat); None if it is gone or a zombie.

    BatchError where this process cannot open another file: what cannot be looked at has not ended.
    """
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            stat = os.read(descriptor, STAT)
        finally:
            os.close(descriptor)
    except OSError as error:
        _believed_gone(error)
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])


def spawn(
    program: str,
    arguments: Sequence[str],
    environment: Mapping[bytes, bytes],
    out: int | None = None,
    err: int | None = None,
) -> int:
    """Start a program in a session of its own, with no input and its output nowhere, or in the two descriptors.

    Gives its pid, or OSError. It takes under a millisecond, until the kernel has loaded the program, in which nothing
    else is done here: subprocess takes twice that, and asyncio keeps a thread for each child. What else it might
    inherit is seen to by `prepare_for_children`.
    """
    nowhere: tuple[Any, ...] = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
    return os.posix_spawn(
        program,
        list(arguments),
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            nowhere if out is None else (os.POSIX_SPAWN_DUP2, out, 1),
            (os.POSIX_SPAWN_DUP2, 1 if err is None else err, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=IGNORED,
    )


def prepare_for_children() -> None:
    """Have children inherit no file that this process itself inherited: a lock, say, that whoever started it holds.

    And have their ends told: whoever started this process may have had SIGCHLD ignored, and then the kernel takes them
    away by itself. To be called on the main thread, which alone may set signals.
    """
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of this very folder is closed again
            if int(name) > 2:
                os.set_inheritable(int(name), False)
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def survivors(token: str, session: int | None = None) -> list[int]:
    """Give the pids of all living processes that carry the token in their environment, or are in the session.

    A payload may clear its environment; it is still in the session that its wrapper led, whose number is not used
    again while anybody is in it.
    """
    mark = b"CAF_TOKEN=" + token.encode("ascii")
    try:
        pids = [n for n in os.listdir("/proc") if n.isdecimal()]
    except OSError as error:
        _believed_gone(error)
        raise
    # The session first: the environment of a process that hangs in the kernel, for want of memory, may hang its reader.
    ours = [int(n) for n in pids if (session and session_of(n) == session) or mark in environment_of(n).split(b"\0")]
    return [pid for pid in ours if process_start(pid) is not None]


def session_of(pid: str) -> int | None:
    """Give the session that a process is in (field 6 of its stat)."""
    try:
        stat = Path("/proc", pid, "stat").read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        _believed_gone(error)
        return None
    return int(stat[stat.rindex(")") + 2 :].split()[3])


def environment_of(pid: str) -> bytes:
    """Give a process's environment; none if it has none, is gone or another's.

    While a program is being loaded by exec there are neither arguments nor environment for an instant, which must not
    be taken for an end: then it is looked again.
    """
    try:
        for _ in range(EXEC_LOOKS):
            if text := Path("/proc", pid, "environ").read_bytes():
                return text
            os.readlink(f"/proc/{pid}/exe")  # fails for a thread of the kernel
            loaded = Path("/proc", pid, "cmdline").read_bytes()
            if loaded and not Path("/proc", pid, "environ").read_bytes():
                return b""
            time.sleep(0.001)
    except OSError as error:
        _believed_gone(error)
    return b""


def _believed_gone(error: OSError) -> None:
    """Take what cannot be read for gone or another's; but BatchError where no more files can be opened."""
    if error.errno in NO_MORE_FILES:
        raise BatchError(f"processes cannot be looked at: {error.strerror}: see `ulimit -n`") from error
