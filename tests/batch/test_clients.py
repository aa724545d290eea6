"""Clients of a batch system: whatever they do, the loop goes on, time limits hold, and nothing of them is left."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from caf.batch import clients as clients_module
from caf.batch import running as running_module
from caf.batch.clients import Clients, Needs
from caf.batch.running import Running, Said
from caf.domain.errors import BatchError
from tests.batch.conformance import nothing_is_left


@pytest.fixture(autouse=True, params=["its folder", "another folder"])
def _started(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Directly, or by the launcher."""
    monkeypatch.chdir("/" if request.param == "its folder" else tmp_path)


def with_clients(test: Callable[[Clients], Awaitable[None]], limit: float = 20.0) -> list[tuple[str, str]]:
    told: list[tuple[str, str]] = []

    async def run() -> None:
        needs = Needs("slurm-client", cleared=("SQUEUE_", "SLURM"), kept=["SLURM_CONF"])
        clients = Clients(needs, lambda: limit, lambda client, said: told.append((client, said)))
        try:
            await test(clients)
        finally:
            await clients.close()

    asyncio.run(run())
    return told


def test_what_a_client_says_is_given_whole() -> None:
    async def test(clients: Clients) -> None:
        said = await clients.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
        assert said == Said(3, "out\n", "err\n")
        said = await clients.run(["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; printf '\\377'"])
        assert (len(said.out), said.out[-1]) == (3_000_001, "\ufffd")

    with_clients(test)


def test_arguments_are_passed_as_they_are() -> None:
    async def test(clients: Clients) -> None:
        words = ["a b", "$HOME", "x=y", "--", "'", "ünïcode", "", "\n"]
        said = await clients.run(["printf", "%s|", *words])
        assert said.out == "".join(f"{word}|" for word in words)

    with_clients(test)


def test_the_environment_is_the_supervisors_but_for_what_misleads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SQUEUE_FORMAT", "SLURM_JOB_ID", "SLURM_CONF", "NOTIFY_SOCKET", "KRB5CCNAME", "LC_ALL"):
        monkeypatch.setenv(name, "x")

    async def test(clients: Clients) -> None:
        for plain in (True, False):
            said = await clients.run(["env"], plain=plain)
            given = dict(line.partition("=")[::2] for line in said.out.splitlines())
            assert not {"SQUEUE_FORMAT", "SLURM_JOB_ID", "NOTIFY_SOCKET"} & given.keys()
            assert (given["SLURM_CONF"], given["KRB5CCNAME"]) == ("x", "x")
            # A submission's environment becomes the job's: its language is the user's affair.
            assert given["LC_ALL"] == ("C" if plain else "x")

    with_clients(test)


def test_nothing_waits_for_a_client_but_who_asked() -> None:
    async def test(clients: Clients) -> None:
        asked = asyncio.ensure_future(clients.run(["sleep", "60"]))
        for _ in range(20):
            assert (await clients.run(["true"])).code == 0
        assert not asked.done()
        asked.cancel()
        await asyncio.wait([asked])

    with_clients(test)


def test_one_that_is_cancelled_is_ended() -> None:
    mark = f"32{os.getpid()}.5"

    async def test(clients: Clients) -> None:
        await clients.run(["sleep", "0"])  # it is known now where that is
        descriptors = len(os.listdir("/proc/self/fd"))
        asked = asyncio.ensure_future(clients.run(["sleep", mark]))
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.wait([asked])
        nothing_is_left(mark)
        assert len(os.listdir("/proc/self/fd")) == descriptors

    with_clients(test)


def test_one_that_leaves_a_child_with_its_outputs_open_ends_all_the_same() -> None:
    mark = f"33{os.getpid()}.5"

    async def test(clients: Clients) -> None:
        begun = time.monotonic()
        assert (await clients.run(["sh", "-c", f"sleep {mark} & echo done"])).out == "done\n"
        assert time.monotonic() - begun < 10
        nothing_is_left(mark)

    with_clients(test)


def test_one_that_ignores_term_and_says_too_much_is_ended() -> None:
    async def test(clients: Clients) -> None:
        with pytest.raises(BatchError, match="said more than"):
            await clients.run(["sh", "-c", "trap '' TERM; exec cat /dev/zero"])

    with_clients(test)


def test_while_a_few_cannot_be_killed_no_more_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """They hang in the kernel, in a file system that does not answer; the next would, too."""
    hanging = [False]
    reaped = Running.reaped
    monkeypatch.setattr(Running, "reaped", lambda self: not hanging[0] and reaped(self))
    monkeypatch.setattr(running_module, "DEATH", 0.01)

    async def test(clients: Clients) -> None:
        await clients.run(["true"])
        hanging[0] = True
        for _ in range(clients_module.ENOUGH):
            await clients.run(["true"])
        with pytest.raises(BatchError, match="4 clients hang and cannot be killed"):
            await clients.run(["true"])
        hanging[0] = False
        assert (await clients.run(["true"])).code == 0

    with_clients(test)


def test_one_that_may_not_be_run_is_as_good_as_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "squeue").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))

    async def test(clients: Clients) -> None:
        with pytest.raises(BatchError, match=r"squeue is not installed .*install the client \(slurm-client\)"):
            await clients.run(["squeue"])

    with_clients(test)


def test_a_client_with_exit_status_127_of_its_own_is_there() -> None:
    async def test(clients: Clients) -> None:
        assert (await clients.run(["sh", "-c", "echo env: x >&1; exit 127"])).code == 127

    with_clients(test)


def test_garbage_is_kept_in_full_but_not_again_and_again() -> None:
    async def test(clients: Clients) -> None:
        for text in ("x" * 1000, "x" * 1000, "y\n\x1b[31m", "x" * 1000):
            error = clients.garbage("squeue", text)
            assert len(str(error)) < 200
            assert str(error).isprintable()

    assert with_clients(test) == [("squeue", "x" * 1000), ("squeue", "y\n\x1b[31m"), ("squeue", "x" * 1000)]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Said(1, "out", "first\n\nsecond\n"), "first; second"),
        (Said(1, "only out\n", " \n"), "only out"),
        (Said(3, "", ""), "nothing, and ended with exit status 3"),
        (Said(-9, "", ""), "nothing, and ended with signal 9"),
        (Said(1, "", "\x1b[31mred\x00"), " [31mred "),
        (Said(1, "", "x" * 400), "x" * 300 + "..."),
    ],
)
def test_its_own_words_on_one_line(said: Said, words: str) -> None:
    assert said.words() == words
