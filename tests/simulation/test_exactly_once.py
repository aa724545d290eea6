"""Exactly once, whatever the world does: no payload starts twice, no two attempts at once, no job is lost.

Each time the same worlds are tried, driven by their seeds. To look further: CAF_SIMULATION_SEEDS=200 pytest -m campaign
tests/simulation/test_exactly_once.py
"""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.simulation.exactly_once import Figures, live

JOBS = 100  # in each world
FEW = (3, 4, 11)  # among them one whose batch system falls silent for ever
ALL = range(100 + int(os.environ.get("CAF_SIMULATION_SEEDS", "0")))

OFTEN = {"late visibility", "forgotten for a while", "answer lost", "taken twice", "row left out", "row twice"}
OFTEN |= {"node died", "requeued by itself", "refused", "hanging", "out of memory", "cancel not heeded"}
SELDOM = {"forgotten for ever", "garbage", "garbage for an answer", "ids used again", "unknown for an hour"}
SELDOM |= {"taken hours later", "refused, and taken all the same", "forgotten soon after its end", "clock set"}
SELDOM |= {"requeued while it ran", "handed over again by hand", "raw files away"}


def live_through(seeds: Sequence[int]) -> Figures:
    """Live through worlds, two at a time."""
    total = Figures()
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for figures in pool.map(live, seeds, [JOBS] * len(seeds)):
            total.add(figures)
    return total


def check(figures: Figures) -> None:
    print(figures)
    if figures.broken:
        pytest.fail("\n".join(figures.broken), pytrace=False)
    assert sum(figures.ends.values()) == figures.jobs
    assert not set(figures.ends) - {"DONE", "FAILED", "CANCELLED", "WAITING", "REJECTED", "in doubt"}
    assert figures.ends["DONE"] > figures.jobs // 2


def test_a_few_hundred_jobs_in_misbehaving_worlds() -> None:
    figures = live_through(FEW)
    check(figures)
    assert figures.kills > 40
    assert figures.attempts > figures.payloads > figures.jobs
    assert {name for name in OFTEN if figures.faults[name] < 3} == set()


@pytest.mark.campaign
@pytest.mark.timeout(3000)
def test_ten_thousand_jobs_in_misbehaving_worlds() -> None:
    figures = live_through(ALL)
    check(figures)
    assert figures.jobs >= 10_000
    assert figures.kills > 1000
    assert figures.real > 50
    assert {name for name in OFTEN | SELDOM if figures.faults[name] < 10} == set()
    assert figures.doubts > 50, "a world in which nothing is ever in doubt"
