"""Two real supervisors, and somebody who removes the lock's file by hand."""

from pathlib import Path

import pytest

from tests.world import World, wait_until

pytestmark = pytest.mark.usefixtures("from_nothing")

RUN = 490001


@pytest.mark.campaign
def test_the_first_stops_by_itself_once_its_lock_file_is_removed(tmp_path: Path) -> None:
    world = World(tmp_path, [RUN]).quick()
    lock = tmp_path / "state" / "caf.lock"
    before = "from caf import supervisor; supervisor.LOCK_LOOK = 0.1"
    with world.running(before=before) as first:
        refused = world.caf("run", "--once", check=False)
        assert (refused.returncode, "another supervisor runs already" in refused.stderr) == (1, True)
        lock.unlink()
        with world.running() as second:
            assert first.wait(timeout=30) == 1
            assert second.poll() is None
            assert world.stop(second) == 0
    lost = [line for line in world.log() if line["event"] == "supervisor.lock_lost"]
    assert [line["why"] for line in lost] in ([f"{lock} was removed"], [f"{lock} was replaced by another file"])
    wait_until(lambda: world.runs_started() == {RUN: 1}, what="the payload's one start")
