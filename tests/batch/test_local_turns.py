"""What is handed to the local batch system beyond its slots begins in turn, unless it is ended before."""

import asyncio
import os
import resource
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from caf.batch import local
from caf.batch.interface import Submission, Watched
from caf.batch.local import LocalBatch
from caf.domain.errors import BatchError
from caf.domain.following import Sight, Sighting
from tests.batch.wrapped import make_area, record

PATIENCE = 20.0  # s


def token(name: str) -> str:
    """Give a job's token: of no other such test that may run on this machine."""
    return f"caf-0123abcd-{os.getpid()}-1-{name}"


class Turns:
    """A local batch system with two slots, and jobs that each note their name and wait for a file of that name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.slots = 2
        self.batch = LocalBatch(lambda: None, clock=time.time, slots=lambda: self.slots)
        (folder / "begun").touch()

    async def submit(self, *names: str) -> list[Sighting]:
        return [await self.batch.submit(self.script(name)) for name in names]

    def script(self, name: str) -> Submission:
        path = self.folder / f"{name}.sh"
        wait = f"until [ -e {self.folder}/{name} ] || [ ! -e {self.folder} ]; do sleep 0.01; done"
        path.write_text(f"echo {name} >>{self.folder}/begun\n{wait}\n")
        return Submission(token(name), str(path))

    def end(self, *names: str) -> None:
        for name in names:
            (self.folder / name).touch()

    def begun(self) -> list[str]:
        return (self.folder / "begun").read_text().split()

    async def have_begun(self, *names: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while sorted(self.begun()) != sorted(names):  # noqa: ASYNC110  # another process writes it
                await asyncio.sleep(0.005)

    async def sight(self, name: str) -> Sight:
        return (await self.batch.look([Watched(token(name))]))[token(name)].sight


@contextmanager
def no_more_files() -> Iterator[None]:
    """Let this process open no file, nor get any other descriptor, for a while."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 2, hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def play(folder: Path, scene: Callable[[Turns], Awaitable[None]]) -> None:
    async def run() -> None:
        turns = Turns(folder)
        try:
            await scene(turns)
        finally:
            turns.end("a", "b", "c", "d", "e")
            await turns.batch.close()

    asyncio.run(run())


def test_no_more_run_than_there_are_slots_and_the_rest_begins_in_its_order(tmp_path: Path) -> None:
    async def scene(turns: Turns) -> None:
        said = await turns.submit("a", "b", "c", "d")
        assert [one.sight for one in said] == [Sight.RUNNING] * 2 + [Sight.PENDING] * 2
        assert [one.batch_id is None for one in said] == [False, False, True, True]
        await turns.have_begun("a", "b")
        assert await turns.sight("c") is Sight.PENDING
        turns.end("b")
        await turns.have_begun("a", "b", "c")
        assert await turns.sight("d") is Sight.PENDING
        turns.end("a", "c")
        await turns.have_begun("a", "b", "c", "d")
        assert turns.begun()[2:] == ["c", "d"]

    play(tmp_path, scene)


def test_one_that_comes_later_does_not_overtake(tmp_path: Path) -> None:
    """Also when a slot has been added meanwhile."""

    async def scene(turns: Turns) -> None:
        await turns.submit("a", "b", "c")
        turns.slots = 3
        assert (await turns.submit("d"))[0].sight is Sight.PENDING
        turns.slots = 2  # else two would begin at once, in whatever order they come to write
        turns.end("a")
        await turns.have_begun("a", "b", "c")
        turns.end("b")
        await turns.have_begun("a", "b", "c", "d")

    play(tmp_path, scene)


def test_one_that_was_ended_before_its_turn_never_begins(tmp_path: Path) -> None:
    async def scene(turns: Turns) -> None:
        await turns.submit("a", "b", "c", "d")
        await turns.batch.cancel([Watched(token("c"))])
        assert await turns.sight("c") is Sight.ENDED
        turns.end("a", "b")
        await turns.have_begun("a", "b", "d")

    play(tmp_path, scene)


def test_those_that_were_ended_are_not_remembered_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "KILL_AFTER", 0.05)
    monkeypatch.setattr(local, "FORGET_AFTER", 0.05)

    async def scene(turns: Turns) -> None:
        said = await turns.submit("a", "b")
        watched = [Watched(token(name), one.batch_id) for name, one in zip("ab", said, strict=True)]
        await turns.batch.cancel(watched[:1])
        turns.end("b")
        async with asyncio.timeout(PATIENCE):
            while turns.batch._asked_to_end or turns.batch._watched:  # noqa: ASYNC110  # the batch system has no event
                await asyncio.sleep(0.01)
        await turns.batch.look(watched)
        assert turns.batch._wrappers == {}

    play(tmp_path, scene)


def test_what_has_not_begun_when_the_supervisor_ends_never_does(tmp_path: Path) -> None:
    async def scene(turns: Turns) -> None:
        await turns.submit("a", "b", "c")
        await turns.have_begun("a", "b")
        await turns.batch.close()
        turns.end("a", "b")
        assert await turns.sight("c") is Sight.ENDED
        assert sorted(turns.begun()) == ["a", "b"]

    play(tmp_path, scene)


def test_one_that_cannot_be_started_in_its_turn_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(turns: Turns) -> None:
        await turns.submit("a", "b", "c", "d")
        start = LocalBatch._start

        def refuses(batch: LocalBatch, submission: Submission) -> Sighting:
            if submission.token.endswith("-c"):
                raise BatchError("no process could be started")
            return start(batch, submission)

        monkeypatch.setattr(local.LocalBatch, "_start", refuses)
        turns.end("a")
        await turns.have_begun("a", "b", "d")
        assert await turns.sight("c") is Sight.ENDED
        assert token("c") in turns.batch.take_ended()

    play(tmp_path, scene)


def test_what_no_descriptor_watches_has_its_slot_all_the_same(tmp_path: Path) -> None:
    """And is not taken for ended because it cannot be looked at just now."""

    async def scene(turns: Turns) -> None:
        scripts = [turns.script(name) for name in "abc"]
        with no_more_files():
            said = [await turns.batch.submit(one) for one in scripts]
            assert [one.sight for one in said] == [Sight.RUNNING, Sight.RUNNING, Sight.PENDING]
            with pytest.raises(BatchError, match="Too many open files"):
                await turns.sight("a")
        await turns.have_begun("a", "b")
        assert [await turns.sight(name) for name in "abc"] == [Sight.RUNNING, Sight.RUNNING, Sight.PENDING]
        turns.end("a")
        async with asyncio.timeout(PATIENCE):
            while await turns.sight("c") is Sight.PENDING:  # noqa: ASYNC110  # an end that is not watched has no event
                await asyncio.sleep(0.005)
        await turns.have_begun("a", "b", "c")
        assert token("a") in turns.batch.take_ended()
        assert await turns.sight("a") is Sight.ENDED

    play(tmp_path, scene)


def test_one_whose_end_only_a_descriptor_could_tell_is_looked_at_until_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here none is to be had for this process alone; its start is known, and it is counted once."""

    async def scene(turns: Turns) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, "pidfd_open", lambda pid: os.open("/nowhere", os.O_RDONLY))
            (a,) = await turns.submit("a")
            assert (await turns.submit("b", "c"))[1].sight is Sight.PENDING
        watched = Watched(token("a"), a.batch_id)
        assert (await turns.batch.look([watched]))[watched.token].sight is Sight.RUNNING
        turns.slots = 3
        assert [one.sight for one in await turns.submit("d")] == [Sight.PENDING]  # c goes first
        turns.end("a")
        await turns.have_begun("a", "b", "c", "d")

    play(tmp_path, scene)


def test_ends_are_told_and_exit_codes_known_where_the_end_of_children_is_ignored(tmp_path: Path) -> None:
    """As whoever starts the supervisor may have it: the kernel reaps children then, and an exec keeps that."""
    area = make_area(tmp_path)  # its payload ends with 3

    async def scene(turns: Turns) -> None:
        await turns.submit("a", "b", "c")
        await turns.have_begun("a", "b")
        turns.end("a")
        await turns.have_begun("a", "b", "c")
        turns.end("b", "c")
        await turns.batch.submit(Submission(token("d"), str(area / "caf.sh")))
        async with asyncio.timeout(PATIENCE):
            while record(area)["exit"] is None:  # noqa: ASYNC110  # another process writes it
                await asyncio.sleep(0.005)
        assert record(area)["exit"]["code"] == 3
        assert token("a") in turns.batch.take_ended()

    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        play(tmp_path, scene)
    finally:
        signal.signal(signal.SIGCHLD, before)
