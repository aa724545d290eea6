"""The file child: what is asked and answered, and what it has to do with the outside."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from caf.domain.errors import PreparationError, StorageError
from caf.storage import child as child_module
from caf.storage.child import PROGRAM, FileChild
from tests.storage.children import until_dead, with_child


def test_calls_are_answered_by_one_process_of_its_own_session() -> None:
    async def test(child: FileChild) -> None:
        assert child.pid is None
        pid = await child.call("pid", timeout=20)
        assert pid == child.pid != os.getpid()
        assert await child.call("pid", timeout=20) == pid
        assert await child.call("session", 0, timeout=20) == pid
        assert await child.call("umask", 0o007, timeout=20) == 0o007

    with_child(test)


def test_arguments_go_by_position_or_by_name() -> None:
    async def test(child: FileChild) -> None:
        assert await child.call("join", "a", "b", timeout=20) == "a/b"
        assert await child.call("expand", pattern="{run}", run=7, timeout=20) == "7"
        with pytest.raises(TypeError, match="not both"):
            await child.call("expand", "{run}", run=7, timeout=20)

    with_child(test)


def test_many_calls_at_once_keep_their_answers_apart() -> None:
    async def test(child: FileChild) -> None:
        numbers = range(50)
        answers = await asyncio.gather(*(child.call("repeat", n, 2, timeout=20) for n in numbers))
        assert answers == [2 * n for n in numbers]

    with_child(test)


def test_a_batch_has_a_result_or_an_error_for_each() -> None:
    async def test(child: FileChild) -> None:
        calls: list[tuple[str, list[Any]]] = [
            ("join", ["a", "b"]),
            ("expand", ["{x}", 1]),
            ("nosuch", []),
            ("repeat", [3, 4]),
        ]
        first, second, third, fourth = await child.many(calls, timeout=20)
        assert (first, fourth) == ("a/b", 12)
        assert isinstance(second, PreparationError)
        assert isinstance(third, StorageError)
        assert await child.many([], timeout=20) == []

    with_child(test)


def test_errors_arrive_as_what_they_were(tmp_path: Path) -> None:
    async def test(child: FileChild) -> None:
        with pytest.raises(PreparationError, match=r"^t:1: unknown tag #A#$") as caught:
            await child.call("render", "#A#", {}, "t", timeout=20)
        assert not caught.value.transient
        with pytest.raises(StorageError, match="cannot write") as other:
            await child.call("write_script", str(tmp_path / "none"), "", timeout=20)
        assert type(other.value) is StorageError

    with_child(test)


def test_a_transient_error_arrives_as_such() -> None:
    """A process's memory at address 0 is a regular file whose reading fails with EIO."""
    request = {"area": "/proc/self", "log": "mem", "log_has": ["x"], "log_lacks": [], "outputs": []}

    async def test(child: FileChild) -> None:
        with pytest.raises(StorageError, match=r"cannot read .*/mem: Input/output error") as caught:
            await child.call("inspect", request, timeout=20)
        assert caught.value.transient

    with_child(test)


@pytest.mark.parametrize(("name", "args"), [("repeat", ["a", "b"]), ("nosuch", []), ("set", []), ("inspect", [{}])])
def test_a_fault_in_a_call_is_an_error_and_costs_nothing(name: str, args: list[Any]) -> None:
    async def test(child: FileChild) -> None:
        pid = await child.call("pid", timeout=20)
        with pytest.raises(StorageError, match=r"fault in caf at .*Error: "):
            await child.call(name, *args, timeout=20)
        assert await child.call("pid", timeout=20) == pid

    with_child(test)


def test_an_answer_may_be_large_and_so_may_a_request() -> None:
    async def test(child: FileChild) -> None:
        assert await child.call("repeat", "x", 20_000_000, timeout=60) == "x" * 20_000_000
        assert await child.call("repeat", "é" * 1_000_000, 1, timeout=60) == "é" * 1_000_000

    with_child(test)


def test_an_answer_beyond_all_reason_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(child: FileChild) -> None:
        with pytest.raises(StorageError, match="answer to repeat is longer than 1000 bytes"):
            await child.call("repeat", "x", 10_000_000, timeout=60)
        assert await child.call("repeat", "x", 3, timeout=20) == "xxx"

    monkeypatch.setattr(child_module, "LONGEST", 1000)
    with_child(test)


def test_names_with_odd_bytes_arrive_as_they_are(tmp_path: Path) -> None:
    odd = os.fsdecode(os.fsencode(str(tmp_path)) + b"/\xff\xe9")
    os.mkdir(odd)

    async def test(child: FileChild) -> None:
        (answer,) = await child.call("records", [odd], timeout=20)
        assert answer["exists"]
        assert await child.call("join", odd, "x", timeout=20) == f"{odd}/x"

    with_child(test)


def test_what_a_library_prints_does_not_disturb_the_answers(capfd: pytest.CaptureFixture[str]) -> None:
    async def test(child: FileChild) -> None:
        assert await child.call("print", "chatter", timeout=20) is None
        assert await child.call("join", "a", "b", timeout=20) == "a/b"

    with_child(test)
    assert "chatter" in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_meant_for_the_supervisor_do_not_end_it(number: int) -> None:
    async def test(child: FileChild) -> None:
        pid = await child.call("pid", timeout=20)
        os.kill(pid, number)
        assert await child.call("pid", timeout=20) == pid

    with_child(test)


def test_it_dies_with_its_supervisor() -> None:
    """Killed without any chance to say good-bye."""
    program = """
import asyncio, os, signal, sys
from caf.storage.child import FileChild
async def main() -> None:
    child = FileChild({"pid": "os:getpid"})
    print(await child.call("pid", timeout=20), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    root = Path(child_module.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, stdout=subprocess.PIPE, timeout=60)
    assert done.returncode == -signal.SIGKILL
    asyncio.run(until_dead(int(done.stdout)))


def test_its_own_side_imports_little() -> None:
    """Start-up is paid again after each time-out."""
    program = "import runpy, sys; sys.argv[1:] = ['{}']; runpy.run_path(%r, run_name='__main__'); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program % str(PROGRAM)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    modules = set(done.stderr.decode().split())  # its standard output is the standard error by then
    assert "json" in modules
    assert not modules & {
        "asyncio",
        "pydantic",
        "anyio",
        "typer",
        "sqlite3",
        "ctypes",
        "subprocess",
        "caf.storage.area",
    }
