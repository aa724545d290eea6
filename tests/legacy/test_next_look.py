"""What was taken over, and the run database that says more of it: nothing is judged into jobs."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from caf.config import Configuration
from caf.domain.discovery import Rules
from caf.domain.jobs import State
from caf.domain.runs import SECOND
from caf.sources import snapshot
from caf.store import configurations, discovery, jobs, making, queries
from tests.legacy.old_database import NOW, START, Import, a_job, a_run, the_run


def absorb(conn: sqlite3.Connection, configuration: Configuration, folder: Path, *runs: dict[str, Any]) -> None:
    """Do what a round of discover does, but make no jobs."""
    written = snapshot.create(str(folder / "snapshot.db"))
    for row in runs:
        names = ", ".join(f'"{name}"' for name in row)
        written.execute(f"INSERT INTO run ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
    written.close()
    number = configurations.keep(conn, configuration.text, configuration.sha256, str(configuration.path), NOW)
    rules = Rules(number, configuration.listeners_in_force(), (), int(86_400 * SECOND))
    discovery.attach(conn, str(folder / "snapshot.db"))
    discovery.absorb(conn, rules, -1, 1000, NOW, int(NOW * SECOND))
    discovery.look_again(conn, rules, -1, 1000, NOW, int(NOW * SECOND))
    discovery.detach(conn)


REPLICA: dict[str, Any] = {
    "run_type": "LarCalibL1Calo",
    "partition": "L1CaloCombined",
    "recorded": 1,
    "l2_events": 0,
    "stored_events": 12,
    "tier0_tag": "L1CaloEnergyScan",
    "extra": json.dumps({"timing_regime": "late"}),
    "notes": json.dumps({"tier0_tag": {"final": False, "from": 3}}),
}


@pytest.mark.parametrize("more", [{}, {"last_lb_end": START}, {"run_type": "Physics"}, {"run_type": "cosmics"}])
def test_the_next_look_at_the_run_database_leaves_standing_and_jobs(
    old: sqlite3.Connection,
    conn: sqlite3.Connection,
    bring: Import,
    configuration: Configuration,
    tmp_path: Path,
    more: dict[str, Any],
) -> None:
    """More columns, or a record that changed: shown, and nothing is run of it."""
    for run in (1, 2, 3):
        a_run(old, run, validated=run == 2)
    a_job(old, 1, "DONE", result="OK")
    a_job(old, 2, "RUN")
    bring()
    before = [dict(row) for row in conn.execute("SELECT * FROM job")]
    for _ in range(2):
        absorb(conn, configuration, tmp_path, *({"run": run, **REPLICA, **more} for run in (1, 2, 3)))
        assert making.due_runs(conn) == []
        assert [dict(row) for row in conn.execute("SELECT * FROM job")] == before
        for run in (1, 2, 3):
            row = the_run(conn, run)
            assert (row["status"], row["listener"], row["disputed"]) == ("ACCEPTED", "LArEnergyScan", 0)
            assert (row["needs_validation"], row["stored_events"]) == (run == 2, 12)
    assert queries.job_counts(conn) == {"WAITING": 1, "DONE": 1}
    assert conn.execute("SELECT count(*) FROM former_verdict").fetchone()[0] == 3


def test_what_caf_made_itself_is_left_and_told(
    old: sqlite3.Connection, conn: sqlite3.Connection, bring: Import, configuration: Configuration, tmp_path: Path
) -> None:
    """Caf had begun before anybody imported: a person must stop what would run again."""
    absorb(conn, configuration, tmp_path, {"run": 1, "end": START, "start": START, **REPLICA, "notes": None})
    due = making.due_runs(conn)
    assert [row["run"] for row in due] == [1]
    new = making.NewJob(1, "LArL1CaloRampMaker", "LArEnergyScan")
    making.make(conn, 1, [new], [1], NOW)
    a_run(old, 1)
    a_job(old, 1, "DONE", result="OK")
    taken = bring()
    assert (taken.runs, taken.known_runs, taken.known_jobs) == (0, 1, 1)
    assert jobs.find(conn, 1, "LArL1CaloRampMaker")["state"] == State.NEW
    assert any("caf jobs kill 1 LArL1CaloRampMaker" in line for line in taken.asks)
