"""HTCondor does what every batch system has to do, and tells what only it can tell: with a real one on loopback."""

import asyncio
import json
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from caf.batch import htcondor_idle
from caf.batch.interface import BatchFull, BatchRefused, Watched
from caf.domain.errors import BatchError
from caf.domain.following import Sight
from tests.batch.conformance import HOSTILE, SLEEPS, Play, Stage, System, stand_in
from tests.batch.site_conformance import SiteConformance, site
from tests.clusters.htcondor import HTCondor
from tests.world import wait_until

NONSENSE = {
    "_CONDOR_TOOL_DEBUG": "D_ALL",
    "_CONDOR_DEFAULT_UNIVERSE": "java",
    "_CONDOR_SUBMIT_ATTRS": "CafToken",
    "_CONDOR_CafToken": '"mine"',
    "_condor_HISTORY": "/nonexistent",
    "_CONDOR_Q_QUERY_TIMEOUT": "0",
    "LC_ALL": "de_DE.UTF-8",
}


def htcondor_system(htcondor: HTCondor) -> System:
    return System(
        make=partial(site, "htcondor"),
        never={"options": ['requirements = Machine == "nowhere"']},
        stuck=[({"options": ["hold = True"]}, "condor_release")],
        refused=[
            ({"group": "a b"}, "Invalid accounting_group: a b.*correct"),
            ({"options": ["+X = (("]}, "Parse error in expression.*correct"),
            ({"options": ["universe = nosuch"]}, "I don't know about the 'nosuch' universe.*correct"),
            ({"options": ["queue 3"]}, "'queue 3' is not one command.*correct"),
            ({"options": ["nonsense"]}, "Failed to parse.*correct"),
        ],
        clients={"submit": "condor_submit", "look": "condor_q", "cancel": "condor_rm", "named": "condor_q"},
        nonsense=NONSENSE,
        stop=htcondor.stop,
        go_on=htcondor.go_on,
    )


@pytest.mark.campaign
class TestHTCondor(SiteConformance):
    @pytest.fixture
    def system(self, htcondor: HTCondor) -> System:
        return htcondor_system(htcondor)

    @pytest.fixture
    def place(self, htcondor: HTCondor) -> Path:
        return htcondor.room(os.urandom(4).hex())

    @pytest.mark.parametrize("name", [name for name in HOSTILE if name.isprintable()], ids=ascii)
    def test_names_are_taken_as_they_are(self, play: Stage, name: str) -> None:
        super().test_names_are_taken_as_they_are(play, name)

    @pytest.mark.parametrize("name", ["new\nline", "$$(Machine)"], ids=ascii)
    def test_names_that_cannot_be_told_are_refused(self, play: Stage, name: str) -> None:
        async def scene(one: Play) -> None:
            with pytest.raises(BatchRefused, match="cannot be told to HTCondor"):
                await one.batch.submit(one.attempt(where=name))

        play(scene)

    def test_a_job_beyond_its_walltime_is_ended_for_that(self, play: Stage) -> None:
        async def scene(one: Play) -> None:
            submission = one.attempt(SLEEPS, walltime=2.0)
            await one.batch.submit(submission)
            seen = await one.ended(submission)
            assert (seen.result, seen.reason) == ("walltime", "it ran longer than its walltime of 2 s")
            assert one.starts(submission) == 1

        play(scene)

    @pytest.mark.parametrize("how", ["vacated", "starter"])
    def test_a_job_that_was_put_back_is_not_begun_again(self, play: Stage, htcondor: HTCondor, how: str) -> None:
        async def scene(one: Play) -> None:
            submission = one.attempt(SLEEPS)
            batch_id = (await one.batch.submit(submission)).batch_id
            await one.until(submission, lambda seen: one.starts(submission) == 1)
            await one.until(submission, lambda seen: begun(htcondor) == 1)  # the shadow tells its schedd after seconds
            if how == "vacated":
                htcondor.call("condor_vacate_job", str(batch_id))
            else:
                for pid in htcondor.pids("condor_starter"):
                    os.kill(pid, signal.SIGKILL)
            seen = await one.ended(submission)
            assert (seen.result, seen.reason) == ("node", "it was started and then put back into the queue")
            assert one.starts(submission) == 1

        play(scene)

    def test_a_job_that_is_begun_twice_runs_its_payload_once(self, play: Stage, htcondor: HTCondor) -> None:
        """A shadow that dies young has not told its schedd that the job began: it is begun again within a second."""

        async def scene(one: Play) -> None:
            submission = one.attempt(SLEEPS)
            await one.batch.submit(submission)
            await one.until(submission, lambda seen: one.starts(submission) == 1)
            for pid in htcondor.pids("condor_shadow"):
                os.kill(pid, signal.SIGKILL)
            seen = await one.ended(submission)
            assert "put back" in (seen.reason or "") or "started it" in (seen.reason or "")
            assert seen.exit_code is None
            assert one.starts(submission) == 1

        play(scene)

    def test_an_output_that_cannot_be_written_is_an_end_that_says_so(self, play: Stage) -> None:
        async def scene(one: Play) -> None:
            submission = one.attempt(options=["output = /nosuch/out"])
            await one.batch.submit(submission)
            seen = await one.ended(submission)
            assert seen.result == "node"
            assert "Failed to open '/nosuch/out' as standard output" in (seen.reason or "")
            assert one.record(submission)["claim"] is False

        play(scene)

    def test_a_user_log_tells_of_an_end_where_the_history_does_not(
        self, play: Stage, htcondor: HTCondor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def scene(one: Play) -> None:
            submission = one.attempt(SLEEPS)
            batch_id = (await one.batch.submit(submission)).batch_id
            wait_until(lambda: one.starts(submission) == 1, what="the start")
            htcondor.call("condor_rm", str(batch_id))
            wait_until(lambda: submission.token in htcondor.call("condor_history", "-af", "CafToken"), what="the end")
            stand_in(tmp_path / "bin", monkeypatch, "condor_history", "echo '['; echo ']'")
            area = os.path.dirname(submission.script)
            watched = Watched(submission.token, batch_id, asked=time.time() - 60, area=area)
            seen = (await one.batch.look([watched]))[submission.token]
            assert seen.reason == "it was removed from HTCondor: via condor_rm (by user cafbatch)"

        play(scene)

    def test_a_job_that_no_machine_fits_is_analysed_and_stuck(
        self, play: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(htcondor_idle, "WAITED", 0.0)
        monkeypatch.setattr(htcondor_idle, "EVERY", 0.5)

        async def scene(one: Play) -> None:
            submission = one.attempt(cpus=999)
            await one.batch.submit(submission)
            seen = await one.until(submission, lambda seen: seen.stuck)
            assert seen.sight is Sight.PENDING
            assert "no machine fits it, of 1: none meets TARGET.Cpus >= RequestCpus" in (seen.reason or "")

        play(scene)

    def test_an_account_that_htcondor_does_not_know_any_more_is_in_its_own_words_and_no_refusal(
        self, play: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As with a ticket or a token that has expired: nobody is to correct the job for that."""
        monkeypatch.setenv("_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS", "IDTOKENS")

        async def scene(one: Play) -> None:
            with pytest.raises(BatchError, match=r"condor_submit: .*AUTHENTICATE") as error:
                await one.batch.submit(one.attempt())
            assert error.type is BatchError

        play(scene)

    def test_a_limit_on_how_many_jobs_are_out_passes(self, play: Stage, htcondor: HTCondor) -> None:
        async def scene(one: Play) -> None:
            await one.batch.submit(one.attempt(options=["hold = True"]))
            with htcondor.limited("MAX_JOBS_PER_OWNER", 1), pytest.raises(BatchFull, match="it is tried again"):
                await one.batch.submit(one.attempt())

        play(scene)

    def test_the_use_of_a_group_counts_what_others_run(self, play: Stage, htcondor: HTCondor) -> None:
        async def scene(one: Play) -> None:
            group = "group_u_ATLAS.calib"
            assert await one.batch.group_use(group) == 0
            others = ["executable=/bin/sleep", "arguments=300", f"accounting_group={group}", "request_cpus=3"]
            htcondor.call("condor_submit", "-terse", *others, "-queue", "1")
            own = one.attempt(SLEEPS, group=group, cpus=2)
            await one.batch.submit(own)
            await one.until(own, lambda seen: seen.sight is Sight.RUNNING)
            end = time.monotonic() + 30
            while (use := await one.batch.group_use(group)) == 0:
                assert time.monotonic() < end
                await asyncio.sleep(0.2)
            assert use == 3
            assert await one.batch.group_use('no"such') == 0

        play(scene)

    def test_what_is_asked_for_is_what_the_job_gets(self, play: Stage, htcondor: HTCondor) -> None:
        async def scene(one: Play) -> None:
            wants: dict[str, Any] = {
                "cpus": 2,
                "memory": 100_000_001,
                "walltime": 61.0,
                "queue": "longlunch",
                "group": "group_u_X",
            }
            options = ["+Nice = 7", 'requirements = Machine == "nowhere"', "priority = 3"]
            batch_id = (await one.batch.submit(one.attempt(options=options, **wants))).batch_id
            (ad,) = json.loads(htcondor.call("condor_q", "-json", str(batch_id)))
            assert (ad["RequestCpus"], ad["RequestMemory"], ad["JobFlavour"]) == (2, 96, "longlunch")
            assert (ad["AcctGroup"], ad["Nice"], ad["JobPrio"], ad["JobMaxRetries"]) == ("group_u_X", 7, 3, 0)
            assert ad["JobBatchName"] == ad["CafToken"]
            assert '(NumJobStarts == 0) && (Machine == "nowhere")' in ad["Requirements"]

        play(scene)


def begun(htcondor: HTCondor) -> int:
    """Count the starts that the schedd knows of."""
    return sum(ad.get("NumJobStarts", 0) for ad in json.loads(htcondor.call("condor_q", "-json") or "[]"))
