"""Sites for the command line: one with a configuration only, one with runs and jobs."""

from pathlib import Path

import pytest

from caf.domain.jobs import Result, State
from caf.store import duties
from tests.cli.pretend import CONFIGURATION, HOSTILE, NOW, RAMP, RUNS, Site, absorb, move


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Site:
    """A site that has a configuration, and nothing else yet."""
    for name in ("CAF_CONFIG", "CAF_STATE", "CAF_DEBUG", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    site = Site(tmp_path, monkeypatch, capsys)
    site.config.write_text(CONFIGURATION)
    return site


@pytest.fixture
def site(empty: Site) -> Site:
    """A site with runs of every status and jobs in many states."""
    conn = empty.open()
    absorb(conn, empty.folder, RUNS, NOW)
    s = State
    move(
        conn,
        490001,
        RAMP,
        s.PREPARED,
        s.SUBMITTING,
        s.RUNNING,
        sets={"batch_id": "4711"},
        attempt_sets={"node": "b7", "started": NOW},
    )
    move(conn, 490006, RAMP, s.PREPARED, s.SUBMITTING, s.RUNNING, s.FINISHED)
    move(conn, 490006, RAMP, s.FAILED, why=f"exit code 1; the log ends: {HOSTILE}", result=Result.EXIT_CODE)
    move(conn, 490010, RAMP, s.PREPARED)
    for name in ("discover", "organise"):
        duties.begun(conn, name, NOW)
        duties.ended(conn, name, NOW, 4e9, summary="7 new runs", error=None)
    conn.close()
    return empty
