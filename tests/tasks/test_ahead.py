"""Jobs that last an instant are handed over ahead of the slots; others are not, nor those behind them in the line."""

from collections import Counter, deque
from functools import partial
from pathlib import Path

import pytest

from caf.domain.slots import MOST_AHEAD, ahead
from tests.tasks.stage import Stage, play
from tests.world import FINAL, World, wait_until

RUNS = list(range(490001, 490021))


@pytest.mark.parametrize(
    ("slots", "duration", "jobs"),
    [(2, None, 0), (2, 0.0, MOST_AHEAD), (2, 0.01, 20), (2, 0.2, 1), (2, 0.21, 0), (15, 8 * 3600.0, 0)],
)
def test_a_tenth_of_a_second_of_work_is_handed_over_ahead(slots: int, duration: float | None, jobs: int) -> None:
    assert ahead(slots, duration) == jobs


@pytest.mark.parametrize(
    ("lasted", "handed_over"), [([0.01] * 5, 10), ([0.01] * 4, 4), ([0.01] * 4 + [9.0], 4), ([0.2] * 5, 6)]
)
def test_as_many_as_the_last_few_ends_allow(tmp_path: Path, lasted: list[float], handed_over: int) -> None:
    """There are four slots, and ten jobs."""

    async def scene(stage: Stage) -> None:
        stage.house.durations = {"Fit": deque(lasted, 5)}
        await stage.organise()
        assert len(stage.batch.submitted) == handed_over
        await stage.organise()
        assert len(stage.batch.submitted) == handed_over

    play(World(tmp_path, RUNS[:10]), scene)


def test_none_is_where_the_batch_system_has_a_queue_of_its_own(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await stage.organise()
        for run in RUNS[:4]:
            stage.run(run)
            stage.end(run)
        await stage.organise()
        assert stage.house.durations is None
        assert len(stage.batch.submitted) == 8

    play(World(tmp_path, RUNS[:10]), scene)


@pytest.mark.campaign
@pytest.mark.timeout(240)
def test_kills_while_jobs_wait_for_their_turn_lose_and_double_none(tmp_path: Path) -> None:
    """What waited in the supervisor that was killed has not begun, is revoked, and begins as another attempt."""
    world = World(tmp_path, RUNS + list(range(490021, 490141)), slots=2).quick()
    runs, lost = world.runs, 0
    for _ in range(12):
        process = world.supervisor()
        mark = len(world.runs_started()) + 5
        wait_until(partial(world.has_started, min(mark, len(runs))), what="some starts")
        process.kill()
        process.wait()
        lost += world.query("SELECT count(*) FROM job WHERE state = 'SUBMITTING'")[0][0] > 2
        if len(world.runs_started()) == len(runs):
            break
    with world.running() as process:
        wait_until(lambda: all(state in FINAL for state, *_ in world.jobs().values()), 60, "all ends")
        assert world.stop(process) == 0
    assert {run: job[:2] for run, job in world.jobs().items()} == dict.fromkeys(runs, ("DONE", "ok"))
    assert world.runs_started() == dict.fromkeys(runs, 1)
    assert set(world.starts().values()) == {1}
    assert lost  # or nothing waited when it was killed
    ids = Counter(bool(batch_id) for (batch_id,) in world.query("SELECT batch_id FROM job"))
    assert ids == {True: len(runs)}
