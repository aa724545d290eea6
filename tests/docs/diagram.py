"""What docs/design.md shows of a job's states, made from the one table of transitions.

After a change of the table: python -m tests.docs.diagram writes the page anew between its two marks.
"""

from caf.domain.jobs import TRANSITIONS, State, Word
from tests.docs.pages import TOP

PAGE = TOP / "docs" / "design.md"
BEGIN = "<!-- made from caf/domain/jobs.py by python -m tests.docs.diagram: do not edit by hand -->"
END = "<!-- end of what is made -->"
BEGINNINGS = (State.NEW, State.WAITING)
"""In what states a job is made (caf/tasks/discover.py)."""


def diagram() -> list[str]:
    """Give the moves that the duties make, as an arrow each, in the language of mermaid."""
    lines = [f"[*] --> {state}: discover" for state in BEGINNINGS]
    lines += [f"{row.source} --> {row.target}" for row in TRANSITIONS if row.word is None]
    final = [state for state in State if not any(row.source is state and row.word is None for row in TRANSITIONS)]
    lines += [f"{state} --> [*]" for state in final if state not in BEGINNINGS]
    return ["```mermaid", "stateDiagram-v2", *(f"    {line}" for line in lines), "```"]


def table() -> list[str]:
    """Give the moves that people make: a row for each state, a column for each word, and where it leads at once."""
    rows = [f"| a job that is | {' | '.join(Word)} |", "| --- " * (len(Word) + 1) + "|"]
    for state in State:
        cells = (
            next((row.target for row in TRANSITIONS if (row.source, row.word) == (state, word)), "-") for word in Word
        )
        rows.append(f"| {state} | {' | '.join(cells)} |")
    return rows


def made() -> str:
    """Give all that stands between the marks."""
    lines = ["What caf does by itself:", "", *diagram(), "", "What a person can say, and where it leads at once:", ""]
    return "\n".join(["", *lines, *table(), "", ""])


def parts(text: str) -> tuple[str, str, str]:
    """Take the page apart: what is before, between and after the marks."""
    before, begin, rest = text.partition(BEGIN + "\n")
    between, end, after = rest.partition(END + "\n")
    assert begin, f"{PAGE.name} has lost its mark: {BEGIN}"
    assert end, f"{PAGE.name} has lost its mark: {END}"
    return before + begin, between, end + after


def main() -> None:
    before, _, after = parts(PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(before + made() + after, encoding="utf-8")


if __name__ == "__main__":
    main()
