"""Slurm does what every batch system has to do, and tells what only it can tell: with a real one on loopback."""

import asyncio
import re
import time
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from caf.batch.interface import BatchFull, BatchRefused, SiteBatch, Watched
from caf.domain.errors import BatchError
from caf.domain.following import Sight
from caf.domain.jobs import Result
from tests.batch.conformance import LIMIT, RAN, SLEEPS, Play, Scene, Stage, System, over, until
from tests.batch.site_conformance import SiteConformance, site
from tests.clusters.slurm import Slurm

NONSENSE = {
    "SQUEUE_FORMAT": "%u",
    "SQUEUE_STATES": "SUSPENDED",
    "SQUEUE_USERS": "nobody",
    "SQUEUE_PARTITION": "closed",
    "SLURM_CLUSTERS": "elsewhere",
    "SLURM_TIME_FORMAT": "relative",
    "SBATCH_PARTITION": "closed",
    "SBATCH_ARRAY_INX": "1-3",
    "SBATCH_EXPORT": "NONE",
    "SBATCH_OUTPUT": "/nonexistent/%j",
    "SBATCH_REQUEUE": "1",
    "SBATCH_TEST_ONLY": "1",
    "SBATCH_HINT": "nonsense",
    "SLURM_JOB_ID": "7",
    "SACCT_FORMAT": "User",
    "SCANCEL_USER": "nobody",
    "LC_ALL": "de_DE.UTF-8",
}


def slurm_system(slurm: Slurm) -> System:
    return System(
        make=partial(site, "slurm"),
        never={"queue": "closed"},
        stuck=[
            ({"queue": "closed"}, "PartitionDown"),
            ({"cpus": 65}, "PartitionConfig"),
            ({"walltime": 7200.0}, "PartitionTimeLimit"),
            ({"options": ["--hold"]}, "JobHeldUser"),
        ],
        refused=[
            ({"queue": "nosuch"}, "Invalid partition name specified.*correct `queue`"),
            ({"memory": 100_000_000_000}, "Requested node configuration is not available.*correct `cpus`, `memory`"),
            ({"options": ["--nosuch"]}, "unrecognized option.*correct `options`"),
            ({"options": ["--constraint=gold"]}, "Invalid feature specification.*correct `options`"),
            ({"options": ["--array=1-3"]}, "'--array=1-3' cannot be used: one job"),
            ({"options": ["word"]}, "'word' is no option"),
        ],
        clients={"submit": "sbatch", "look": "squeue", "cancel": "squeue", "named": "squeue"},
        nonsense=NONSENSE,
        stop=slurm.stop,
        go_on=slurm.go_on,
    )


class TestSlurm(SiteConformance):
    @pytest.fixture
    def system(self, slurm: Slurm) -> System:
        return slurm_system(slurm)

    def test_what_squeue_says_of_an_end_is_a_result(self, play: Stage, slurm: Slurm) -> None:
        """An admin's node that goes away ends the job for good: it is not requeued."""

        async def scene(one: Play) -> None:
            submission = one.attempt(SLEEPS)
            await one.batch.submit(submission)
            await one.until(submission, lambda seen: one.starts(submission) == 1)
            node = slurm.call("squeue", "-h", "-o", "%N", f"--name={submission.token}").strip()
            slurm.call("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
            try:
                seen = await one.ended(submission)
            finally:
                slurm.resume(node)
            assert (seen.reason, seen.result) == ("Slurm says NODE_FAIL (NodeDown)", "node")

        play(scene)

    def test_a_preempted_job_is_not_requeued(self, play: Stage) -> None:
        """It would run again, and its twin's results would be written twice."""

        async def scene(one: Play) -> None:
            victims = [one.attempt(SLEEPS, cpus=32) for _ in range(2)]
            for each in victims:
                await one.batch.submit(each)
                await one.until(each, lambda seen, each=each: one.starts(each) == 1)  # type: ignore[misc]
            urgent = one.attempt(RAN, cpus=32, queue="express", walltime=60)
            await one.batch.submit(urgent)
            await one.ended(urgent)
            seen = [await one.look(each) for each in victims]
            assert sorted(str(each.result) for each in seen) == ["None", "node"]
            for each in victims:
                await one.batch.cancel([Watched(each.token)])
                await one.ended(each)
                assert one.starts(each) == 1

        play(scene)

    def test_a_job_that_was_renamed_is_found_by_its_comment(self, play: Stage, slurm: Slurm) -> None:
        async def scene(one: Play) -> None:
            submission = one.attempt(SLEEPS)
            batch_id = (await one.batch.submit(submission)).batch_id
            slurm.call("scontrol", "update", f"jobid={batch_id}", "jobname=mine")
            assert (await one.look(submission)).batch_id == batch_id
            await one.batch.cancel([Watched(submission.token)])
            await one.ended(submission)

        play(scene)

    def test_jobs_of_others_with_strange_names_disturb_nothing(self, play: Stage, slurm: Slurm, tmp_path: Path) -> None:
        async def scene(one: Play) -> None:
            submission = one.attempt(queue="closed")
            name = f"a|b\n99\x1f{submission.token}\x1fCOMPLETED\x1fx"
            slurm.call("sbatch", "--hold", f"--job-name={name}", "--output=/dev/null", "--comment=|||", "--wrap=true")
            await one.batch.submit(submission)
            seen = await one.until(submission, lambda seen: seen.sight is Sight.PENDING)
            assert seen.others == ()
            assert one.told  # the halves of that row

        play(scene)

    def test_the_use_of_a_group_counts_what_others_run(self, play: Stage, slurm: Slurm, tmp_path: Path) -> None:
        async def scene(one: Play) -> None:
            group = "u_ATLASLARCAL"
            assert await one.batch.group_use(group) == 0
            account, out = f"--account={group}", "--output=/dev/null"
            slurm.call("sbatch", account, out, "--cpus-per-task=3", "--wrap=sleep 300")
            slurm.call("sbatch", account, out, "--partition=closed", "--wrap=sleep 300")
            own = one.attempt(SLEEPS, group=group)
            await one.batch.submit(own)
            await one.until(own, lambda seen: seen.sight is Sight.RUNNING)
            await until(lambda: "RUNNING" in slurm.call("squeue", "-h", account, "--name=wrap", "--format=%T"))
            assert await one.batch.group_use(group) == 3
            assert await one.batch.group_use("nosuch") == 0

        play(scene)

    def test_a_working_area_that_the_node_does_not_see_ends_as_the_nodes_failure(self, play: Stage) -> None:
        async def scene(one: Play) -> None:
            submission = one.attempt()
            (Path(submission.script).parent / "log").rmdir()  # where the output goes
            await one.batch.submit(submission)
            seen = await one.ended(submission)
            assert seen.reason == "Slurm says FAILED (JobLaunchFailure)"
            assert one.record(submission)["claim"] is False

        play(scene)

    def test_what_is_asked_for_is_what_the_job_gets(self, play: Stage, slurm: Slurm) -> None:
        async def scene(one: Play) -> None:
            wants: dict[str, Any] = {
                "cpus": 2,
                "memory": 100_000_001,
                "walltime": 61.0,
                "queue": "express",
                "group": "g",
            }
            submission = one.attempt(**wants, options=["--nice=7", "-C", "", "--requeue", "--job-name=mine"])
            batch_id = (await one.batch.submit(submission)).batch_id
            told = slurm.call("scontrol", "show", "job", "-o", cast(str, batch_id))
            for word in ("NumCPUs=2", "MinMemoryNode=96M", "TimeLimit=00:02:00", "Partition=express", "Account=g"):
                assert f" {word} " in told
            for word in (f" JobName={submission.token} ", " Requeue=0 ", f" Comment={submission.token} ", "Nice=7 "):
                assert word in told
            await one.ended(submission)

        play(scene)


HUNGRY = ["sh", "-c", "head -c 300000000 /dev/zero | tail -c 300000000 >/dev/null; exit 7"]


@pytest.mark.campaign
class TestLimits:
    """A payload that Slurm ends leaves its exit record, and Slurm says why."""

    def test_a_time_limit(self, slurm: Slurm, tmp_path: Path) -> None:
        async def scene(one: Play) -> None:
            submission = one.attempt(SLEEPS, walltime=60.0)
            seen = await one.batch.submit(submission)
            await one.until(submission, lambda seen: one.starts(submission) == 1)
            slurm.call("scontrol", "update", f"jobid={seen.batch_id}", "EndTime=now")  # acted on within half a minute
            seen = await one.ended(submission)
            assert (seen.reason, seen.result) == ("Slurm says TIMEOUT", Result.WALLTIME)
            assert one.record(submission)["exit"]["code"] == 143

        on_slurm(slurm, tmp_path, scene)

    def test_a_memory_limit(self, memory_slurm: Slurm, tmp_path: Path) -> None:
        async def scene(one: Play) -> None:
            submission = one.attempt(HUNGRY, memory=50_000_000)
            await one.batch.submit(submission)
            seen = await one.ended(submission)
            assert seen.result is Result.MEMORY
            assert one.record(submission)["exit"]["code"] == 7

        on_slurm(memory_slurm, tmp_path, scene)


def on_slurm(cluster: Slurm, folder: Path, scene: Scene) -> None:
    """Play a scene on a cluster."""

    async def on_loop() -> None:
        told: list[tuple[str, str]] = []
        batch = site("slurm", LIMIT, lambda client, said: told.append((client, said)))
        await scene(Play(slurm_system(cluster), batch, folder, told))
        await batch.close()

    asyncio.run(on_loop())


@pytest.mark.campaign
class TestAccounting:
    """Of what squeue has forgotten sacct tells, where there is accounting."""

    def test_an_end_that_squeue_has_forgotten_is_found(self, accounted: Slurm, tmp_path: Path) -> None:
        async def scene(one: Play) -> None:
            good, failed, held = one.attempt(["true"]), one.attempt(), one.attempt(options=["--hold"])
            for each in (good, failed, held):
                await one.batch.submit(each)
            for each in (good, failed):
                await one.until(each, lambda seen: (seen.reason or "").startswith("the accounting says"))
            assert (await one.look(good)).exit_code == 0
            assert (await one.look(failed)).exit_code == 3
            assert (await one.look(held)).stuck
            assert (await one.look(one.attempt())).sight is Sight.UNKNOWN
            assert one.told == []

        on_slurm(accounted, tmp_path, scene)

    @pytest.mark.parametrize(
        ("limit", "error", "words"),
        [
            ("maxsubmitjobsperuser=1", BatchFull, "QOSMaxSubmitJobPerUserLimit.*it is tried again"),
            ("maxsubmitjobsperaccount=1", BatchFull, "MaxSubmitJobsPerAccount.*it is tried again"),
            ("grpsubmitjobs=1", BatchFull, "QOSGrpSubmitJobsLimit.*it is tried again"),
            ("maxwall=5", BatchRefused, "QOSMaxWallDurationPerJobLimit.*correct `walltime`"),
            ("maxtresperjob=cpu=2", BatchRefused, "QOSMaxCpuPerJobLimit.*correct `cpus`"),
            ("maxtresperuser=cpu=2", BatchRefused, "QOSMaxCpuPerUserLimit.*correct `cpus`"),
            ("grptres=cpu=2", BatchRefused, "QOSGrpCpuLimit.*correct `cpus`"),
        ],
    )
    def test_a_limit_on_how_many_passes_and_one_on_how_much_is_for_ever(
        self, accounted: Slurm, tmp_path: Path, limit: str, error: type[BatchRefused], words: str
    ) -> None:
        """All of them are one refusal to Slurm, but for a line before it."""

        async def refused(one: Play) -> BatchError | None:
            large = one.attempt(options=["--hold"], cpus=4, walltime=600.0)
            try:
                await one.batch.submit(large)
            except BatchError as said:
                return said
            await one.batch.cancel([Watched(large.token)])
            await one.until(large, over)
            return None

        async def scene(one: Play) -> None:
            first = one.attempt(options=["--hold"])
            await one.batch.submit(first)
            with accounted.limited(limit):
                end = time.monotonic() + 30  # slurmdbd tells its controller of a limit in its own time
                while (said := await refused(one)) is None:
                    assert time.monotonic() < end, "the limit did not come into force"
            assert type(said) is error
            assert re.search(words, str(said))
            await one.batch.cancel([Watched(first.token)])

        on_slurm(accounted, tmp_path, scene)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"group": "nosuch"}, "Invalid account or account/partition combination specified: correct `group`"),
            ({"options": ["--qos=nosuch"]}, "Invalid qos specification: correct `options`"),
        ],
    )
    def test_a_wrong_account_is_refused_and_named_by_the_check(
        self, accounted: Slurm, tmp_path: Path, changes: dict[str, Any], words: str
    ) -> None:
        async def scene(one: Play) -> None:
            submission = one.attempt(**changes)
            with pytest.raises(BatchRefused, match=words):
                await one.batch.submit(submission)
            found = await cast(SiteBatch, one.batch).examine({"Fit": submission})
            assert [each for each in found if each.word == "BAD" and words in each.text]

        on_slurm(accounted, tmp_path, scene)

    def test_an_id_that_squeue_has_forgotten_is_told_by_the_accounting(self, accounted: Slurm, tmp_path: Path) -> None:
        async def scene(one: Play) -> None:
            submission = one.attempt()
            batch_id = str((await one.batch.submit(submission)).batch_id)
            await one.until(submission, lambda seen: (seen.reason or "").startswith("the accounting says"))
            found = await cast(SiteBatch, one.batch).named(batch_id)
            assert found is not None
            assert submission.token in found.names
            assert "the accounting says FAILED" in found.what
            assert await cast(SiteBatch, one.batch).named("99999999") is None

        on_slurm(accounted, tmp_path, scene)

    def test_an_accounting_that_is_away_changes_nothing(self, accounted: Slurm, tmp_path: Path) -> None:
        async def scene(one: Play) -> None:
            running, gone = one.attempt(SLEEPS), one.attempt(["true"])
            for each in (running, gone):
                await one.batch.submit(each)
            await one.until(gone, lambda seen: (seen.reason or "").startswith("the accounting says"))
            accounted.stop("slurmdbd")
            try:
                batch = site("slurm", 3.0, lambda client, said: None)
                found = await batch.look([Watched(each.token) for each in (running, gone)])
                assert found[running.token].sight is Sight.RUNNING
                assert found[gone.token].sight is Sight.UNKNOWN
                assert "squeue does not show it, and sacct did not answer" in (found[gone.token].reason or "")
                begun = time.monotonic()
                await batch.look([Watched(gone.token)])
                assert time.monotonic() - begun < 2.9  # it is not asked again at once
            finally:
                accounted.go_on("slurmdbd")

        on_slurm(accounted, tmp_path, scene)
