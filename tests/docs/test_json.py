"""The keys of JSON in docs/reference.md are those that the commands print, compared on a real database."""

from collections.abc import Iterator
from typing import Any

import pytest

from caf.domain.runs import ATTRIBUTES
from tests.cli.pretend import RAMP, Site
from tests.docs.pages import TOP, Page

REFERENCE = Page(TOP / "docs" / "reference.md")
ADDED = {"timing_regime"}  # what the pretended runs have beside the built-in attributes
JOB = ("490001", RAMP)
ASKED = [
    ("caf runs list", (), ()),
    ("caf runs show", ("490001",), ("caf runs list",)),
    ("caf jobs list", (), ()),
    ("caf jobs show", JOB, ("caf jobs list",)),
    ("caf jobs why", JOB, ()),
    ("caf jobs history", JOB, ()),
    ("caf listeners list", (), ()),
    ("caf listeners explain", ("490001",), ()),
    ("caf listeners replay", ("--against", "good.toml"), ()),
    ("caf status", (), ()),
    ("caf quota", (), ()),
    ("caf db check", (), ()),
]


def _ways(value: Any, documented: set[str], way: str = "") -> Iterator[str]:
    """Give every key with the way to it, down to where the reference says no more: 'jobs[].state'."""
    if isinstance(value, list) and way not in documented:
        for one in value:
            yield from _ways(one, documented, f"{way}[]")
    elif isinstance(value, dict) and way not in documented:
        for key, one in value.items():
            yield from _ways(one, documented, f"{way}.{key}" if way else key)
    else:
        yield way


@pytest.mark.parametrize(("command", "words", "and_those_of"), ASKED, ids=[asked[0] for asked in ASKED])
def test_the_keys_are_those_that_are_printed(
    site: Site, command: str, words: tuple[str, ...], and_those_of: tuple[str, ...]
) -> None:
    """Both ways: nothing is printed that is not there, and nothing is there that is not printed."""
    documented = {key for name in (command, *and_those_of) for key in REFERENCE.keys(f"{name} --json")}
    answer = site.caf(*command.split()[1:], *words, "--json").json()
    found = {way for one in (answer if isinstance(answer, list) else [answer]) for way in _ways(one, documented)}
    if "caf runs list" in (command, *and_those_of):
        assert ATTRIBUTES.keys() <= found
        found -= ATTRIBUTES.keys() - {"run"} | ADDED
    assert found == documented


def test_every_command_that_prints_json_is_asked() -> None:
    """`caf history` prints what `caf jobs history` does."""
    assert {name for name in REFERENCE.headings if name.endswith(" --json")} == {f"{name} --json" for name, *_ in ASKED}


def test_the_whole_trail_has_the_keys_of_a_jobs_own(site: Site) -> None:
    """So the reference has them once."""
    keys = REFERENCE.keys("caf jobs history --json")
    assert all(list(row) == keys for row in site.caf("history", "--json").json())
