"""Check commands: they say whether a result is good, and hold nobody up, however long they hang."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from caf.batch.processes import process_start
from caf.domain.jobs import Result
from caf.tasks.checks import AT_ONCE, Check, Checks, last_line, run_check
from tests.tasks.stage import Stage, play
from tests.world import World, wait_until

RUN = 490001


def a_check(area: Path, script: str, limit: float = 20.0) -> Check:
    return Check(str(area), ["/bin/sh", "-c", script], limit, {"CAF_RUN": "490001"})


def outcome(check: Check) -> tuple[int | None, str]:
    return asyncio.run(run_check(check))


def test_it_runs_in_the_area_and_its_last_line_counts(tmp_path: Path) -> None:
    said = outcome(a_check(tmp_path, "pwd; echo $CAF_RUN >&2; printf '\\n \\n'; exit 3"))
    assert said == (3, "490001")
    assert outcome(a_check(tmp_path, "pwd")) == (0, str(tmp_path))
    assert outcome(a_check(tmp_path, ":")) == (0, "")


def test_it_is_no_process_of_the_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The local batch system knows an attempt's processes by CAF_TOKEN."""
    monkeypatch.setenv("CAF_TOKEN", "caf-1-2-3-4")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    assert outcome(a_check(tmp_path, 'echo "${CAF_TOKEN-none} ${NOTIFY_SOCKET-none}"')) == (0, "none none")


def test_one_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    script = "sleep 600 & echo $! >pid; trap : TERM; echo begun; while :; do sleep 600; done"
    assert outcome(a_check(tmp_path, script, limit=0.5)) == (None, "begun")
    child = int((tmp_path / "pid").read_text())
    wait_until(lambda: process_start(child) is None, what="the end of the child")


def test_what_it_leaves_behind_is_ended_and_holds_nobody_up(tmp_path: Path) -> None:
    assert outcome(a_check(tmp_path, "sleep 600 & echo $! >pid; echo done")) == (0, "done")
    child = int((tmp_path / "pid").read_text())
    wait_until(lambda: process_start(child) is None, what="the end of the child")


def test_a_flood_of_words_is_read_and_forgotten(tmp_path: Path) -> None:
    assert outcome(a_check(tmp_path, "yes | head -c 20000000; echo; echo last")) == (0, "last")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["no-such-program"], "its check ended with exit code 127 (the command was not found)"),
        (["./plain"], "its check ended with exit code 126 (the command is not executable)"),
    ],
)
def test_a_program_that_cannot_be_run_is_named(tmp_path: Path, command: list[str], says: str) -> None:
    (tmp_path / "plain").write_text("x")

    async def scene() -> None:
        checks = Checks()
        checks.begin("t", Check(str(tmp_path), command, 20, {}))
        await checks.all_ended()
        ended = checks.take("t")
        assert ended is not None
        assert ended[0] is Result.CHECK
        assert ended[1].startswith(says)

    asyncio.run(scene())


def test_an_area_that_is_gone_is_a_failure_of_the_check(tmp_path: Path) -> None:
    code, said = outcome(a_check(tmp_path / "gone", "echo never"))
    assert code != 0
    assert "never" not in said


def test_the_last_line_is_fit_for_a_terminal() -> None:
    assert last_line(b"one\n\x1b[31mtwo\xff\x00\r\n\n  \n") == "[31mtwo\ufffd"
    assert len(last_line(b"x" * 10_000)) == 300
    assert last_line(b"") == ""


def test_only_so_many_run_at_once_and_those_nobody_wants_are_ended(tmp_path: Path) -> None:
    def begun() -> list[int]:
        return [int(path.read_text() or 0) for path in tmp_path.glob("[0-9]")]

    async def scene() -> None:
        ended: list[int] = []
        checks = Checks(lambda: ended.append(1))
        for number in range(AT_ONCE + 2):
            checks.begin(f"t{number}", a_check(tmp_path, f"echo $$ >.{number}; mv .{number} {number}; sleep 600"))
        await asyncio.sleep(0)
        await asyncio.to_thread(wait_until, lambda: len(begun()) == AT_ONCE, what="as many as may run")
        pids = begun()
        checks.keep_only({"t1"})
        assert [checks.runs(f"t{number}") for number in range(3)] == [False, True, False]
        await checks.close()
        assert not checks.any()
        assert ended == []
        for pid in pids:
            assert process_start(pid) is None

    asyncio.run(scene())


def judged(world: World, between: Callable[[Stage], Awaitable[None]] | None = None) -> tuple[str, str | None, str]:
    """Take a job to its end with the check that its configuration has."""
    found: list[tuple[str, str | None, str]] = []

    async def scene(stage: Stage) -> None:
        await stage.organise()
        stage.run(RUN)
        stage.end(RUN)
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(RUN)["reason"]) == ("FINISHED", "its check runs")
        if between is not None:
            await between(stage)
        await stage.house.checks.all_ended()
        await stage.organise()
        job = stage.job(RUN)
        found.append((job["state"], job["result"], job["reason"]))
        await stage.house.checks.close()

    play(world, scene)
    return found[0]


def world_with(folder: Path, script: str, more: str = "") -> World:
    world = World(folder, [RUN])
    world.edit('outputs = ["root/out"] }', f"outputs = [\"root/out\"], check = ['/bin/sh', '-c', '{script}']{more} }}")
    return world


def test_a_good_check_makes_a_good_job(tmp_path: Path) -> None:
    world = world_with(tmp_path, "cat root/out; echo $CAF_JOB $CAF_ATTEMPT fits")
    assert judged(world) == ("DONE", "ok", "good, says its check: Fit 1 fits")


def test_a_bad_check_fails_the_job_with_its_last_line(tmp_path: Path) -> None:
    world = world_with(tmp_path, "echo 12 towers are dead; exit 1")
    assert judged(world) == ("FAILED", "check", "its check ended with exit code 1; it says: 12 towers are dead")


def test_a_check_that_hangs_fails_the_job_and_holds_up_no_other(tmp_path: Path) -> None:
    world = world_with(tmp_path, "echo hm; sleep 600", ', check_timeout = "1s"')

    async def others(stage: Stage) -> None:
        world.add_runs([490002])
        await stage.discover()
        await stage.organise()
        assert (stage.job(RUN)["state"], stage.job(490002)["state"]) == ("FINISHED", "PENDING")

    assert judged(world, others) == ("FAILED", "check", "its check did not end within 1s; it says: hm")


def test_a_check_runs_only_where_all_else_is_good(tmp_path: Path) -> None:
    world = world_with(tmp_path, "touch checked")

    async def scene(stage: Stage) -> None:
        await stage.organise()
        stage.run(RUN)
        stage.end(RUN, good=False)
        await stage.organise()
        assert stage.job(RUN)["result"] == "log"
        assert not stage.house.checks.any()

    play(world, scene)


def test_a_person_is_quicker_than_a_check(tmp_path: Path) -> None:
    world = world_with(tmp_path, "sleep 600")

    async def kill(stage: Stage) -> None:
        world.caf("jobs", "kill", str(RUN), "Fit")
        await stage.organise()
        await stage.organise()
        assert stage.job(RUN)["state"] == "CANCELLED"
        assert not stage.house.checks.any()

    assert judged(world, kill)[0] == "CANCELLED"


def test_a_check_of_the_real_supervisor(tmp_path: Path) -> None:
    """`run --once` waits for it."""
    world = world_with(tmp_path, "test -e good || exit 1; echo as good as gold")
    with (tmp_path / "templates" / "payload.sh").open("a") as payload:
        payload.write("touch good\n")
    for _ in range(4):
        world.caf("run", "--once")
        world.payloads_over()
    assert world.jobs()[RUN] == ("DONE", "ok", 1)
    assert world.query("SELECT reason FROM job") == [("good, says its check: as good as gold",)]
    assert os.listdir(tmp_path / "work" / f"{RUN}_Fit") == ["1"]
