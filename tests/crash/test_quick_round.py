"""The supervisor dies at the SQL statements of a quick round: an end and the next job's token share a commit in it."""

import asyncio
import time
from pathlib import Path

import pytest

from caf.config import load
from caf.opening import open_house
from caf.tasks import discover, organise
from tests.crash.dying import Again, deaths, die_after, forked, to_the_end
from tests.world import World

RUNS = [490001, 490002]


class Switch:
    """Lets statements through uncounted until it is switched on."""

    on = False


async def _to_a_quick_round(world: World, switch: Switch) -> None:
    """One slot: the first job runs and ends, the second is prepared; then the quick round that refills the slot."""
    async with open_house(load(world.config), world.folder / "state", False) as (house, _):
        await discover.run_once(house)
        await organise.run_once(house)
        ended: set[str] = set()
        patience = time.monotonic() + 20
        while not ended and time.monotonic() < patience:
            await asyncio.sleep(0.01)
            ended |= house.just_ended()
        house.just_ended = lambda: ended
        switch.on = True
        done = await organise.run_quick(house)
        switch.on = False
        # The end, its judgement, the other's token and its submission.
        assert done.moved == 3, done


def _deaths(folder: Path, step: int) -> None:
    here = folder / "world"
    here.mkdir()
    made = World(here, RUNS, slots=1)
    (here / "state").mkdir()
    again = Again(made)

    def attempt(number: int) -> int:
        world, switch, die = again.world(), Switch(), die_after(number)
        return forked(lambda: asyncio.run(_to_a_quick_round(world, switch)), lambda: switch.on and die())

    for number in deaths(attempt, step, least=40):
        to_the_end(made)
        assert {run: job[:2] for run, job in made.jobs().items()} == dict.fromkeys(RUNS, ("DONE", "ok")), number
        assert made.runs_started() == dict.fromkeys(RUNS, 1), number


def test_death_at_some_statements_of_a_quick_round(tmp_path: Path) -> None:
    """The quick one, for every day."""
    _deaths(tmp_path, 17)


@pytest.mark.campaign
@pytest.mark.timeout(280)
def test_death_at_every_statement_of_a_quick_round(tmp_path: Path) -> None:
    _deaths(tmp_path, 1)
