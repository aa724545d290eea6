"""The real supervisor with the stand-in for LSF: `caf check`, its probe, and exactly once whatever goes wrong."""

import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.clusters.lsf.cluster import Lsf, running
from tests.clusters.supervised import RUNS, Site, Supervised, all_ended, hang, kill_submissions
from tests.world import World, wait_until

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


@contextmanager
def used(flavour: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lsf]:
    """Have a stand-in of a flavour that the supervisor's clients talk to."""
    with tempfile.TemporaryDirectory(prefix="caf-lsf-") as folder, running(Path(folder) / "lsf", flavour) as one:
        for name, text in one.environment.items():
            monkeypatch.setenv(name, text)
        yield one


@pytest.fixture
def lsf(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lsf]:
    with used("ibm", monkeypatch) as one:
        yield one


@pytest.fixture
def site(lsf: Lsf, tmp_path: Path) -> Site:
    return lsf_site(lsf, tmp_path)


def lsf_site(lsf: Lsf, room: Path) -> Site:
    def accepted() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for number, name, *_ in lsf.control()["jobs"]:
            found.setdefault(name, set()).add(str(number))
        return found

    def stranger() -> str:
        number, *_ = lsf.control(other={"stat": "RUN", "slots": 1, "group": "g"})["jobs"][-1]
        return str(number)

    def misbehave(_: Site, dice: random.Random) -> Mapping[str, int]:
        """Have it be down now and then; gives how often each fault has struck since it was asked last."""
        done = Counter({"down": int(dice.random() < 0.1)})
        told = lsf.control(down=dice.uniform(0.5, 3.0)) if done["down"] else lsf.control()
        done.update(Counter(told["counts"]) - struck)
        struck.update(Counter(told["counts"]) - struck)
        return done

    struck: Counter[str] = Counter()
    return Site(
        kind="lsf",
        room=lambda: room,
        stranger=stranger,
        accepted=accepted,
        submitting=lambda: bsubs(lsf),
        stop=lsf.stop,
        go_on=lsf.go_on,
        deeds=(kill_submissions, hang, misbehave),
        calm=lambda: calm(lsf),
    )


def calm(lsf: Lsf) -> None:
    """Have it answer truly from now on."""
    lsf.control(faults=dict.fromkeys(FAULTS, 0.0), down=0.0)


def bsubs(lsf: Lsf) -> list[int]:
    """Give the submissions under way."""
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0") if process.name.isdecimal() else []
            if b"bsub" in words and f"LSF_ENVDIR={lsf.folder}".encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
    return found


@pytest.fixture(params=["ibm", "openlava"])
def own_site(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Site]:
    with used(request.param, monkeypatch) as lsf:
        lsf.control(faults=FAULTS, settings={"ids": 150})
        yield lsf_site(lsf, tmp_path)


class TestSupervised(Supervised):
    wanted = (*Supervised.wanted, "down", "answer lost", "forgotten soon", "late visibility")

    def campaign_world(self, site: Site, runs: Sequence[int]) -> World:
        payload = "sleep 0.$(($CAF_RUN % 7 + 2))"
        world = site.world(runs, timeout="2s", body=payload, slots=8, caf='submit_grace = "3s"').quick()
        world.edit('retry_after = "1s"', 'retry_after = "1s"\nattempts = 30')
        return world


def test_jobs_run_on_lsf_and_keep_their_batch_ids(lsf: Lsf, site: Site) -> None:
    world = site.world(RUNS)
    with world.running():
        wait_until(lambda: all_ended(world), 60, "the end of all jobs")
    assert {run: job[:2] for run, job in world.jobs().items()} == dict.fromkeys(RUNS, ("DONE", "ok"))
    told = {name: (str(number), stat) for number, name, stat, _, _ in lsf.control()["jobs"]}
    for token, batch_id in world.query("SELECT token, batch_id FROM attempt"):
        assert told[token] == (batch_id, "DONE")


class TestCheck:
    """`caf check` and its probe."""

    def test_it_names_client_form_queues_and_what_would_be_handed_over(self, lsf: Lsf, site: Site) -> None:
        world = site.world(RUNS, job='queue = "8nm"\nmemory = "2GB"\nwalltime = "8h"\ngroup = "g"')
        said = " ".join(world.caf("check").stdout.split())
        assert "client: IBM Spectrum LSF Standard 10.1.0.14" in said
        assert "cluster stand_in" in said
        assert "bjobs answers; it is asked for JSON" in said
        assert "queues: 8nm, closed, normal, shut" in said
        assert "sizes: LSF_UNIT_FOR_LIMITS=MB" in said
        assert (
            "jobs.Fit would be handed over by: bsub -rn -J caf-00000000-1-1-00000000 -q 8nm -G g -M 1908 -W 480" in said
        )

    def test_a_queue_that_is_not_there_is_said_before(self, lsf: Lsf, site: Site) -> None:
        done = site.world(RUNS, job='queue = "nosuch"').caf("check", check=False)
        assert done.returncode == 1
        assert "there is no queue 'nosuch'; known: 8nm, closed, normal, shut" in " ".join(done.stdout.split())

    def test_that_lsf_does_not_answer_is_said_in_a_line(self, lsf: Lsf, site: Site) -> None:
        world = site.world(RUNS)
        lsf.stop()
        try:
            said = " ".join(world.caf("check", check=False).stdout.split())
        finally:
            lsf.go_on()
        assert "BAD batch: lsid did not answer within 4 s" in said

    def test_a_client_that_waits_for_lsf_is_quoted(self, lsf: Lsf, site: Site) -> None:
        world = site.world(RUNS)
        (lsf.folder / "mbatchd.socket").rename(lsf.folder / "away")
        said = " ".join(world.caf("check", check=False).stdout.split())
        (lsf.folder / "away").rename(lsf.folder / "mbatchd.socket")
        assert "lsid did not answer within 4 s (it said: Cannot connect to LSF. Please wait ...)" in said
