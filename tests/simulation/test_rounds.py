"""Over 100,000 runs in any order, with any delays: in the end each has the verdict of a single look at all there is.

Each time the same worlds are tried. To look further: CAF_SIMULATION_SEEDS=200 pytest -m campaign tests/simulation
"""

import os
from typing import Any

import pytest

from tests.simulation.history import events_of
from tests.simulation.oracle import LISTENERS, verdicts
from tests.simulation.world import follow

RUNS = 5_050
WORLDS = 20
EVERY_DAY = 3  # of the worlds; the others are long
SEEDS = range(WORLDS + int(os.environ.get("CAF_SIMULATION_SEEDS", "0")))


@pytest.mark.parametrize(
    "seed", [*SEEDS[:EVERY_DAY], *(pytest.param(seed, marks=pytest.mark.campaign) for seed in SEEDS[EVERY_DAY:])]
)
def test_every_run_ends_with_the_verdict_of_a_single_look(seed: int) -> None:
    failure = follow(seed, RUNS)
    if failure is not None:
        pytest.fail(failure, pytrace=False)


def test_the_worlds_hold_enough_of_everything() -> None:
    """A simulation in which nothing happens would never fail."""
    assert RUNS * WORLDS > 100_000
    events = events_of(0, RUNS)
    kinds = [event.kind for event in events]
    assert min(kinds.count(kind) for kind in set(kinds)) > RUNS // 10
    records: dict[int, dict[str, Any]] = {}
    for event in events:
        records.setdefault(event.run, {})[event.kind] = event.record
    expected = list(verdicts(records).values())
    assert {listener for _, listener, _ in expected} == {None, *(listener.name for listener in LISTENERS)}
    assert {(status, validate) for status, _, validate in expected} == {
        ("ACCEPTED", 0),
        ("ACCEPTED", 1),
        ("CONFLICT", None),
        ("UNCLAIMED", None),
    }
