"""Pages lead to pages and files that are there."""

from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.pages import DOCS, PAGES, TOP, Page


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
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


def test_the_readme_leads_to_every_page_or_to_one_that_does() -> None:
    """A page that nothing leads to is not read."""
    linked = {(page.parent / target.partition("#")[0]).resolve() for page in PAGES for target in Page(page).links()}
    assert [page.name for page in DOCS if page not in linked] == []
