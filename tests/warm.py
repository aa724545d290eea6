"""caf's commands without their imports: a process that has all of them done forks another one for each command.

What is started is a process of its own with the arguments, streams, folder and environment that it was given, and ends
as any does. How long a start from nothing takes, and what it imports, other tests hold.
"""

import atexit
import gc
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

TOP = Path(__file__).resolve().parents[1]
SUPERVISORS = True
"""Whether supervisors are started so; not where a test has the fixture from_nothing."""
LONGEST = 1 << 17  # bytes of one request
OF_PYTHON = "PYTHON"  # a variable that begins so is heeded by an interpreter's start only


class Started:
    """A process that was started so, as far as subprocess.Popen is needed of it."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        program: str = "caf.cli.main",
        environment: Mapping[str, str] | None = None,
        stdin: int = 0,
        stdout: int = 1,
        stderr: int = 2,
        start_new_session: bool = False,
    ) -> None:
        request = {
            "program": program,
            "words": list(words),
            "environment": dict(os.environ if environment is None else environment),
            "cwd": os.getcwd(),
            "umask": _umask(),
            "session": start_new_session,
        }
        self.returncode: int | None = None
        self._answers, theirs = socket.socketpair()
        self._lines = self._answers.makefile("r")
        with theirs:
            socket.send_fds(_server(), [json.dumps(request).encode()], [stdin, stdout, stderr, theirs.fileno()])
        self.pid = int(self._lines.readline())

    def __del__(self) -> None:
        self._lines.close()
        self._answers.close()

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._answers, selectors.EVENT_READ)
                if not selector.select(timeout):
                    raise subprocess.TimeoutExpired("caf", timeout or 0)
            self.returncode = int(self._lines.readline())
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def run(words: Sequence[str], timeout: float) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, and that of all that has its output."""
    (out, theirs_out), (err, theirs_err) = os.pipe(), os.pipe()
    process = Started(words, stdout=theirs_out, stderr=theirs_err)
    os.close(theirs_out)
    os.close(theirs_err)
    try:
        said = _read_all((out, err), time.monotonic() + timeout)
    except TimeoutError:
        process.kill()
        raise subprocess.TimeoutExpired(list(words), timeout) from None
    finally:
        os.close(out)
        os.close(err)
    return subprocess.CompletedProcess(list(words), process.wait(timeout), *(text.decode() for text in said))


def file_child(calls: Mapping[str, str], end: socket.socket) -> Started:
    """Start a file child, as caf.storage.child does."""
    number = end.fileno()
    program = "caf.storage.child_main"
    return Started([json.dumps(calls)], program=program, stdin=number, stdout=number, start_new_session=True)


def can_be(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether it would be the same interpreter with the same caf, and nobody measures how long a start takes."""
    same = (sys.executable, _of_python(environment)) == _at_start()
    return same and "PYTEST_CURRENT_TEST" in os.environ


def _read_all(descriptors: Sequence[int], until: float) -> list[bytes]:
    said = dict.fromkeys(descriptors, b"")
    with selectors.DefaultSelector() as selector:
        for descriptor in descriptors:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, until - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                block = os.read(key.fd, 1 << 16)
                said[key.fd] += block
                if not block:
                    selector.unregister(key.fd)
    return [said[descriptor] for descriptor in descriptors]


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _of_python(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(OF_PYTHON)}


@cache
def _at_start() -> tuple[str, dict[str, str]]:
    return sys.executable, _of_python(os.environ)


_at_start()


@cache
def _server() -> socket.socket:
    """Start the process that has everything imported; it ends with this one."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        process = subprocess.Popen([sys.executable, __file__], stdin=its.fileno(), cwd=TOP)
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours


def _serve() -> dict[str, Any]:
    """Answer requests until nobody is left to make any; comes back in each process that was asked for."""
    requests = socket.socket(fileno=os.dup(0))
    while True:
        text, descriptors, _, _ = socket.recv_fds(requests, LONGEST, 4)
        if not text:
            os._exit(0)
        if os.fork() == 0:
            requests.close()
            request: dict[str, Any] = json.loads(text)
            _fork_watched(descriptors)
            _become(request)
            return request
        for descriptor in descriptors:
            os.close(descriptor)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _fork_watched(descriptors: list[int]) -> None:
    """Fork; the first of the two tells the other's number, and how it ends."""
    *streams, answers = descriptors
    child = os.fork()
    if child:
        for descriptor in (0, 1, 2, *streams):
            os.close(descriptor)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with os.fdopen(answers, "w", buffering=1) as told, suppress(BrokenPipeError):
            print(child, file=told)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=told)
        os._exit(0)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    for descriptor in descriptors:
        os.close(descriptor)


def _become(request: dict[str, Any]) -> None:
    if request["session"]:
        os.setsid()
    os.chdir(request["cwd"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)  # type: ignore[misc]  # final for everybody else
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", closefd=False)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)  # type: ignore[misc]
    sys.argv = [str(request["program"]), *request["words"]]


def _import_all() -> None:
    import anyio

    import caf

    for module in pkgutil.walk_packages(caf.__path__, "caf."):
        import_module(module.name)
    import_module("aiosqlite")
    anyio.run(anyio.sleep, 0)
    gc.collect()
    gc.freeze()


def _end_as(command: Callable[[], None]) -> NoReturn:
    """Do a command, and end as Python does, but without taking everything apart, which would first copy it."""
    status = 70
    try:
        command()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]  # what hangs at the end of an interpreter hangs here too
    atexit._run_exitfuncs()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(status)


if __name__ == "__main__":
    sys.path[0] = str(TOP)
    _import_all()
    _end_as(import_module(_serve()["program"]).main)
