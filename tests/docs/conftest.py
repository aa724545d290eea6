"""A small real database to ask, as the tests of the command line make it."""

from pathlib import Path

import pytest

from caf.domain.jobs import State
from caf.store import duties
from tests.cli.pretend import CONFIGURATION, NOW, RAMP, RUNS, Site, a_run, absorb, move

OVERLAPPING = """
[listeners.Any]
match = { run_type = { contains = "L1Calo" } }
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Site:
    """Runs of several statuses, one of them judged twice; jobs in several states; duties; two listeners overlap."""
    for name in ("CAF_CONFIG", "CAF_STATE", "CAF_DEBUG", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    site = Site(tmp_path, monkeypatch, capsys)
    site.config.write_text(CONFIGURATION + OVERLAPPING)
    (tmp_path / "good.toml").write_text(CONFIGURATION)
    conn = site.open()
    absorb(conn, site.folder, RUNS, NOW)
    move(conn, 490001, RAMP, State.PREPARED, State.SUBMITTING, State.RUNNING)
    for name in ("discover", "organise"):
        duties.begun(conn, name, NOW)
        duties.ended(conn, name, NOW, 4e9, summary=None, error=None)
    (site.folder / "snapshot.db").unlink()
    absorb(conn, site.folder, (a_run(490001, stored_events=3000),), NOW + 1)
    conn.close()
    return site
