"""Whether raw files are whole: told from their sizes and times, and from how long caf itself saw them unchanged.

The clock of a file server may differ from this machine's. One that is ahead gives times that are never old, so what
stood still before caf's own eyes for long enough is whole too. One that is behind makes files look older than they
are; up to `files_quiet` that does no harm, and what was found is looked at again before it is used.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STEADY = 60.0  # s between two looks that must agree


@dataclass(frozen=True, slots=True)
class Ripeness:
    """`why` the files are not taken yet (None: they are); when to look again (s); what was seen, and since when."""

    why: str | None
    again_in: float = 0.0
    mark: str | None = None
    since: float | None = None


def mark_of(files: Sequence[Mapping[str, Any]]) -> str:
    """Give what tells one state of some files from another: paths, sizes, times."""
    facts = sorted((file["path"], file["size"], file["mtime"]) for file in files)
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def ripeness(
    files: Sequence[Mapping[str, Any]], *, now: float, quiet: float, mark: str | None, since: float | None
) -> Ripeness:
    """Decide whether files are whole: all older than `quiet` (s), or unchanged between two looks a minute apart.

    Each file has path, size (bytes), mtime (s), and `open` if its server says that it is being written. `mark` and
    `since` are what the last look gave. An empty file must be unchanged for all of `quiet`: much is created first and
    filled later.
    """
    being_written = [file for file in files if file.get("open")]
    young = [file for file in files if now - file["mtime"] < quiet]
    if not being_written and (not young or quiet <= 0):
        return Ripeness(None)
    seen = mark_of(files)
    begun = since if since is not None and mark == seen else now
    needed = quiet if any(not file["size"] for file in young) else min(quiet, STEADY)
    if not being_written and mark == seen and now - begun >= needed:
        return Ripeness(None)
    again_in = max(needed - (now - begun), 1.0)
    return Ripeness(_why(files, being_written, young), again_in, seen, begun)


def _why(
    files: Sequence[Mapping[str, Any]], being_written: Sequence[Mapping[str, Any]], young: Sequence[Mapping[str, Any]]
) -> str:
    some = being_written or sorted(young, key=lambda file: (bool(file["size"]), -file["mtime"]))
    count = f"{len(some)} of {len(files)} files" if len(files) > 1 else "the file"
    what = "is still being written" if being_written else "may still grow" if some[0]["size"] else "is empty as yet"
    return f"{count} {what if len(some) == 1 else what.replace('is ', 'are ', 1)}: {some[0]['path']}"
