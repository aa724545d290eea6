"""The file child: whatever hangs, dies or is cancelled in it, the next call is served by another."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import anyio
import pytest

from caf.domain.errors import StorageError, StorageTimeout
from caf.storage import child as child_module
from caf.storage.child import FileChild
from tests.storage.children import CALLS, alive, until_dead, with_child


def test_a_call_that_takes_too_long_is_given_up_and_the_child_replaced() -> None:
    async def test(child: FileChild) -> None:
        pid = await child.call("pid", timeout=20)
        with pytest.raises(StorageTimeout, match=r"sleep was not done within 0\.05 s") as caught:
            await child.call("sleep", 60, timeout=0.05)
        assert caught.value.transient
        assert not alive(pid)
        assert child.abandoned == 0
        assert await child.call("pid", timeout=20) != pid

    with_child(test)


def test_the_childs_own_processes_end_with_it(tmp_path: Path) -> None:
    async def test(child: FileChild) -> None:
        with pytest.raises(StorageTimeout):
            await child.call("shell", ["sh", "-c", f"echo $$ >{tmp_path}/pid; sleep 60; :"], timeout=1)
        await until_dead(int((tmp_path / "pid").read_text()))

    with_child(test)


def test_waiting_for_ones_turn_does_not_count_as_ones_time() -> None:
    async def test(child: FileChild) -> None:
        await child.call("pid", timeout=20)
        slow = asyncio.create_task(child.call("sleep", 0.5, timeout=20))
        await asyncio.sleep(0)
        assert await child.call("pid", timeout=0.4) == child.pid
        await slow

    with_child(test)


@pytest.mark.parametrize(
    ("name", "args", "how"), [("leave", [3], "exit status 3"), ("kill", [0, signal.SIGKILL], r"signal 9 \(SIGKILL\)")]
)
def test_a_child_that_dies_in_a_call_is_replaced(name: str, args: list[Any], how: str) -> None:
    async def test(child: FileChild) -> None:
        pid = await child.call("pid", timeout=20)
        with pytest.raises(StorageError, match=f"file child ended during {name}: {how}") as caught:
            await child.call(name, *args, timeout=20)
        assert caught.value.transient
        assert await child.call("pid", timeout=20) != pid

    with_child(test)


def test_a_child_that_died_between_calls_is_replaced_without_an_error() -> None:
    async def test(child: FileChild) -> None:
        pid = await child.call("pid", timeout=20)
        os.kill(pid, signal.SIGKILL)
        await until_dead(pid)
        assert await child.call("pid", timeout=20) != pid

    with_child(test)


def test_a_cancelled_call_leaves_the_child_usable() -> None:
    async def test(child: FileChild) -> None:
        pid = await child.call("pid", timeout=20)
        task = asyncio.create_task(child.call("sleep", 60, timeout=90))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await child.call("join", "a", "b", timeout=20) == "a/b"
        assert child.pid != pid
        assert not alive(pid)

    with_child(test)


def test_cancelling_at_any_moment_never_gives_an_answer_to_the_wrong_call() -> None:
    async def test(child: FileChild) -> None:
        for number in range(60):
            task = asyncio.create_task(child.call("repeat", number, 1, timeout=20))
            for _ in range(number % 12):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if number % 4 == 0:
                assert await child.call("repeat", number, 1000, timeout=20) == number * 1000

    with_child(test)


def test_a_scope_of_anyio_cancels_it_like_any_other_task() -> None:
    async def test(child: FileChild) -> None:
        await child.call("pid", timeout=20)
        with anyio.move_on_after(0.05) as scope:
            await child.call("sleep", 60, timeout=90)
        assert scope.cancelled_caught
        assert await child.call("join", "a", "b", timeout=20) == "a/b"

    with_child(test)


def test_leaving_while_being_cancelled_leaves_no_process() -> None:
    async def main() -> None:
        async with FileChild(CALLS) as child:
            pids.append(await child.call("pid", timeout=20))
            await child.call("sleep", 60, timeout=90)

    async def outer() -> None:
        with anyio.move_on_after(0.3):
            await main()

    pids: list[int] = []
    asyncio.run(outer())
    assert not alive(pids[0])


def test_a_child_that_does_not_die_is_abandoned_and_counted_while_another_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is stopped instead of killed, and so neither answers nor dies, like one that waits for a dead NFS server."""

    def stop(process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGSTOP)

    async def test(child: FileChild) -> None:
        pid = await child.call("pid", timeout=20)
        with pytest.raises(StorageTimeout, match=r"its process cannot be killed \(1 by now\)"):
            await child.call("sleep", 60, timeout=0.05)
        assert child.abandoned == 1
        assert await child.call("pid", timeout=20) != pid
        os.kill(pid, signal.SIGKILL)
        await until_dead(pid)
        assert child.abandoned == 0

    monkeypatch.setattr(child_module, "_kill", stop)
    with_child(test, death=0.05)
