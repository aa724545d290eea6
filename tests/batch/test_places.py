"""Clients are started by their path where nothing can hang, and by a launcher everywhere else."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from caf.batch import clients as clients_module
from caf.batch import places
from caf.batch import running as running_module
from caf.batch.clients import Clients, Needs
from caf.batch.processes import spawn
from caf.batch.running import Said
from caf.domain.errors import BatchError
from tests.batch.conformance import nothing_is_left

TOP = str(Path(__file__).resolve().parents[2])
Test = Callable[[Clients], Awaitable[None]]


class Launched:
    """A launcher that notes that it was used; its clients are those along PATH as ever."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._notes = folder / "launched"
        self._notes.touch()
        launcher = folder / "launcher"
        launcher.write_text(f'#!/bin/sh\necho x >> "{self._notes}"\nexec "$@"\n')
        launcher.chmod(0o755)
        monkeypatch.setattr(clients_module, "LAUNCHER", (str(launcher), *clients_module.LAUNCHER))

    @property
    def times(self) -> int:
        return len(self._notes.read_text().splitlines())


@pytest.fixture
def launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launched:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.chdir("/")
    return Launched(tmp_path, monkeypatch)


@pytest.fixture
def own(tmp_path: Path, launched: Launched) -> Path:
    """A client on this machine's disk that says how it was called and where it is."""
    client = tmp_path / "bin" / "own-client"
    shutil.copy(str(shutil.which("cat")), client)
    return client


def play(test: Test, clock: Callable[[], float] = lambda: 0.0) -> None:
    async def run() -> None:
        clients = Clients(Needs("the-client", ()), lambda: 20.0, lambda client, said: None, clock)
        try:
            await test(clients)
        finally:
            await clients.close()

    asyncio.run(run())


def test_a_program_on_this_machines_disk_is_started_directly(own: Path, launched: Launched) -> None:
    async def test(clients: Clients) -> None:
        for _ in range(3):
            assert (await clients.run(["own-client", "/proc/self/cmdline"])).out == "own-client\0/proc/self/cmdline\0"

    play(test)
    assert launched.times == 0


def test_its_folder_is_the_same_either_way(own: Path, launched: Launched, tmp_path: Path) -> None:
    own.unlink()
    shutil.copy(str(shutil.which("pwd")), own)

    async def test(clients: Clients) -> None:
        for folder in ("/", tmp_path):
            os.chdir(folder)
            clients._places.clear()
            assert (await clients.run(["own-client", "-P"])).out == "/\n"

    play(test)
    assert launched.times == 1  # another folder than the launcher's cannot be had without it


def test_a_script_needs_the_launcher(own: Path, launched: Launched) -> None:
    """Its interpreter may be anywhere."""
    own.write_text("#!/bin/sh\necho said\n")

    async def test(clients: Clients) -> None:
        assert (await clients.run(["own-client"])).out == "said\n"

    play(test)
    assert launched.times == 1


def test_so_does_a_program_that_is_not_on_this_machines_disk(
    own: Path, launched: Launched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "LOCAL", frozenset({"nothing"}))

    async def test(clients: Clients) -> None:
        assert (await clients.run(["own-client", "/proc/self/cmdline"])).out.startswith("own-client\0")

    play(test)
    assert launched.times == 1


def test_one_of_another_name_by_a_link_is_where_the_link_leads(own: Path, launched: Launched) -> None:
    other = own.rename(own.with_name("own-client-23"))
    own.symlink_to(other)

    async def test(clients: Clients) -> None:
        assert (await clients.run(["own-client", "/proc/self/cmdline"])).out.startswith("own-client\0")

    play(test)
    assert launched.times == 0


def test_one_that_is_missing_is_told_so(launched: Launched) -> None:
    async def test(clients: Clients) -> None:
        for _ in range(2):
            with pytest.raises(BatchError, match=r"no-client is not installed .*\(the-client\)"):
                await clients.run(["no-client"])

    play(test)


def test_one_that_was_taken_away_or_replaced_is_looked_for_anew(own: Path, launched: Launched) -> None:
    async def test(clients: Clients) -> None:
        assert (await clients.run(["own-client", "/dev/null"])).code == 0
        os.unlink(own)
        with pytest.raises(BatchError, match="not installed"):
            await clients.run(["own-client", "/dev/null"])
        shutil.copy(str(shutil.which("echo")), own)
        assert (await clients.run(["own-client", "back"])).out == "back\n"

    play(test)
    assert launched.times == 1  # when it was gone


def test_an_answer_counts_for_a_while_and_is_asked_for_once(
    own: Path, launched: Launched, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    asked: list[str] = []

    async def test(clients: Clients) -> None:
        find = clients._find

        async def counted(name: str) -> str | None:
            asked.append(name)
            return await find(name)

        monkeypatch.setattr(clients, "_find", counted)
        await asyncio.gather(*(clients.run(["own-client", "/dev/null"]) for _ in range(4)))
        assert len(asked) == 1
        await clients.run(["own-client", "/dev/null"])
        assert len(asked) == 1
        now[0] += places.KEPT
        await clients.run(["own-client", "/dev/null"])
        assert len(asked) == 2

    play(test, lambda: now[0])


def test_a_search_that_hangs_is_given_up_and_leaves_nothing(
    own: Path, launched: Launched, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = f"34{os.getpid()}.5"
    monkeypatch.setattr(clients_module, "look_for", lambda name: ["/bin/sleep", mark])
    monkeypatch.setattr(clients_module, "LOOK_LIMIT", 0.05)

    async def test(clients: Clients) -> None:
        assert (await clients.run(["own-client", "/proc/self/cmdline"])).out.startswith("own-client\0")

    play(test)
    nothing_is_left(mark)
    assert launched.times == 1


BEGINNING = "\x7fELF\2\1\0\0/lib64/ld-linux-x86-64.so.2\0"


def test_a_program_and_its_loader_on_a_disk_of_this_machine_count() -> None:
    assert places.direct(Said(0, f"/bin/true\n{BEGINNING}", "")) == "/bin/true"


@pytest.mark.parametrize(
    "said",
    [
        Said(1, "", ""),
        Said(0, "", ""),
        Said(0, "/bin/true\n#!/bin/sh\n", ""),
        Said(0, "/bin/true\n", ""),
        Said(0, "/bin/true\n\x7fELF\2\1\0\0", ""),  # without a loader, or with one that cannot be seen
        Said(-9, f"/bin/true\n{BEGINNING}", ""),
        Said(0, f"bin/true\n{BEGINNING}", ""),
        Said(0, f"/proc/1/exe\n{BEGINNING}", ""),
        Said(0, f"/bin/true\n{BEGINNING.replace('/lib64', '/proc/1/root')}", ""),
    ],
)
def test_what_does_not_say_clearly_where_it_is_counts_for_nothing(said: Said) -> None:
    assert places.direct(said) is None


def _no_descriptor(patched: pytest.MonkeyPatch) -> None:
    def none(pid: int, flags: int = 0) -> int:
        raise OSError(24, "Too many open files")

    patched.setattr(os, "pidfd_open", none)


def _no_watch(patched: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise OSError(28, "No space left on device")  # as where fs.epoll.max_user_watches is reached

    patched.setattr(asyncio.get_running_loop(), "add_reader", refuse)


@pytest.mark.parametrize(
    ("lack", "words"), [(_no_descriptor, "Too many open files"), (_no_watch, "No space left on device")]
)
def test_what_cannot_be_watched_is_ended_and_not_started_again(
    own: Path,
    launched: Launched,
    monkeypatch: pytest.MonkeyPatch,
    lack: Callable[[pytest.MonkeyPatch], None],
    words: str,
) -> None:
    """It may have handed over its job already: a second one would do so again."""
    begun: list[int] = []

    def note(*given: Any) -> int:
        begun.append(spawn(*given))
        return begun[-1]

    async def test(clients: Clients) -> None:
        await clients.run(["own-client", "/dev/null"])
        descriptors = os.listdir("/proc/self/fd")
        with monkeypatch.context() as patched:
            patched.setattr(running_module, "spawn", note)
            lack(patched)
            with pytest.raises(BatchError, match=f"cannot be watched, and was ended: {words}: see `ulimit -n`"):
                await clients.run(["own-client", "/dev/zero"])
        assert len(os.listdir("/proc/self/fd")) == len(descriptors)

    play(test)
    assert (len(begun), launched.times) == (1, 0)
    with pytest.raises(ChildProcessError):
        os.waitpid(begun[0], os.WNOHANG)


def test_a_folder_that_was_removed_is_no_reason_to_fail(own: Path, launched: Launched, tmp_path: Path) -> None:
    async def test(clients: Clients) -> None:
        assert (await clients.run(["own-client", "/dev/null"])).code == 0

    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    play(test)
    assert launched.times == 1


def test_a_variable_without_a_name_is_left_out(own: Path, launched: Launched) -> None:
    """`env =x caf run` makes one, and with it no program at all could be started."""
    program = (
        "import asyncio, os, sys\n"
        "from caf.batch.clients import Clients, Needs\n"
        "os.chdir(sys.argv[1])\n"
        "said = asyncio.run(Clients(Needs('x', ()), lambda: 20.0, print).run(['own-client', '/proc/self/environ']))\n"
        "print(said.code, '\\0=x' in '\\0' + said.out, '\\0TELL=1' in '\\0' + said.out)\n"
    )
    for folder in ("/", str(own.parent)):
        command = ["env", "=x", "TELL=1", f"PYTHONPATH={TOP}", sys.executable, "-c", program, folder]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (run.stdout, run.stderr) == ("0 False True\n", "")


@pytest.mark.parametrize("argument", ["x" * 200_000, "a\0b"], ids=["too long", "no text"])
def test_what_cannot_be_started_is_told_in_a_line_and_leaves_no_descriptor(
    own: Path, launched: Launched, argument: str
) -> None:
    async def test(clients: Clients) -> None:
        await clients.run(["own-client", "/dev/null"])
        descriptors = os.listdir("/proc/self/fd")
        with pytest.raises(BatchError, match=r"own-client could not be started: .*(long|null)"):
            await clients.run(["own-client", argument])
        assert len(os.listdir("/proc/self/fd")) == len(descriptors)

    play(test)


def test_what_this_process_ignores_or_inherited_is_kept_from_clients(tmp_path: Path) -> None:
    """As nohup and schedulers leave things: signals ignored, children's ends not told, a lock held open."""
    program = (
        "import asyncio, os\n"
        "from caf.batch.clients import Clients, Needs\n"
        "os.chdir('/')\n"
        "async def run():\n"
        "    clients = Clients(Needs('x', ()), lambda: 20.0, print)\n"
        "    said = await clients.run(['grep', 'SigIgn', '/proc/self/status'])\n"
        "    print(said.code, int(said.out.split()[1], 16) & 0x7fffffff)\n"  # not the C library's own two
        "    print((await clients.run(['readlink', '/proc/self/fd/9'])).code)\n"
        "    print((await clients.run(['false'])).code)\n"
        "asyncio.run(run())\n"
    )

    def before() -> None:
        for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        os.dup2(os.open(tmp_path, os.O_RDONLY), 9)

    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": TOP},
        preexec_fn=before,
        close_fds=False,
        check=False,
    )
    assert (run.stdout.splitlines(), run.stderr) == (["0 0", "1", "1"], "")
