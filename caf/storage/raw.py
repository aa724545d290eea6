"""A run's raw files, found where the listener says that they may be: on a mounted file system, or on XRootD."""

import glob
import json
import os
import re
import stat
import time
from collections.abc import Sequence
from typing import Any

from caf.domain.errors import CafError, PreparationError, StorageError
from caf.storage.area import FACTS
from caf.storage.failures import storage_error
from caf.storage.raw_remote import Servers
from caf.storage.xrootd import is_remote, split

FIELD = re.compile(r"\{run(?::0(\d+)d)?\}")


def expand(pattern: str, run: int) -> str:
    """Put the run into a pattern: `{run}`, or `{run:08d}` for eight digits with leading zeros.

    PreparationError if another brace is left, for no glob has a use for one.
    """
    text = FIELD.sub(lambda match: f"{run:0{match[1] or 1}d}", pattern)
    if "{" in text or "}" in text:
        raise PreparationError(f"pattern {pattern!r} may hold {{run}} and {{run:08d}} and no other brace: correct it")
    return text


def find_all(requests: Sequence[tuple[list[str], int]], seconds: float) -> list[dict[str, Any]]:
    """Find the raw files of several runs, each given with its globs, for about so long.

    Gives the answers of `find_raw`, for the first runs only if the time does not do for all; what cannot be looked at
    has as its `why` the reason. A folder on XRootD is listed once for all; a server that does not answer is asked once.
    """
    servers, end = Servers(), time.monotonic() + seconds
    answers: list[dict[str, Any]] = []
    for patterns, run in requests:
        try:
            answers.append(find_raw(patterns, run, servers))
        except CafError as error:
            answers.append({"files": [], "pattern": None, "why": str(error)})
        if time.monotonic() >= end:
            break
    return answers


def find_raw(patterns: list[str], run: int, servers: Servers | None = None) -> dict[str, Any]:
    """Find a run's raw files: the first of the globs (already expanded) that yields any wins.

    A file counts if it is a regular one (links are followed) and the run's number, with or without leading zeros,
    stands somewhere in its path with no digit next to it. Gives {files, pattern}, sorted by path, or {files: [],
    pattern: None, why}. Of each file: path, size (bytes), mtime (s since 1970, by the server's clock), and where it is
    so `offline` (on tape only), `open` (the server says that it is being written).
    """
    number = re.compile(rf"(?<!\d)0*{run}(?!\d)")
    servers = servers or Servers()
    reasons = []
    for pattern in patterns:
        remote = is_remote(pattern)
        server = split(pattern)[0] if remote else ""
        matches = servers.matches(pattern) if remote else sorted(set(glob.iglob(pattern, recursive=True)))
        named = [path for path in matches if number.search(path.removeprefix(server))]
        seen = servers.look(named) if remote else [_look(path) for path in named]
        files = [one for one in seen if one is not None]
        if files:
            return {"files": files, "pattern": pattern}
        reasons.append(_why(pattern, run, len(matches), len(named), servers))
    return {"files": [], "pattern": None, "why": "; ".join(reasons) or "no pattern is given"}


def kept_inputs(area: str) -> list[dict[str, Any]]:
    """Give the raw files that a working area was made with. StorageError if it does not say."""
    path = os.path.join(area, FACTS)
    try:
        with open(path, encoding="utf-8") as file:
            inputs: list[dict[str, Any]] = json.load(file)["inputs"]
    except OSError as error:
        raise storage_error("read", path, error) from error
    except (ValueError, KeyError, TypeError):
        raise StorageError(f"{path} is damaged: caf jobs reset begins the job again") from None
    return inputs


def look_again(requests: Sequence[Sequence[dict[str, Any]]], seconds: float) -> list[str | None]:
    """Look once more at files that were found before, of several runs, for about so long.

    Gives of each run what is different (gone, of another size or time, back on tape), None if nothing is; of the
    first runs only if the time does not do for all.
    """
    servers, end = Servers(), time.monotonic() + seconds
    answers: list[str | None] = []
    for files in requests:
        try:
            answers.append(_difference(files, servers))
        except CafError as error:
            answers.append(str(error))
        if time.monotonic() >= end:
            break
    return answers


def _difference(files: Sequence[dict[str, Any]], servers: Servers) -> str | None:
    remote = [file["path"] for file in files if is_remote(file["path"])]
    seen = dict(zip(remote, servers.look(remote), strict=True))
    for file in files:
        path = file["path"]
        now = seen[path] if path in seen else _look(path)
        if now is None:
            return f"{path} is gone"
        if now["size"] != file["size"]:
            return f"{path} had {file['size']} bytes and has {now['size']} now"
        if now["mtime"] != file.get("mtime", now["mtime"]):
            return f"{path} was written again"
        if now.get("offline"):
            return f"{path} is on tape only"
    return None


def _look(path: str) -> dict[str, Any] | None:
    """Give path, size and time of a regular file; None for anything else, such as a link to nowhere."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise storage_error("look at", path, error) from error
    if not stat.S_ISREG(status.st_mode):
        return None
    return {"path": path, "size": status.st_size, "mtime": status.st_mtime}


def _why(pattern: str, run: int, matches: int, named: int, servers: Servers) -> str:
    if named:
        return f"{pattern} matches {named} entries but no regular file"
    if matches:
        return f"{pattern} matches {matches} entries, none with the number {run}"
    if is_remote(pattern):
        return f"{pattern} matches nothing{servers.nearest(pattern)}"
    folder = _nearest_folder(pattern)
    if not os.access(folder, os.R_OK | os.X_OK):
        return f"{pattern} matches nothing: {folder} may not be read"
    return f"{pattern} matches nothing; nearest folder that exists: {folder}"


def _nearest_folder(pattern: str) -> str:
    """Give the deepest folder on the way to a pattern's first wildcard that is there."""
    folder = os.path.dirname(pattern)
    while glob.has_magic(folder) or not os.path.isdir(folder):
        parent = os.path.dirname(folder)
        if parent == folder:
            return folder or "."
        folder = parent
    return folder
