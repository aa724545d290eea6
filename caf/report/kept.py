"""Configurations kept in the database, read again only where a run cannot be shown without them."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from caf.domain.runs import Correction, Record
from caf.store import queries
from caf.store.configurations import text_of
from caf.store.rows import record_from

if TYPE_CHECKING:
    from caf.config import Configuration


class Kept:
    """Remembers, for one command or one round, what it has looked up."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn
        self._verdicts: dict[int, int] = {}
        self._corrections: dict[int, Sequence[Correction]] = {}
        self._parsed: dict[int, Configuration] = {}

    def record(self, row: sqlite3.Row) -> Record:
        """Give a run as it was judged, corrections included."""
        verdict_id = row["verdict_id"]
        if verdict_id not in self._verdicts:
            self._verdicts[verdict_id] = queries.configuration_of(self._conn, verdict_id)
        return record_from(row, self._corrections_of(self._verdicts[verdict_id]))

    def configuration(self, configuration_id: int) -> "Configuration":
        """Give a kept configuration as it was understood. ConfigError where this version cannot read it."""
        if configuration_id not in self._parsed:
            from caf.config import parse  # pydantic would double the time of every command

            text, path = text_of(self._conn, configuration_id)
            self._parsed[configuration_id] = parse(text, Path(path))
        return self._parsed[configuration_id]

    def _corrections_of(self, configuration_id: int) -> Sequence[Correction]:
        if configuration_id not in self._corrections:
            text, _ = text_of(self._conn, configuration_id)
            # Most configurations correct nothing, and a list must be quick. A comment that says so costs time only.
            asked = "corrections" in "".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
            self._corrections[configuration_id] = (
                self.configuration(configuration_id).corrections_in_force() if asked else ()
            )
        return self._corrections[configuration_id]
