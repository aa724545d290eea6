"""An older copy of the database is put back: areas are compared before anything is submitted, nothing runs twice."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.world import FINAL, World, wait_until

RUNS = list(range(490001, 490007))
GATE = "while [ ! -e {gate}/$CAF_RUN ]; do sleep 0.02; done"


@pytest.fixture
def world(tmp_path: Path) -> World:
    gate = tmp_path / "gate"
    gate.mkdir()
    return World(tmp_path, RUNS, body=GATE.format(gate=gate), slots=3).quick()


def gate(world: World, *runs: int) -> None:
    for run in runs:
        (world.folder / "gate" / str(run)).touch()


def states(world: World) -> dict[int, str]:
    return {run: job[0] for run, job in world.jobs().items()}


def copy_away(world: World, name: str = "kept.db") -> Path:
    """Copy the database as a backup does: while no transaction is under way."""
    kept = world.folder / name
    world.query("VACUUM INTO ?", str(kept))
    return kept


def put_back(world: World, kept: Path) -> None:
    aside = world.folder / "newer-caf.db"
    for left in (world.folder / "state").glob("caf.db*"):
        left.unlink() if aside.exists() else left.rename(world.folder / f"newer-{left.name}")
    shutil.copy(kept, world.database)


def refused(world: World) -> str:
    """Start without --take-over: one or two lines that say what to do."""
    done = world.caf("run", "--once", check=False)
    assert done.returncode == 1
    assert done.stdout == "" or "submitted" not in done.stdout
    assert 1 <= len(done.stderr.splitlines()) <= 2
    return " ".join(done.stderr.split())


def all_over(world: World) -> bool:
    return len(world.jobs()) == len(RUNS) and set(states(world).values()) <= FINAL


def to_the_end(world: World) -> None:
    """Take over, and have it all done by a supervisor that is killed once on the way."""
    gate(world, *RUNS)
    world.caf("run", "--once", "--take-over")
    with world.running():
        wait_until(lambda: all_over(world), 60, "the end of all jobs")


@pytest.mark.campaign
def test_a_copy_from_the_middle_is_refused_then_compared_and_nothing_runs_twice(world: World) -> None:
    with world.running() as process:
        wait_until(lambda: list(states(world).values()).count("RUNNING") == 3, what="three jobs")
        kept = copy_away(world)
        gate(world, *RUNS[:5])
        wait_until(lambda: list(states(world).values()).count("DONE") == 5, what="five ends")
        wait_until(lambda: states(world)[RUNS[5]] == "RUNNING", what="the sixth")
        assert world.stop(process) == 0
    before = Counter(world.starts())
    assert len(before) == 6
    put_back(world, kept)
    said = refused(world)
    assert "is an older copy: a newer one has worked in" in said
    assert said.endswith("caf run --take-over, which looks at all areas before anything is submitted")
    assert world.starts() == before
    to_the_end(world)
    assert world.starts() == before  # not one payload more
    assert world.jobs() == dict.fromkeys(RUNS, ("DONE", "ok", 1))
    ((why,),) = world.query("SELECT why FROM audit WHERE who = 'take-over' AND job IS NULL")
    assert why == "3 working areas were not known: 3 jobs follow them, 0 have no job yet"
    # What was put aside is the older one now: it does not know what has been done since.
    here = copy_away(world, "here.db")
    put_back(world, world.folder / "newer-caf.db")
    assert "is an older copy" in refused(world)
    put_back(world, here)
    world.caf("run", "--once")


@pytest.mark.campaign
def test_later_attempts_count_and_what_people_said_of_them_is_asked_again(world: World) -> None:
    """In truth: one was reset and is DONE at its second attempt, one was held, one was killed before it ran."""
    with world.running() as process:
        wait_until(lambda: list(states(world).values()).count("RUNNING") == 3, what="three jobs")
        kept = copy_away(world)
        reset, held, *_ = RUNS
        world.caf("jobs", "hold", str(held), "Fit")
        wait_until(lambda: states(world)[held] == "WAITING", what="WAITING")
        world.caf("jobs", "reset", str(reset), "Fit")
        wait_until(lambda: world.jobs()[reset][2] == 2, what="a second attempt")
        gate(world, *RUNS)
        wait_until(lambda: [*states(world).values()].count("DONE") == 5, 40, "the ends")
        assert world.stop(process) == 0
    before = Counter(world.starts())
    put_back(world, kept)
    refused(world)
    to_the_end(world)
    assert max(world.starts().values()) == 1
    assert world.jobs()[reset] == ("DONE", "ok", 2)
    # The held one was ended by TERM in its first attempt: that is what its records tell, and it is shown.
    assert world.jobs()[held][:2] == ("FAILED", "signal")
    assert [world.jobs()[run] for run in RUNS[2:]] == [("DONE", "ok", 1)] * 4
    assert world.starts() == before


@pytest.mark.campaign
def test_a_supervisor_killed_while_it_takes_over_takes_over_the_next_time(world: World) -> None:
    with world.running() as process:
        wait_until(lambda: list(states(world).values()).count("RUNNING") == 3, what="three jobs")
        kept = copy_away(world)
        gate(world, *RUNS)
        wait_until(lambda: all_over(world), what="the ends")
        assert world.stop(process) == 0
    before = Counter(world.starts())
    put_back(world, kept)
    # It dies as soon as the folder is its own, before a single area was looked at.
    dies = "import os\nfrom caf.tasks.organise import compare\ncompare._compare_all = lambda house: os._exit(9)\n"
    program = f"{dies}import sys; sys.argv = ['caf', 'run', '--take-over', '--config', {str(world.config)!r}]\n"
    process = world.supervisor(before=program)
    assert process.wait(timeout=30) == 9
    assert world.starts() == before
    world.caf("run", "--once")  # it is its own now, and still has to be compared
    with world.running():
        wait_until(lambda: all_over(world), what="the ends")
    assert world.starts() == before
    assert world.jobs() == dict.fromkeys(RUNS, ("DONE", "ok", 1))


@pytest.mark.campaign
def test_without_any_database_all_is_found_in_the_areas_again(world: World) -> None:
    """The worst of all days: no backup. What was done is known from the areas, and only the rest is run."""
    with world.running() as process:
        gate(world, *RUNS[:4])
        wait_until(lambda: list(states(world).values()).count("DONE") == 4, what="four ends")
        wait_until(lambda: list(states(world).values()).count("RUNNING") == 2, what="the others")
        assert world.stop(process) == 0
    before = Counter(world.starts())
    shutil.rmtree(world.folder / "state")
    said = refused(world)
    assert "belong to database" in said
    assert said.endswith("caf run --take-over")
    shutil.rmtree(world.folder / "state", ignore_errors=True)
    world.add_runs([490010])
    (world.folder / "gate" / "490010").touch()
    gate(world, *RUNS)
    world.caf("run", "--once", "--take-over")
    with world.running():
        wait_until(lambda: len(world.jobs()) == 7 and set(states(world).values()) <= FINAL, 60, "the end of all jobs")
    assert {run: world.runs_started()[run] for run in RUNS} == dict.fromkeys(RUNS, 1)
    assert set(world.starts().values()) == {1}
    assert before.keys() <= world.starts().keys()
    assert world.jobs() == dict.fromkeys((*RUNS, 490010), ("DONE", "ok", 1))


def test_a_copy_that_is_as_new_as_the_areas_is_used_without_a_word(world: World) -> None:
    gate(world, *RUNS)
    with world.running() as process:
        wait_until(lambda: all_over(world), what="the ends")
        assert world.stop(process) == 0
    put_back(world, copy_away(world))
    world.caf("run", "--once")
    assert json.loads(world.caf("status", "--json").stdout)["needs"] == []
