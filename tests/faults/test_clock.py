"""The machine's clock steps by hours, forwards and back, under a whole supervisor with jobs that wait and run."""

import json
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.test_faults import IMPATIENT
from tests.world import World, wait_until

STEPPING = f"""{IMPATIENT}
import time as real
from pathlib import Path
from caf import opening

class Stepping:
    \"\"\"The world's clock, less or more what stands in a file; the one that counts from the boot is as it is.\"\"\"

    def __getattr__(self, name):
        return getattr(real, name)

    def time(self):
        return real.time() + float(Path({{ahead!r}}).read_text())

opening.time = Stepping()
"""
HOUR = 3600
GATE = "while [ ! -e {gate}/$CAF_RUN ]; do sleep 0.02; done"


def _was_set(world: World, before: int) -> bool:
    return len([line for line in world.log() if line["event"] == "clock.set"]) > before


def _is_known(world: World, run: int) -> bool:
    return run in world.jobs()


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param((5 * HOUR, -HOUR), id="ahead", marks=pytest.mark.campaign),
        pytest.param((-5 * HOUR, 30 * 24 * HOUR), id="back"),
    ],
)
def test_a_clock_that_steps_by_hours(tmp_path: Path, steps: tuple[int, int]) -> None:
    """Waits are neither used up nor endless, no attempt is given up, and all goes to its end once."""
    gate, ahead = tmp_path / "gate", tmp_path / "ahead"
    gate.mkdir()
    ahead.write_text("0")
    world = World(tmp_path, [490001, 490002, 490003], body=GATE.format(gate=gate), slots=2).quick()

    def states() -> list[str]:
        return sorted(job[0] for job in world.jobs().values())

    with world.running(before=STEPPING.format(ahead=str(ahead))) as process:
        wait_until(lambda: states() == ["PREPARED", "RUNNING", "RUNNING"], what="two that run and one that waits")
        for number, step in enumerate(steps):
            before = sum(line["event"] == "clock.set" for line in world.log())
            fresh = ahead.with_name("fresh")
            fresh.write_text(str(float(ahead.read_text()) + step))
            fresh.rename(ahead)
            wait_until(partial(_was_set, world, before), what="clock.set")
            assert states().count("RUNNING") == 2
            run = 490010 + number
            world.add_runs([run])
            wait_until(partial(_is_known, world, run), 60, "discover going on")
            (gate / str(run)).touch()
            facts = json.loads(world.caf("status", "--json", check=False).stdout)
            assert not any(need["what"] in {"unknown", "failed"} for need in facts["needs"])
            assert states().count("RUNNING") == 2
        for run in (490001, 490002, 490003):
            (gate / str(run)).touch()
        wait_until(lambda: states() == ["DONE"] * 5, 60, "the end of all jobs")
        assert process.poll() is None
        assert world.stop(process) == 0
    assert set(world.starts().values()) == {1}
    assert len(world.starts()) == 5
