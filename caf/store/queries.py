"""What lists, shows and the status ask of the database; nothing here writes.

An open reader holds up the supervisor's commits, so each answer is fetched whole; long lists come page by page.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caf.domain.following import STUCK
from caf.domain.jobs import FINAL, LEGAL, State
from caf.domain.matching import Status
from caf.domain.runs import SECOND
from caf.domain.slots import held

if TYPE_CHECKING:
    from caf.domain.discovery import Seen

PAGE = 5000
FEW = 5  # of what needs a person, as many are named
# One by one, so that the index leads past those that wait for a person, of which there may be very many.
UNDECIDED = ", ".join(f"'{state}'" for state in State if state not in FINAL | {State.WAITING})
_LARGEST = 2**63 - 1  # what an integer of SQLite can hold

Ranges = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs; what is empty or None does not restrict. `since` is in seconds since 1970, `limit` keeps the newest.

    A run counts as of its start, or of caf's first look at it where the start is not known.
    """

    statuses: Sequence[Status] = ()
    listener: str | None = None
    runs: Ranges = ()
    since: float | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs; what is empty or None does not restrict. `since` is about a job's last change."""

    states: Sequence[State] = ()
    job: str | None = None
    listener: str | None = None
    runs: Ranges = ()
    since: float | None = None
    limit: int | None = None


class _Where:
    """Clauses of a WHERE and their arguments, side by side."""

    def __init__(self) -> None:
        self.clauses: list[str] = []
        self.arguments: list[Any] = []

    def add(self, clause: str, *arguments: Any) -> None:
        self.clauses.append(clause)
        self.arguments += arguments

    def one_of(self, column: str, values: Sequence[str]) -> None:
        if values:
            self.add(f"{column} IN ({', '.join('?' * len(values))})", *values)

    def within(self, ranges: Ranges) -> None:
        if ranges:
            known = [(first, min(last, _LARGEST)) for first, last in ranges if first <= _LARGEST]
            bounds = [bound for pair in known for bound in pair]
            self.add(f"({' OR '.join(['run BETWEEN ? AND ?'] * len(known)) or 'FALSE'})", *bounds)

    def sql(self) -> str:
        return f"WHERE {' AND '.join(self.clauses)}" if self.clauses else ""


def runs(conn: sqlite3.Connection, wanted: RunFilter) -> Iterator[list[sqlite3.Row]]:
    """Give pages of runs, in the order of their numbers."""
    where = _Where()
    where.one_of("status", wanted.statuses)
    where.within(wanted.runs)
    if wanted.listener is not None:
        where.add("listener = ?", wanted.listener)
    if wanted.since is not None:
        # first_seen is in seconds, start in ns.
        where.add(f'coalesce("start", first_seen * {SECOND}) >= ?', wanted.since * SECOND)
    if wanted.limit is not None:
        newest = f"SELECT * FROM run {where.sql()} ORDER BY run DESC LIMIT ?"
        yield conn.execute(newest, (*where.arguments, wanted.limit)).fetchall()[::-1]
        return
    where.add("run > ?")
    select = f"SELECT * FROM run {where.sql()} ORDER BY run LIMIT {PAGE}"
    after = -_LARGEST
    while page := conn.execute(select, (*where.arguments, after)).fetchall():
        yield page
        after = page[-1]["run"]


def jobs(conn: sqlite3.Connection, wanted: JobFilter) -> Iterator[list[sqlite3.Row]]:
    """Give pages of jobs, in the order of runs and names."""
    where = _Where()
    where.one_of("state", wanted.states)
    where.within(wanted.runs)
    for column, value in (("job", wanted.job), ("listener", wanted.listener)):
        if value is not None:
            where.add(f"{column} = ?", value)
    if wanted.since is not None:
        where.add("updated >= ?", wanted.since)
    if wanted.limit is not None:
        newest = f"SELECT * FROM job {where.sql()} ORDER BY run DESC, job DESC LIMIT ?"
        yield conn.execute(newest, (*where.arguments, wanted.limit)).fetchall()[::-1]
        return
    where.add("(run, job) > (?, ?)")
    select = f"SELECT * FROM job {where.sql()} ORDER BY run, job LIMIT {PAGE}"
    after: tuple[Any, ...] = (-_LARGEST, "")
    while page := conn.execute(select, (*where.arguments, *after)).fetchall():
        yield page
        after = (page[-1]["run"], page[-1]["job"])


def run(conn: sqlite3.Connection, number: int) -> sqlite3.Row | None:
    """Give a run's row; None if it is not known."""
    row: sqlite3.Row | None = conn.execute("SELECT * FROM run WHERE run = ?", (number,)).fetchone()
    return row


def jobs_of(conn: sqlite3.Connection, number: int) -> list[sqlite3.Row]:
    """Give the jobs of one run."""
    return conn.execute("SELECT * FROM job WHERE run = ? ORDER BY id", (number,)).fetchall()


def attempts_of(conn: sqlite3.Connection, job_id: int) -> list[sqlite3.Row]:
    """Give the used attempts of one job, first to last."""
    return conn.execute("SELECT * FROM attempt WHERE job_id = ? ORDER BY attempt", (job_id,)).fetchall()


def verdict(conn: sqlite3.Connection, verdict_id: int) -> sqlite3.Row:
    """Give an interned verdict."""
    row: sqlite3.Row = conn.execute("SELECT * FROM verdict WHERE id = ?", (verdict_id,)).fetchone()
    return row


def configuration_of(conn: sqlite3.Connection, verdict_id: int) -> int:
    """Give the configuration that a verdict was reached under."""
    return int(conn.execute("SELECT configuration_id FROM verdict WHERE id = ?", (verdict_id,)).fetchone()[0])


def former_verdicts(conn: sqlite3.Connection, number: int) -> list[sqlite3.Row]:
    """Give the verdicts that a run had before, first to last, each with its status, listener and answers."""
    return conn.execute(
        "SELECT former_verdict.*, verdict.status, verdict.listener, verdict.needs_validation, verdict.answers, "
        "verdict.configuration_id FROM former_verdict JOIN verdict ON verdict.id = former_verdict.verdict_id "
        "WHERE former_verdict.run = ? ORDER BY former_verdict.id",
        (number,),
    ).fetchall()


def source_times(conn: sqlite3.Connection) -> sqlite3.Row | None:
    """Give when the source was last written (ns), when it was absorbed, and how long (s) it may stand still."""
    row: sqlite3.Row | None = conn.execute("SELECT replica_time, looked, stale FROM source WHERE id = 1").fetchone()
    return row


def seen_in(snapshot: Path, number: int) -> "Seen | None":
    """Give what a source's snapshot says of a run; None if it does not have it."""
    from caf.store.rows import seen_from  # most commands do without

    with closing(sqlite3.connect(snapshot)) as conn:
        conn.row_factory = sqlite3.Row
        row = conn.execute("SELECT * FROM run WHERE run = ?", (number,)).fetchone()
    return None if row is None else seen_from(row)


def run_counts(conn: sqlite3.Connection) -> dict[str, int]:
    """Give how many runs have each status, in the statuses' order, those that none has left out."""
    found = dict(conn.execute("SELECT status, runs FROM run_count").fetchall())
    return {status.value: found[status] for status in Status if found.get(status)}


def job_counts(conn: sqlite3.Connection) -> dict[str, int]:
    """Give how many jobs are in each state, in the states' order, those that none is in left out."""
    found = dict(conn.execute("SELECT state, sum(jobs) FROM job_count GROUP BY state").fetchall())
    return {state.value: found[state] for state in State if found.get(state)}


def in_slots(conn: sqlite3.Connection) -> int:
    """Give how many jobs take a slot of the batch system."""
    return held(job_counts(conn))


def asking_runs(conn: sqlite3.Connection, *, disputed: bool) -> tuple[int, list[sqlite3.Row]]:
    """Give how many runs two listeners take, or how many have jobs that disagree with their verdict; and the first few.

    A run that is both is counted with the disputed ones.
    """
    asking = "FROM run WHERE (status = 'CONFLICT' OR disputed = 1) AND disputed = ?"
    count = conn.execute(f"SELECT count(*) {asking}", (disputed,)).fetchone()[0]
    few = f"SELECT run, status, listener {asking} ORDER BY run LIMIT {FEW}"
    return int(count), conn.execute(few, (disputed,)).fetchall()


def failed_jobs(conn: sqlite3.Connection) -> tuple[int, list[sqlite3.Row]]:
    """Give how many failures nobody has acknowledged, and the newest few."""
    asking = "FROM job WHERE state = 'FAILED' AND acknowledged = 0"
    count = conn.execute(f"SELECT count(*) {asking}").fetchone()[0]
    return int(count), conn.execute(f"SELECT * {asking} ORDER BY id DESC LIMIT {FEW}").fetchall()


def stuck_jobs(conn: sqlite3.Connection) -> tuple[int, list[sqlite3.Row]]:
    """Give how many pending jobs the batch system will not start as things are, and the first few."""
    stuck = "state = 'PENDING' AND substr(reason, 1, ?) = ?"
    rows = _few_open(conn, stuck, len(STUCK), STUCK)
    if len(rows) < FEW:
        return len(rows), rows
    final = ", ".join(f"'{state}'" for state in State if state in FINAL)
    count = conn.execute(
        f"SELECT count(*) FROM job WHERE state NOT IN ({final}) AND {stuck}", (len(STUCK), STUCK)
    ).fetchone()
    return int(count[0]), rows


def waiting_jobs(conn: sqlite3.Connection) -> list[sqlite3.Row]:
    """Give the first few of the jobs that a person must validate."""
    return _few_open(conn, "state = 'WAITING'")


def unknown_jobs(conn: sqlite3.Connection, before: float) -> list[sqlite3.Row]:
    """Give the first few of the jobs that the batch system has not known since `before`."""
    return _few_open(conn, f"state IN ({UNDECIDED}) AND unknown_since <= ?", before)


def twin_jobs(conn: sqlite3.Connection) -> list[sqlite3.Row]:
    """Give the first few of the jobs that the batch system has more than once, and of which nobody has said which."""
    return _few_open(conn, "twins IS NOT NULL AND adopted IS NOT batch_id")


def _few_open(conn: sqlite3.Connection, clause: str, *arguments: Any) -> list[sqlite3.Row]:
    final = ", ".join(f"'{state}'" for state in State if state in FINAL)  # as the partial index job_open has it
    select = f"SELECT * FROM job WHERE state NOT IN ({final}) AND {clause} ORDER BY run, id LIMIT {FEW}"
    return conn.execute(select, arguments).fetchall()


def findings(conn: sqlite3.Connection) -> list[str]:
    """Say in a line each what is wrong with the database; an empty list if it is whole and agrees with itself."""
    found = [f"damaged: {row[0]}" for row in conn.execute("PRAGMA integrity_check") if row[0] != "ok"]
    if found:
        ways = "`caf db check --mend` mends indices; for all else put a backup in its place: `caf db restore FILE`"
        return [*found, ways]
    for row in conn.execute("PRAGMA foreign_key_check").fetchall():
        found.append(f"{row[0]} row {row[1]}: refers to a row of {row[2]} that is not there")
    stored = {(row[0], row[1]) for row in conn.execute("SELECT source, target FROM transition")}
    for meaning, pairs in (("allows", stored - LEGAL), ("lacks", LEGAL - stored)):
        found += [f"the table of transitions {meaning} {source} to {target}" for source, target in sorted(pairs)]
    for what, kept, real in (
        ("run_count", "SELECT status, runs FROM run_count", "SELECT status, count(*) FROM run GROUP BY status"),
        (
            "job_count",
            "SELECT job || ' ' || state, jobs FROM job_count",
            "SELECT job || ' ' || state, count(*) FROM job GROUP BY job, state",
        ),
    ):
        counted, there = dict(conn.execute(kept).fetchall()), dict(conn.execute(real).fetchall())
        found += [
            f"{what} says {counted.get(key, 0)} {key}, but there are {there.get(key, 0)}"
            for key in sorted(counted.keys() | there.keys())
            if counted.get(key, 0) != there.get(key, 0)
        ]
    for row in conn.execute(
        "SELECT run, job, state, job.attempt FROM job LEFT JOIN attempt ON attempt.job_id = job.id "
        "AND attempt.attempt = job.attempt AND attempt.token = job.token "
        "WHERE job.token IS NOT NULL AND attempt.token IS NULL ORDER BY run, job"
    ):
        found.append(f"job {row['job']} of run {row['run']} is {row['state']}, but attempt {row['attempt']} has no row")
    return found
