"""The diagrams in docs/design.md are those of the table of transitions."""

from caf.domain.jobs import TRANSITIONS, State
from tests.docs import diagram
from tests.docs.pages import TOP, Page


def test_the_diagrams_are_made_from_the_table_of_transitions() -> None:
    """After a change: python -m tests.docs.diagram prints what must stand there."""
    shown = [block.lines for block in Page(TOP / "docs" / "design.md").blocks if block.language == "mermaid"]
    assert shown == [diagram.organise(), diagram.people()]


def test_the_generator_leaves_no_change_and_no_state_out() -> None:
    """Counted from the table, not from the page."""
    lines = "\n".join((*diagram.organise(), *diagram.people()))
    for row in TRANSITIONS:
        arrows = [line for line in lines.splitlines() if line.strip().startswith(f"{row.source} --> {row.target}")]
        assert any(row.word is None or row.word in line for line in arrows), row
    assert all(state in lines for state in State)
