"""What every duty works with: the configuration in force, the database, file children, the batch system, a clock.

There is a file child for each place that may hang by itself, so that a dead mount holds up only who needs it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caf import log
from caf.batch.interface import Batch
from caf.config import Configuration, JobTable, ListenerTable, parse
from caf.storage.child import FileChild
from caf.store import configurations
from caf.store.database import Database

CALLS = {
    "prepare": "caf.storage.area:prepare",
    "write_script": "caf.storage.area:write_script",
    "own_work": "caf.storage.work:own_work",
    "marker_of": "caf.storage.work:marker_of",
    "read_text": "caf.storage.work:read_text",
    "stamp": "caf.storage.work:stamp",
    "read_records": "caf.storage.records:read_records",
    "revoke": "caf.storage.records:revoke",
    "find_raw": "caf.storage.raw:find_raw",
    "inspect": "caf.storage.inspect:inspect",
    "marks": "caf.sources.cool.files:marks",
    "expand": "caf.sources.cool.files:expand",
    "read_cool": "caf.sources.cool.runs:read_settled",
    "read_table": "caf.sources.table:read_table",
    "keep_snapshot": "caf.sources.absorbed:keep",
}
"""What the file child is asked to do; everything that may hang is in here."""

QUICK = 60.0  # s; for calls that touch a few files each


@dataclass(slots=True)
class House:
    """The one process's parts, handed to every round of every duty."""

    configuration: Configuration
    configuration_id: int
    database: Database
    database_id: str
    files: FileChild  # for working areas
    source_files: FileChild  # for the run database, and listeners.toml
    raw_files: FileChild
    batch: Batch
    clock: Callable[[], float]
    jobs_made: Callable[[], None] = lambda: None
    log: Any = field(default_factory=log.get_log)
    _parsed: dict[int, Configuration] = field(default_factory=dict)

    async def each(
        self, name: str, arguments: Iterable[Sequence[Any]], *, timeout: float = QUICK, files: FileChild | None = None
    ) -> list[Any]:
        """Have a file child do the same for many; where it failed, the error stands in the list."""
        return await (files or self.files).many([(name, given) for given in arguments], timeout=timeout)

    async def configuration_of(self, configuration_id: int) -> Configuration:
        """Give a configuration that is, or once was, in force: a job finishes under the one it was made with."""
        if configuration_id == self.configuration_id:
            return self.configuration
        if configuration_id not in self._parsed:
            text, path = await self.database.call(configurations.text_of, configuration_id)
            self._parsed[configuration_id] = parse(text, Path(path))
        return self._parsed[configuration_id]

    async def tables_of(self, row: Any) -> tuple[Configuration, JobTable, ListenerTable]:
        """Give the configuration that a job was made with, and its two tables in it."""
        configuration = await self.configuration_of(row["configuration_id"])
        return configuration, configuration.jobs[row["job"]], configuration.listeners[row["listener"]]

    def area(self, row: Any, attempt: int | None = None) -> str:
        """Give the path of a job's working area: that of its current attempt, or of another."""
        number = row["attempt"] if attempt is None else attempt
        return str(self.configuration.caf.work / f"{row['run']}_{row['job']}" / str(number))
