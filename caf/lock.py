"""One supervisor at a time: a lock that the kernel lets go of when its holder ends, however that happens."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from caf.domain.errors import Refused

TRIES, PAUSE = 10, 0.1  # `caf status` holds the lock for an instant when it asks who has it
SUPERVISOR = "supervisor"


class Lock:
    """A lock that is held. Whoever removes its file lets another process lock a new one: `lost` tells."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def lost(self) -> str | None:
        """Say what became of the file, if it is not the one that is held any more."""
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return f"{self.path} was removed"
        except OSError:  # nothing is known: that is no reason to stop
            return None
        ours = os.fstat(self._descriptor)
        same = (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
        return None if same else f"{self.path} was replaced by another file"


@contextmanager
def held(path: Path, now: float, what: str = SUPERVISOR) -> Iterator[Lock]:
    """Hold the lock at `path`; Refused names host and process of whoever holds it.

    `what` is who holds it: a supervisor, or the command that keeps all supervisors out while it is at work.
    """
    lock, descriptor = _take(path)
    try:
        os.ftruncate(descriptor, 0)
        facts = {"host": os.uname().nodename, "pid": os.getpid(), "since": now, "what": what}
        os.pwrite(descriptor, json.dumps(facts).encode(), 0)
        yield lock
    finally:
        os.close(descriptor)


def _take(path: Path) -> tuple[Lock, int]:
    """Lock the file that the path leads to: what was locked may have been removed or replaced meanwhile."""
    for attempt in range(TRIES):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock = Lock(path, descriptor)
            if lock.lost() is None:
                return lock, descriptor
            os.close(descriptor)
        except BlockingIOError:
            what, who = _read(descriptor)
            os.close(descriptor)
            if attempt == TRIES - 1:
                raise Refused(f"{path}: {_in_the_way(what, who)}") from None
            time.sleep(PAUSE)
        except OSError:
            os.close(descriptor)
            raise
    raise Refused(f"{path}: is removed again and again: find out by what, then start the supervisor anew")


def _in_the_way(what: str, who: str) -> str:
    if what == SUPERVISOR:
        return f"another supervisor runs already: {who}: end it first, or leave it to its work"
    return f"`{what}` is at work: {who}: wait until it has ended, then type the same again"


def holder(path: Path) -> str | None:
    """Say which process on which host is the supervisor; None if there is none, but perhaps a command at work."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        what, who = _read(descriptor)
        return who if what == SUPERVISOR else None
    finally:
        os.close(descriptor)
    return None


def _read(descriptor: int) -> tuple[str, str]:
    """Give what holds the lock, and which process that is."""
    try:
        facts = json.loads(os.pread(descriptor, 4096, 0))
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(facts["since"]))
        return str(facts.get("what", SUPERVISOR)), f"process {facts['pid']} on {facts['host']} since {since}"
    except (ValueError, KeyError, TypeError):
        return SUPERVISOR, "a process that has not said which it is yet"
