"""`init --from` and `db import`: coming from the system before."""

import tomllib
from pathlib import Path

from tests.cli.pretend import NOW, RAMP, Site, a_run, absorb
from tests.legacy import old_database
from tests.legacy.old_database import a_job
from tests.legacy.old_database import a_run as an_old_run
from tests.legacy.old_files import lay_out


def test_an_old_configuration_is_translated_and_written(empty: Site) -> None:
    old = lay_out(empty.folder / "old")
    answer = empty.caf(
        "init",
        *("--from", str(old / "RunsProviderConfig2014.py")),
        *("--jobs", str(old / "JobOrganizerConfig2014.py")),
        *("--templates", str(old / "templates2014")),
        "new",
    )
    assert (answer.status, answer.err) == (0, "")
    written = tomllib.loads(Path("new/listeners.toml").read_text())
    assert (len(written["listeners"]), len(written["jobs"])) == (7, 5)
    assert "Translated: 7 listeners, 5 jobs" in answer.out
    assert "launcherTpl.sh:5: the tag #PLOTS_WEB_DIR# has no value" in answer.out
    launcher = Path("new/templates/launcherTpl.sh")
    assert launcher.read_bytes() == (old / "templates2014/Scripts/launcherTpl.sh").read_bytes()
    assert launcher.stat().st_mode & 0o100
    assert empty.caf("init", "--from", str(old / "RunsProviderConfig2014.py"), "new").status == 1


def test_overlaps_of_an_old_configuration_are_told_with_witnesses(empty: Site) -> None:
    old = lay_out(empty.folder / "old")
    answer = empty.caf("init", "--from", str(old / "RunsProviderConfig2015.py"), "new")
    assert answer.status == 0
    assert "caf does not start before this is mended" in answer.out
    assert "listeners.LArEnergyScanHV and listeners.LArCalibL1Calo overlap: both would take a run with" in answer.out
    assert empty.caf("check", "--config", "new/listeners.toml").status == 2


def test_what_belongs_to_from_is_refused_without_it(empty: Site) -> None:
    assert empty.caf("init", "--jobs", "x.py", "new").status == 2
    assert empty.caf("init", "--from", "nix.py", "new").status == 2
    assert not Path("new").exists()


def test_an_old_database_is_taken_over(empty: Site) -> None:
    old = old_database.make(Path("rundb.db"))
    an_old_run(old, 217001, listener="Scan")
    a_job(old, 217001, "DONE", job=RAMP, result="OK")
    a_job(old, 217001, "RUN", batchid=4711, job="D3PD")
    old.close()
    answer = empty.caf("db", "import", "rundb.db")
    assert (answer.status, answer.err) == (0, "")
    assert "rundb.db: 1 run and 2 jobs taken over (1 WAITING, 1 DONE)" in answer.out
    assert "1 imported job waits for a person: caf jobs list --state WAITING" in answer.out
    assert "jobs that listeners.toml does not have: D3PD" in answer.out
    again = empty.caf("db", "import", "rundb.db")
    assert "0 runs and 0 jobs taken over" in again.out
    assert "1 run and 2 jobs were known already" in again.out
    assert empty.caf("db", "check").status == 0


def test_what_was_taken_over_is_shown_like_all_else(empty: Site) -> None:
    old = old_database.make(Path("rundb.db"))
    an_old_run(old, 217001, listener="Gone", validated=True)
    a_job(old, 217001, "RUN", batchid=4711, job="D3PD")
    old.close()
    empty.caf("db", "import", "rundb.db")
    shown = empty.caf("runs", "show", "217001")
    assert "run 217001: ACCEPTED by Gone, by import: imported from rundb.db: accepted there" in shown.out
    explained = empty.caf("listeners", "explain", "217001")
    assert explained.status == 0
    assert "Gone: takes it" in explained.out
    assert "imported_listener" in explained.out
    assert "was RUN as batch job 4711" in " ".join(empty.caf("jobs", "why", "217001", "D3PD").out.split())
    assert empty.caf("jobs", "reject", "217001", "D3PD").status == 0
    assert empty.caf("jobs", "list", "--json").json()[0]["state"] == "REJECTED"
    conn = empty.open()
    absorb(conn, empty.folder, (a_run(217001),), NOW)  # the run database knows more of it
    conn.close()
    assert empty.caf("listeners", "explain", "217001").status == 0
    assert len(empty.caf("jobs", "list", "--json").json()) == 1


def test_a_file_that_is_no_old_database_is_refused(empty: Site) -> None:
    Path("rundb.db").write_text("nonsense")
    answer = empty.caf("db", "import", "rundb.db")
    assert answer.status == 1
    assert "rundb.db: is not the old system's rundb.db" in answer.err
    assert empty.caf("db", "import", "nix.db").status == 1
    empty.config.unlink()
    assert empty.caf("db", "import", "rundb.db").status == 2
