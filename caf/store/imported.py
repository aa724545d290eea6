"""The transaction that takes runs and jobs of the old system over into caf's database.

Runs stand as decided: by DECIDED, not by a person, but with the same effect. Whatever the run database says of them
later is taken in and shown, and changes neither their standing nor their jobs.
"""

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from caf.domain.discovery import Seen
from caf.domain.jobs import FINAL, Result, State
from caf.domain.matching import Status
from caf.store.audit import note
from caf.store.database import transaction
from caf.store.making import DISCOVER
from caf.store.rows import SEEN_COLUMNS, columns_of, quoted

DECIDED = "import"


@dataclass(frozen=True, slots=True)
class OldJob:
    """A job as caf keeps it. Times in seconds since 1970 UTC."""

    job: str
    listener: str
    state: State
    result: Result | None
    reason: str
    batch_id: str | None
    began: float | None
    ended: float | None
    in_doubt: bool = False  # it was with the batch system: it may have run, or run still


@dataclass(frozen=True, slots=True)
class OldRun:
    """A run as caf keeps it; `listener` None: it had jobs, but no verdict is known."""

    seen: Seen
    listener: str | None
    needs_validation: bool
    jobs: tuple[OldJob, ...]

    @property
    def run(self) -> int:
        """The run's number."""
        return int(self.seen.values["run"] or 0)


@dataclass(slots=True)
class Kept:
    """What became of runs and jobs; `clashes` are jobs that caf has made itself and has not finished."""

    runs: int = 0
    known_runs: int = 0
    jobs: Counter[State] = field(default_factory=Counter)
    known_jobs: int = 0
    clashes: list[tuple[int, str, str, State]] = field(default_factory=list)


def keep(
    conn: sqlite3.Connection,
    configuration_id: int,
    listeners: Sequence[str],
    runs: Sequence[OldRun],
    who: str,
    origin: str,
    now: float,
    kept: Kept,
) -> None:
    """Write runs and their jobs in one transaction; what caf knows already stays as it is.

    `configuration_id` is the imported configuration, `listeners` its listeners in their order: verdicts rest on it.
    """
    with transaction(conn):
        verdicts = {name: _verdict(conn, configuration_id, listeners, name) for name in (*listeners, None)}
        for run in runs:
            if conn.execute("SELECT 1 FROM run WHERE run = ?", (run.run,)).fetchone():
                kept.known_runs += 1
            else:
                _insert_run(conn, run, verdicts, who, origin, now)
                kept.runs += 1
            for job in run.jobs:
                _keep_job(conn, configuration_id, run, job, who, now, kept)


def _verdict(conn: sqlite3.Connection, configuration_id: int, listeners: Sequence[str], taken: str | None) -> int:
    """Give the id of the verdict of runs that one listener took; None: of those that none is known to have taken."""
    answers = " ".join("h" if name == taken else "f" for name in listeners)
    status = Status.UNCLAIMED if taken is None else Status.ACCEPTED
    conn.execute(
        "INSERT OR IGNORE INTO verdict (configuration_id, status, listener, needs_validation, answers) "
        "VALUES (?, ?, ?, ?, ?)",
        (configuration_id, status, taken, None if taken is None else 0, answers),
    )
    row = conn.execute(
        "SELECT id FROM verdict WHERE configuration_id = ? AND answers = ?", (configuration_id, answers)
    ).fetchone()
    return int(row[0])


def _insert_run(
    conn: sqlite3.Connection, run: OldRun, verdicts: Mapping[str | None, int], who: str, origin: str, now: float
) -> None:
    accepted = run.listener is not None
    status = Status.ACCEPTED if accepted else Status.IGNORED
    reason = f"imported from {origin}: " + ("accepted there" if accepted else "it had jobs there, but no verdict")
    given = {
        "run": run.run,
        **dict(zip(SEEN_COLUMNS, columns_of(run.seen), strict=True)),
        "status": status,
        "listener": run.listener,
        "needs_validation": run.needs_validation if accepted else None,
        "verdict_id": verdicts[run.listener],
        "settled": True,
        "first_seen": now,
        "judged": now,
        "decided_by": DECIDED,
        "reason": reason,
    }
    marks = ", ".join("?" * len(given))
    conn.execute(f"INSERT INTO run ({quoted(tuple(given))}) VALUES ({marks})", tuple(given.values()))
    note(conn, now, who, run=run.run, became=status, why=reason)


def _keep_job(
    conn: sqlite3.Connection, configuration_id: int, run: OldRun, job: OldJob, who: str, now: float, kept: Kept
) -> None:
    key = (run.run, job.job)
    row = conn.execute("SELECT state, configuration_id FROM job WHERE run = ? AND job = ?", key).fetchone()
    if row is not None:
        kept.known_jobs += 1
        own = conn.execute("SELECT who FROM audit WHERE run = ? AND job = ? ORDER BY id LIMIT 1", key).fetchone()
        ours = own is not None and own[0] == DISCOVER
        if ours and row["state"] not in FINAL and (job.state in FINAL or job.in_doubt):
            kept.clashes.append((run.run, job.job, row["state"], job.state))
        return
    start = run.seen.values.get("start")
    began = job.began or (start / 1e9 if isinstance(start, int) else now)
    ended = max(began, job.ended or began)
    given: list[object] = [*key, job.listener, configuration_id, job.state, job.result, job.reason, job.batch_id]
    given += [began, ended, ended, job.state is State.FAILED]  # a failure of years ago asks nobody for anything
    conn.execute(
        "INSERT INTO job (run, job, listener, configuration_id, state, result, reason, batch_id, created, since, "
        "updated, acknowledged) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        tuple(given),
    )
    note(conn, now, who, run=run.run, job=job.job, attempt=1, became=job.state, why=job.reason)
    kept.jobs[job.state] += 1
