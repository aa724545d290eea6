"""The real supervisor with a real HTCondor: jobs to their end, `caf check`, exactly once whatever is killed."""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from tests.clusters.htcondor import HTCondor
from tests.world import FINAL, World, wait_until

RUNS = [490001, 490002, 490003]


def on_htcondor(cluster: HTCondor, runs: list[int], **options: object) -> World:
    world = World(cluster.room(os.urandom(4).hex()), runs, **options)  # type: ignore[arg-type]  # World says what
    world.edit('kind = "local"', 'kind = "htcondor"\nclient_timeout = "4s"')
    return world


def all_ended(world: World, runs: list[int]) -> bool:
    jobs = world.jobs()
    return len(jobs) == len(runs) and all(state in FINAL for state, _, _ in jobs.values())


def test_jobs_run_on_htcondor_and_are_killed_there(htcondor: HTCondor) -> None:
    world = on_htcondor(htcondor, RUNS, body="[ $CAF_RUN = 490003 ] && exec sleep 600")
    with world.running():
        wait_until(lambda: world.state(RUNS[2]) == "RUNNING", 60, "the long job")
        world.caf("jobs", "kill", str(RUNS[2]), "Fit", "--reason", "enough")
        wait_until(lambda: all_ended(world, RUNS), 60, "the end of all jobs")
    assert {run: job[0] for run, job in world.jobs().items()} == dict(
        zip(RUNS, ("DONE", "DONE", "CANCELLED"), strict=True)
    )
    shown = htcondor.call("condor_history", "-af", "CafToken", "ClusterId", "ProcId", "JobStatus").splitlines()
    for token, batch_id, state in world.query(
        "SELECT a.token, a.batch_id, j.state FROM attempt AS a JOIN job AS j ON j.id = a.job_id"
    ):
        cluster, process = batch_id.split(".")
        assert f"{token} {cluster} {process} {4 if state == 'DONE' else 3}" in shown


@pytest.mark.campaign
def test_a_walltime_that_is_too_short_is_named_and_grows(htcondor: HTCondor) -> None:
    job = 'walltime = "2s"\nwalltime_limit = "2m"\nattempts = 2'
    world = on_htcondor(htcondor, RUNS[:1], body="[ $CAF_ATTEMPT = 2 ] || sleep 600", job=job)
    with world.running():
        wait_until(lambda: all_ended(world, RUNS[:1]), 60, "the end")
    assert world.jobs()[RUNS[0]] == ("DONE", "ok", 2)
    ((result, reason),) = world.query("SELECT result, reason FROM attempt WHERE attempt = 1")
    assert result == "walltime"
    assert reason.startswith("walltime: it ran longer than its walltime of 2 s")


@pytest.mark.campaign
class TestCheck:
    """`caf check` and its probe."""

    def test_it_names_the_client_and_what_would_be_handed_over(self, htcondor: HTCondor) -> None:
        world = on_htcondor(htcondor, RUNS, job='queue = "longlunch"\noptions = ["typo = 3"]')
        said = " ".join(world.caf("check", check=False).stdout.split())
        assert "client: CondorVersion: 23" in said
        assert "the schedd answers" in said
        assert "jobs.Fit would be handed over by: condor_submit -terse universe=vanilla" in said
        assert "the line 'typo = 3' was unused by condor_submit. Is it a typo?" in said
        assert "'longlunch' is handed over as JobFlavour, unchecked" in said

    def test_what_condor_submit_would_refuse_and_a_dead_schedd_are_said(self, htcondor: HTCondor) -> None:
        world = on_htcondor(htcondor, RUNS, job='options = ["+X = (("]')
        done = world.caf("check", check=False)
        assert done.returncode == 1
        assert "Parse error in expression" in " ".join(done.stdout.split())
        htcondor.stop()
        try:
            said = " ".join(world.caf("check", check=False).stdout.split())
        finally:
            htcondor.go_on()
        assert "condor_q did not answer within 4 s" in said

    def test_the_probe_proves_both_ways_and_leaves_nothing(self, htcondor: HTCondor) -> None:
        world = on_htcondor(htcondor, RUNS)
        said = " ".join(world.caf("check", "--probe").stdout.split())
        assert "probe: a job on" in said
        assert f"saw what this machine wrote in {world.folder}/work, and its answer came in" in said
        assert not (world.folder / "work").exists()


@pytest.mark.campaign
@pytest.mark.timeout(500)
def test_every_payload_starts_exactly_once_and_every_accepted_job_is_adopted(own_htcondor: HTCondor) -> None:
    """The schedd hangs, submissions, the supervisor, shadows and starters are killed, all at random.

    A job whose shadow or starter was killed is another attempt, whose payload starts once too.
    """
    dice, htcondor = random.Random(20150601), own_htcondor
    runs = list(range(490001, 490041))
    world = on_htcondor(
        htcondor, runs, body="sleep 0.$(($CAF_RUN % 7 + 2))", slots=8, job="attempts = 30", caf='submit_grace = "2s"'
    )
    world.edit('record_grace = "1s"', 'record_grace = "4s"')
    done: Counter[str] = Counter()
    process = world.supervisor()
    end = time.monotonic() + 120
    while time.monotonic() < end and not all_ended(world, runs):
        done["condor_submit"] += kill_submissions(htcondor, dice, dice.uniform(0.0, 1.0))
        if process.poll() is not None or dice.random() < 0.2:
            process.kill()
            process.wait()
            process = world.supervisor()
            done["supervisor"] += 1
        for program in ("condor_shadow", "condor_starter"):
            for pid in htcondor.pids(program):
                if dice.random() < 0.08:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                    done[program] += 1
        if dice.random() < 0.15:
            htcondor.stop()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=dice.uniform(0.5, 5.0))
            htcondor.go_on()
            done["schedd"] += 1
    wait_until(lambda: all_ended(world, runs), 240, f"the end of all jobs after {done}")
    print(f"killed or stopped: {dict(done)}; begun again: {begun_again(world)}")
    assert world.stop(process) == 0
    assert len(done) == 5, done
    assert all(done.values()), done
    assert {run: job[:2] for run, job in world.jobs().items()} == dict.fromkeys(runs, ("DONE", "ok"))
    assert set(world.starts().values()) == {1}
    check_tokens(world, htcondor)


def begun_again(world: World) -> int:
    """Count the attempts whose script HTCondor started once more, to find the claim made."""
    told = [path.read_text() for path in (world.folder / "work").glob("*/*/log/batch.out")]
    return sum("already claimed" in text for text in told)


def kill_submissions(cluster: HTCondor, dice: random.Random, seconds: float) -> int:
    """Watch for submissions, which enter the pool's mounts, for a while, and kill some; gives how many."""
    mounts = os.readlink(f"/proc/{(cluster.folder / 'init').read_text().strip()}/ns/mnt")
    end, killed, seen = time.monotonic() + seconds, 0, set[int]()
    while time.monotonic() < end:
        for process in Path("/proc").iterdir():
            with suppress(OSError):
                if not process.name.isdecimal() or os.readlink(process / "ns" / "mnt") != mounts:
                    continue
                if (process / "comm").read_text() == "condor_submit\n" and int(process.name) not in seen:
                    seen.add(int(process.name))
                    if dice.random() < 0.3:
                        os.kill(int(process.name), signal.SIGKILL)
                        killed += 1
    return killed


def check_tokens(world: World, cluster: HTCondor) -> None:
    """Whatever HTCondor accepted is an attempt's, and either started its payload or never can."""
    said = cluster.call("condor_history", "-af", "CafToken", "ClusterId", "ProcId")
    said += cluster.call("condor_q", "-af", "CafToken", "ClusterId", "ProcId")
    accepted: dict[str, set[str]] = {}
    for token, number, process in (line.split() for line in said.splitlines()):
        accepted.setdefault(token, set()).add(f"{number}.{process}")
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
