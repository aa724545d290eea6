"""The states of a job in docs/design.md are those of the table of transitions; its promises and folders are there."""

import inspect
import re
import tomllib
from pathlib import Path

from caf import opening
from caf.domain.jobs import TRANSITIONS, State, Word
from tests.docs import diagram
from tests.docs.pages import TOP, Page

DESIGN = Page(TOP / "docs" / "design.md")


def test_the_states_are_made_from_the_table_of_transitions() -> None:
    """After a change of the table: python -m tests.docs.diagram writes them anew."""
    _, between, _ = diagram.parts(diagram.PAGE.read_text(encoding="utf-8"))
    assert between == diagram.made()


def test_the_generator_leaves_no_change_and_no_state_out() -> None:
    """Counted from the table, not from the page."""
    arrows = diagram.diagram()
    for row in TRANSITIONS:
        if row.word is None:
            assert f"    {row.source} --> {row.target}" in arrows
    shown = [[cell.strip() for cell in line[1:-1].split("|")] for line in diagram.table()]
    assert shown[0][1:] == list(Word)
    found = {
        (row[0], word, cell)
        for row in shown[2:]
        for word, cell in zip(shown[0][1:], row[1:], strict=True)
        if cell != "-"
    }
    assert found == {(row.source, row.word, row.target) for row in TRANSITIONS if row.word is not None}
    assert [row[0] for row in shown[2:]] == list(State)


def test_every_part_of_caf_has_its_line() -> None:
    """A newcomer looks for a folder; what is new at the top of caf/ must be told."""
    there = {
        path.name for path in (Path(TOP) / "caf").iterdir() if path.is_dir() and not path.name.startswith(("_", "."))
    }
    assert there - set(DESIGN.keys("The house")) == set()


def test_every_duty_has_its_line() -> None:
    """In the order in which they are done once."""
    assert DESIGN.keys("The duties") == re.findall(r'Duty\("(\w+)"', inspect.getsource(opening))


def test_every_package_that_caf_needs_is_given_its_reason() -> None:
    """pyproject.toml has no other."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [re.split(r"[^\w-]", wanted)[0] for wanted in project["dependencies"]]
    assert [row[0] for row in DESIGN.rows("Why so")] == needed
