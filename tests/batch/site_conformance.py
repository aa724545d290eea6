"""What every batch system of a site has to do, beside what all have: it has queues, a server and clients."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import cast

import pytest

from caf.batch import systems
from caf.batch.interface import BatchRefused, SiteBatch, Submission, Watched
from caf.domain.errors import BatchError
from caf.domain.following import Sight
from tests.batch.conformance import (
    DATABASE,
    PATIENCE,
    Conformance,
    Play,
    Stage,
    System,
    nothing_is_left,
    over,
    processes_with,
    stand_in,
    until,
)


def site(kind: str, limit: float, told: Callable[[str, str], None]) -> SiteBatch:
    """Make a batch system as caf does. `told` hears of answers that cannot be read."""
    return systems.site(kind, systems.Surroundings(DATABASE, lambda: limit, told, lambda: None, time.time))


class SiteConformance(Conformance):
    """For batch systems of a site, with queues, a server and clients."""

    def test_a_token_that_it_never_had_is_unknown(self, play: Stage) -> None:
        async def scene(one: Play) -> None:
            assert (await one.look(one.attempt())).sight is Sight.UNKNOWN
            assert (await one.look(one.attempt(), "1")).sight is Sight.UNKNOWN

        play(scene)

    def test_a_pending_job_tells_why_and_can_be_cancelled(self, play: Stage, system: System) -> None:
        async def scene(one: Play) -> None:
            submission = one.attempt(**system.never)
            seen = await one.batch.submit(submission)
            assert seen.sight is Sight.PENDING
            seen = await one.until(submission, lambda seen: bool(seen.reason and seen.reason != "pending"))
            assert seen.sight is Sight.PENDING
            await one.batch.cancel([Watched(submission.token, seen.batch_id)])
            await one.ended(submission, seen.batch_id)
            assert one.record(submission)["claim"] is False

        play(scene)

    def test_a_job_that_can_never_start_is_told_apart(self, play: Stage, system: System) -> None:
        async def scene(one: Play) -> None:
            for changes, word in system.stuck:
                submission = one.attempt(**changes)
                await one.batch.submit(submission)
                await one.until(submission, lambda seen, word=word: seen.stuck and word in (seen.reason or ""))  # type: ignore[misc]
                await one.batch.cancel([Watched(submission.token)])

        play(scene)

    def test_a_refusal_has_its_own_words_and_what_to_do(self, play: Stage, system: System) -> None:
        async def scene(one: Play) -> None:
            for changes, words in system.refused:
                submission = one.attempt(**changes)
                with pytest.raises(BatchRefused, match=words) as refused:
                    await one.batch.submit(submission)
                assert "\n" not in str(refused.value)
                # Some show what they refused as a job that failed at once.
                assert (await one.look(submission)).sight in {Sight.UNKNOWN, Sight.ENDED}

        play(scene)

    def test_only_the_twin_that_is_meant_is_cancelled(self, play: Stage, system: System) -> None:
        async def scene(one: Play) -> None:
            submission = one.attempt(**system.never)
            ids = [(await one.batch.submit(submission)).batch_id for _ in range(2)]
            assert len(set(ids)) == 2
            seen = await one.until(submission, lambda seen: len(seen.others) == 1)
            assert {seen.batch_id, seen.others[0].batch_id} == set(ids)
            await one.batch.cancel([Watched(submission.token, ids[1], alone=True)])
            seen = await one.until(submission, lambda seen: over(seen) or all(map(over, seen.others)))
            assert (seen.batch_id, seen.sight) == (ids[0], Sight.PENDING)
            await one.batch.cancel([Watched(submission.token)])
            await one.ended(submission)

        play(scene)

    def test_an_id_is_told_with_the_names_that_its_job_carries(self, play: Stage, system: System) -> None:
        """So that nobody adopts what is not the attempt's."""

        async def scene(one: Play) -> None:
            batch = cast(SiteBatch, one.batch)
            first, second = one.attempt(**system.never), one.attempt(**system.never)
            ids = [str((await batch.submit(each)).batch_id) for each in (first, second)]
            for each, batch_id in zip((first, second), ids, strict=True):
                found = await batch.named(batch_id)
                assert found is not None
                assert found.batch_id == batch_id
                assert set(found.names & {first.token, second.token}) == {each.token}
                assert each.token in found.what
            for nobody in ("99999999", "0", "-1", "", "abc", "1;2", "--help", f"{ids[0]}x", "²"):
                assert await batch.named(nobody) is None
            await batch.cancel([Watched(first.token), Watched(second.token)])
            await one.ended(first, ids[0])
            later = await batch.named(ids[0])
            assert later is None or first.token in later.names

        play(scene)

    def test_variables_that_change_what_clients_do_are_cleared(
        self, play: Stage, system: System, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, text in system.nonsense.items():
            monkeypatch.setenv(name, text)

        async def scene(one: Play) -> None:
            submission = one.attempt()
            seen = await one.batch.submit(submission)
            await one.ended(submission, seen.batch_id)
            assert one.starts(submission) == 1

        play(scene)

    def test_a_client_that_is_missing_is_named(self, play: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        async def scene(one: Play) -> None:
            for name, call in calls(one).items():
                with pytest.raises(BatchError, match=f"{one.system.clients[name]} is not installed"):
                    await call()

        monkeypatch.setenv("PATH", "/nonexistent")
        play(scene)

    def test_a_client_that_hangs_is_ended_with_all_that_it_started(
        self, play: Callable[..., None], system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mark = f"30{os.getpid()}.5"
        for program in system.clients.values():
            stand_in(tmp_path / "bin", monkeypatch, program, f"echo 77\nsleep {mark} &\nexec sleep {mark}")

        async def scene(one: Play) -> None:
            for name, call in calls(one).items():
                begun = time.monotonic()
                with pytest.raises(BatchError, match=f"{system.clients[name]} did not answer within 0.3 s"):
                    await call()
                assert time.monotonic() - begun < 5
            nothing_is_left(mark)

        play(scene, 0.3)

    def test_closing_ends_what_is_under_way(
        self, play: Stage, system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mark = f"31{os.getpid()}.5"
        for program in system.clients.values():
            stand_in(tmp_path / "bin", monkeypatch, program, f"exec sleep {mark}")

        async def scene(one: Play) -> None:
            asked = asyncio.ensure_future(one.look(one.attempt()))
            await until(lambda: bool(processes_with(mark)))
            await one.batch.close()
            with pytest.raises(BatchError):
                await asked
            nothing_is_left(mark)

        play(scene)

    @pytest.mark.parametrize(
        "text",
        [
            "echo 'this is no answer'",
            "printf '\\377\\000\\n\\033[31m'",
            "head -c 100000 /dev/urandom | tr -d 0-9",  # a digit on a line of its own would be an id to Slurm
        ],
        ids=["words", "bytes", "much"],
    )
    def test_an_answer_that_cannot_be_read_is_kept_in_full_and_changes_nothing(
        self, play: Stage, system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
    ) -> None:
        for program in system.clients.values():
            stand_in(tmp_path / "bin", monkeypatch, program, text)

        async def scene(one: Play) -> None:
            with pytest.raises(BatchError) as error:
                await one.batch.submit(one.attempt())
            assert error.type is BatchError
            with pytest.raises(BatchError):
                await one.look(one.attempt())
            assert one.told
            assert "\n" not in str(error.value)
            if "words" in text:
                assert ("this is no answer" in one.told[0][1]) is True

        play(scene)

    def test_a_client_that_fails_without_a_word_changes_nothing(
        self, play: Stage, system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for program in system.clients.values():
            stand_in(tmp_path / "bin", monkeypatch, program, "kill -KILL $$")

        async def scene(one: Play) -> None:
            for call in calls(one).values():
                with pytest.raises(BatchError) as error:
                    await call()
                assert error.type is BatchError

        play(scene)

    def test_a_lost_submission_is_found_by_its_token(
        self, play: Callable[..., None], system: System, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The server hangs, the client is ended, the server goes on: it may have taken the job, once or not at all."""
        submissions: list[Submission] = []

        async def lose(one: Play) -> None:
            submissions.extend(one.attempt() for _ in range(3))
            system.stop()
            try:
                for each in submissions:
                    with pytest.raises(BatchError) as error:
                        await one.batch.submit(each)
                    assert error.type is BatchError
            finally:
                system.go_on()

        async def find(one: Play) -> None:
            await settle(one, submissions)

        play(lose, 1.0)
        play(find)

    def test_submissions_that_are_killed_at_any_time_are_found_by_their_tokens(self, play: Callable[..., None]) -> None:
        submissions: list[Submission] = []

        async def lose(one: Play) -> None:
            begun = time.monotonic()
            await one.batch.submit(one.attempt())
            took = time.monotonic() - begun
            for number in range(15):
                submissions.append(one.attempt())
                asked = asyncio.ensure_future(one.batch.submit(submissions[-1]))
                await asyncio.wait([asked], timeout=took * number / 5)
                asked.cancel()
                await asyncio.wait([asked])

        async def find(one: Play) -> None:
            assert await settle(one, submissions) > 0

        play(lose)
        play(find)

    def test_it_tells_what_answers_and_what_would_be_handed_over(self, play: Stage, system: System) -> None:
        """As `caf check` shows it."""

        async def scene(one: Play) -> None:
            site = cast(SiteBatch, one.batch)
            found = await site.examine({"Fit": one.attempt()})
            assert not [each for each in found if each.word == "BAD"], found
            assert any(system.clients["submit"] in each.text for each in found)
            for changes, _ in system.refused:
                found = await site.examine({"Fit": one.attempt(**changes)})
                assert [each for each in found if each.word == "BAD" and "Fit" in each.text], changes

        play(scene)


async def settle(one: Play, submissions: Sequence[Submission]) -> int:
    """Follow lost submissions by their tokens alone until all is quiet; gives how many had been accepted.

    Each that was accepted runs once; who is not shown once the others have ended was not accepted.
    """
    end = time.monotonic() + PATIENCE
    quiet = 0
    while quiet < 10:
        found = await one.batch.look([Watched(each.token, asked=time.time() - 60) for each in submissions])
        alive = [token for token, seen in found.items() if not over(seen)]
        quiet = 0 if alive else quiet + 1
        assert time.monotonic() < end, found
        await asyncio.sleep(0.1)
    accepted = {token for token, seen in found.items() if seen.sight is Sight.ENDED}
    for each in submissions:
        assert one.starts(each) == (1 if each.token in accepted else 0)
        assert (one.record(each)["exit"] is not None) is (each.token in accepted)
    return len(accepted)


def calls(one: Play) -> dict[str, Callable[[], Awaitable[object]]]:
    """Give what each client is needed for."""
    submission = one.attempt()
    watched = [Watched(submission.token, "1")]
    return {
        "submit": lambda: one.batch.submit(submission),
        "look": lambda: one.batch.look(watched),
        "cancel": lambda: one.batch.cancel(watched),
        "named": lambda: cast(SiteBatch, one.batch).named("1"),
    }
