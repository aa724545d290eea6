"""LSF does what every batch system has to do, and tells what only it can tell: with a stand-in of four flavours."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import pytest

from caf.batch.interface import SiteBatch, Watched
from caf.domain.errors import BatchError
from caf.domain.following import Sight
from tests.batch.conformance import RAN, SLEEPS, Play, Stage, System
from tests.batch.site_conformance import SiteConformance, site
from tests.clusters.lsf.cluster import Lsf, running

NONSENSE = {
    "LSB_BJOBS_FORMAT": "user",
    "LSB_BJOBS_PENDREASON_LEVEL": "3",
    "LSB_DEFAULTQUEUE": "closed",
    "LSB_JOBID": "7",
    "BSUB_QUIET": "1",
    "BSUB_STDERR": "1",
    "LC_ALL": "de_DE.UTF-8",
}


def lsf_system(lsf: Lsf) -> System:
    return System(
        make=partial(site, "lsf"),
        never={"queue": "shut"},
        stuck=[({"queue": "shut"}, "set the queue inactive"), ({"options": ["-H"]}, "`bresume ")],
        refused=[
            ({"queue": "nosuch"}, "nosuch: No such queue.*correct `queue`"),
            ({"options": ["-K"]}, "'-K' cannot be used: caf does not wait"),
            ({"options": ["-Jd", "x"]}, "'-Jd' cannot be used"),
            ({"options": ["word"]}, "'word' is no option of bsub"),
        ],
        clients={"submit": "bsub", "look": "bjobs", "cancel": "bjobs", "named": "bjobs"},
        nonsense=NONSENSE,
        stop=lsf.stop,
        go_on=lsf.go_on,
    )


@pytest.fixture(scope="module")
def flavours() -> Iterator[Callable[[str], Lsf]]:
    """Give stand-ins by their flavour; each comes up when it is asked for, in a folder with a short name."""
    with ExitStack() as stack:

        @cache
        def up(flavour: str) -> Lsf:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="caf-lsf-"))
            return stack.enter_context(running(Path(folder) / "lsf", flavour))

        yield up


def use(lsf: Lsf, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lsf]:
    """Have a test's clients talk to it, and all be quiet afterwards."""
    for name, text in lsf.environment.items():
        monkeypatch.setenv(name, text)
    yield lsf
    lsf.clear()


class TestLsf(SiteConformance):
    flavour = "ibm"

    @pytest.fixture
    def lsf(self, flavours: Callable[[str], Lsf], monkeypatch: pytest.MonkeyPatch) -> Iterator[Lsf]:
        yield from use(flavours(self.flavour), monkeypatch)

    @pytest.fixture
    def system(self, lsf: Lsf) -> System:
        return lsf_system(lsf)

    def test_a_host_that_is_not_heard_of_is_no_end(self, play: Stage, lsf: Lsf) -> None:
        """Nor is its job struck off: it may go on where it is, and nothing is to be begun meanwhile."""

        async def scene(one: Play) -> None:
            submission = one.attempt(SLEEPS)
            batch_id = (await one.batch.submit(submission)).batch_id
            await one.until(submission, lambda seen: one.starts(submission) == 1)
            lsf.control(unknown=600)
            seen = await one.look(submission, batch_id)
            assert (seen.sight, seen.batch_id) == (Sight.UNKNOWN, batch_id)
            assert "lost its host" in (seen.reason or "")
            await one.batch.cancel([Watched(submission.token, batch_id)])
            assert (await one.look(submission, batch_id)).sight is Sight.UNKNOWN
            lsf.control(unknown=0)
            assert (await one.look(submission, batch_id)).sight is Sight.RUNNING
            await one.batch.cancel([Watched(submission.token, batch_id)])
            await one.ended(submission, batch_id)

        play(scene)

    @pytest.mark.parametrize(
        ("term", "result"), [("TERM_MEMLIMIT", "memory"), ("TERM_RUNLIMIT", "walltime"), ("TERM_LOAD", "node")]
    )
    def test_what_lsf_says_of_an_end_is_a_result(self, play: Stage, lsf: Lsf, term: str, result: str) -> None:
        async def scene(one: Play) -> None:
            submission = one.attempt(SLEEPS)
            await one.batch.submit(submission)
            await one.until(submission, lambda seen: one.starts(submission) == 1)
            lsf.control(term=term)
            seen = await one.ended(submission)
            assert (seen.reason, seen.result) == (f"LSF says EXIT (exit code 137, {term})", result)

        if self.flavour in {"ibm", "lsf9"}:  # relatives tell no reasons
            play(scene)

    def test_the_run_limit_is_told_by_the_exit_code_too(self, play: Stage, lsf: Lsf) -> None:
        """Relatives of LSF have no other word for it."""
        lsf.control(settings={"minute": 1.0})

        async def scene(one: Play) -> None:
            submission = one.attempt(SLEEPS, walltime=61.0)
            await one.batch.submit(submission)
            seen = await one.ended(submission)
            assert (seen.result, seen.exit_code) == ("walltime", 140)
            assert one.starts(submission) == 1

        try:
            play(scene)
        finally:
            lsf.control(settings={"minute": 60.0})

    def test_ends_that_bjobs_has_forgotten_are_found(self, play: Stage, lsf: Lsf) -> None:
        lsf.control(settings={"clean_period": 0.0})

        async def scene(one: Play) -> None:
            good, failed = one.attempt(["true"]), one.attempt()
            ids = [(await one.batch.submit(each)).batch_id for each in (good, failed)]
            async with asyncio.timeout(30):
                while not all(one.record(each)["exit"] for each in (good, failed)):  # noqa: ASYNC110  another process
                    await asyncio.sleep(0.05)
            # By its id, and by its name alone.
            assert (await one.ended(good, ids[0])).exit_code == 0
            seen = await one.ended(failed)
            assert (seen.reason, seen.exit_code, seen.batch_id) == ("LSF says EXIT (exit code 3)", 3, ids[1])

        try:
            play(scene)
        finally:
            lsf.control(settings={"clean_period": 3600.0})

    def test_a_hiccup_and_lsf_being_down_are_no_answers(self, play: Callable[..., None], lsf: Lsf) -> None:
        async def scene(one: Play) -> None:
            submission = one.attempt(SLEEPS)
            await one.batch.submit(submission)
            await one.until(submission, lambda seen: seen.sight is Sight.RUNNING)
            lsf.control(faults={"hiccup": 1.0})
            with pytest.raises(BatchError, match="bjobs: nothing, and ended with exit status 0"):
                await one.look(submission)
            lsf.control(faults={"hiccup": 0.0}, down=600)
            for _ in range(4):
                with pytest.raises(BatchError, match=r"LSF is down|did not answer within"):
                    await one.look(submission)
                with pytest.raises(BatchError) as error:
                    await one.batch.submit(submission)
                assert error.type is BatchError
            lsf.control(down=0)
            assert (await one.look(submission)).sight is Sight.RUNNING

        play(scene, 1.0)

    def test_warnings_before_the_answer_and_rows_that_come_twice_do_no_harm(self, play: Stage, lsf: Lsf) -> None:
        lsf.control(faults={"warnings": 1.0, "row twice": 1.0})

        async def scene(one: Play) -> None:
            submission = one.attempt()
            await one.batch.submit(submission)
            assert (await one.ended(submission)).others == ()

        play(scene)

    def test_the_use_of_a_group_counts_what_others_run(self, play: Stage, lsf: Lsf) -> None:
        group = "u_ATLASLARCAL"

        async def scene(one: Play) -> None:
            assert await one.batch.group_use(group) == 0
            for stat, slots in (("RUN", 3), ("SSUSP", 2), ("PEND", 1), ("DONE", 1)):
                lsf.control(other={"stat": stat, "slots": slots, "group": group})
            lsf.control(other={"stat": "RUN", "slots": 1, "group": "elsewhere"})
            own = one.attempt(SLEEPS, group=group)
            await one.batch.submit(own)
            await one.until(own, lambda seen: seen.sight is Sight.RUNNING)
            assert await one.batch.group_use(group) == 5
            assert await one.batch.group_use("nosuch") == 0

        play(scene)

    def test_what_is_asked_for_is_what_the_job_gets(self, play: Stage, lsf: Lsf) -> None:
        async def scene(one: Play) -> None:
            wants: dict[str, Any] = {"cpus": 2, "memory": 100_000_001, "walltime": 61.0, "queue": "8nm", "group": "g"}
            submission = one.attempt(RAN, options=["-P", "calib", "-sp", "7"], **wants)
            batch_id = (await one.batch.submit(submission)).batch_id
            await one.ended(submission, batch_id)
            (options,) = [told for number, _, _, told, _ in lsf.control()["jobs"] if str(number) == batch_id]
            asked = {"J": submission.token, "q": "8nm", "n": "2", "M": "96", "W": "2", "P": "calib", "sp": "7"}
            asked |= {"R": "rusage[mem=96] span[hosts=1]", "o": f"{Path(submission.script).parent}/log/batch.out"}
            relative = {} if self.flavour in {"volclava", "openlava"} else {"rn": "", "G": "g"}
            assert options == asked | relative

        play(scene)

    def test_the_form_of_answers_is_found_out_once_and_shown(self, play: Stage, lsf: Lsf) -> None:
        forms = {"ibm": "JSON", "lsf9": "delimited fields", "volclava": "JSON with few fields", "openlava": "text"}

        async def scene(one: Play) -> None:
            submission = one.attempt(SLEEPS)
            await one.batch.submit(submission)
            await one.until(submission, lambda seen: seen.sight is Sight.RUNNING)
            told = [each.text for each in await cast(SiteBatch, one.batch).examine({})]
            assert f"bjobs answers; it is asked for {forms[self.flavour]}" in told
            assert one.told == []

        play(scene)


@pytest.mark.campaign
class TestVolclava(TestLsf):
    flavour = "volclava"

    def test_one_that_crashes_at_a_field_is_asked_for_fewer(self, play: Stage, lsf: Lsf) -> None:
        lsf.control(faults={"crash at a field": 1.0})

        async def scene(one: Play) -> None:
            submission = one.attempt()
            await one.batch.submit(submission)
            assert (await one.ended(submission)).exit_code == 3

        play(scene)


@pytest.mark.campaign
class TestOpenLava(TestLsf):
    flavour = "openlava"


@pytest.mark.campaign
class TestLsf9(TestLsf):
    flavour = "lsf9"
