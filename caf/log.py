"""The log: one JSON object a line on standard output, with event names that stay the same.

Nothing secret is logged, and tracebacks hold no local variables.
"""

import sys
from typing import Any

import structlog

EVENTS = {
    "supervisor.started": "the supervisor begins; version, process, database",
    "supervisor.ready": "everything is up, the duties begin",
    "supervisor.stopping": "it was asked to end; running local jobs go on",
    "supervisor.stopped": "it has ended in order",
    "supervisor.lock_lost": "somebody removed its lock file; it stops at once, for another one could be at work",
    "config.loaded": "listeners.toml came into force",
    "config.rejected": "listeners.toml has errors; the last good one stays in force",
    "config.unheeded": "keys that this version reads but does not act on yet",
    "config.unreadable": "a stored configuration cannot be read by this version; the jobs under it wait",
    "duty.failed": "a round of a duty failed; it backs off, the others go on",
    "duty.recovered": "a duty that had failed succeeded again",
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
    "mail.sent": "the mail server has taken a mail",
    "mail.failed": "a mail could not be sent; it is kept and tried again",
    "database.changed": "a command wrote to the database; its work is taken up at once",
}
"""Every event that is logged, with its meaning: a closed list, so that logs can be searched for years."""


class _Tolerant:
    """Standard output that may go away, or never was: a log that cannot be written must not stop the work."""

    def write(self, text: str) -> int:
        try:
            return sys.stdout.write(text)
        except (OSError, ValueError, AttributeError):
            return 0

    def flush(self) -> None:
        try:
            sys.stdout.flush()
        except (OSError, ValueError, AttributeError):
            return


def _known(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if event["event"] not in EVENTS:
        raise ValueError(f"{event['event']} is not in the list of events")
    return event


def configure() -> None:
    """Set up logging for the supervisor's process."""
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=30)
    structlog.configure(
        processors=[
            _known,
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.ExceptionRenderer(tracebacks),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=_Tolerant()),  # type: ignore[arg-type]  # write and flush are all it uses
        cache_logger_on_first_use=False,
    )


def get_log(**values: Any) -> Any:
    """Give a logger that adds these values to each of its lines."""
    return structlog.get_logger(**values).bind()  # bound once, not anew for each line
