"""Which listener came nearest: the fewest failing conditions, then the fewest unknown, then the first in the file."""

import pytest

from caf.cli.misses import nearest
from caf.domain.matching import Condition, Listener, Operator

A = Condition("run_type", Operator.EQUAL, "a")
B = Condition("partition", Operator.EQUAL, "b")
END = Condition("end", Operator.KNOWN, True)
LISTENERS = (Listener("One", (A, B, END)), Listener("Two", (A, B), 1700), Listener("Three", (A,)))
EVENTS = Condition("events", Operator.AT_LEAST, 1700)


@pytest.mark.parametrize(
    ("answers", "opened", "name", "failed", "unknown"),
    [
        ("ffh fhh f", False, "Two", (A,), ()),
        ("fhu fhh f", False, "Two", (A,), ()),
        ("ffh ffh f", False, "Three", (A,), ()),
        ("hhf hhh h", False, "Two", (), ()),
        ("hhu ffu f", True, "One", (), (END,)),
        ("fhu hhu h", True, "Two", (), (EVENTS,)),
        ("uuu hhu h", True, "Two", (), (EVENTS,)),
        ("fff fff f", True, None, (), ()),
    ],
)
def test_the_nearest(
    answers: str, opened: bool, name: str | None, failed: tuple[Condition, ...], unknown: tuple[Condition, ...]
) -> None:
    found = nearest(LISTENERS, answers, opened=opened)
    if name is None:
        assert found is None
    else:
        assert found is not None
        assert (found.listener, found.failed, found.unknown) == (name, failed, unknown)


def test_where_there_are_no_listeners_nothing_is_near() -> None:
    assert nearest((), "", opened=False) is None
