"""After-scripts with the real program, killed while one runs: none is missed, none runs more than once too often."""

from collections import Counter
from pathlib import Path

from tests.world import World, wait_until

RUNS = [490001, 490002, 490003]


def world(folder: Path, more: str = ":") -> World:
    """One run whose payload fails; scripts write a line when they begin and one when they end."""
    script = f"echo begun $CAF_RUN $CAF_OUTCOME $1 >>{folder}/scripts; {more}; echo ended $CAF_RUN >>{folder}/scripts"
    after = f"after = {{ done = [['sh', '-c', '{script}', 'sh', '{{job}}']], failed = [['config/scanlogs.sh']] }}\n"
    made = World(folder, RUNS, body="test $CAF_RUN != 490002 || exit 3", job=after).quick()
    made.edit('templates = ["payload.sh"]', 'templates = ["payload.sh", "scanlogs.sh"]')
    scan = folder / "templates" / "scanlogs.sh"
    scan.write_text(f"#!/bin/sh\necho scanned $CAF_RUN $CAF_RESULT >>{folder}/scripts\ngrep -c good log/stdout\n")
    scan.chmod(0o755)
    return made


def said(folder: Path) -> Counter[str]:
    path = folder / "scripts"
    return Counter(path.read_text().splitlines() if path.exists() else [])


def over(world: World) -> bool:
    return bool(world.jobs()) and world.query("SELECT count(*) FROM afterwards WHERE ended IS NOT NULL") == [(3,)]


def test_each_outcome_has_its_scripts_run_once(tmp_path: Path) -> None:
    made = world(tmp_path)
    with made.running() as process:
        wait_until(lambda: over(made), what="all scripts")
        assert made.stop(process) == 0
    once = [
        "begun 490001 DONE Fit",
        "begun 490003 DONE Fit",
        "ended 490001",
        "ended 490003",
        "scanned 490002 exit_code",
    ]
    assert said(tmp_path) == Counter(once)
    assert {run: job[:2] for run, job in made.jobs().items()} == {
        490001: ("DONE", "ok"),
        490002: ("FAILED", "exit_code"),
        490003: ("DONE", "ok"),
    }
    log = (tmp_path / "work/490002_Fit/1/log/after.log").read_text().splitlines()
    assert log[0].endswith("FAILED: config/scanlogs.sh")
    assert log[1:] == ["0"]
    shown = " ".join(made.caf("jobs", "show", "490002", "Fit").stdout.split())
    assert "After-script config/scanlogs.sh of attempt 1: failed" in shown
    assert "exit code 1; it says: 0" in shown


def test_one_that_was_running_when_the_supervisor_was_killed_is_run_once_more(tmp_path: Path) -> None:
    """What the dead supervisor left running is killed first, so that no two of them are at work."""
    made = world(tmp_path, f"test -e {tmp_path}/again || sleep 300")
    with made.running() as process:
        wait_until(lambda: any(line.startswith("begun") for line in said(tmp_path)), what="a script")
        process.kill()
        process.wait()
    (interrupted,) = [line for line in said(tmp_path) if line.startswith("begun")]
    (tmp_path / "again").touch()
    with made.running() as process:
        wait_until(lambda: over(made), what="all scripts")
        assert made.stop(process) == 0
    found = said(tmp_path)
    assert found.pop(interrupted) == 2
    assert set(found.values()) == {1}
    assert {"ended 490001", "ended 490003", "scanned 490002 exit_code"} <= found.keys()
    tries = dict(made.query("SELECT job.run, afterwards.tries FROM afterwards JOIN job ON job.id = job_id"))
    assert tries == {**dict.fromkeys(RUNS, 1), int(interrupted.split()[1]): 2}
