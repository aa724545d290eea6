"""Another batch system only when nothing is out: the one that has an attempt alone can tell what becomes of it."""

from pathlib import Path

from tests.world import World, wait_until

RUN = 490001


def test_it_is_refused_while_attempts_are_out(tmp_path: Path) -> None:
    world = World(tmp_path, [RUN], body="exec sleep 300")
    try:
        world.caf("run", "--once")
        wait_until(world.started.exists, what="the payload's start")
        world.edit('kind = "local"', 'kind = "slurm"')
        done = world.caf("run", "--once", check=False)
        assert done.returncode == 1
        said = " ".join(done.stderr.split())
        assert "[batch] kind was local and is slurm now, but 1 jobs are out in local: put it back until they" in said
    finally:
        world.end_payloads()


def test_a_probe_on_this_machine_proves_both_ways_and_leaves_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, [RUN])
    said = " ".join(world.caf("check", "--probe").stdout.split())
    assert f"saw what this machine wrote in {tmp_path}/work, and its answer came in" in said
    assert not (tmp_path / "work").exists()


def test_a_probe_that_cannot_even_begin_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    world = World(tmp_path, [RUN])
    world.edit("[caf]\n", '[caf]\nwork = "file/work"\n')
    done = world.caf("check", "--probe", check=False)
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    assert "BAD probe: " in said
    assert "cannot be made: Not a directory" in said
