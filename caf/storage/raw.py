"""A run's raw files, found where the listener says that they may be."""

import glob
import os
import re
import stat
from typing import Any

from caf.domain.errors import PreparationError
from caf.storage.failures import storage_error

FIELD = re.compile(r"\{run(?::0(\d+)d)?\}")


def expand(pattern: str, run: int) -> str:
    """Put the run into a pattern: `{run}`, or `{run:08d}` for eight digits with leading zeros.

    PreparationError if another brace is left, for no glob has a use for one.
    """
    text = FIELD.sub(lambda match: f"{run:0{match[1] or 1}d}", pattern)
    if "{" in text or "}" in text:
        raise PreparationError(f"pattern {pattern!r} may hold {{run}} and {{run:08d}} and no other brace: correct it")
    return text


def find_raw(patterns: list[str], run: int) -> dict[str, Any]:
    """Find a run's raw files: the first of the globs (already expanded) that yields any wins.

    A file counts if it is a regular one (links are followed) and the run's number, with or without leading zeros,
    stands somewhere in its path with no digit next to it. Gives {files: [{path, size in bytes}], pattern}, sorted by
    path, or {files: [], pattern: None, why}. Files that are empty or still grow are given as they are: the caller
    compares two looks.
    """
    number = re.compile(rf"(?<!\d)0*{run}(?!\d)")
    reasons = []
    for pattern in patterns:
        matches = sorted(set(glob.iglob(pattern, recursive=True)))
        named = [path for path in matches if number.search(path)]
        files = [{"path": path, "size": size} for path in named if (size := _size(path)) is not None]
        if files:
            return {"files": files, "pattern": pattern}
        reasons.append(_why(pattern, run, len(matches), len(named)))
    return {"files": [], "pattern": None, "why": "; ".join(reasons) or "no pattern is given"}


def _size(path: str) -> int | None:
    """Give a regular file's size; None for anything else, such as a link to nowhere."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error("look at", path, error) from error
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _why(pattern: str, run: int, matches: int, named: int) -> str:
    if named:
        return f"{pattern} matches {named} entries but no regular file"
    if matches:
        return f"{pattern} matches {matches} entries, none with the number {run}"
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
