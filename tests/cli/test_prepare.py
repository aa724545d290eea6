"""`caf jobs prepare`: shows an area, changes nothing, needs no database."""

import json
import subprocess
from pathlib import Path

from tests.world import World

RUN = "490001"


def state_of(folder: Path) -> dict[str, bytes | None]:
    """Give all that is below a folder."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def test_without_a_database_the_run_is_read_from_the_run_database(tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()
    world = World(tmp_path / "world", [490001], body='echo "#RUN_TYPE# $CAF_RUN"')
    before = state_of(world.folder)
    look = tmp_path / "look"
    done = world.caf("jobs", "prepare", RUN, "Fit", "--into", str(look))
    assert state_of(world.folder) == before
    assert "the run is from the run database" in " ".join(done.stdout.split())
    assert 'echo "scan $CAF_RUN"' in (look / "config" / "payload.sh").read_text()
    facts = json.loads((look / "job.json").read_text())
    assert (facts["run"], facts["database_id"], facts["configuration"]["id"]) == (490001, "none", None)
    assert [Path(one["path"]).name for one in facts["inputs"]] == ["events.RAW"]
    assert facts["tags"]["JOB_WORKING_DIR"] == str(look)
    # It can be tried by hand, and what that does stays in there.
    subprocess.run(["sh", str(look / "caf.sh")], check=True, timeout=30)
    assert (look / "log" / "stdout").read_text().startswith("scan 490001\n")
    assert not (world.folder / "work").exists()


def test_with_a_database_it_is_the_job_as_it_stands_and_nothing_changes(tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()
    world = World(tmp_path / "world", [490001], body="exit 1")
    world.caf("run", "--once")
    world.payloads_over()
    world.caf("run", "--once")
    world.caf("jobs", "reset", RUN, "Fit")
    before = world.query("SELECT * FROM job"), world.query("SELECT count(*) FROM audit")
    done = world.caf("jobs", "prepare", RUN, "Fit", "--into", str(tmp_path / "look"))
    assert "attempt 2; the run is from caf's database" in " ".join(done.stdout.split())
    assert (world.query("SELECT * FROM job"), world.query("SELECT count(*) FROM audit")) == before
    assert not (world.folder / "work" / "490001_Fit" / "2").exists()


def test_what_cannot_be_made_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()
    world = World(tmp_path / "world", [490001], body="echo #RELEASE#")
    look = tmp_path / "look"
    look.mkdir()
    done = world.caf("jobs", "prepare", RUN, "Fit", "--into", str(look), check=False)
    assert (done.returncode, "payload.sh:3: unknown tag #RELEASE#" in done.stderr) == (1, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["look", "world"]
    (look / "mine").touch()
    done = world.caf("jobs", "prepare", RUN, "Fit", "--into", str(look), check=False)
    assert "is no empty folder: name another one" in " ".join(done.stderr.split())
    assert [path.name for path in look.iterdir()] == ["mine"]


def test_what_is_odd_is_said(tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()
    world = World(tmp_path / "world", [490001])
    world.add_runs([490002], run_type="other")
    (world.folder / "raw" / "00490002" / "events.RAW").unlink()
    done = world.caf("jobs", "prepare", "490002", "Fit", "--into", str(tmp_path / "a"), check=False)
    assert done.returncode == 1
    assert "no listener takes run 490002, so that caf makes no such job: shown as if Scan did" in done.stderr
    assert "its raw files are not there" in done.stderr
    done = world.caf("jobs", "prepare", RUN, "Fitt", "--into", str(tmp_path / "b"), check=False)
    assert (done.returncode, "did you mean Fit?" in done.stderr) == (1, True)
    done = world.caf("jobs", "prepare", "1", "Fit", "--into", str(tmp_path / "b"), check=False)
    assert (done.returncode, "does not have it either" in " ".join(done.stderr.split())) == (1, True)
