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


@contextmanager
def held(path: Path, now: float) -> Iterator[None]:
    """Hold the lock at `path`; Refused names host and process of whoever holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    try:
        for attempt in range(TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == TRIES - 1:
                    raise Refused(
                        f"{path}: another supervisor runs already: {_read(descriptor)}: end it first, "
                        "or leave it to its work"
                    ) from None
                time.sleep(PAUSE)
        os.ftruncate(descriptor, 0)
        facts = {"host": os.uname().nodename, "pid": os.getpid(), "since": now}
        os.pwrite(descriptor, json.dumps(facts).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def holder(path: Path) -> str | None:
    """Say which process on which host holds the lock; None if nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor)
    finally:
        os.close(descriptor)
    return None


def _read(descriptor: int) -> str:
    try:
        facts = json.loads(os.pread(descriptor, 4096, 0))
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(facts["since"]))
        return f"process {facts['pid']} on {facts['host']} since {since}"
    except (ValueError, KeyError, TypeError):
        return "a process that has not said which it is yet"
