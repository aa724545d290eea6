"""What every batch system has to do, as one suite: a test file for a system subclasses it and gives `system`.

The wrapper is the real one, and what a payload did is read from its area, by caf's own reader of records. What those
have to do that are reached through clients stands in site_conformance.py.
"""

import asyncio
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from caf.batch.interface import Batch, Submission, Watched
from caf.batch.script import script
from caf.domain.following import Sight, Sighting
from caf.storage.records import read_records
from tests.world import wait_until

PATIENCE = 60.0  # s
DATABASE = "0123abcd"
OWN = f"caf-{DATABASE}-"
LIMIT = 30.0  # s for a client, unless a test is about that
RAN = ["sh", "-c", "echo ran >>payload; exit 3"]
SLEEPS = ["sh", "-c", "echo ran >>payload; exec sleep 300"]
HOSTILE = ('it\'s a "b"', "per%jcent%%", "back\\slash", "$HOME;ünïcode", "new\nline")


@dataclass
class System:
    """A batch system under test. `never` are changes that make a submission wait for ever, `stuck` such that do so for
    a reason that needs a person, with a word of that reason; `refused` such that are refused, with words of the answer.

    `clients` are the programs that it uses to submit, look and cancel; `stop` has its server hang.
    """

    make: Callable[[float, Callable[[str, str], None]], Batch]
    never: Mapping[str, Any] = field(default_factory=dict)
    stuck: Sequence[tuple[Mapping[str, Any], str]] = ()
    refused: Sequence[tuple[Mapping[str, Any], str]] = ()
    clients: Mapping[str, str] = field(default_factory=dict)
    nonsense: Mapping[str, str] = field(default_factory=dict)
    stop: Callable[[], None] = lambda: None
    go_on: Callable[[], None] = lambda: None


class Play:
    """One test's use of a batch system: attempts are made, handed over, and watched."""

    def __init__(self, system: System, batch: Batch, folder: Path, told: list[tuple[str, str]]) -> None:
        self.system, self.batch, self.folder, self.told = system, batch, folder, told

    def attempt(self, command: Sequence[str] = RAN, *, where: str = "work", **changes: Any) -> Submission:
        """Make an attempt's area with the real script in it."""
        token = f"{OWN}1-1-{os.urandom(4).hex()}"
        area = self.folder / where / token / "1"
        (area / "log").mkdir(parents=True)
        for path in (area, *area.parents):
            if path != self.folder and self.folder in path.parents:
                path.chmod(0o777)
        (area / "log").chmod(0o777)
        text = script(
            area=str(area),
            token=token,
            run=490001,
            job="Fit",
            attempt=1,
            command=list(command),
            id_variable=self.batch.id_variable,
        )
        (area / "caf.sh").write_text(text, encoding="utf-8")
        return replace(Submission(token, f"{area}/caf.sh"), **changes)

    def record(self, submission: Submission) -> dict[str, Any]:
        return read_records([os.path.dirname(submission.script)])[0]

    def starts(self, submission: Submission) -> int:
        """Count how often the payload was started."""
        file = Path(submission.script).with_name("payload")
        return len(file.read_text().splitlines()) if file.exists() else 0

    async def look(self, submission: Submission, batch_id: str | None = None) -> Sighting:
        watched = Watched(submission.token, batch_id, self.record(submission)["start"], asked=time.time() - 60)
        found = await self.batch.look([watched])
        return found.get(submission.token, Sighting(Sight.UNKNOWN))

    async def until(
        self, submission: Submission, wanted: Callable[[Sighting], bool], batch_id: str | None = None
    ) -> Sighting:
        """Look until it is as wanted."""
        end = time.monotonic() + PATIENCE
        while not wanted(seen := await self.look(submission, batch_id)):
            assert time.monotonic() < end, seen
            await asyncio.sleep(0.1)
        return seen

    async def ended(self, submission: Submission, batch_id: str | None = None) -> Sighting:
        return await self.until(submission, lambda seen: over(seen), batch_id)


def over(seen: Sighting) -> bool:
    """Tell whether all batch jobs of a token have ended."""
    return all(one.sight is Sight.ENDED for one in (seen, *seen.others))


Scene = Callable[[Play], Awaitable[None]]
Stage = Callable[[Scene], None]


class Conformance:
    """For every batch system."""

    @pytest.fixture
    def system(self) -> System:
        raise NotImplementedError("a subclass says which batch system it is about")

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        """Give where areas are made: what nodes see."""
        return tmp_path

    @pytest.fixture
    def play(self, system: System, place: Path) -> Stage:
        def run(scene: Scene, limit: float = LIMIT) -> None:
            async def on_loop() -> None:
                told: list[tuple[str, str]] = []
                batch = system.make(limit, lambda client, said: told.append((client, said)))
                try:
                    await scene(Play(system, batch, place, told))
                finally:
                    await batch.close()

            asyncio.run(on_loop())

        return run

    def test_a_job_is_seen_to_its_end_and_leaves_its_records(self, play: Stage) -> None:
        async def scene(one: Play) -> None:
            submission = one.attempt()
            seen = await one.batch.submit(submission)
            assert seen.sight in {Sight.PENDING, Sight.RUNNING}
            await one.ended(submission, seen.batch_id)
            record = one.record(submission)
            assert (record["exit"]["code"], record["exit"]["token"]) == (3, submission.token)
            assert record["start"]["batch_id"] == (seen.batch_id if one.batch.id_variable else None)
            assert one.starts(submission) == 1

        play(scene)

    def test_many_are_looked_up_at_once(self, play: Stage) -> None:
        async def scene(one: Play) -> None:
            all_of_them = [one.attempt(SLEEPS if number % 2 else RAN) for number in range(10)]
            ids = {each.token: (await one.batch.submit(each)).batch_id for each in all_of_them}
            watched = [Watched(each.token, ids[each.token]) for each in all_of_them]
            end = time.monotonic() + PATIENCE
            wanted = [Sight.ENDED, Sight.RUNNING] * 5
            while [(found := await one.batch.look(watched))[each.token].sight for each in all_of_them] != wanted:
                assert time.monotonic() < end, found
                await asyncio.sleep(0.1)
            await one.batch.cancel(watched)
            for each in all_of_them:
                await one.ended(each, ids[each.token])
                assert one.starts(each) == 1

        play(scene)

    def test_a_running_job_that_is_cancelled_ends_and_no_other(self, play: Stage) -> None:
        async def scene(one: Play) -> None:
            first, second = one.attempt(SLEEPS), one.attempt(SLEEPS)
            ids = [(await one.batch.submit(each)).batch_id for each in (first, second)]
            for each, batch_id in zip((first, second), ids, strict=True):
                await one.until(each, lambda seen, each=each: one.starts(each) == 1, batch_id)  # type: ignore[misc]
            await one.batch.cancel([Watched(first.token, ids[0])])
            await one.ended(first, ids[0])
            assert (await one.look(second, ids[1])).sight is Sight.RUNNING
            assert one.record(second)["exit"] is None
            await one.batch.cancel([Watched(second.token, ids[1])])
            await one.ended(second, ids[1])

        play(scene)

    def test_two_submissions_of_one_attempt_start_its_payload_once(self, play: Stage) -> None:
        async def scene(one: Play) -> None:
            submission = one.attempt()
            for _ in range(2):
                await one.batch.submit(submission)
            await one.ended(submission)
            assert one.starts(submission) == 1
            assert one.record(submission)["exit"]["code"] == 3

        play(scene)

    def test_cancelling_what_is_not_there_is_no_error(self, play: Stage) -> None:
        async def scene(one: Play) -> None:
            submission = one.attempt()
            await one.batch.cancel([Watched(submission.token), Watched(submission.token, "999999")])

        play(scene)

    @pytest.mark.parametrize("name", HOSTILE, ids=ascii)
    def test_names_are_taken_as_they_are(self, play: Stage, name: str) -> None:
        async def scene(one: Play) -> None:
            submission = one.attempt(["sh", "-c", 'echo ran >>payload; printf %s "$1" >said', "x", name], where=name)
            seen = await one.batch.submit(submission)
            await one.ended(submission, seen.batch_id)
            assert one.starts(submission) == 1, list(Path(submission.script).parent.rglob("*"))
            assert _read(submission, "said") == name

        play(scene)

    def test_jobs_outlive_the_supervisor_and_are_found_by_their_token(self, play: Stage) -> None:
        submissions: list[Submission] = []

        async def first(one: Play) -> None:
            submissions.append(one.attempt(["sh", "-c", "echo ran >>payload; exec sleep 1"]))
            await one.batch.submit(submissions[0])

        async def second(one: Play) -> None:
            await one.until(submissions[0], lambda seen: one.record(submissions[0])["exit"] is not None)
            assert one.starts(submissions[0]) == 1

        play(first)
        play(second)

    def test_a_payload_hears_nothing_that_is_meant_for_the_supervisor(
        self, play: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It could say READY or STOPPING in its name."""
        monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
        monkeypatch.setenv("WATCHDOG_USEC", "1000000")

        async def scene(one: Play) -> None:
            submission = one.attempt(["sh", "-c", "env >environment"])
            seen = await one.batch.submit(submission)
            await one.ended(submission, seen.batch_id)
            given = {line.partition("=")[0] for line in _read(submission, "environment").splitlines()}
            assert "CAF_TOKEN" in given
            assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC"} & given

        play(scene)


def _read(submission: Submission, name: str) -> str:
    return Path(submission.script).with_name(name).read_text()


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop go on until a condition about another process holds."""
    async with asyncio.timeout(PATIENCE):
        for _ in itertools.takewhile(lambda _: not condition(), itertools.count()):
            await asyncio.sleep(0.02)


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, program: str, text: str) -> None:
    """Put a program of this name first on PATH."""
    folder.mkdir(exist_ok=True)
    file = folder / program
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    if not os.environ["PATH"].startswith(f"{folder}:"):
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def processes_with(mark: str) -> list[str]:
    """Give the pids of processes that have this word among their arguments."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            found += [process.name] if mark in words else []
    return found


def nothing_is_left(mark: str) -> None:
    """See that no process has the mark; one that was killed, and is nobody's child here, may take a moment to go."""
    wait_until(lambda: processes_with(mark) == [], what=f"the end of all that have {mark}")
