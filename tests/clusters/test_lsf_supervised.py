"""The real supervisor with the stand-in for LSF: `caf check`, its probe, and exactly once whatever goes wrong."""

import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.clusters.lsf.cluster import Lsf, running
from tests.world import FINAL, World, wait_until

RUNS = [490001, 490002, 490003]
FAULTS = {
    "answer lost": 0.1,
    "taken twice": 0.15,
    "late visibility": 0.3,
    "forgotten soon": 0.2,
    "row left out": 0.2,
    "row twice": 0.2,
    "garbage": 0.1,
    "hiccup": 0.1,
    "hang": 0.02,
    "warnings": 0.2,
    "refused before": 0.03,
    "requeued by itself": 0.1,
    "unknown for a while": 0.2,
    "bhist fails": 0.1,
}


@pytest.fixture(params=["ibm"])
def lsf(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lsf]:
    """Have a stand-in of a flavour that the supervisor's clients talk to."""
    with (
        tempfile.TemporaryDirectory(prefix="caf-lsf-") as folder,
        running(Path(folder) / "lsf", request.param) as one,
    ):
        for name, text in one.environment.items():
            monkeypatch.setenv(name, text)
        yield one


def on_lsf(folder: Path, runs: list[int], **options: Any) -> World:
    world = World(folder, runs, **options)
    world.edit('kind = "local"', 'kind = "lsf"\nclient_timeout = "4s"')
    return world


def all_ended(world: World, runs: list[int]) -> bool:
    jobs = world.jobs()
    return len(jobs) == len(runs) and all(state in FINAL for state, _, _ in jobs.values())


def test_jobs_run_on_lsf_and_keep_their_batch_ids(lsf: Lsf, tmp_path: Path) -> None:
    world = on_lsf(tmp_path, RUNS)
    with world.running():
        wait_until(lambda: all_ended(world, RUNS), 60, "the end of all jobs")
    assert {run: job[:2] for run, job in world.jobs().items()} == dict.fromkeys(RUNS, ("DONE", "ok"))
    told = {name: (str(number), stat) for number, name, stat, _, _ in lsf.control()["jobs"]}
    for token, batch_id in world.query("SELECT token, batch_id FROM attempt"):
        assert told[token] == (batch_id, "DONE")


class TestCheck:
    """`caf check` and its probe."""

    def test_it_names_client_form_queues_and_what_would_be_handed_over(self, lsf: Lsf, tmp_path: Path) -> None:
        world = on_lsf(tmp_path, RUNS, job='queue = "8nm"\nmemory = "2GB"\nwalltime = "8h"\ngroup = "g"')
        said = " ".join(world.caf("check").stdout.split())
        assert "client: IBM Spectrum LSF Standard 10.1.0.14" in said
        assert "cluster stand_in" in said
        assert "bjobs answers; it is asked for JSON" in said
        assert "queues: 8nm, closed, normal, shut" in said
        assert "sizes: LSF_UNIT_FOR_LIMITS=MB" in said
        assert (
            "jobs.Fit would be handed over by: bsub -rn -J caf-00000000-1-1-00000000 -q 8nm -G g -M 1908 -W 480" in said
        )

    def test_a_queue_that_is_not_there_is_said_before(self, lsf: Lsf, tmp_path: Path) -> None:
        done = on_lsf(tmp_path, RUNS, job='queue = "nosuch"').caf("check", check=False)
        assert done.returncode == 1
        assert "there is no queue 'nosuch'; known: 8nm, closed, normal, shut" in " ".join(done.stdout.split())

    def test_that_lsf_does_not_answer_is_said_in_a_line(self, lsf: Lsf, tmp_path: Path) -> None:
        world = on_lsf(tmp_path, RUNS)
        lsf.stop()
        try:
            said = " ".join(world.caf("check", check=False).stdout.split())
        finally:
            lsf.go_on()
        assert "BAD batch: lsid did not answer within 4 s" in said

    def test_a_client_that_waits_for_lsf_is_quoted(self, lsf: Lsf, tmp_path: Path) -> None:
        world = on_lsf(tmp_path, RUNS)
        (lsf.folder / "mbatchd.socket").rename(lsf.folder / "away")
        said = " ".join(world.caf("check", check=False).stdout.split())
        (lsf.folder / "away").rename(lsf.folder / "mbatchd.socket")
        assert "lsid did not answer within 4 s (it said: Cannot connect to LSF. Please wait ...)" in said

    def test_the_probe_proves_both_ways_and_leaves_nothing(self, lsf: Lsf, tmp_path: Path) -> None:
        world = on_lsf(tmp_path, RUNS)
        said = " ".join(world.caf("check", "--probe").stdout.split())
        assert f"saw what this machine wrote in {tmp_path}/work, and its answer came in" in said
        assert not (tmp_path / "work").exists()


def bsubs(lsf: Lsf) -> list[int]:
    """Give the submissions under way."""
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0") if process.name.isdecimal() else []
            if b"bsub" in words and f"LSF_ENVDIR={lsf.folder}".encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
    return found


@pytest.mark.campaign
@pytest.mark.timeout(400)
@pytest.mark.parametrize("lsf", ["ibm", "openlava"], indirect=True)
def test_every_payload_starts_exactly_once_and_every_accepted_job_is_adopted(lsf: Lsf, tmp_path: Path) -> None:
    """Answers are lost and wrong, LSF is down for a while, submissions and the supervisor are killed, all at random."""
    dice = random.Random(20150601)
    runs = list(range(490001, 490061))
    world = on_lsf(tmp_path, runs, body="sleep 0.$(($CAF_RUN % 7 + 2))", slots=8, caf='submit_grace = "3s"').quick()
    world.edit('client_timeout = "4s"', 'client_timeout = "2s"')
    world.edit('retry_after = "1s"', 'retry_after = "1s"\nattempts = 30')
    lsf.control(faults=FAULTS, settings={"ids": 150})
    done: Counter[str] = Counter()
    process = world.supervisor()
    end = time.monotonic() + 60
    while time.monotonic() < end and not all_ended(world, runs):
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=dice.uniform(0.0, 1.5))
        if process.poll() is not None or dice.random() < 0.15:
            process.kill()
            process.wait()
            process = world.supervisor()
            done["supervisor"] += 1
        for pid in bsubs(lsf):
            if dice.random() < 0.3:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                done["bsub"] += 1
        if dice.random() < 0.1:
            lsf.control(down=dice.uniform(0.5, 3.0))
            done["down"] += 1
        if dice.random() < 0.05:
            lsf.stop()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=dice.uniform(0.5, 3.0))
            lsf.go_on()
            done["stopped"] += 1
    lsf.control(faults=dict.fromkeys(FAULTS, 0.0), down=0.0)
    if process.poll() is not None:
        process = world.supervisor()
    wait_until(lambda: all_ended(world, runs), 150, f"the end of all jobs after {done}")
    assert world.stop(process) == 0
    struck = {**done, **lsf.control()["counts"]}
    print(struck)
    often = {"supervisor", "bsub", "down", "answer lost", "taken twice", "forgotten soon", "late visibility"}
    assert {name for name in often if not struck.get(name)} == set()
    assert sum(struck[name] for name in ("hiccup", "garbage", "row left out", "row twice", "warnings")) > 2
    assert {run: job[:2] for run, job in world.jobs().items()} == dict.fromkeys(runs, ("DONE", "ok"))
    assert world.runs_started() == dict.fromkeys(runs, 1)
    assert set(world.starts().values()) == {1}
    check_tokens(world, lsf)


def check_tokens(world: World, lsf: Lsf) -> None:
    """Whatever LSF accepted is an attempt's, and either started its payload or never can."""
    accepted: dict[str, set[str]] = {}
    for number, token, *_ in lsf.control()["jobs"]:
        accepted.setdefault(token, set()).add(str(number))
    attempts = {token: rest for token, *rest in world.query("SELECT token, job_id, attempt, batch_id FROM attempt")}
    assert accepted.keys() <= attempts.keys()
    starts = world.starts()
    for token, (job_id, attempt, batch_id) in attempts.items():
        if token in starts:
            assert batch_id in accepted[token]
            continue
        ((run, job),) = world.query("SELECT run, job FROM job WHERE id = ?", job_id)
        area = world.folder / "work" / f"{run}_{job}" / str(attempt)
        assert (area / "claim" / "revoked").exists() or token not in accepted
