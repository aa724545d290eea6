"""Pages lead to pages and files that are there, and are written so that they can be read everywhere."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.pages import DOCS, PAGES, TOP, Page

EVERY_PAGE = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(TOP)))
LONGEST_PAGE = 400
IN_ONE_PIECE = {"reference.md", "operator.md"}  # looked up in, or read from the top on a bad night
_FILE = re.compile(r"(?:\.?/)?((?:caf|deploy|docs|tests)/[\w./-]*\w/?)(?::\d+)?")
_MODULE = re.compile(r"python -m (tests(?:\.\w+)+)((?: +--?\w[\w-]*(?: +[^\s`-]\S*)?)*)")


@EVERY_PAGE
def test_every_link_leads_to_a_file_and_heading_that_are_there(path: Path) -> None:
    """Links to the world outside are for people to follow."""
    for target in Page(path).links():
        if "://" in target:
            continue
        file, _, anchor = unquote(target).partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{path.name}: {target}"
        assert there.is_relative_to(TOP), f"{path.name}: {target} leads out of the project"
        if anchor:
            assert anchor in Page(there).anchors(), f"{path.name}: {target}"


@EVERY_PAGE
def test_every_heading_can_be_linked_to(path: Path) -> None:
    """Of two that are alike a link finds the first."""
    anchors = Page(path).anchors()
    assert sorted({anchor for anchor in anchors if anchors.count(anchor) > 1}) == []


@EVERY_PAGE
def test_no_line_is_too_long(path: Path) -> None:
    """Rows of tables cannot be broken."""
    wrong = [
        f"{number}: {line}" for number, line in enumerate(Page(path).lines, 1) if len(line) > 120 and line[0] != "|"
    ]
    assert wrong == []


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_a_page_can_be_read_in_one_go(path: Path) -> None:
    """What is longer becomes two pages."""
    assert len(Page(path).lines) <= LONGEST_PAGE or path.name in IN_ONE_PIECE


@EVERY_PAGE
def test_every_file_that_is_named_is_there(path: Path) -> None:
    """In running text and in blocks; names begin with a folder of the project's top level."""
    page = Page(path)
    words = [*page.code(), *(word for block in page.blocks for line in block.lines for word in line.split())]
    named = {found[1] for word in words if (found := _FILE.fullmatch(word))}
    assert sorted(name for name in named if not (TOP / name).exists()) == []


@EVERY_PAGE
def test_every_module_that_is_to_be_run_is_there_with_its_options(path: Path) -> None:
    """As in: python -m tests.benchmarks.discovery --runs 1000000."""
    page = Page(path)
    lines = [*(line for _, line in page.text), *(line for block in page.blocks for line in block.lines)]
    for module, options in _MODULE.findall("\n".join(lines)):
        file = TOP.joinpath(*module.split(".")).with_suffix(".py")
        assert file.exists(), f"{path.name}: python -m {module}"
        for option in re.findall(r"--[\w-]+", options):
            assert f'"{option}"' in file.read_text(encoding="utf-8"), f"{path.name}: python -m {module} {option}"


def test_the_readme_leads_to_every_page() -> None:
    """A page that nothing leads to is not read."""
    reached, ahead = set[Path](), [TOP / "README.md"]
    while ahead:
        page = ahead.pop()
        if page not in reached:
            reached.add(page)
            targets = (unquote(link).partition("#")[0] for link in Page(page).links() if "://" not in link)
            ahead += [there for one in targets if (there := (page.parent / one).resolve()) in PAGES]
    assert [page.name for page in DOCS if page not in reached] == []
