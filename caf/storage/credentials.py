"""Renewing credentials: a command fills a second cache, which is then renamed over the one that everybody reads.

So whoever reads the cache finds the old ticket or the new one, whole. A command that writes no cache, because it has
nothing to do with Kerberos, is as welcome.
"""

import ctypes
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from caf.domain.credentials import expiry
from caf.domain.errors import StorageError, StorageTimeout
from caf.storage.failures import storage_error
from caf.storage.programs import PDEATHSIG, Said, run

KLIST = 10.0  # s; it reads one small file
NOT_THERE = 127  # as a shell says it
RENEW, DEAD, AFTER, DONE = "renew", "dead", "after", "done"


def renew_in_child(*asked: Any) -> dict[str, Any]:
    """Do the same in a file child, which ends with its supervisor at once, whatever it is waiting for.

    A command that outlived it would write into the second cache of the next one.
    """
    library: Any = ctypes.CDLL(None)
    library.prctl(PDEATHSIG, signal.SIGKILL)
    return renew(*asked)


def renew(command: Sequence[str], after: Sequence[str], cache: str, limit: float, now: float) -> dict[str, Any]:
    """Do it once, each command in `limit` seconds, and say how far it came.

    `step` is where it ended: at the command, at a ticket that is over by `now`, at the command after it, or done.
    `code` and `words` are that command's; code None: it was killed. `expires` (s since 1970) is None where there is no
    ticket, or klist cannot read it.
    """
    fresh = f"{cache}.new"
    try:
        _make_folder(os.path.dirname(cache))
        before = _begin_with(cache, fresh)
        said = _do(command, fresh, limit)
        written = said.code == 0 and _text(fresh) not in {None, before}
        expires = _expiry(fresh) if written else None
        dead = expires is not None and expires <= now
        if written and not dead:
            _put(fresh, cache)
    except OSError as error:
        raise storage_error("write", fresh, error) from error
    finally:
        with suppress(OSError):
            os.unlink(fresh)
    if said.code != 0 or dead:
        return _told(DEAD if dead else RENEW, said, expires)
    if after:
        said = _do(after, cache, limit)
        if said.code != 0:
            return _told(AFTER, said, expires)
    return _told(DONE, said, expires)


def _told(step: str, said: "Said | Late", expires: float | None) -> dict[str, Any]:
    return {"step": step, "code": said.code, "words": said.err.strip() or said.out.strip(), "expires": expires}


class Late:
    """How a command ended that was killed: as Said, without an exit status."""

    code: int | None = None
    out = ""

    def __init__(self, why: str) -> None:
        self.err = why


def _do(command: Sequence[str], cache: str, limit: float) -> "Said | Late":
    """Run one command to its end, whatever that is."""
    if shutil.which(command[0]) is None:
        return Said(NOT_THERE, "", command[0])
    try:
        return run(command, environment(cache), limit)
    except StorageTimeout as late:
        return Late(str(late))
    except StorageError as error:  # it cannot be started, or says too much
        return Said(NOT_THERE - 1, "", str(error))


def environment(cache: str, ours: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Give a command's environment: its words are English, and it finds the cache where Kerberos looks for it."""
    kept = {name: value for name, value in ours.items() if name != "LANGUAGE"}
    return {**kept, "LC_ALL": "C", "KRB5CCNAME": f"FILE:{cache}"}


def _expiry(cache: str) -> float | None:
    """Ask klist; without it nothing is known."""
    try:
        said = run(["klist", "-c", f"FILE:{cache}"], {**environment(cache), "TZ": "UTC"}, KLIST)
    except StorageError:
        return None
    return expiry(said.out) if said.code == 0 else None


def _make_folder(folder: str) -> None:
    """Make the cache's folder for its owner alone: of two that make files there, one could lead the other astray."""
    if not os.path.isdir(folder):
        os.makedirs(folder, mode=0o700)


def _begin_with(cache: str, fresh: str) -> bytes | None:
    """Let the second cache begin as the first, for `kinit -R` renews what is there; gives its content."""
    with suppress(FileNotFoundError):
        os.unlink(fresh)
    before = _text(cache)
    if before is not None:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(before)
    return before


def _text(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return None


def _put(fresh: str, cache: str) -> None:
    """Put the second cache in the first one's place. Unsynced: after a loss of power there is a new one at once."""
    os.chmod(fresh, 0o600)
    os.rename(fresh, cache)
