"""The state folder's disk is full, at whatever write: nothing is lost, nothing runs twice, and it goes on with room."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

from caf import supervisor
from caf.domain.errors import CafError
from caf.store.database import connect
from caf.store.queries import findings
from tests.crash.dying import forked, once, to_the_end
from tests.faults.disks import btrfs_quota, ext4, fill, tmpfs
from tests.world import World

RUN = 490001
REFUSED = 3
Disk = Callable[[Path], AbstractContextManager[Path]]


def tried(world: World) -> int:
    """Do one round of every duty; 0 or 1 as it ends, REFUSED where it could not even begin, and said so."""

    def work() -> int:
        try:
            return supervisor.main(world.config, once=True)
        except CafError as error:
            return REFUSED if str(error) else 4
        except OSError as error:  # told by the command line in a line, as `caf: FILE: No space left on device`
            return REFUSED if error.strerror else 4

    return forked(work)


def through(folder: Path, disk: Disk, leave: int) -> int:
    """Have one round with so many bytes free, then all the room there is; gives how the first one ended."""
    folder.mkdir()
    with disk(folder / "state") as state:
        world = World(folder, [RUN])
        filler = fill(state, leave)
        status = tried(world)
        assert status in {0, 1, REFUSED}
        filler.unlink()
        to_the_end(world)
        with closing(connect(world.database)) as conn:
            assert findings(conn) == []
        assert world.jobs() == {RUN: ("DONE", "ok", world.jobs()[RUN][2])}
        assert max(world.starts().values()) == 1
        assert once(world) == 0
    return status


STEP = 4096


@pytest.mark.parametrize(
    ("disk", "every"),
    [
        pytest.param(tmpfs, 28, id="tmpfs"),
        pytest.param(tmpfs, 4, id="tmpfs-finely", marks=[pytest.mark.campaign, pytest.mark.timeout(1200)]),
        pytest.param(ext4, 8, id="ext4", marks=[pytest.mark.campaign, pytest.mark.timeout(1200)]),
        pytest.param(btrfs_quota, 16, id="quota", marks=[pytest.mark.campaign, pytest.mark.timeout(1200)]),
    ],
)
def test_a_disk_that_fills_up_at_any_write(tmp_path: Path, disk: Disk, every: int) -> None:
    """From no room at all up to where all of it fits."""
    ends = []
    for number in range(0, 1000, every):
        ends.append(through(tmp_path / str(number), disk, number * STEP))
        if ends[-1] == 0:
            break
        assert number < 900
    assert ends[0] == REFUSED
    assert ends[-1] == 0
    assert sys.getsizeof(ends) > 0
    assert 1 in ends  # or the room never ended in the middle of the work
