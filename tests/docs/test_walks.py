"""What operators are told to type is typed in a real rehearsal, and comes back as the page says."""

import shlex
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import typer

from tests.docs import walks
from tests.docs.commands import leaves, named, typed
from tests.docs.pages import PAGES, Page
from tests.docs.walks import OPERATOR, Rehearsal

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(300)]

LOOKS = {
    f"caf {name}"
    for name in (
        *("status", "check", "history", "quota", "runs list", "runs show", "jobs list", "jobs show", "jobs why"),
        *("jobs history", "jobs log", "listeners list", "listeners explain", "db check"),
    )
}
"""Commands that change nothing and need nothing but a rehearsal; not with options that change, or have statuses of
their own."""
NO_LOOK = {"--probe", "--mend", "--nagios"}
NOT_WHOLE = typer.BadParameter.__mro__[1]  # any wrong usage; typer has no name for it


@pytest.fixture(scope="module")
def rehearsal() -> Iterator[Rehearsal]:
    """In a folder with a short name, for long ones are cut elsewhere."""
    with tempfile.TemporaryDirectory(dir="/tmp") as place, walks.rehearsed(Path(place) / "caf-demo") as rehearsal:
        yield rehearsal


def test_the_walks_go_as_the_page_says(rehearsal: Rehearsal) -> None:
    """After a change of what is printed: python -m tests.docs.walks writes the page anew."""
    text = OPERATOR.read_text(encoding="utf-8")
    told = walks.compared(text)
    assert len(told) >= 20
    came = walks.compared(walks.walk(text, rehearsal))
    assert len(came) == len(told)
    assert [pair for pair in zip(came, told, strict=True) if not walks.alike(*pair)] == []


ONE_DAY = """```console
$ caf quota --plan
written  250 kB a day (LArL1CaloRampMaker 200 kB,
         L1CaloCalibD3PD 50 kB)
2  it has no archive, and its job does not say `removable = true`  490001 LArL1CaloRampMaker
```
"""
ANOTHER = """```console
$ caf quota --plan
written  250.75 kB a day (L1CaloCalibD3PD 200.11
         kB, LArL1CaloRampMaker 50.64 kB)
2  it has no archive, and its job does not say...  490002 L1CaloCalibD3PD
```
"""


def test_neither_sizes_nor_a_narrow_terminal_make_two_answers_differ() -> None:
    """As they once did: a size was parted by the end of a line, and a cell was cut in the middle of its row."""
    [one], [another] = walks.compared(ONE_DAY), walks.compared(ANOTHER)
    assert walks.alike(one, another)
    assert not walks.alike(one, walks.compared(ANOTHER.replace("archive", "pin"))[0])
    assert not walks.alike(one, walks.compared(ANOTHER.replace("written", "read"))[0])
    assert not walks.alike(one, walks.compared(ANOTHER.replace("2  it", "3  it"))[0])


def _looks() -> list[str]:
    """Give each whole command of any page that only looks, without the options that say where the configuration is."""
    found = set()
    for path in PAGES:
        page = Page(path)
        lines = [line for block in page.blocks if block.language == "sh" for line in block.lines if "|" not in line]
        lines += [code for code in page.code() if not any(word.isupper() for word in code.split())]
        for line in lines:
            for words in typed(line) if line.startswith(("caf ", "sudo ")) else ():
                name = named(words)
                if name in LOOKS and not NO_LOOK & set(words):
                    with suppress(NOT_WHOLE):  # in running text arguments may be left out
                        leaves()[name].make_context(name, words[len(name.split()) :])
                        found.add(shlex.join(words).partition(" --config")[0])
    return sorted(found)


def test_what_only_looks_can_be_typed_in_a_rehearsal(rehearsal: Rehearsal) -> None:
    """Wherever a page has it. Exit status 0 or 1: it works, and may have found something that asks for a person."""
    looks = _looks()
    assert len(looks) >= 20
    wrong = [line for line in looks if rehearsal.type(f"{line} >/dev/null 2>&1; echo $?") not in {"0", "1"}]
    assert wrong == []
