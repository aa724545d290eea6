"""The commands that docs/administrator.md tells an administrator to type."""

import re

from tests.clusters.shared import HERE

PAGE = HERE.parents[1] / "docs" / "administrator.md"


def blocks(title: str, language: str = "sh") -> list[str]:
    """Give the blocks of commands below a heading of the second level, in their order."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"{PAGE.name} has no section {title}"
    given = re.findall(rf"^```{language}\n(.*?)^```$", found[1], re.MULTILINE | re.DOTALL)
    assert given, f"the section {title} has no block of {language}"
    return given
