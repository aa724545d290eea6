"""Submissions of a round go out a few at a time, and a batch system that does not answer is not asked on and on."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from caf.batch.interface import BatchRefused, Submission
from caf.domain.errors import BatchError, CafError, StorageTimeout
from caf.domain.following import Sight, Sighting
from caf.tasks.organise import submit
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


def hang(submission: Submission) -> Sighting:
    raise BatchError("sbatch did not answer within 60 s and was ended")


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


class TestPieces:
    """Many are handed over in pieces, each stored before the next gets its tokens."""

    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(submit, "PIECE", 5)

    def test_each_is_stored_before_the_next_gets_its_tokens(self, tmp_path: Path) -> None:
        async def scene(stage: Stage) -> None:
            seen: list[tuple[int, int, int]] = []

            def note(submission: Submission) -> Sighting:
                states = Counter(state for (state,) in stage.world.query("SELECT state FROM job"))
                seen.append((states["PENDING"], states["SUBMITTING"], states["PREPARED"]))
                return Sighting(Sight.PENDING, submission.token)

            stage.batch.on_submit = note
            await stage.organise()
            assert seen == [(0, 5, 7)] * 5 + [(5, 5, 2)] * 5 + [(10, 2, 0)] * 2
            order = [int(one.token.split("-")[2]) for one in stage.batch.submitted]
            assert order == sorted(order)
            assert stage.world.query("SELECT DISTINCT state FROM job") == [("PENDING",)]

        play(World(tmp_path, RUNS, slots=20), scene)

    def test_a_pause_is_heeded_between_them(self, tmp_path: Path) -> None:
        async def scene(stage: Stage) -> None:
            def pause(submission: Submission) -> Sighting:
                if len(stage.batch.submitted) == 3:
                    stage.world.caf("pause", "--reason", "the tape robot is being moved")
                return Sighting(Sight.PENDING, submission.token)

            stage.batch.on_submit = pause
            await stage.organise()
            assert len(stage.batch.submitted) == 5
            rows = stage.world.query("SELECT state, COUNT(*), COUNT(token) FROM job GROUP BY state")
            assert rows == [("PENDING", 5, 5), ("PREPARED", 7, 0)]

        play(World(tmp_path, RUNS, slots=20), scene)

    def test_where_nobody_answers_the_rest_gets_no_tokens(self, tmp_path: Path) -> None:
        async def scene(stage: Stage) -> None:
            stage.batch.on_submit = hang
            await stage.organise()
            assert len(stage.batch.submitted) == AT_ONCE
            assert Counter(stage.job(run)["state"] for run in RUNS) == {"SUBMITTING": 5, "PREPARED": 7}
            # The rest goes out as soon as there are answers, with nothing to be made sure of before.
            stage.batch.on_submit = None
            await stage.organise()
            assert Counter(stage.job(run)["state"] for run in RUNS) == {"SUBMITTING": 5, "PENDING": 7}
            assert {stage.job(run)["attempt"] for run in RUNS} == {1}

        play(World(tmp_path, RUNS, slots=20), scene)

    def test_what_was_handed_over_is_kept_when_a_later_piece_cannot_be_made_ready(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def scene(stage: Stage) -> None:
            many, asked = stage.house.files.many, []

            async def hang(calls: Iterable[tuple[str, Sequence[Any]]], *, timeout: float) -> list[Any]:
                calls = list(calls)
                if calls[0][0] == "note_newest":
                    asked.append(len(calls))
                    if len(asked) == 2:
                        raise StorageTimeout("many was not done within 30 s: is a file system down?")
                return await many(calls, timeout=timeout)

            monkeypatch.setattr(stage.house.files, "many", hang)
            with pytest.raises(CafError, match="not done within 30 s"):
                await stage.organise()
            assert Counter(stage.job(run)["state"] for run in RUNS) == {"PENDING": 5, "SUBMITTING": 5, "PREPARED": 2}
            assert len(stage.batch.submitted) == 5
            # Those that were given tokens and never handed over are nowhere, and begin anew.
            await stage.wait(700)
            await stage.organise()
            assert Counter(stage.job(run)["state"] for run in RUNS) == {"PENDING": 12}
            assert Counter(one.token.split("-")[2] for one in stage.batch.submitted).most_common(1)[0][1] == 1

        play(World(tmp_path, RUNS, slots=20), scene)
