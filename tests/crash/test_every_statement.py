"""The supervisor dies at every SQL statement of its rounds; the next one carries on, and nothing happens twice."""

from pathlib import Path

import pytest

from tests.crash.dying import Again, deaths, die_after, once, to_the_end
from tests.world import World

RUNS = [490001, 490002]
REAL_CHILD = 12  # of so many deaths one has real file children, which take most of a round's time to start
PARTS = 4  # of all deaths, so that processors share them


@pytest.mark.parametrize("earlier_rounds", [0, 1], ids=["first round", "second round"])
def test_death_at_some_statements_of_a_round(tmp_path: Path, earlier_rounds: int) -> None:
    """The quick one, for every day: so many deaths that a whole part that is not safe does not get through."""
    _die_at(tmp_path, earlier_rounds, step=16)


@pytest.mark.campaign
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(PARTS))
@pytest.mark.parametrize("earlier_rounds", [0, 1], ids=["first round", "second round"])
def test_death_at_every_statement_of_a_round(tmp_path: Path, earlier_rounds: int, first: int) -> None:
    """First round: from an empty database to submission. Second: from running jobs to their end."""
    _die_at(tmp_path, earlier_rounds, PARTS, first)


def _die_at(tmp_path: Path, earlier_rounds: int, step: int, first: int = 0) -> None:
    folder = tmp_path / "world"
    folder.mkdir()
    made = World(folder, RUNS)
    for _ in range(earlier_rounds):
        assert once(made) == 0
        made.payloads_over()
    again = Again(made)

    def attempt(number: int) -> int:
        return once(again.world(), die_after(number), real=number % REAL_CHILD == 0)

    for number in deaths(attempt, step, 80, first):
        to_the_end(made)
        assert {run: job[:2] for run, job in made.jobs().items()} == dict.fromkeys(RUNS, ("DONE", "ok")), number
        assert made.runs_started() == dict.fromkeys(RUNS, 1), number
