"""Whose turn it is when a slot is free: live jobs first, then by priority, then the names of jobs in turn.

Live is a job of a run that was fresh when the job was made, or when a person asked for it again: today's data must not
wait behind history that is judged anew, whatever its priority. Within one class of equal rank the names take turns, so
that thousands of jobs of one name do not keep the one job of another waiting; of one name the oldest run goes first.
"""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

FRESH = 7 * 86_400  # s between a run's end and the making of its job: a long weekend without a person or a replica


def is_live(run_ended: float, now: float) -> bool:
    """Tell whether a run that ended then (s since 1970) is fresh."""
    return now - run_ended <= FRESH


def in_turn(names: Sequence[str], last: str | None) -> list[str]:
    """Give the names in the order of their turns, given whose job was handed over last: those after it first."""
    ordered = sorted(names)
    return ordered if last is None else [n for n in ordered if n > last] + [n for n in ordered if n <= last]


def take_turns(lines: Sequence[Sequence[T]], limit: int) -> list[T]:
    """Give the first `limit` of some lines that take turns: the first of each, then the second of each, and so on."""
    taken: list[T] = []
    place = 0
    while len(taken) < limit and (standing := [line for line in lines if len(line) > place]):
        taken += [line[place] for line in standing]
        place += 1
    return taken[:limit]


def ahead(place: int, before: Sequence[int], behind: Sequence[int]) -> int:
    """Count who goes before the one at `place` (from 0) of its line, its own line's included.

    `before` and `behind` are the lengths of the other lines whose turn comes before and after its own.
    """
    return place + sum(min(count, place + 1) for count in before) + sum(min(count, place) for count in behind)
