"""The real supervisor with a real Slurm: jobs to their end, what `caf check` says, exactly once whatever is killed."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.clusters.slurm import Slurm
from tests.world import FINAL, World, wait_until

RUNS = [490001, 490002, 490003]


def on_slurm(folder: Path, runs: list[int], **options: object) -> World:
    world = World(folder, runs, **options)  # type: ignore[arg-type]  # World says what it takes
    world.edit('kind = "local"', 'kind = "slurm"\nclient_timeout = "4s"')
    return world


def all_ended(world: World, runs: list[int]) -> bool:
    jobs = world.jobs()
    return len(jobs) == len(runs) and all(state in FINAL for state, _, _ in jobs.values())


def test_jobs_run_on_slurm_and_keep_their_batch_ids(slurm: Slurm, tmp_path: Path) -> None:
    world = on_slurm(tmp_path, RUNS)
    with world.running():
        wait_until(lambda: all_ended(world, RUNS), 60, "the end of all jobs")
    assert {run: job[:2] for run, job in world.jobs().items()} == dict.fromkeys(RUNS, ("DONE", "ok"))
    shown = slurm.call("squeue", "-h", "-t", "all", "-o", "%j %A %T").split("\n")
    for token, batch_id in world.query("SELECT token, batch_id FROM attempt"):
        assert f"{token} {batch_id} COMPLETED" in shown


@pytest.mark.campaign
def test_another_batch_system_is_refused_while_attempts_are_out(slurm: Slurm, tmp_path: Path) -> None:
    """Only the one that has them can tell what becomes of them."""
    world = on_slurm(tmp_path, RUNS[:1], body="sleep 60")
    with world.running():
        wait_until(lambda: world.state(RUNS[0]) == "RUNNING", what="the job")
        world.edit('kind = "slurm"', 'kind = "local"')
        wait_until(lambda: "batch.kind: is changed by a restart only" in world.new_log(), what="the complaint")
    done = world.caf("run", "--once", check=False)
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert "[batch] kind was slurm and is local now, but 1 jobs are out in slurm: put it back" in said


@pytest.mark.campaign
def test_a_job_that_a_person_kills_is_ended_on_slurm(slurm: Slurm, tmp_path: Path) -> None:
    world = on_slurm(tmp_path, RUNS[:1], body="sleep 600")
    with world.running():
        wait_until(lambda: world.state(RUNS[0]) == "RUNNING", what="the job")
        world.caf("jobs", "kill", str(RUNS[0]), "Fit", "--reason", "enough")
        wait_until(lambda: world.state(RUNS[0]) == "CANCELLED", 30, "its end")
    ((token,),) = world.query("SELECT token FROM attempt")
    assert slurm.call("squeue", "-h", "-t", "all", f"--name={token}", "-o", "%T").strip() == "CANCELLED"


@pytest.mark.campaign
def test_a_job_that_cannot_start_asks_for_a_person(slurm: Slurm, tmp_path: Path) -> None:
    world = on_slurm(tmp_path, RUNS[:1], job='queue = "closed"')
    with world.running():
        wait_until(lambda: "stuck" in world.caf("status", "--json", check=False).stdout, 30, "the need")
        said = world.caf("jobs", "why", str(RUNS[0]), "Fit").stdout
    assert "it will not start by itself: PartitionDown: an administrator" in " ".join(said.split())
    said = " ".join(world.caf("status", check=False).stdout.split())
    assert "will not start by itself" in said
    assert f"caf jobs why {RUNS[0]} Fit" in said


class TestCheck:
    """`caf check` and its probe."""

    def test_it_names_client_queues_and_what_would_be_handed_over(self, slurm: Slurm, tmp_path: Path) -> None:
        world = on_slurm(tmp_path, RUNS, job='queue = "short"\nmemory = "100MB"\ngroup = "g"')
        said = " ".join(world.caf("check").stdout.split())
        assert "client: slurm-wlm" in said
        assert "partitions: closed, express, short" in said
        assert "no accounting" in said
        assert "jobs.Fit would be handed over by: sbatch --ntasks=1 --cpus-per-task=1 --partition=short" in said
        assert not (tmp_path / "work").exists()

    @pytest.mark.campaign
    @pytest.mark.parametrize(
        ("job", "words"),
        [
            ('queue = "nosuch"', "there is no partition 'nosuch'; known: closed, express, short"),
            ("cpus = 65", "Requested node configuration is not available: correct `cpus`"),
            ('options = ["--array=1-9"]', "'--array=1-9' cannot be used"),
        ],
    )
    def test_what_slurm_would_refuse_is_said_before(self, slurm: Slurm, tmp_path: Path, job: str, words: str) -> None:
        done = on_slurm(tmp_path, RUNS, job=job).caf("check", check=False)
        assert done.returncode == 1
        assert words in " ".join(done.stdout.split())

    @pytest.mark.campaign
    def test_no_controller_and_no_client_are_said_in_a_line(self, slurm: Slurm, tmp_path: Path) -> None:
        world = on_slurm(tmp_path, RUNS)
        slurm.stop()
        try:
            said = " ".join(world.caf("check", check=False).stdout.split())
        finally:
            slurm.go_on()
        assert "BAD batch: sinfo did not answer within 4 s" in said

    def test_the_probe_proves_both_ways_and_leaves_nothing(self, slurm: Slurm, tmp_path: Path) -> None:
        world = on_slurm(tmp_path, RUNS)
        said = " ".join(world.caf("check", "--probe").stdout.split())
        assert "probe: a job on" in said
        assert f"saw what this machine wrote in {tmp_path}/work, and its answer came in" in said
        assert not (tmp_path / "work").exists()

    @pytest.mark.campaign
    def test_a_probe_whose_node_does_not_see_work_says_so(self, slurm: Slurm, tmp_path: Path) -> None:
        """A folder that is not there on the node: the job sees /proc of another process."""
        world = on_slurm(tmp_path, RUNS)
        hidden = Path("/dev/shm") / f"caf-{os.getpid()}"
        world.edit("[caf]\n", f'[caf]\nwork = "{hidden}/work"\n')
        command = [
            "unshare",
            "--mount",
            "sh",
            "-c",
            f'mount -t tmpfs none /dev/shm && mkdir {hidden} && exec "$@"',
            "sh",
        ]
        arguments = [sys.executable, "-m", "caf", "check", "--probe", "--config", str(world.config)]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        said = " ".join(done.stdout.split())
        assert "probe: the job ended (Slurm says FAILED (JobLaunchFailure)) without an answer" in said
        assert f"the node does not see {hidden}/work at the same path" in said


def sbatches(slurm: Slurm) -> list[int]:
    """Give the submissions under way."""
    found = []
    mark = f"SLURM_CONF={slurm.environment['SLURM_CONF']}".encode()
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            is_one = process.name.isdecimal() and (process / "comm").read_text() == "sbatch\n"
            if is_one and mark in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


@pytest.mark.campaign
@pytest.mark.timeout(400)
def test_every_payload_starts_exactly_once_and_every_accepted_job_is_adopted(slurm: Slurm, tmp_path: Path) -> None:
    """The controller hangs during submissions, submissions are killed, the supervisor is killed, all at random."""
    dice = random.Random(20150601)
    runs = list(range(490001, 490061))
    world = on_slurm(tmp_path, runs, body="sleep 0.$(($CAF_RUN % 7 + 2))", slots=8, caf='submit_grace = "2s"')
    done = {"supervisor": 0, "controller": 0, "sbatch": 0}
    process = world.supervisor()
    end = time.monotonic() + 120
    while time.monotonic() < end and not all_ended(world, runs):
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=dice.uniform(0.0, 1.0))
        if process.poll() is not None or dice.random() < 0.25:
            process.kill()
            process.wait()
            process = world.supervisor()
            done["supervisor"] += 1
        for pid in sbatches(slurm):
            if dice.random() < 0.5:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                done["sbatch"] += 1
        if dice.random() < 0.15:
            slurm.stop()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=dice.uniform(0.5, 5.0))
            slurm.go_on()
            done["controller"] += 1
    wait_until(lambda: all_ended(world, runs), 150, f"the end of all jobs after {done}")
    assert world.stop(process) == 0
    assert all(done.values()), done
    assert "submit.failed" in (tmp_path / "caf.log").read_text()
    assert {run: job[:2] for run, job in world.jobs().items()} == dict.fromkeys(runs, ("DONE", "ok"))
    assert world.runs_started() == dict.fromkeys(runs, 1)
    assert set(world.starts().values()) == {1}
    check_tokens(world, slurm)


def check_tokens(world: World, slurm: Slurm) -> None:
    """Whatever Slurm accepted is an attempt's, and either started its payload or never can."""
    accepted: dict[str, set[str]] = {}
    for line in slurm.call("squeue", "-h", "-t", "all", "-o", "%j %A").splitlines():
        token, batch_id = line.split()
        accepted.setdefault(token, set()).add(batch_id)
    attempts = {token: rest for token, *rest in world.query("SELECT token, job_id, attempt, batch_id FROM attempt")}
    starts = world.starts()
    ours = {token for token in accepted if token.startswith(next(iter(attempts)).rsplit("-", 3)[0])}
    assert ours <= attempts.keys()
    for token, (job_id, attempt, batch_id) in attempts.items():
        if token in starts:
            assert batch_id in accepted[token]
            continue
        ((run, job),) = world.query("SELECT run, job FROM job WHERE id = ?", job_id)
        area = world.folder / "work" / f"{run}_{job}" / str(attempt)
        assert (area / "claim" / "revoked").exists() or token not in accepted
