"""What pages tell people to type is understood by the program."""

from pathlib import Path

import pytest
from typer.core import TyperOption

from tests.docs.commands import arguments, leaves, named, options, plain, split, typed
from tests.docs.pages import PAGES, TOP, Block, Page

REFERENCE = Page(TOP / "docs" / "reference.md")
COMMON = {"--config", "--help", "--state"}


def _lines(block: Block) -> list[str]:
    """Give what is typed: where a block shows what is printed too, that is what stands behind a $."""
    shown = [line.removeprefix("$ ") for line in block.lines if line.startswith("$ ")]
    return shown or list(block.lines)


TYPED = [
    pytest.param(words, id=f"{path.name}: {' '.join(words)}")
    for path in PAGES
    for block in Page(path).blocks
    if block.language in {"console", "sh"}
    for line in _lines(block)
    if "caf " in line and not line.startswith(("#", "install", "chgrp", "sed", "usermod"))
    for words in typed(line)
]


@pytest.mark.parametrize("words", TYPED)
def test_a_command_in_a_block_is_understood(words: list[str]) -> None:
    """It is parsed with all its arguments, and not carried out: see test_walks.py for that."""
    name = named(words)
    assert name, f"there is no command for: {' '.join(words)}"
    leaves()[name].make_context(name, words[len(name.split()) :])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_command_in_running_text_exists_and_has_its_options(path: Path) -> None:
    """Placeholders such as RUN may stand for arguments, and a group's name for the group."""
    groups = {name.rpartition(" ")[0] for name in leaves()}
    for code in Page(path).code():
        words = plain(split(code)) if code.startswith("caf ") else []
        if len(words) < 2 or words[1].startswith("-") or words[1].isupper() or " ".join(words) in groups:
            continue
        name = named(words)
        assert name, f"{path.name}: there is no command for: {code}"
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert given <= options(leaves()[name]), f"{path.name}: {code}"


def test_pages_show_commands_at_all() -> None:
    """The two tests above would pass over empty pages."""
    assert len(TYPED) >= 60


def test_the_reference_has_every_command_with_its_arguments_and_options() -> None:
    """--config, --help and a --state that is only the database's folder are explained for all at once."""
    rows = {row[0].strip("`"): row[1] for row in REFERENCE.rows("Commands")}
    assert list(rows) == list(leaves())
    for name, command in leaves().items():
        takes = [word.split() for word in rows[name].split("`") if word.strip()]
        wanted = options(command) - COMMON
        if any(one.metavar == "STATE" for one in command.params if isinstance(one, TyperOption)):
            wanted |= {"--state"}
        assert {words[0] for words in takes if words[0].startswith("--")} == wanted, name
        assert [words[0].strip("[]") for words in takes if not words[0].startswith("--")] == arguments(command), name
