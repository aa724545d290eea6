"""Submissions of a round go out a few at a time, and a batch system that does not answer is not asked on and on."""

import asyncio
from pathlib import Path

import pytest

from caf.batch.interface import BatchRefused, Submission
from caf.domain.errors import BatchError
from caf.domain.following import Sight, Sighting
from caf.tasks.organise.submit import AT_ONCE, TROUBLE_DELAY
from tests.tasks.stage import NOW, Stage, play
from tests.world import World

RUNS = list(range(490001, 490013))


class Turns:
    """Has each submission take a while, and sees how many are under way."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def __call__(self, submission: Submission) -> Sighting:
        self.now += 1
        self.most = max(self.most, self.now)
        for _ in range(3):
            await asyncio.sleep(0)
        self.now -= 1
        return Sighting(Sight.PENDING, submission.token)


def test_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns()

    async def scene(stage: Stage) -> None:
        monkeypatch.setattr(stage.batch, "submit", turns)
        await stage.organise()
        assert turns.most == AT_ONCE
        rows = stage.world.query("SELECT state, batch_id, token FROM job")
        assert [(state, batch_id == token) for state, batch_id, token in rows] == [("PENDING", True)] * len(RUNS)

    play(World(tmp_path, RUNS, slots=20), scene)


def test_after_a_few_without_an_answer_the_rest_is_left_for_later(tmp_path: Path) -> None:
    """Each would cost a whole time limit; where any of them is, is found out by its token."""

    def hang(submission: Submission) -> Sighting:
        raise BatchError("sbatch did not answer within 60 s and was ended")

    async def scene(stage: Stage) -> None:
        stage.batch.on_submit = hang
        await stage.organise()
        assert len(stage.batch.submitted) == AT_ONCE
        jobs = [stage.job(run) for run in RUNS]
        assert {(job["state"], job["not_before"]) for job in jobs} == {("SUBMITTING", NOW + TROUBLE_DELAY)}
        reasons = [job["reason"] for job in jobs]
        assert reasons.count("not handed over yet: the batch system does not answer") == len(RUNS) - AT_ONCE
        # Those that were not handed over are not there when it answers again: another attempt of each begins.
        stage.batch.on_submit = None
        await stage.wait(700)
        await stage.organise()
        assert {stage.job(run)["state"] for run in RUNS} == {"PENDING"}
        assert {stage.job(run)["attempt"] for run in RUNS} == {2}

    play(World(tmp_path, RUNS, slots=20), scene)


def test_one_answer_is_enough_to_go_on(tmp_path: Path) -> None:
    def now_and_then(submission: Submission) -> Sighting:
        number = int(submission.token.split("-")[2])
        if number % 3 == 0:
            return Sighting(Sight.PENDING, str(number))
        raise BatchError("nothing")

    async def scene(stage: Stage) -> None:
        stage.batch.on_submit = now_and_then
        await stage.organise()
        assert len(stage.batch.submitted) == len(RUNS)

    play(World(tmp_path, RUNS, slots=20), scene)


def test_a_refusal_that_cannot_be_made_sure_of_holds_up_no_other_job(tmp_path: Path) -> None:
    """The area of one is gone, and with it the mark of `work`: nothing is concluded."""

    def refuse(submission: Submission) -> Sighting:
        if "490001" in submission.script:
            Path(submission.script).parent.rename(tmp_path / "away")
            (tmp_path / "work" / ".caf-database").rename(tmp_path / "mark")
            raise BatchRefused("Invalid partition name specified: correct `queue`")
        return Sighting(Sight.PENDING, "7")

    async def scene(stage: Stage) -> None:
        stage.batch.on_submit = refuse
        await stage.organise()
        states = {run: stage.job(run)["state"] for run in RUNS}
        assert states == {**dict.fromkeys(RUNS, "PENDING"), 490001: "SUBMITTING"}
        assert "nothing was changed" in stage.job(490001)["reason"]

    play(World(tmp_path, RUNS, slots=20), scene)
