"""The diagrams of a job's states in docs/design.md, made from the one table of transitions.

After a change of the table: python -m tests.docs.diagram >new, and put what it prints in place of the two blocks.
"""

from caf.domain.jobs import TRANSITIONS, State, Word

BEGINNINGS = {State.NEW: "discover", State.WAITING: "discover"}
"""In what states a job is made (caf/tasks/discover.py)."""


def organise() -> tuple[str, ...]:
    """Give the moves that the duties make: each an arrow."""
    lines = [f"[*] --> {state}: {who}" for state, who in BEGINNINGS.items()]
    lines += [f"{row.source} --> {row.target}" for row in TRANSITIONS if row.word is None]
    return ("stateDiagram-v2", *(f"    {line}" for line in lines))


def people() -> tuple[str, ...]:
    """Give the moves that people make: an arrow for each pair of states, labelled with their words."""
    words: dict[tuple[State, State], list[Word]] = {}
    for row in TRANSITIONS:
        if row.word is not None:
            words.setdefault((row.source, row.target), []).append(row.word)
    lines = [f"{source} --> {target}: {', '.join(said)}" for (source, target), said in words.items()]
    return ("stateDiagram-v2", *(f"    {line}" for line in lines))


if __name__ == "__main__":
    for block in (organise(), people()):
        print("```mermaid", *block, "```\n", sep="\n")
