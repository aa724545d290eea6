"""The real supervisor with a real Slurm: jobs to their end, what `caf check` says, exactly once whatever is killed."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.clusters.slurm import Slurm
from tests.clusters.supervised import RUNS, Site, Supervised, all_ended, hang, kill_submissions
from tests.world import wait_until


def slurm_site(slurm: Slurm, room: Path) -> Site:
    def accepted() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for line in slurm.call("squeue", "-h", "-t", "all", "-o", "%j %A").splitlines():
            token, batch_id = line.split()
            found.setdefault(token, set()).add(batch_id)
        return found

    held = ("sbatch", "--parsable", "--hold", "--job-name=stranger", "--output=/dev/null", "--wrap=true")
    return Site(
        kind="slurm",
        room=lambda: room,
        stranger=lambda: slurm.call(*held).strip(),
        accepted=accepted,
        submitting=lambda: sbatches(slurm),
        stop=slurm.stop,
        go_on=slurm.go_on,
        deeds=(kill_submissions, hang),
    )


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


@pytest.fixture
def site(slurm: Slurm, tmp_path: Path) -> Site:
    return slurm_site(slurm, tmp_path)


@pytest.fixture
def own_site(own_slurm: Slurm, tmp_path: Path) -> Site:
    return slurm_site(own_slurm, tmp_path)


class TestSupervised(Supervised):
    pass


def test_jobs_run_on_slurm_and_keep_their_batch_ids(slurm: Slurm, site: Site) -> None:
    world = site.world(RUNS)
    with world.running():
        wait_until(lambda: all_ended(world), 60, "the end of all jobs")
    assert {run: job[:2] for run, job in world.jobs().items()} == dict.fromkeys(RUNS, ("DONE", "ok"))
    shown = slurm.call("squeue", "-h", "-t", "all", "-o", "%j %A %T").split("\n")
    for token, batch_id in world.query("SELECT token, batch_id FROM attempt"):
        assert f"{token} {batch_id} COMPLETED" in shown


@pytest.mark.campaign
def test_another_batch_system_is_refused_while_attempts_are_out(slurm: Slurm, site: Site) -> None:
    """Only the one that has them can tell what becomes of them."""
    world = site.world(RUNS[:1], body="sleep 60")
    with world.running():
        wait_until(lambda: world.state(RUNS[0]) == "RUNNING", what="the job")
        world.edit('kind = "slurm"', 'kind = "local"')
        wait_until(lambda: "batch.kind: is changed by a restart only" in world.new_log(), what="the complaint")
    done = world.caf("run", "--once", check=False)
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert "[batch] kind was slurm and is local now, but 1 jobs are out in slurm: put it back" in said


@pytest.mark.campaign
def test_a_job_that_a_person_kills_is_ended_on_slurm(slurm: Slurm, site: Site) -> None:
    world = site.world(RUNS[:1], body="sleep 600")
    with world.running():
        wait_until(lambda: world.state(RUNS[0]) == "RUNNING", what="the job")
        world.caf("jobs", "kill", str(RUNS[0]), "Fit", "--reason", "enough")
        wait_until(lambda: world.state(RUNS[0]) == "CANCELLED", 30, "its end")
    ((token,),) = world.query("SELECT token FROM attempt")
    assert slurm.call("squeue", "-h", "-t", "all", f"--name={token}", "-o", "%T").strip() == "CANCELLED"


@pytest.mark.campaign
def test_a_job_that_cannot_start_asks_for_a_person(slurm: Slurm, site: Site) -> None:
    world = site.world(RUNS[:1], job='queue = "closed"')
    with world.running():
        wait_until(lambda: "stuck" in world.caf("status", "--json", check=False).stdout, 30, "the need")
        said = world.caf("jobs", "why", str(RUNS[0]), "Fit").stdout
    assert "it will not start by itself: PartitionDown: an administrator" in " ".join(said.split())
    said = " ".join(world.caf("status", check=False).stdout.split())
    assert "will not start by itself" in said
    assert f"caf jobs why {RUNS[0]} Fit" in said


@pytest.mark.campaign
def test_jobs_beyond_a_sites_limit_wait_until_others_have_ended(accounted: Slurm, tmp_path: Path) -> None:
    """None of them fails of it, though each may be refused but once."""
    world = slurm_site(accounted, tmp_path).world(RUNS, body="sleep 1", job="attempts = 1")
    with accounted.limited("maxsubmitjobsperuser=1"), world.running():
        wait_until(lambda: all_ended(world), 90, "the end of all jobs")
    assert {run: job[:2] for run, job in world.jobs().items()} == dict.fromkeys(RUNS, ("DONE", "ok"))
    assert "QOSMaxSubmitJobPerUserLimit" in (world.folder / "caf.log").read_text()


class TestCheck:
    """`caf check` and its probe."""

    def test_it_names_client_queues_and_what_would_be_handed_over(self, slurm: Slurm, site: Site) -> None:
        world = site.world(RUNS, job='queue = "short"\nmemory = "100MB"\ngroup = "g"')
        said = " ".join(world.caf("check").stdout.split())
        assert "client: slurm-wlm" in said
        assert "partitions: closed, express, short" in said
        assert "no accounting" in said
        assert "jobs.Fit would be handed over by: sbatch --ntasks=1 --cpus-per-task=1 --partition=short" in said
        assert not (world.folder / "work").exists()

    @pytest.mark.campaign
    @pytest.mark.parametrize(
        ("job", "words"),
        [
            ('queue = "nosuch"', "there is no partition 'nosuch'; known: closed, express, short"),
            ("cpus = 65", "Requested node configuration is not available: correct `cpus`"),
            ('options = ["--array=1-9"]', "'--array=1-9' cannot be used"),
        ],
    )
    def test_what_slurm_would_refuse_is_said_before(self, site: Site, job: str, words: str) -> None:
        done = site.world(RUNS, job=job).caf("check", check=False)
        assert done.returncode == 1
        assert words in " ".join(done.stdout.split())

    @pytest.mark.campaign
    def test_no_controller_and_no_client_are_said_in_a_line(self, slurm: Slurm, site: Site) -> None:
        world = site.world(RUNS)
        slurm.stop()
        try:
            said = " ".join(world.caf("check", check=False).stdout.split())
        finally:
            slurm.go_on()
        assert "BAD batch: sinfo did not answer within 4 s" in said

    @pytest.mark.campaign
    def test_a_probe_whose_node_does_not_see_work_says_so(self, slurm: Slurm, site: Site) -> None:
        """A folder that is not there on the node: the job sees /proc of another process."""
        world = site.world(RUNS)
        hidden = Path("/dev/shm") / f"caf-{os.getpid()}"
        world.edit("[caf]\n", f'[caf]\nwork = "{hidden}/work"\n')
        command = [
            *("unshare", "--mount", "sh", "-c"),
            f'mount -t tmpfs none /dev/shm && mkdir {hidden} && exec "$@"',
            "sh",
        ]
        arguments = [sys.executable, "-m", "caf", "check", "--probe", "--config", str(world.config)]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        said = " ".join(done.stdout.split())
        assert "probe: the job ended (Slurm says FAILED (JobLaunchFailure)) without an answer" in said
        assert f"the node does not see {hidden}/work at the same path" in said
