"""The run database read once, by a command: into a snapshot that is removed at once."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caf.config import Configuration


@dataclass(frozen=True, slots=True)
class Sourced:
    """What was read: the snapshot's file, the source's own account of it, when its oldest file was written (ns)."""

    snapshot: Path
    account: dict[str, Any]
    written: int


@contextmanager
def sourced(configuration: "Configuration", state: Path, first_run: int) -> Iterator[Sourced]:
    """Read all runs of the source from `first_run` on. SourceError if it cannot be read.

    A snapshot of a large database has hundreds of megabytes, which is what the state folder is for.
    """
    from caf.config import TableSource
    from caf.sources.cool import expand, marks, read_settled
    from caf.sources.table import read_table

    source = configuration.source
    with tempfile.TemporaryDirectory(prefix="caf-check-", dir=scratch(state)) as folder:
        into = Path(folder) / "snapshot.db"
        if isinstance(source, TableSource):
            looked_at = marks([str(source.path)])
            found = read_table(str(source.path), first_run, str(into))
        else:
            asked = {name: table.model_dump(mode="json") for name, table in source.attributes.items()}
            files = expand(list(source.replicas))
            found = read_settled(files, source.database, first_run, asked, str(into), source.busy_timeout)
            looked_at = found["marks"]
        yield Sourced(into, found, min(int(mark[4]) for mark in looked_at))


def scratch(folder: Path) -> str | None:
    """Give a folder for something that is removed at once; None, for the system's own, if it is not to be had."""
    return str(folder) if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK) else None
