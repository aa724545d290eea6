"""What the account of the working areas is asked for: statvfs, where a path is, who is asking, and sites' clients."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from caf.domain.errors import StorageError, StorageTimeout
from caf.mounts import mount_of
from caf.storage.failures import storage_error
from caf.storage.programs import run

_CHANGES_WORDS = ("LANG", "LANGUAGE", "LC_")  # of the environment: what programs say must not depend on it


def file_system(path: str) -> dict[str, int]:
    """Give statvfs's fields of the file system that a path is on."""
    try:
        found = os.statvfs(path)
    except OSError as error:
        raise storage_error("look at", path, error) from error
    names = ("frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail")
    return {name: getattr(found, f"f_{name}") for name in names}


def placed(path: str, work: str) -> dict[str, Any]:
    """Say where a path is: same_device as `work`, holds: one of the two holds the other, and its mount's device.

    Also its group, by number and name, which a limit of a group goes by.
    """
    try:
        status, other = os.stat(path), os.stat(work)
        real, inner = os.path.realpath(path, strict=True), os.path.realpath(work, strict=True)
        common = os.path.commonpath([real, inner])
        device = mount_of(real).device
    except OSError as error:
        raise storage_error("look at", error.filename or path, error) from error
    return {
        "same_device": status.st_dev == other.st_dev,
        "holds": common in (real, inner),
        "device": device,
        "gid": status.st_gid,
        "group": _name("grp", "getgrgid", status.st_gid),
        "uid": os.geteuid(),
        "user": _name("pwd", "getpwuid", os.geteuid()),
    }


def group_number(name: str) -> int | None:
    """Give a group's number by its name or its number; None if there is none."""
    import grp

    if name.isdecimal():
        return int(name)
    with suppress(KeyError):
        return grp.getgrnam(name).gr_gid
    return None


def _name(module: str, function: str, number: int) -> str | None:
    from importlib import import_module

    with suppress(KeyError):
        name: str = getattr(import_module(module), function)(number)[0]
        return name
    return None


def ask(arguments: Sequence[str], limit: float) -> dict[str, Any]:
    """Run a client to its end, for at most `limit` s; gives its code, out and err, and took (s).

    StorageTimeout if it hangs; it is killed then, with all that it has started.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_CHANGES_WORDS)}
    began = time.monotonic()
    try:
        said = run(arguments, {**environment, "LC_ALL": "C"}, limit)
    except StorageTimeout:
        raise
    except StorageError as error:
        raise StorageError(f"{error}, or use another `provider` in [quota]") from error
    return {"code": said.code, "out": said.out, "err": said.err, "took": time.monotonic() - began}
