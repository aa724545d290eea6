"""What of the database can be derived from the rest of it, or from the working areas; and putting that right.

Counts by status and the table of transitions are derived from runs, jobs and the program; indices from their tables.
An attempt's row is derived from its area: the token stands in its script, how it ended in its records. A job whose row
is gone is made again by discover, and then follows its areas, as after a restore; no attempt is begun before that.
"""

import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from caf.domain.jobs import FINAL, State
from caf.store.audit import note
from caf.store.database import transaction
from caf.store.found import DUE
from caf.store.migrations import fill_transitions
from caf.store.queries import findings

_INDEX = re.compile(r"damaged: (row \d+ missing from index|wrong # of entries in index|non-unique entry in index) \S+")
_RECOUNT = (
    "DELETE FROM run_count",
    "INSERT INTO run_count SELECT status, count(*) FROM run GROUP BY status",
    "DELETE FROM job_count",
    "INSERT INTO job_count SELECT job, state, count(*) FROM job GROUP BY job, state",
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which a working area and the database differ; `mend` is None where neither is known to be right."""

    text: str
    mend: Callable[[sqlite3.Connection], object] | None = None


@dataclass(frozen=True, slots=True)
class Area:
    """A working area as it was found: what caf.storage.survey and caf.storage.records say of it."""

    run: int
    job: str
    attempt: int
    seen: Mapping[str, Any]
    records: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Give its path below the folder of all working areas."""
        return f"{self.run}_{self.job}/{self.attempt}"


def compare(conn: sqlite3.Connection, areas: Iterable[Area], database_id: str) -> list[Difference]:
    """Give what working areas and database do not agree in; areas that were never begun are of no account."""
    found = []
    for area in areas:
        if area.seen["error"] is not None:
            found.append(Difference(f"{area.name}: {area.seen['error']}"))
        elif area.seen["token"] is not None and (area.seen["facts"] or {}).get("database_id") == database_id:
            found += _compare(conn, area)
    return found


def _compare(conn: sqlite3.Connection, area: Area) -> list[Difference]:
    job = conn.execute("SELECT * FROM job WHERE run = ? AND job = ?", (area.run, area.job)).fetchone()
    if job is None:
        known = conn.execute("SELECT 1 FROM run WHERE run = ?", (area.run,)).fetchone() is not None
        what = "job" if known else "run"
        return [Difference(f"{area.name}: the database has no such {what}", lambda conn: _find_again(conn, area.run))]
    row = conn.execute("SELECT * FROM attempt WHERE job_id = ? AND attempt = ?", (job["id"], area.attempt)).fetchone()
    token = area.seen["token"]
    if row is None:
        current = area.attempt == job["attempt"]
        if area.attempt < job["attempt"] or (current and token == job["token"]):
            text = f"{area.name}: the database has no row of this attempt"
            return [Difference(text, lambda conn: _add_attempt(conn, job, area))]
        text = f"{area.name}: was begun, and the database is at attempt {job['attempt']}"
        return [Difference(text, lambda conn: _find_again(conn, None))]
    if row["token"] != token:
        return [Difference(f"{area.name}: is of token {token}, and the database has {row['token']}: look into it")]
    return _compare_ends(job, row, area)


def _compare_ends(job: sqlite3.Row, row: sqlite3.Row, area: Area) -> list[Difference]:
    """Compare how an attempt ended, once the duties have nothing more to do with it."""
    over = area.attempt < job["attempt"] or State(job["state"]) in FINAL
    facts = _facts(area)
    lacking = {name: value for name, value in facts.items() if row[name] is None}
    if not over or not lacking:
        return []
    said = ", ".join(f"{name} {value}" for name, value in lacking.items())
    text = f"{area.name}: the database lacks what its records say: {said}"
    sets = ", ".join(f"{name} = ?" for name in lacking)
    arguments = (*lacking.values(), job["id"], area.attempt)
    statement = f"UPDATE attempt SET {sets} WHERE job_id = ? AND attempt = ?"
    return [Difference(text, lambda conn: conn.execute(statement, arguments))]


def _facts(area: Area) -> dict[str, Any]:
    """Give what an attempt's records say, as its row has it."""
    facts: dict[str, Any] = {}
    start, end = area.records["start"], area.records["exit"]
    if start is not None and start["token"] == area.seen["token"]:
        facts |= {"started": start["at"], "node": start["host"]}
    if end is not None and end["token"] == area.seen["token"]:
        facts |= {"ended": end["at"], "exit_code": end["code"]}
    return facts


def _add_attempt(conn: sqlite3.Connection, job: sqlite3.Row, area: Area) -> None:
    facts = {"started": None, "node": None, "ended": None, "exit_code": None, **_facts(area)}
    conn.execute(
        "INSERT INTO attempt (job_id, attempt, token, asked, reason, started, node, ended, exit_code) "
        "VALUES (?, ?, ?, ?, 'found in its working area', ?, ?, ?, ?)",
        (job["id"], area.attempt, area.seen["token"], facts["started"] or job["created"], *facts.values()),
    )


def _find_again(conn: sqlite3.Connection, run: int | None) -> None:
    """Have all areas compared before anything is submitted; of a run that lacks jobs, have discover make them."""
    conn.execute("INSERT OR REPLACE INTO meta VALUES (?, '1')", (DUE,))
    if run is None:
        return
    conn.execute("UPDATE run SET jobs_due = 1 WHERE run = ? AND status = 'ACCEPTED'", (run,))
    if conn.execute("SELECT 1 FROM run WHERE run = ?", (run,)).fetchone() is None:
        conn.execute("DELETE FROM source")  # the run database is read as a whole then, changed or not


def mend(conn: sqlite3.Connection, differences: Iterable[Difference], now: float, who: str) -> list[str]:
    """Put right what can be derived, in one transaction; gives what was done, a text each."""
    with transaction(conn):
        before = findings(conn)
        done = []
        damage = [line for line in before if line.startswith("damaged")]
        if damage and all(_INDEX.fullmatch(line) for line in damage):
            conn.execute("REINDEX")
            done.append("indices made anew")
            before = findings(conn)
        if not any(line.startswith("damaged") for line in before):
            done += _mend_own(conn, before)
            for one in differences:
                if one.mend is not None:
                    one.mend(conn)
                    done.append(one.text)
        if done:
            note(conn, now, who, became="MENDED", why=f"caf db check --mend by {who}: {len(done)} mended: {done[0]}")
    return done


def _mend_own(conn: sqlite3.Connection, found: Iterable[str]) -> list[str]:
    done = []
    kinds = [line.partition(" ")[0] for line in found]
    if any(line.startswith("the table of transitions") for line in found):
        fill_transitions(conn)
        done.append("the table of transitions made anew")
    if {"run_count", "job_count"} & set(kinds):
        for statement in _RECOUNT:
            conn.execute(statement)
        done.append("runs and jobs counted anew")
    lost = conn.execute(
        "SELECT job.* FROM job LEFT JOIN attempt ON attempt.job_id = job.id AND attempt.attempt = job.attempt "
        "WHERE job.token IS NOT NULL AND attempt.token IS NULL"
    ).fetchall()
    for job in lost:
        conn.execute(
            "INSERT OR IGNORE INTO attempt (job_id, attempt, token, batch_id, asked) VALUES (?, ?, ?, ?, ?)",
            (job["id"], job["attempt"], job["token"], job["batch_id"], job["since"]),
        )
        done.append(f"{job['run']} {job['job']}: the row of attempt {job['attempt']} made anew")
    return done
