"""The files of the status page: which blocks of runs and jobs have changed, what is in them, and what was written."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from caf.store.database import transaction

BLOCKS = {"jobs": 500, "runs": 512, "details": 32, "configurations": 1}
"""How many ids (of runs: numbers) one file of each kind holds; the triggers of schema.sql reckon alike."""
ALWAYS = "status <> 'UNCLAIMED'"  # of runs that nobody takes only the newest are shown


@dataclass(frozen=True, slots=True)
class Due:
    """A block that has changed, and how often by the time it was looked at."""

    kind: str
    number: int
    changes: int


@dataclass(frozen=True, slots=True)
class Written:
    """A block whose file is there; without a name nothing of it is shown. `about` is JSON for the index."""

    due: Due
    name: str | None
    about: str | None


@dataclass(slots=True)
class Block:
    """What is in a block; `jobs`, `attempts` and the like are those of its runs, by run or by job's id."""

    due: Due
    runs: list[sqlite3.Row] = field(default_factory=list)
    jobs: list[sqlite3.Row] = field(default_factory=list)
    attempts: list[sqlite3.Row] = field(default_factory=list)
    scripts: list[sqlite3.Row] = field(default_factory=list)
    shown: list[sqlite3.Row] = field(default_factory=list)
    trail: list[sqlite3.Row] = field(default_factory=list)
    former: list[sqlite3.Row] = field(default_factory=list)
    verdicts: dict[int, sqlite3.Row] = field(default_factory=dict)


def due(conn: sqlite3.Connection, limit: int) -> list[Due]:
    """Give blocks that have changed since they were written, lists before details, the newest first."""
    rows = conn.execute(
        "SELECT kind, number, changes FROM page WHERE changes <> written ORDER BY kind DESC, number DESC LIMIT ?",
        (limit,),
    )
    return [Due(*row) for row in rows.fetchall()]


def behind(conn: sqlite3.Connection) -> int:
    """Count the blocks that have changed since they were written."""
    return int(conn.execute("SELECT count(*) FROM page WHERE changes <> written").fetchone()[0])


def floor(conn: sqlite3.Connection, newest: int) -> int:
    """Give the number of the first of so many newest runs; 0 if there are fewer."""
    row = conn.execute("SELECT run FROM run ORDER BY run DESC LIMIT 1 OFFSET ?", (newest - 1,)).fetchone()
    return 0 if row is None else int(row[0])


def blocks(conn: sqlite3.Connection, wanted: Sequence[Due], oldest: int) -> list[Block]:
    """Give what is in some blocks. Of runs before `oldest` only those that are somebody's, or ask for somebody."""
    return [_block(conn, one, oldest) for one in wanted]


def _block(conn: sqlite3.Connection, one: Due, oldest: int) -> Block:
    first = one.number * BLOCKS[one.kind]
    last = first + BLOCKS[one.kind] - 1
    found = Block(one)
    if one.kind == "configurations":
        return found
    if one.kind == "jobs":
        found.jobs = conn.execute(
            "SELECT job.*, run.run_type, run.partition FROM job JOIN run ON run.run = job.run "
            "WHERE job.id BETWEEN ? AND ? ORDER BY job.id DESC",
            (first, last),
        ).fetchall()
        return found
    found.runs = conn.execute(
        f"SELECT * FROM run WHERE run BETWEEN ? AND ? AND ({ALWAYS} OR run >= ? OR disputed = 1 "
        "OR EXISTS (SELECT 1 FROM job WHERE job.run = run.run)) ORDER BY run DESC",
        (first, last, oldest),
    ).fetchall()
    found.jobs = conn.execute("SELECT * FROM job WHERE run BETWEEN ? AND ? ORDER BY run, id", (first, last)).fetchall()
    for number in {row["verdict_id"] for row in found.runs}:
        found.verdicts[number] = conn.execute("SELECT * FROM verdict WHERE id = ?", (number,)).fetchone()
    if one.kind == "details" and found.runs:
        _all_of(conn, found, first, last)
    return found


def _all_of(conn: sqlite3.Connection, found: Block, first: int, last: int) -> None:
    """Add what only a run's own page shows."""
    mine = "WHERE job.run BETWEEN ? AND ? ORDER BY job.id"
    found.attempts = conn.execute(
        "SELECT attempt.*, area.removed, area.why FROM job CROSS JOIN attempt ON attempt.job_id = job.id "
        f"LEFT JOIN area ON area.job_id = attempt.job_id AND area.attempt = attempt.attempt {mine}, attempt.attempt",
        (first, last),
    ).fetchall()
    found.scripts = conn.execute(
        "SELECT afterwards.* FROM job CROSS JOIN afterwards ON afterwards.job_id = job.id "
        f"{mine}, afterwards.attempt, afterwards.step",
        (first, last),
    ).fetchall()
    found.shown = conn.execute(
        f"SELECT shown.* FROM job CROSS JOIN shown ON shown.job_id = job.id {mine}, shown.attempt", (first, last)
    ).fetchall()
    found.trail = conn.execute("SELECT * FROM audit WHERE run BETWEEN ? AND ? ORDER BY id", (first, last)).fetchall()
    found.former = conn.execute(
        "SELECT former_verdict.*, verdict.status, verdict.listener FROM former_verdict "
        "JOIN verdict ON verdict.id = former_verdict.verdict_id WHERE run BETWEEN ? AND ? ORDER BY former_verdict.id",
        (first, last),
    ).fetchall()


def changed(conn: sqlite3.Connection, table: str) -> None:
    """Count a change of each block that has one of a table's runs, inside the caller's transaction.

    For whoever writes very many at once, which the triggers leave alone.
    """
    for kind in ("runs", "details"):
        conn.execute(
            f"INSERT INTO page (kind, number) SELECT DISTINCT ?, run / {BLOCKS[kind]} FROM {table} WHERE TRUE "
            "ON CONFLICT (kind, number) DO UPDATE SET changes = changes + 1",
            (kind,),
        )


def wrote(conn: sqlite3.Connection, written: Iterable[Written]) -> None:
    """Note that files hold their blocks as they were when they were looked at."""
    with transaction(conn):
        conn.executemany(
            "UPDATE page SET written = ?, name = ?, about = ? WHERE kind = ? AND number = ?",
            [(one.due.changes, one.name, one.about, one.due.kind, one.due.number) for one in written],
        )


def index(conn: sqlite3.Connection) -> list[sqlite3.Row]:
    """Give every block that has a file: kind, number, name, about; the newest first."""
    return conn.execute(
        "SELECT kind, number, name, about FROM page WHERE name IS NOT NULL ORDER BY kind, number DESC"
    ).fetchall()


def names(conn: sqlite3.Connection) -> set[str]:
    """Give the names of the files that there should be."""
    return {row[0] for row in conn.execute("SELECT name FROM page WHERE name IS NOT NULL")}


def write_anew(conn: sqlite3.Connection, lost: Iterable[str] | None = None) -> None:
    """Have the files of these names written again; None: all of them."""
    with transaction(conn):
        if lost is None:
            conn.execute("UPDATE page SET changes = changes + 1 WHERE changes = written")
        else:
            conn.executemany("UPDATE page SET changes = changes + 1 WHERE name = ?", [(name,) for name in lost])
