"""Ways to fill a real database: snapshots as a source writes them, absorbed; jobs made and moved."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from caf.domain.discovery import Rules
from caf.domain.jobs import State, Word
from caf.domain.matching import Condition, Listener, Operator
from caf.domain.runs import SECOND
from caf.sources import snapshot
from caf.store import configurations, discovery, jobs, making
from caf.store.jobs import Change
from caf.store.making import NewJob
from caf.store.verdicts import Page

DAY = 86_400.0
NOW = 1_700_000_000.0
SCAN = Listener("Scan", (Condition("run_type", Operator.EQUAL, "scan"), Condition("recorded", Operator.EQUAL, True)))
RAMP = Listener("Ramp", (Condition("run_type", Operator.EQUAL, "ramp"),), min_events=100)

WAY = (State.PREPARED, State.SUBMITTING, State.PENDING, State.RUNNING, State.FINISHED)


def write_snapshot(path: Path, runs: Iterable[Mapping[str, Any]]) -> str:
    """Write runs, given by their columns, as a source does."""
    with closing(snapshot.create(str(path))) as conn:
        for run in runs:
            columns = ", ".join(f'"{name}"' for name in run)
            marks = ", ".join("?" * len(run))
            conn.execute(f"INSERT INTO run ({columns}) VALUES ({marks})", tuple(run.values()))
    return str(path)


def rules(conn: sqlite3.Connection, listeners: Sequence[Listener] = (SCAN, RAMP), text: str = "one") -> Rules:
    """Put a configuration into force."""
    return Rules(configurations.keep(conn, text, text, "listeners.toml", NOW), listeners, (), int(DAY * SECOND))


def absorb(
    conn: sqlite3.Connection,
    judged_by: Rules,
    folder: Path,
    runs: Iterable[Mapping[str, Any]],
    now: float = NOW,
    *,
    page: int = 1000,
    replica: float | None = None,
) -> Page:
    """Take over a snapshot in pages and look at open runs again, as a round of the duty does; gives all as one page."""
    discovery.attach(conn, write_snapshot(folder / "snapshot.db", runs))
    try:
        whole = _pages(discovery.absorb, conn, judged_by, now, replica, page)
    finally:
        discovery.detach(conn)
    again = _pages(discovery.look_again, conn, judged_by, now, replica, page)
    whole.became += again.became
    whole.notable += again.notable
    return whole


def look_again(conn: sqlite3.Connection, judged_by: Rules, now: float, *, page: int = 1000) -> Page:
    """Look at open runs again, as a round over an unchanged replica does."""
    return _pages(discovery.look_again, conn, judged_by, now, None, page)


def _pages(step: Any, conn: sqlite3.Connection, judged_by: Rules, now: float, replica: float | None, size: int) -> Page:
    whole, after = Page(), -1
    while after is not None:
        page = step(conn, judged_by, after, size, now, int((now if replica is None else replica) * SECOND))
        whole.new += page.new
        whole.changed += page.changed
        whole.became += page.became
        whole.notable += page.notable
        after = page.last
    return whole


def make_jobs(conn: sqlite3.Connection, configuration: int, names: Sequence[str] = ("Fit",), now: float = NOW) -> int:
    """Make jobs of every accepted run that has none yet."""
    due = making.due_runs(conn)
    new = [
        NewJob(row["run"], name, row["listener"], waits="too few events" if row["needs_validation"] else None)
        for row in due
        for name in names
    ]
    return making.make(conn, configuration, new, [row["run"] for row in due], now)


def scanned(run: int, **columns: Any) -> dict[str, Any]:
    """Give a run of two days ago that `Scan` takes."""
    start = int((NOW - 2 * DAY) * SECOND)
    return {"run": run, "run_type": "scan", "recorded": 1, "start": start, "end": start + SECOND, **columns}


def job(conn: sqlite3.Connection, run: int, name: str = "Fit") -> sqlite3.Row:
    """Give a job's row."""
    return jobs.find(conn, run, name)


def lead_to(conn: sqlite3.Connection, run: int, state: State, now: float = NOW) -> sqlite3.Row:
    """Take a NEW job along the ordinary way to a state."""
    for target in WAY:
        row = job(conn, run)
        if row["state"] == state:
            break
        if target is State.SUBMITTING:
            assert jobs.claim_tokens(conn, [row["id"]], now)
        else:
            change = Change(row["id"], State(row["state"]), row["attempt"], target, "on its way")
            assert jobs.apply(conn, [change], now) == [True]
    if state is State.CANCELLING:
        jobs.act(conn, run, "Fit", Word.KILL, now, "ann")
    row = job(conn, run)
    assert row["state"] == state
    return row
