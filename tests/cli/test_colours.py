"""Colours: the same everywhere, in a terminal only, and never in the way of a column's width."""

import re
import sys

import pytest

from caf.cli import colours
from caf.domain.jobs import State
from caf.domain.matching import Status
from tests.cli.pretend import Site

CODES = re.compile(r"\x1b\[[0-9;]*m")
RED, YELLOW = "\x1b[31m", "\x1b[33m"


def test_every_state_that_asks_for_a_person_or_is_over_has_its_colour() -> None:
    """What takes care of itself has none."""
    under_way = {"OPEN", "NEW", "STAGING", "PREPARED", "SUBMITTING", "PENDING", "RUNNING", "FINISHED", "CANCELLING"}
    assert colours.STATES.keys() == {*State, *Status} - under_way
    assert {name for name, colour in colours.STATES.items() if colour == colours.BAD} == {"FAILED"}
    assert {name for name, colour in colours.STATES.items() if colour == colours.LOOK} == {"WAITING", "CONFLICT"}


@pytest.mark.parametrize("words", [["status"], ["jobs", "list"], ["history"], ["runs", "show", "490006"]])
def test_a_failure_is_red_and_what_waits_is_yellow_wherever_it_is_shown(site: Site, words: list[str]) -> None:
    shown = "\n".join(site.terminal(100, *words, TERM="xterm"))
    assert re.search(rf"{re.escape(RED)}(1 )?FAILED\x1b\[0m", shown)
    if words[0] != "runs":
        assert re.search(rf"{re.escape(YELLOW)}(6 )?WAITING\x1b\[0m", shown)


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_done_without(site: Site, environment: dict[str, str]) -> None:
    plain = site.terminal(100, "jobs", "list", **environment)
    assert not any("\x1b" in line for line in plain)
    assert plain == [CODES.sub("", line) for line in site.terminal(100, "jobs", "list", TERM="xterm")]


def test_a_pipe_gets_none(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in site.caf("status").out
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _stream: True)
    assert "\x1b" in site.caf("status").out


def test_a_failure_that_was_seen_is_not_red_any_more(site: Site) -> None:
    site.caf("ack", "--state", "FAILED", "--yes")
    assert RED + "FAILED" not in "\n".join(site.terminal(100, "jobs", "list", TERM="xterm"))
    assert RED + "1 FAILED" not in "\n".join(site.terminal(100, "status", TERM="xterm"))
    assert re.search(r"^acknowledged +yes$", site.caf("jobs", "show", "490006", "LArL1CaloRampMaker").out, re.M)
    assert re.search(r"^acknowledged +no$", site.caf("jobs", "show", "490010", "LArL1CaloRampMaker").out, re.M)
