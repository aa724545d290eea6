"""What becomes of payloads that fail, of raw files that come late, of too many jobs at once: with real processes."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.world import World, wait_until

RUN = 490001


def job(name: str, **keys: str) -> str:
    """Give one more job of the listener, as text for listeners.toml."""
    table = {
        "templates": '["payload.sh"]',
        "command": '["config/payload.sh"]',
        "success": '{ log_has = ["good #RUN"], outputs = ["root/out"] }',
        "attempts": "1",
    }
    return f"[jobs.{name}]\n" + "".join(f"{k} = {v}\n" for k, v in {"listeners": '["Scan"]', **table, **keys}.items())


def shell(text: str) -> str:
    return f"['sh', '-c', '{text}']"


ENDS: dict[str, tuple[dict[str, str], str, str]] = {
    # name: (what is different, result, words of the reason)
    "NotExecutable": (
        {"templates": '["plain.sh"]', "command": '["config/plain.sh"]'},
        "preparation",
        "command config/plain.sh of NotExecutable is not executable: chmod +x",
    ),
    "NotThere": ({"templates": '["gone.py"]'}, "preparation", "cannot read template"),
    "UnknownTag": ({"templates": '["payload.sh", "tags.py"]'}, "preparation", "tags.py:2:"),
    "NoProgram": ({"command": '["/no/such/program"]'}, "exit_code", "exit code 127 (the command was not found)"),
    "ExitCode": ({"command": shell("echo ERROR no beam; exit 3")}, "exit_code", "exit code 3; the log ends: ERROR no"),
    "LacksText": ({"command": shell("echo bad >log/x; echo out >root/out")}, "log", "log/stdout lacks 'good #RUN'"),
    "NoLog": ({"log": '"log/athena.log"'}, "log", "but there is no log/athena.log"),
    "NoOutput": ({"command": shell('echo "good #RUN"')}, "outputs", "no output root/out"),
    "EmptyOutput": ({"command": shell('echo "good #RUN"; : >root/out')}, "outputs", "empty output root/out"),
    "Killed": ({"command": shell("kill -KILL $$")}, "signal", "exit code 137, as after signal KILL"),
    "TooSlow": (
        {"command": shell("exec sleep 300"), "walltime": '"300ms"'},
        "walltime",
        "it ran longer than its walltime of 0.3 s",
    ),
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A run with a job for each way to fail, and a good one; all have ended."""
    world = World(tmp_path_factory.mktemp("ends"), [RUN], slots=20).quick()
    templates = world.folder / "templates"
    (templates / "plain.sh").write_text("#!/bin/sh\n")
    (templates / "plain.sh").chmod(0o644)
    (templates / "tags.py").write_text("run = #RUN_NUMBER#\nlog = '#JOB_LOG_NAMES#'\n")
    with world.config.open("a") as file:
        file.write("\n" + "\n".join(job(name, **keys) for name, (keys, _, _) in ENDS.items()))
    with world.running() as process:
        wait_until(
            lambda: world.query("SELECT count(*) FROM job WHERE state IN ('DONE', 'FAILED')") == [(len(ENDS) + 1,)],
            what="all ends",
        )
        assert world.stop(process) == 0
    yield world
    world.end_payloads()


class TestPayload:
    """Every way in which a job can fail has its own result and a reason that a person understands."""

    @pytest.mark.parametrize("name", ENDS)
    def test_a_failure_says_what_it_was(self, ended: World, name: str) -> None:
        _, result, words = ENDS[name]
        (found,) = ended.query("SELECT state, result, reason, attempt FROM job WHERE job = ?", name)
        assert found[:2] == ("FAILED", result)
        assert words in found[2]
        assert found[3] == 1

    def test_the_others_are_not_touched_and_status_names_the_failures(self, ended: World) -> None:
        assert ended.query("SELECT state FROM job WHERE job = 'Fit'") == [("DONE",)]
        assert ended.query("SELECT name FROM duty WHERE error IS NOT NULL") == []
        assert {"discover", "organise"} <= {name for (name,) in ended.query("SELECT name FROM duty")}
        status = ended.caf("status", check=False)
        assert status.returncode == 1
        assert f"{len(ENDS)} jobs failed" in status.stdout
        assert "caf jobs why" in " ".join(status.stdout.split())

    def test_an_unknown_tag_is_named_with_file_and_line(self, ended: World) -> None:
        ((reason,),) = ended.query("SELECT reason FROM job WHERE job = 'UnknownTag'")
        assert "#JOB_LOG_NAMES#" in reason
        assert "RUN_NUMBER#" not in reason.replace("#JOB_LOG_NAMES#", "")

    def test_why_tells_in_a_few_lines_what_to_type(self, ended: World) -> None:
        for name, (_, _, words) in ENDS.items():
            why = " ".join(ended.caf("jobs", "why", str(RUN), name, check=False).stdout.split())
            assert words in why, why
            assert f"caf jobs reset {RUN} {name}" in why, why


def test_raw_files_that_come_late_are_waited_for(tmp_path: Path) -> None:
    world = World(tmp_path, [RUN, 490002]).quick()
    shutil.move(tmp_path / "raw" / f"{RUN:08d}", tmp_path / "aside")
    with world.running() as process:
        wait_until(lambda: world.state(490002) == "DONE", what="the other run")
        wait_until(lambda: "waits for raw files" in world.query("SELECT reason FROM job WHERE run = ?", RUN)[0][0])
        assert world.state(RUN) == "NEW"
        assert f"raw/{RUN:08d}/*" in world.caf("jobs", "why", str(RUN), "Fit", check=False).stdout
        shutil.move(tmp_path / "aside", tmp_path / "raw" / f"{RUN:08d}")
        wait_until(lambda: world.state(RUN) == "DONE", what="DONE")
        assert world.stop(process) == 0
    assert world.runs_started() == {RUN: 1, 490002: 1}


def test_a_job_beyond_its_walltime_is_tried_again_and_each_attempt_starts_once(tmp_path: Path) -> None:
    """What the infrastructure may be blamed for is tried again, up to `attempts`."""
    world = World(tmp_path, [RUN], body="sleep 300", job='walltime = "200ms"\nattempts = 2\n').quick()
    world.edit('retry_after = "1s"', 'retry_after = "100ms"')
    with world.running() as process:
        wait_until(lambda: world.state(RUN) == "FAILED", what="FAILED")
        assert world.stop(process) == 0
    assert world.jobs()[RUN] == ("FAILED", "walltime", 2)
    assert set(world.starts().values()) == {1}
    assert len(world.starts()) == 2
    world.end_payloads()


def test_a_flood_of_jobs_waits_for_a_person(tmp_path: Path) -> None:
    world = World(tmp_path, [RUN, 490002, 490003])
    world.edit("max_new_jobs = 1000", "max_new_jobs = 2")
    first = world.caf("run", "--once")
    assert {job[0] for job in world.jobs().values()} == {"WAITING"}
    assert first.stdout.count('"jobs.flood"') == 1
    world.add_runs([490004, 490005])
    world.caf("run", "--once")
    assert [world.state(run) for run in sorted(world.jobs())][:3] == ["WAITING"] * 3
    assert {world.state(run) for run in (490004, 490005)}.isdisjoint({"WAITING"})
    status = world.caf("status", check=False)
    assert status.returncode == 1
    assert "3 jobs waiting for validation" in status.stdout
    ((reason,),) = world.query("SELECT reason FROM job WHERE run = ?", RUN)
    assert reason == "3 new jobs in one round are more than max_new_jobs = 2"
    wait_until(lambda: len(world.runs_started()) == 2, what="the payloads that may run")
    world.end_payloads()
