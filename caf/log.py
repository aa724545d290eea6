"""The log: one JSON object a line on standard output and, if asked for, in a file; event names stay the same.

Nothing secret is logged, and tracebacks hold no local variables. What comes again and again is counted (caf/flood.py).
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

from caf.flood import Flood
from caf.logfile import LogFile

EVENTS = {
    "supervisor.started": "the supervisor begins; version, process, database",
    "supervisor.ready": "everything is up, the duties begin",
    "supervisor.stopping": "it was asked to end; running local jobs go on",
    "supervisor.stopped": "it has ended in order",
    "supervisor.lock_lost": "somebody removed its lock file; it stops at once, for another one could be at work",
    "config.loaded": "listeners.toml came into force",
    "config.rejected": "listeners.toml has errors; the last good one stays in force",
    "config.unheeded": "keys that nothing acts on, for the table that they need is not in the file",
    "config.unreadable": "a stored configuration cannot be read by this version; the jobs under it wait",
    "duty.failed": "a round of a duty failed; it backs off, the others go on",
    "duty.recovered": "a duty that had failed succeeded again",
    "heartbeat.failed": "the heartbeat file cannot be written, or the database cannot be used: monitors will ask",
    "duty.late": "how a duty did could not be recorded in the database",
    "discover.progress": "how far a long look at the run database is",
    "source.read": "the run database had changed and was read as a whole",
    "source.problem": "a row of the run database could not be read; the others were",
    "source.stale": "the run database has not changed for long: its copying may be dead",
    "run.open": "something about a run is not known yet; it is looked at again",
    "run.accepted": "exactly one listener takes the run",
    "run.unclaimed": "no listener takes the run",
    "run.conflict": "two or more listeners would take the run; a person must assign it",
    "runs.judged": "very many verdicts at once, counted by status",
    "jobs.made": "jobs were made of accepted runs",
    "jobs.flood": "one round would make too many jobs; all of them wait for a person",
    "job.moved": "a job changed its state",
    "job.found": "a working area that the database did not know belongs to this job: it was taken over",
    "work.compared": "all working areas were compared with the database, after they were taken over",
    "job.doubtful": "what becomes of an attempt is not known; it is never taken for its end",
    "job.twin": "the batch system has further jobs with one attempt's token; only one can start the payload",
    "clock.set": "this machine's clock was set; all times that open jobs hold were moved along",
    "slots.unknown": "the batch system does not say how many slots a group uses; none of its jobs is submitted",
    "attempt.archived": "an attempt's working area is in the archive, every file compared",
    "archive.failed": "an attempt's working area could not be archived; it is tried again",
    "submit.failed": "the batch system did not take, or did not answer, a submission",
    "poll.failed": "the batch system did not answer; nothing changes",
    "batch.unreadable": "a client of the batch system printed what cannot be read; it stands here in full",
    "after.done": "an after-script has ended well",
    "after.failed": "an after-script could not be run, or did not end well; the job's state stays",
    "credentials.renewed": "credentials were renewed",
    "credentials.failed": "credentials could not be renewed; those in use stay until they end",
    "backup.made": "the database was backed up, and the copy read as a whole; `held_s` is how long others waited",
    "backup.copied": "the newest backup is in the second place too",
    "quota.unknown": "how full the account is could not be read; nothing is removed",
    "quota.full": "the account is too full, and nothing may be removed",
    "area.removed": "a working area was removed: what it weighed, and why",
    "area.stays": "a working area could not be removed or weighed, or must be archived again first",
    "mail.sent": "the mail server has taken a mail",
    "mail.failed": "a mail could not be sent; it is kept and tried again",
    "log.repeated": "`count` lines of the event `of` were left out since `since`; the rest is the last one's",
    "log.failed": "the log file cannot be written; standard output has everything",
    "log.resumed": "the log file is written again; `lost` lines are on standard output only",
    "database.changed": "a command wrote to the database; its work is taken up at once",
}
"""Every event that is logged, with its meaning: a closed list, so that logs can be searched for years."""


class _Outlets:
    """Standard output, which may go away or never was, and the file: neither of them can stop the work."""

    def __init__(self) -> None:
        self.file: LogFile | None = None
        self.flood = Flood()

    def write(self, text: str) -> int:
        if self.file is not None:
            self.file.write(text.encode("utf-8", "backslashreplace"))
        try:
            return sys.stdout.write(text)
        except (OSError, ValueError, AttributeError):
            return 0

    def flush(self) -> None:
        try:
            sys.stdout.flush()
        except (OSError, ValueError, AttributeError):
            return


_OUT = _Outlets()


def _known(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if event["event"] not in EVENTS:
        raise ValueError(f"{event['event']} is not in the list of events")
    return event


def _calm(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Drop what is only counted."""
    if event["event"] == "log.repeated":
        event["level"] = event.pop("as_level")
        return event
    now = time.monotonic()
    _tell_counted(now)
    if not _OUT.flood.passes(event, now):
        raise structlog.DropEvent
    return event


def _tell_counted(now: float, *, all_of_them: bool = False) -> None:
    for line in _OUT.flood.over(now, all_of_them=all_of_them):
        log = structlog.get_logger()
        log.info("log.repeated", as_level=line.pop("level"), **line)


def configure() -> None:
    """Set up logging for the supervisor's process."""
    _OUT.flood = Flood()
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=30)
    structlog.configure(
        processors=[
            _known,
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _calm,
            structlog.processors.ExceptionRenderer(tracebacks),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=_OUT),  # type: ignore[arg-type]  # write and flush are all it uses
        cache_logger_on_first_use=False,
    )


def get_log(**values: Any) -> Any:
    """Give a logger that adds these values to each of its lines."""
    return structlog.get_logger(**values).bind()  # bound once, not anew for each line


def keep_in(path: Path | None) -> None:
    """Have all lines from now on in this file too; None: in none."""
    old = _OUT.file
    if old is not None and old.path == path:
        return
    _OUT.file = None if path is None else LogFile(path)
    if old is not None:
        old.close()


def look() -> str | None:
    """Tell what was counted, and give why the file is not written, if so; to be called every few seconds."""
    _tell_counted(time.monotonic())
    file = _OUT.file
    if file is None:
        return None
    before, log = file.trouble, structlog.get_logger()
    trouble = file.look()
    if trouble is not None and before is None:
        log.warning("log.failed", error=trouble)
    elif trouble is None and before is not None:
        log.warning("log.resumed", lost=file.lost)
        file.lost = 0
    return trouble


@contextmanager
def kept_in(path: Path | None) -> Iterator[None]:
    """Have a file for a while; at its end tell what was counted, and let the file have all that is left."""
    keep_in(path)
    try:
        yield
    finally:
        _tell_counted(time.monotonic(), all_of_them=True)
        keep_in(None)
