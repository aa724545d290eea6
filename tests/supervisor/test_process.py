"""The real supervisor as an administrator meets it: signals, the service manager, commands, two of them at once."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from caf.batch.processes import survivors
from caf.log import EVENTS
from tests.world import World, wait_until

pytestmark = pytest.mark.usefixtures("from_nothing")

RUN, OTHER = 490001, 490002
AT_ONCE = 5.0  # s; two would do on a quiet machine
GATE = 'while [ ! -e "$CAF_GATE" ]; do sleep 0.02; done'


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, [RUN], body=f'CAF_GATE="{tmp_path}/gate"; {GATE}')
    yield made.quick()
    made.end_payloads()
    # Whatever a test was about: each line of its log is a JSON object, and its event is a known one.
    if (tmp_path / "caf.log").exists():
        lines = made.log()
        assert {line["event"] for line in lines} <= set(EVENTS)
        assert all({"event", "level", "at"} <= line.keys() for line in lines)


def seldom(world: World) -> None:
    """Let rounds come by themselves only every ten minutes: what happens meanwhile was noticed."""
    text = world.config.read_text()
    world.config.write_text(re.sub(r'(discover|organise) = "\w+"', r'\1 = "10m"', text))


def started(world: World) -> None:
    """Do one round, so that the jobs run without a supervisor."""
    world.caf("run", "--once")
    wait_until(world.started.exists, what="the payload's start")


def token_of(world: World, run: int = RUN) -> str:
    ((token,),) = world.query("SELECT token FROM job WHERE run = ?", run)
    return str(token)


def events(world: World, name: str) -> list[dict[str, Any]]:
    return [line for line in world.log() if line["event"] == name]


class TestServiceManager:
    """What systemd is told over its own kind of socket."""

    def test_ready_then_signs_of_life_then_stopping(self, world: World, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(tmp_path / "notify"))
            manager.settimeout(20)
            environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
            with world.running(environment=environment) as process:
                heard = [manager.recv(1000).decode() for _ in range(5)]

                def up() -> bool:
                    hear()
                    return world.state(RUN) == "RUNNING"

                def hear() -> None:
                    manager.setblocking(False)
                    with suppress(BlockingIOError):
                        while True:
                            heard.append(manager.recv(1000).decode())

                wait_until(up, what="the job")
                hear()
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=20) == 0
                hear()
        assert heard.count("READY=1\nSTATUS=running") == 1
        assert heard.count("STOPPING=1") == 1
        assert heard.count("WATCHDOG=1") >= 4
        assert set(heard) == {"READY=1\nSTATUS=running", "STOPPING=1", "WATCHDOG=1"}

    def test_the_watchdog_goes_on_while_a_duty_hangs(self, world: World, tmp_path: Path) -> None:
        """A wedged duty is no reason for a restart of the rest."""
        hanging = (
            "import anyio\nfrom caf.tasks import discover\n"
            "async def hang(house): await anyio.sleep_forever()\ndiscover.run_once = hang"
        )
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(tmp_path / "notify"))
            manager.settimeout(20)
            environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
            with world.running(environment=environment, before=hanging):
                heard = [manager.recv(1000) for _ in range(10)]
        assert heard.count(b"WATCHDOG=1") == 9


class TestSignals:
    """TERM, HUP, and what becomes of jobs."""

    def test_term_leaves_jobs_running_and_the_next_supervisor_ends_them_with_one_start_each(
        self, world: World, tmp_path: Path
    ) -> None:
        world.add_runs([OTHER])
        with world.running() as process:
            wait_until(lambda: {world.state(RUN), world.state(OTHER)} == {"RUNNING"}, what="both jobs")
            wait_until(lambda: len(world.starts()) == 2, what="both payloads")
            begun = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
            assert time.monotonic() - begun < 5
        tokens = [token_of(world, RUN), token_of(world, OTHER)]
        assert all(survivors(token) for token in tokens)
        assert {world.state(RUN), world.state(OTHER)} == {"RUNNING"}
        with world.running() as process:
            (tmp_path / "gate").touch()
            wait_until(lambda: {world.state(RUN), world.state(OTHER)} == {"DONE"}, what="the end")
            assert world.stop(process) == 0
        assert world.starts() == dict.fromkeys(tokens, 1)
        names = [line["event"] for line in world.log()]
        assert names.count("supervisor.stopping") == names.count("supervisor.stopped") == 2

    def test_a_job_that_ended_while_no_supervisor_was_there_is_judged_by_the_next(
        self, world: World, tmp_path: Path
    ) -> None:
        started(world)
        (tmp_path / "gate").touch()
        wait_until(lambda: not survivors(token_of(world)), what="the end of the payload")
        with world.running() as process:
            wait_until(lambda: world.state(RUN) == "DONE", what="DONE")
            assert world.stop(process) == 0
        assert set(world.starts().values()) == {1}

    def test_term_ends_a_supervisor_whose_duty_hangs(self, world: World) -> None:
        """The round is given a few seconds, then it is abandoned; a second TERM does not even wait for those."""
        hanging = (
            "import anyio\nfrom caf.tasks import discover\n"
            "async def hang(house): await anyio.sleep_forever()\ndiscover.run_once = hang"
        )
        with world.running(before=hanging) as process:
            process.send_signal(signal.SIGTERM)
            wait_until(lambda: "supervisor.stopping" in world.new_log(), what="stopping")
            begun = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
            assert time.monotonic() - begun < 4

    def test_hup_puts_a_changed_file_into_force(self, world: World, tmp_path: Path) -> None:
        seldom(world)
        (tmp_path / "gate").touch()
        world.edit('run_type = "scan"', 'run_type = "other"')
        with world.running() as process:
            wait_until(lambda: world.duty("discover").get("succeeded") is not None, what="discover")
            assert world.jobs() == {}
            world.edit('run_type = "other"', 'run_type = ["other", "scan"]')
            world.add_runs([OTHER])
            process.send_signal(signal.SIGHUP)
            wait_until(lambda: len(events(world, "config.loaded")) == 2, what="the new file")
            wait_until(lambda: OTHER in world.jobs(), what="its job")
            assert world.stop(process) == 0
        # History is not judged anew: the run that the old file did not want stays as it is.
        assert RUN not in world.jobs()
        assert events(world, "config.loaded")[0]["sha256"] != events(world, "config.loaded")[1]["sha256"]

    def test_hup_with_a_bad_file_changes_nothing_and_says_so(self, world: World, tmp_path: Path) -> None:
        (tmp_path / "gate").touch()
        with world.running() as process:
            world.edit('run_type = "scan"', 'run_tipe = "scan"')
            process.send_signal(signal.SIGHUP)
            wait_until(lambda: len(events(world, "config.rejected")) == 1, what="the refusal")
            world.add_runs([OTHER])
            wait_until(lambda: world.state(OTHER) == "DONE", what="a job under the old file")
            for old, new in (('run_tipe = "scan"', 'run_type = "scan"'), ("[caf]\n", '[caf]\nwork = "elsewhere"\n')):
                world.edit(old, new)
            process.send_signal(signal.SIGHUP)
            wait_until(lambda: len(events(world, "config.rejected")) == 2, what="the second refusal")
            world.edit('work = "elsewhere"\n', "")
            process.send_signal(signal.SIGHUP)
            # Nothing has changed in the end, but the log's last word must not be the refusal.
            wait_until(lambda: len(events(world, "config.loaded")) == 2, what="that the file is good again")
            assert world.stop(process) == 0
        first, second = events(world, "config.rejected")
        assert first["level"] == "error"
        assert "listeners.toml:" in first["error"]
        assert "run_type" in first["error"]
        assert "caf.work: is changed by a restart only" in second["error"]


class TestCommands:
    """What a person says of a running job is carried out within seconds, however seldom the rounds are."""

    def test_each_word_on_a_running_job(self, world: World) -> None:
        runs = {"kill": 490001, "hold": 490002, "reset": 490003}
        goals = {"kill": ("CANCELLED", None, 1), "hold": ("WAITING", None, 2), "reset": ("RUNNING", None, 2)}
        world.add_runs([490002, 490003])
        started(world)
        seldom(world)
        tokens = {word: token_of(world, run) for word, run in runs.items()}
        with world.running() as process:
            wait_until(lambda: all(map(survivors, tokens.values())), what="the payloads")
            for word, run in runs.items():
                begun = time.monotonic()
                said = world.caf("jobs", word, str(run), "Fit", "--by", "anna", "--reason", "wrong release")
                assert "CANCELLING" in said.stdout
                wait_until(lambda: world.jobs()[run] == goals[word], what=word)  # noqa: B023  # done with at once
                assert time.monotonic() - begun < AT_ONCE
                wait_until(lambda: not survivors(tokens[word]), what="the end of what was just being born")  # noqa: B023  # likewise
            assert world.stop(process) == 0
        ways = {
            "kill": ["CANCELLING", "CANCELLED"],
            "hold": ["CANCELLING", "WAITING"],
            "reset": ["CANCELLING", "NEW", "PREPARED", "SUBMITTING", "RUNNING"],
        }
        for word, run in runs.items():
            trail = world.query("SELECT who, was, became, why FROM audit WHERE run = ? ORDER BY id", run)
            states = [became for _, _, became, _ in trail]
            asked = states.index("CANCELLING")
            assert states[asked:] == ways[word]
            who, was, _, why = trail[asked]
            assert (who, was) == ("anna", "RUNNING")
            assert "wrong release" in why
            # The proof: the wrapper's exit record of the payload that TERM ended.
            assert "the payload ended with exit code 143" in trail[asked + 1][3]
            assert world.starts()[tokens[word]] == 1

    def test_a_job_that_does_not_heed_term_is_killed_in_time(self, tmp_path: Path) -> None:
        """Ten seconds after TERM, not at the next round in ten minutes."""
        world = World(tmp_path, [RUN], body="trap : TERM; while :; do sleep 1; done")
        started(world)
        seldom(world)
        quick = "from caf.batch import local\nlocal.KILL_AFTER = 0.5"
        with world.running(before=quick) as process:
            world.caf("jobs", "kill", str(RUN), "Fit")
            wait_until(lambda: world.state(RUN) == "CANCELLED", what="CANCELLED")
            assert world.stop(process) == 0
        world.end_payloads()

    def test_the_end_of_a_job_is_noticed_at_once_and_its_slot_filled(self, world: World, tmp_path: Path) -> None:
        """Own and adopted ones alike, though the next round would come in ten minutes."""
        world.edit("slots = 4", "slots = 1")
        world.add_runs([OTHER])
        started(world)
        seldom(world)
        with world.running() as process:
            wait_until(lambda: world.duty("organise").get("succeeded") is not None, what="the first round")
            assert (world.state(RUN), world.state(OTHER)) == ("RUNNING", "PREPARED")
            begun = time.monotonic()
            (tmp_path / "gate").touch()
            wait_until(lambda: (world.state(RUN), world.state(OTHER)) == ("DONE", "DONE"), what="both ends")
            assert time.monotonic() - begun < AT_ONCE
            assert world.stop(process) == 0

    def test_a_waiting_job_is_started_at_once(self, tmp_path: Path) -> None:
        world = World(tmp_path, [RUN], job="validate = true")
        world.caf("run", "--once")
        assert world.state(RUN) == "WAITING"
        seldom(world)
        with world.running() as process:
            world.caf("jobs", "start", str(RUN), "Fit")
            begun = time.monotonic()
            wait_until(lambda: world.state(RUN) == "DONE", what="DONE")
            assert time.monotonic() - begun < AT_ONCE
            assert world.stop(process) == 0


class TestOneAtATime:
    def test_a_second_supervisor_is_refused_with_host_and_process_of_the_first(self, world: World) -> None:
        with world.running() as process:
            second = world.caf("run", check=False)
            assert second.returncode == 1
            assert second.stderr.count("\n") <= 2
            assert f"process {process.pid} on {os.uname().nodename} since " in second.stderr
            assert json.loads(world.caf("status", "--json", check=False).stdout)["supervisor"].startswith(
                f"process {process.pid} on {os.uname().nodename}"
            )
            assert process.poll() is None

    def test_after_kill_9_the_next_needs_no_cleaning_up_though_the_jobs_of_the_first_live(
        self, world: World, tmp_path: Path
    ) -> None:
        with world.running() as process:
            wait_until(lambda: bool(world.starts()), what="the payload")
            process.kill()
            process.wait()
            assert survivors(token_of(world))
        with world.running() as process:
            (tmp_path / "gate").touch()
            wait_until(lambda: world.state(RUN) == "DONE", what="DONE")
            assert world.stop(process) == 0
        assert set(world.starts().values()) == {1}


class TestConfiguration:
    def test_a_first_start_with_a_bad_file_is_refused_with_all_that_is_wrong(self, world: World) -> None:
        world.edit('run_type = "scan"', 'run_tipe = "scan"')
        world.edit('retry_after = "1s"', 'retry_after = "1 fortnight"')
        world.edit("slots = 4", "slots = 0")
        done = world.caf("run", check=False)
        assert done.returncode == 2
        assert done.stdout == ""
        lines = done.stderr.splitlines()
        assert len(lines) == 3
        assert all(line.startswith("listeners.toml:") for line in lines)
        for key in ("run_tipe", "retry_after", "slots"):
            assert sum(key in line for line in lines) == 1
        assert not world.database.exists()

    def test_a_later_start_with_a_bad_file_goes_on_with_the_last_good_one_and_says_so(
        self, world: World, tmp_path: Path
    ) -> None:
        started(world)
        world.config.write_text(world.config.read_text().replace('run_type = "scan"', "run_type = scan"))
        with world.running() as process:
            (tmp_path / "gate").touch()
            wait_until(lambda: world.state(RUN) == "DONE", what="DONE")
            world.add_runs([OTHER])
            wait_until(lambda: world.state(OTHER) == "DONE", what="a new run")
            assert world.stop(process) == 0
        (rejected,) = events(world, "config.rejected")
        assert rejected["instead"] == "the last good configuration"
        assert "listeners.toml:" in rejected["error"]

    def test_a_file_that_is_not_even_toml_is_refused_with_its_line_at_a_first_start(self, world: World) -> None:
        """Nor does it get what another file beside it was good for."""
        rubbish = world.config.with_name("other.toml")
        rubbish.write_text(world.config.read_text().replace('run_type = "scan"', "run_type = scan"))
        for _ in range(2):
            command = [sys.executable, "-m", "caf", "run", "--once", "--config", str(rubbish)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            assert done.returncode == 2
            assert done.stderr.startswith("other.toml:16: this is not TOML")
            world.caf("run", "--once")


class TestLog:
    def test_a_fault_in_a_duty_shows_its_traceback_without_what_the_variables_held(self, world: World) -> None:
        faulty = (
            "from caf.tasks import discover\n"
            "async def fault(house):\n"
            "    password = 'hunter' + str(2)\n"
            "    return {}[len(password)]\n"
            "discover.run_once = fault"
        )
        with world.running(before=faulty) as process:
            wait_until(lambda: len(events(world, "duty.failed")) >= 2, what="the failure")
            assert world.duty("discover")["error"].startswith("a fault in caf: KeyError: 7")
            assert world.duty("organise")["error"] is None
            assert world.stop(process) == 0
        text = (world.folder / "caf.log").read_text()
        assert "hunter2" not in text
        traced = next(line for line in events(world, "duty.failed") if "exception" in line)
        assert traced["exception"][0]["frames"][-1]["name"] == "fault"

    @pytest.mark.parametrize("how", ["reader gone", "closed"])
    def test_a_standard_output_that_went_away_does_not_stop_it(self, world: World, tmp_path: Path, how: str) -> None:
        (tmp_path / "gate").touch()
        command = [sys.executable, "-m", "caf", "run", "--config", str(world.config)]
        if how == "closed":
            main = "import pathlib, sys\nfrom caf.supervisor import main\nsys.exit(main(pathlib.Path(sys.argv[1])))"
            command = [sys.executable, "-c", main, str(world.config)]
            process = subprocess.Popen(["sh", "-c", 'exec "$@" >&-', "sh", *command], start_new_session=True)
        else:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
            assert process.stdout is not None
            process.stdout.readline()
            process.stdout.close()
        try:
            wait_until(lambda: world.state(RUN) == "DONE", what="the first job")
            world.add_runs([OTHER])
            wait_until(lambda: world.state(OTHER) == "DONE", what="the second job")
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()
            process.wait()
