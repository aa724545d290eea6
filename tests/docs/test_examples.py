"""Pieces of listeners.toml on the pages are TOML, and hold keys that there are."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from caf.config.load import Tables
from caf.domain.runs import ATTRIBUTES
from tests.docs.pages import PAGES, TOP, Page
from tests.docs.test_reference import TABLES

PIECES = [
    pytest.param("\n".join(block.lines), id=f"{path.name}-{number}")
    for path in PAGES
    for number, block in enumerate(Page(path).blocks)
    if block.language == "toml"
]
KEYS = {heading: {field.alias or name for name, field in model.model_fields.items()} for heading, model in TABLES}
LOOSE = KEYS["[jobs.NAME]"] | KEYS["[listeners.NAME]"]
"""What may stand without the head of its table: keys of a job or of a listener."""


def test_there_are_pieces_to_look_at() -> None:
    """The test below would pass over none."""
    assert len(PIECES) > 15


@pytest.mark.parametrize("piece", PIECES)
def test_a_piece_of_configuration_has_keys_that_there_are(piece: str) -> None:
    """Also those that are commented out, one a line."""
    for text in (piece, re.sub(r"(?m)^# (?=\w+ = )", "", piece)):
        for name, value in tomllib.loads(text).items():
            if name in Tables.model_fields:
                _known(name, value)
            else:
                assert name in LOOSE, name


def _known(name: str, value: Any) -> None:
    if name in {"listeners", "jobs"}:
        for table in value.values():
            assert table.keys() <= KEYS[f"[{name}.NAME]"]
            assert table.get("match", {}).keys() <= ATTRIBUTES.keys()
    elif name == "source":
        kind = value.get("kind", "cool")
        assert value.keys() <= KEYS[f'[source] with kind = "{kind}"']
    else:
        heading = f"[[{name}]]" if isinstance(value, list) else f"[{name}]"
        for table in value if isinstance(value, list) else [value]:
            assert table.keys() <= KEYS[heading]


def test_the_environment_is_told() -> None:
    """Every variable that caf reads is in the reference, and every one there is named in the program."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in (Path(TOP) / "caf").rglob("*.py"))
    read = set(re.findall(r"""environ(?:\.get\(|\[)["']([A-Z]\w+)""", code))
    rows = Page(TOP / "docs" / "reference.md").rows("Environment")
    told = {name for row in rows for name in re.findall(r"`([A-Z_]+)[`=]", " ".join(row))}
    assert read - told == set()
    assert {name for name in told if name not in code} == set()
