"""The local batch system, with real processes: their ends are noticed, and nothing else is taken for one of them."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from caf.batch import local
from caf.batch.interface import Submission, Watched
from caf.batch.local import KILL_AFTER, LocalBatch
from caf.batch.processes import boot_id, process_start, survivors
from caf.domain.following import Sight
from caf.domain.jobs import Result
from tests.batch.wrapped import make_area
from tests.world import wait_until

TOKEN = f"caf-0123abcd-1-1-{os.getpid():08x}"
SLEEP = "exec sleep 60"


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    for pid in survivors(TOKEN):
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


class Ends:
    """Counts what the batch system tells of, and lets a test wait for the next."""

    def __init__(self) -> None:
        self.count = 0
        self._told = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self._told.set()

    async def next(self) -> None:
        async with asyncio.timeout(20):
            await self._told.wait()
        self._told.clear()


def with_batch(test: Callable[[LocalBatch, Ends], Awaitable[None]], clock: Callable[[], float] = time.time) -> None:
    """Run a test on an event loop, with a batch system that is closed at its end."""

    async def run() -> None:
        ends = Ends()
        batch = LocalBatch(ends, clock=clock)
        try:
            await test(batch, ends)
        finally:
            await batch.close()

    asyncio.run(run())


def script(folder: Path, body: str) -> Submission:
    path = folder / "caf.sh"
    path.write_text(f"{body}\n")
    return Submission(TOKEN, str(path))


def is_there(pid: int) -> bool:
    """A zombie is there too."""
    return Path(f"/proc/{pid}").exists()


async def look(batch: LocalBatch, batch_id: str | None, start: dict[str, object] | None = None) -> Sight:
    watched = Watched(TOKEN, batch_id, start)
    return (await batch.look([watched]))[TOKEN].sight


def test_the_end_of_an_own_job_is_noticed_at_once(tmp_path: Path) -> None:
    async def test(batch: LocalBatch, ends: Ends) -> None:
        seen = await batch.submit(script(tmp_path, SLEEP))
        assert (seen.sight, await look(batch, seen.batch_id)) == (Sight.RUNNING, Sight.RUNNING)
        assert ends.count == 0
        assert seen.batch_id is not None
        os.kill(int(seen.batch_id.partition("-")[0]), signal.SIGKILL)
        await ends.next()
        found = (await batch.look([Watched(TOKEN, seen.batch_id)]))[TOKEN]
        assert (found.sight, found.result) == (Sight.ENDED, Result.NODE)

    with_batch(test)


def test_the_end_of_an_adopted_job_is_noticed_at_once(tmp_path: Path) -> None:
    """A process that is no child of this one, known by its batch id, or after a lost answer by its start record."""
    stranger = subprocess.Popen(
        ["sh", "-c", "setsid sleep 60 & echo $!"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "CAF_TOKEN": TOKEN},
    )
    assert stranger.stdout is not None
    pid = int(stranger.stdout.readline())
    stranger.stdout.close()
    stranger.wait()
    ticks = process_start(pid)

    async def test(batch: LocalBatch, ends: Ends) -> None:
        start: dict[str, object] = {"pid": pid, "start_ticks": ticks, "boot": boot_id(), "token": TOKEN}
        assert await look(batch, None, start) is Sight.RUNNING
        assert await look(batch, f"{pid}-{ticks}-{boot_id()[:8]}") is Sight.RUNNING
        assert ends.count == 0
        os.kill(pid, signal.SIGKILL)
        await ends.next()
        assert ends.count == 1
        assert await look(batch, None, start) is Sight.ENDED

    with_batch(test)


def test_a_pid_that_is_used_again_is_not_taken_for_the_job() -> None:
    """This very process lives, but began at another time than the job did."""

    async def test(batch: LocalBatch, ends: Ends) -> None:
        ticks = process_start(os.getpid())
        assert ticks is not None
        assert await look(batch, f"{os.getpid()}-{ticks}-{boot_id()[:8]}") is Sight.RUNNING
        assert await look(batch, f"{os.getpid()}-{ticks - 1}-{boot_id()[:8]}") is Sight.ENDED
        assert await look(batch, None, {"pid": os.getpid(), "start_ticks": ticks - 1, "boot": boot_id()}) is Sight.ENDED

    with_batch(test)


def test_a_job_of_another_boot_has_ended_even_if_pid_and_ticks_agree() -> None:
    async def test(batch: LocalBatch, ends: Ends) -> None:
        found = await batch.look([Watched(TOKEN, f"{os.getpid()}-{process_start(os.getpid())}-deadbeef")])
        assert (found[TOKEN].sight, found[TOKEN].result) == (Sight.ENDED, Result.NODE)
        assert found[TOKEN].reason == "the machine was restarted"

    with_batch(test)


def test_a_job_that_nobody_has_heard_of_has_ended() -> None:
    """Nothing can be lost between here and this machine's own processes, so this is proof."""

    async def test(batch: LocalBatch, ends: Ends) -> None:
        assert await look(batch, None) is Sight.ENDED
        assert await look(batch, "") is Sight.ENDED
        assert await look(batch, "15468385") is Sight.ENDED
        assert await look(batch, None, {"pid": os.getpid(), "start_ticks": None, "boot": ""}) is Sight.ENDED

    with_batch(test)


def test_a_killed_wrapper_with_a_living_payload_is_running_until_that_has_ended_too(tmp_path: Path) -> None:
    async def test(batch: LocalBatch, ends: Ends) -> None:
        seen = await batch.submit(script(tmp_path, "sleep 60 & wait"))
        assert seen.batch_id is not None
        wrapper = int(seen.batch_id.partition("-")[0])
        wait_until(lambda: len(survivors(TOKEN)) == 2, what="the payload")
        (payload,) = set(survivors(TOKEN)) - {wrapper}
        os.kill(wrapper, signal.SIGKILL)
        await ends.next()
        found = (await batch.look([Watched(TOKEN, seen.batch_id)]))[TOKEN]
        assert (found.sight, found.reason) == (Sight.RUNNING, f"its wrapper is gone, but process {payload} of it lives")
        os.kill(payload, signal.SIGKILL)
        await ends.next()
        assert await look(batch, seen.batch_id) is Sight.ENDED

    with_batch(test)


def test_a_process_within_exec_is_seen(tmp_path: Path) -> None:
    """There it has no environment for some microseconds; taken for gone, its attempt would be begun anew beside it."""
    pause = "i=0; while [ $i -lt 500 ]; do i=$((i + 1)); done"
    (tmp_path / "again.sh").write_text(f'{pause}\nexec sh "$0"\n')
    process = subprocess.Popen(["sh", str(tmp_path / "again.sh")], env={**os.environ, "CAF_TOKEN": TOKEN})
    try:
        missed = sum(survivors(TOKEN) != [process.pid] for _ in range(200))
        assert missed == 0
    finally:
        process.kill()
        process.wait()


def test_cancelling_asks_first_and_kills_what_is_still_there_later(tmp_path: Path) -> None:
    """TERM, and only KILL_AFTER seconds later by the given clock KILL; the payload's own children too."""
    now = [1000.0]
    heard = tmp_path / "heard"
    stubborn = f"trap 'echo term >>{heard}' TERM\nsleep 60 &\ntouch {tmp_path}/ready\nwhile :; do wait; done"

    async def test(batch: LocalBatch, ends: Ends) -> None:
        seen = await batch.submit(script(tmp_path, stubborn))
        wait_until((tmp_path / "ready").exists)
        watched = [Watched(TOKEN, seen.batch_id)]
        await batch.cancel(watched)
        wait_until(lambda: heard.exists() and "term" in heard.read_text(), what="TERM")
        now[0] += KILL_AFTER - 0.1
        await batch.cancel(watched)
        wait_until(lambda: heard.read_text().count("term") == 2, what="the second TERM")
        assert await look(batch, seen.batch_id) is Sight.RUNNING
        now[0] += 0.1
        await batch.cancel(watched)
        await ends.next()
        assert await look(batch, seen.batch_id) is Sight.ENDED
        assert survivors(TOKEN) == []

    with_batch(test, clock=lambda: now[0])


def test_a_job_of_another_machine_is_not_known_here(tmp_path: Path) -> None:
    """State and work on shared storage, the supervisor moved: another boot is no reboot."""

    async def test(batch: LocalBatch, ends: Ends) -> None:
        start = {"host": "another", "boot": "f" * 36, "pid": 1, "start_ticks": 1}
        seen = await batch.look([Watched(TOKEN, None, start)])
        assert seen[TOKEN].sight is Sight.UNKNOWN

    with_batch(test)


def test_a_session_number_that_somebody_else_has_by_now_is_left_alone(tmp_path: Path) -> None:
    """The wrapper is gone and its number belongs to another's session: nobody there is taken for the job, or killed."""

    other = subprocess.Popen(["sleep", "300"], start_new_session=True)
    ticks = process_start(other.pid)
    assert ticks is not None
    batch_id = f"{other.pid}-{ticks - 1}-{boot_id()[:8]}"

    async def test(batch: LocalBatch, ends: Ends) -> None:
        assert await look(batch, batch_id) is Sight.ENDED
        await batch.cancel([Watched(TOKEN, batch_id)])
        assert process_start(other.pid) == ticks

    try:
        with_batch(test)
    finally:
        other.kill()
        other.wait()


def test_cancelling_touches_no_other_job(tmp_path: Path) -> None:
    """A token that another one begins with is another token."""

    async def test(batch: LocalBatch, ends: Ends) -> None:
        seen = await batch.submit(script(tmp_path, SLEEP))
        now = process_start(os.getpid())
        await batch.cancel([Watched(TOKEN[:-1], seen.batch_id), Watched("caf-0123abcd-2-1-00000000", f"1-{now}-x")])
        assert await look(batch, seen.batch_id) is Sight.RUNNING

    with_batch(test)


def test_jobs_survive_the_end_of_the_batch_system_and_are_found_by_the_next(tmp_path: Path) -> None:
    found: list[str | None] = []

    async def first(batch: LocalBatch, ends: Ends) -> None:
        found.append((await batch.submit(script(tmp_path, SLEEP))).batch_id)

    async def second(batch: LocalBatch, ends: Ends) -> None:
        assert await look(batch, found[0]) is Sight.RUNNING

    with_batch(first)
    assert len(survivors(TOKEN)) == 1
    with_batch(second)
    assert len(survivors(TOKEN)) == 1
    assert found[0] is not None
    pid = int(found[0].partition("-")[0])
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)  # the batch system gave it up; in life its supervisor has ended by now


def test_what_is_meant_for_the_supervisor_is_not_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A payload that could write to systemd's socket could say READY or STOPPING in the supervisor's name."""
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    monkeypatch.setenv("KRB5CCNAME", "FILE:/tmp/krb5cc_1")
    body = f"env >{tmp_path}/fresh; mv {tmp_path}/fresh {tmp_path}/environment"

    async def test(batch: LocalBatch, ends: Ends) -> None:
        await batch.submit(script(tmp_path, body))
        await ends.next()

    with_batch(test)
    given = dict(line.partition("=")[::2] for line in (tmp_path / "environment").read_text().splitlines())
    assert given["CAF_TOKEN"] == TOKEN
    assert given["KRB5CCNAME"] == "FILE:/tmp/krb5cc_1"
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC"} & given.keys()


def test_a_job_hangs_on_nothing_of_the_supervisors(tmp_path: Path) -> None:
    """A session of its own, no open files but its own, no working folder that could be in the way of an unmount."""
    area = make_area(tmp_path, ["sleep", "60"], token=TOKEN)
    whole = {os.devnull, str(area / "log/stdout"), str(area / "log/stderr")}

    async def test(batch: LocalBatch, ends: Ends) -> None:
        with (tmp_path / "open").open("w") as _open:
            seen = await batch.submit(Submission(TOKEN, str(area / "caf.sh")))
            assert seen.batch_id is not None
            wrapper = int(seen.batch_id.partition("-")[0])
            assert os.getsid(wrapper) == wrapper
            own = whole | {str(area / "caf.sh")}
            wait_until(lambda: open_files(wrapper) == own, what="nothing but the script and its log")
            wait_until(lambda: len(survivors(TOKEN)) == 2, what="the payload")
            (payload,) = set(survivors(TOKEN)) - {wrapper}
            assert {os.readlink(f"/proc/{pid}/cwd") for pid in (wrapper, payload)} == {str(area)}
            wait_until(lambda: open_files(payload) == whole, what="nothing but its log")

    with (tmp_path / "lock").open("w") as lock:  # as whoever starts a supervisor may hold one: flock 9, for example
        os.set_inheritable(lock.fileno(), True)
        with_batch(test)


def open_files(pid: int) -> set[str]:
    """Give what a process has open; a program that has just begun still opens and closes its libraries."""
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


def test_the_ended_are_reaped_and_forgotten(tmp_path: Path) -> None:
    """No zombie stays, no descriptor stays open."""
    pids: list[int] = []

    async def test(batch: LocalBatch, ends: Ends) -> None:
        before = len(os.listdir("/proc/self/fd"))
        for body in (":", "sleep 0.1") * 5:
            seen = await batch.submit(script(tmp_path, body))
            if seen.batch_id is not None:
                pids.append(int(seen.batch_id.partition("-")[0]))
        while [pid for pid in pids if is_there(pid)]:
            await ends.next()
        assert len(os.listdir("/proc/self/fd")) == before

    with_batch(test)
    assert pids


def test_those_that_end_together_are_told_of_together_and_each_by_its_token(tmp_path: Path) -> None:
    """One round does for all of them; one that ends while others go on is not kept waiting for them."""

    async def test(batch: LocalBatch, ends: Ends) -> None:
        await batch.submit(script(tmp_path, SLEEP))
        tokens = [f"{TOKEN}-{number}" for number in range(8)]
        for token in tokens:
            body = tmp_path / f"{token}.sh"
            body.write_text("sleep 0.05\n")
            await batch.submit(Submission(token, str(body)))
        told: set[str] = set()
        while told != set(tokens):
            await ends.next()
            told |= batch.take_ended()
        assert batch.take_ended() == set()
        assert 1 <= ends.count <= len(tokens)

    with_batch(test)


def test_a_job_that_is_over_before_it_can_be_looked_at_is_reaped_and_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over: list[int] = []

    def when_over(pid: int) -> int | None:
        over.append(pid)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return process_start(pid)

    async def test(batch: LocalBatch, ends: Ends) -> None:
        monkeypatch.setattr(local, "process_start", when_over)
        seen = await batch.submit(script(tmp_path, ":"))
        monkeypatch.undo()
        assert (seen.sight, seen.batch_id, ends.count) == (Sight.RUNNING, None, 1)
        assert not is_there(over[0])
        assert await look(batch, None) is Sight.ENDED
        assert not batch._children

    with_batch(test)


@pytest.mark.parametrize("left", ["", " & wait"], ids=["a stubborn job", "what a job has left behind"])
def test_no_round_needs_to_come_for_the_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str) -> None:
    monkeypatch.setattr(local, "KILL_AFTER", 0.2)
    body = f"(trap '' TERM; touch {tmp_path}/ready; exec sleep 60){left}"

    async def test(batch: LocalBatch, ends: Ends) -> None:
        seen = await batch.submit(script(tmp_path, body))
        wait_until((tmp_path / "ready").exists)
        await batch.cancel([Watched(TOKEN, seen.batch_id)])
        assert survivors(TOKEN)
        while await look(batch, seen.batch_id) is not Sight.ENDED:
            await ends.next()

    with_batch(test)
