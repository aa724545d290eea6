"""What every duty works with: the configuration in force, the database, file children, the batch system, a clock.

There is a file child for each place that may hang by itself, so that a dead mount holds up only who needs it.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caf import log
from caf.batch.interface import Batch
from caf.config import Configuration, JobTable, ListenerTable, parse
from caf.domain.errors import ConfigError
from caf.storage.child import FileChild
from caf.store import configurations
from caf.store.database import Database
from caf.tasks.checks import Checks

CALLS = {
    "prepare": "caf.storage.area:prepare",
    "write_script": "caf.storage.area:write_script",
    "mark_of": "caf.storage.work:mark_of",
    "mark_work": "caf.storage.work:mark_work",
    "note_newest": "caf.storage.work:note_newest",
    "attempts_in": "caf.storage.survey:attempts_in",
    "removed_in": "caf.storage.survey:removed_in",
    "survey": "caf.storage.survey:survey",
    "marker_of": "caf.storage.work:marker_of",
    "read_text": "caf.storage.work:read_text",
    "stamp": "caf.storage.work:stamp",
    "read_records": "caf.storage.records:read_records",
    "stirred": "caf.storage.records:stirred",
    "revoke": "caf.storage.records:revoke",
    "find_all": "caf.storage.raw:find_all",
    "look_again": "caf.storage.raw:look_again",
    "kept_inputs": "caf.storage.raw:kept_inputs",
    "recall": "caf.storage.staging:recall",
    "archive_step": "caf.storage.archive:archive_step",
    "inspect": "caf.storage.inspect:inspect",
    "begin_after": "caf.storage.after_log:begin_entry",
    "after_words": "caf.storage.after_log:last_words",
    "write_data": "caf.storage.publish:write_data",
    "publish": "caf.storage.publish:publish",
    "data_names": "caf.storage.publish:data_names",
    "remove_data": "caf.storage.publish:remove_data",
    "copy_shown": "caf.storage.showing:copy_shown",
    "remove_shown": "caf.storage.showing:remove_shown",
    "placed": "caf.storage.account:placed",
    "group_number": "caf.storage.account:group_number",
    "file_system": "caf.storage.account:file_system",
    "ask": "caf.storage.account:ask",
    "weigh_tree": "caf.storage.weighing:weigh_tree",
    "weigh_areas": "caf.storage.weighing:weigh_areas",
    "archive_lacks": "caf.storage.archive_kept:archive_lacks",
    "remove_area": "caf.storage.removal:remove_area",
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
    state: Path = Path("state")  # the folder of the database
    archive_files: FileChild | None = None  # None: those of working areas
    report_files: FileChild | None = None  # the same
    clean_files: FileChild | None = None  # the same; its process ends with each round
    jobs_made: Callable[[], None] = lambda: None
    scripts_due: Callable[[], None] = lambda: None
    steady: Callable[[], tuple[str, float]] | None = None  # the boot, and seconds (s) of it that nobody can set
    gathered: list[Any] | None = None  # changes that a quick round commits together: see caf/tasks/organise/moves.py
    just_ended: Callable[[], set[str]] = set  # tokens of attempts of which the batch system says so by itself
    checks: Checks = field(default_factory=Checks)
    generation: int = 0  # of the database: see caf/storage/work.py
    durations: dict[str, deque[float]] | None = None  # of jobs (s) by name: see caf/tasks/organise/ahead.py
    still: dict[int, Any] = field(default_factory=dict)  # by job id: see caf/tasks/organise/still.py
    compare: bool = True  # areas may have been found that the database does not know
    log: Any = field(default_factory=log.get_log)
    _parsed: dict[int, Configuration | ConfigError] = field(default_factory=dict)

    async def each(
        self, name: str, arguments: Iterable[Sequence[Any]], *, timeout: float = QUICK, files: FileChild | None = None
    ) -> list[Any]:
        """Have a file child do the same for many; where it failed, the error stands in the list."""
        return await (files or self.files).many([(name, given) for given in arguments], timeout=timeout)

    async def configuration_of(self, configuration_id: int) -> Configuration:
        """Give a configuration that is, or once was, in force: a job finishes under the one it was made with.

        ConfigError if this version cannot read it, which must hold up nothing but the jobs under it.
        """
        if configuration_id == self.configuration_id:
            return self.configuration
        if configuration_id not in self._parsed:
            text, path = await self.database.call(configurations.text_of, configuration_id)
            try:
                self._parsed[configuration_id] = parse(text, Path(path))
            except ConfigError as error:  # written for another version of caf
                self._parsed[configuration_id] = error
        known = self._parsed[configuration_id]
        if isinstance(known, ConfigError):
            raise known
        return known

    async def tables_of(self, row: Any) -> tuple[Configuration, JobTable, ListenerTable]:
        """Give the configuration that a job was made with, and its two tables in it."""
        configuration = await self.configuration_of(row["configuration_id"])
        return configuration, configuration.jobs[row["job"]], configuration.listeners[row["listener"]]

    def slots(self) -> int:
        """Give how many of caf's own jobs may run at once; without a word as many as this machine has cores."""
        return self.configuration.batch.slots or os.cpu_count() or 1

    def area(self, row: Any, attempt: int | None = None) -> str:
        """Give the path of a job's working area: that of its current attempt, or of another."""
        number = row["attempt"] if attempt is None else attempt
        return f"{self.configuration.caf.work}/{row['run']}_{row['job']}/{number}"
