"""The real supervisor with a real HTCondor: jobs to their end, `caf check`, exactly once whatever is killed."""

import os
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.clusters.htcondor import HTCondor
from tests.clusters.supervised import RUNS, Site, Supervised, all_ended, hang, kill_some, kill_submissions
from tests.world import World, wait_until


def htcondor_site(htcondor: HTCondor) -> Site:
    def accepted() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for client in ("condor_q", "condor_history"):  # in this order: a job goes from the one to the other
            for line in htcondor.call(client, "-af", "CafToken", "ClusterId", "ProcId").splitlines():
                token, number, process = line.split()
                found.setdefault(token, set()).add(f"{number}.{process}")
        return found

    def kill_daemons(_: Site, dice: random.Random) -> Mapping[str, int]:
        """Kill the daemons of some jobs, each of which is another attempt then."""
        programs = ("condor_shadow", "condor_starter")
        return Counter({f"{one} killed": kill_some(htcondor.pids(one), dice, 0.15) for one in programs})

    sleeper = ("executable=/bin/sleep", "arguments=300", "batch_name=stranger", "hold=True")
    return Site(
        kind="htcondor",
        room=lambda: htcondor.room(os.urandom(4).hex()),
        stranger=lambda: htcondor.call("condor_submit", "-terse", *sleeper, "-queue", "1").split()[0],
        accepted=accepted,
        submitting=lambda: submissions(htcondor),
        stop=htcondor.stop,
        go_on=htcondor.go_on,
        deeds=(kill_submissions, hang, kill_daemons),
    )


def submissions(cluster: HTCondor) -> list[int]:
    """Give the submissions under way: they enter the pool's mounts."""
    mounts = os.readlink(f"/proc/{(cluster.folder / 'init').read_text().strip()}/ns/mnt")
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdecimal() and (process / "comm").read_text() == "condor_submit\n":
                found += [int(process.name)] if os.readlink(process / "ns" / "mnt") == mounts else []
    return found


@pytest.fixture
def site(htcondor: HTCondor) -> Site:
    return htcondor_site(htcondor)


@pytest.fixture
def own_site(own_htcondor: HTCondor) -> Site:
    return htcondor_site(own_htcondor)


class TestSupervised(Supervised):
    jobs = 16
    wanted = (*Supervised.wanted, "condor_shadow killed", "condor_starter killed")

    def campaign_world(self, site: Site, runs: Sequence[int]) -> World:
        payload = "sleep 0.$(($CAF_RUN % 7 + 2))"
        world = site.world(runs, body=payload, slots=8, job="attempts = 30", caf='submit_grace = "2s"')
        world.edit('record_grace = "1s"', 'record_grace = "4s"')
        return world

    def check_more(self, world: World) -> None:
        """One whose shadow or starter was killed is another attempt, or was started again and found the claim made."""
        told = [path.read_text() for path in (world.folder / "work").glob("*/*/log/batch.out")]
        print(f"begun again: {sum('already claimed' in text for text in told)}")
        assert set(world.runs_started()) == set(world.runs)


def test_jobs_run_on_htcondor_and_are_killed_there(htcondor: HTCondor, site: Site) -> None:
    world = site.world(RUNS, body="[ $CAF_RUN = 490003 ] && exec sleep 600")
    with world.running():
        wait_until(lambda: world.state(RUNS[2]) == "RUNNING", 60, "the long job")
        world.caf("jobs", "kill", str(RUNS[2]), "Fit", "--reason", "enough")
        wait_until(lambda: all_ended(world), 60, "the end of all jobs")
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
def test_a_walltime_that_is_too_short_is_named_and_grows(htcondor: HTCondor, site: Site) -> None:
    job = 'walltime = "2s"\nwalltime_limit = "2m"\nattempts = 2'
    world = site.world(RUNS[:1], body="[ $CAF_ATTEMPT = 2 ] || exec sleep 600", job=job)
    with world.running():
        wait_until(lambda: all_ended(world), 60, "the end")
    assert world.jobs()[RUNS[0]] == ("DONE", "ok", 2)
    ((result, reason),) = world.query("SELECT result, reason FROM attempt WHERE attempt = 1")
    assert result == "walltime"
    assert reason.startswith("walltime: it ran longer than its walltime of 2 s")


@pytest.mark.campaign
class TestCheck:
    """`caf check` and its probe."""

    def test_it_names_the_client_and_what_would_be_handed_over(self, htcondor: HTCondor, site: Site) -> None:
        world = site.world(RUNS, job='queue = "longlunch"\noptions = ["typo = 3"]')
        said = " ".join(world.caf("check", check=False).stdout.split())
        assert "client: CondorVersion: 23" in said
        assert "the schedd answers" in said
        assert "jobs.Fit would be handed over by: condor_submit -terse universe=vanilla" in said
        assert "the line 'typo = 3' was unused by condor_submit. Is it a typo?" in said
        assert "'longlunch' is handed over as JobFlavour, unchecked" in said

    def test_what_condor_submit_would_refuse_and_a_dead_schedd_are_said(self, htcondor: HTCondor, site: Site) -> None:
        world = site.world(RUNS, job='options = ["+X = (("]')
        done = world.caf("check", check=False)
        assert done.returncode == 1
        assert "Parse error in expression" in " ".join(done.stdout.split())
        htcondor.stop()
        try:
            said = " ".join(world.caf("check", check=False).stdout.split())
        finally:
            htcondor.go_on()
        assert "condor_q did not answer within 4 s" in said
