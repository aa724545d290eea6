"""The command line as typer has it, and commands as pages have them."""

import shlex
from functools import cache

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from caf.cli.main import COMMANDS, application


@cache
def leaves() -> dict[str, TyperCommand]:
    """Give every command by its name, such as "caf jobs list"."""
    top = typer.main.get_command(application([]))
    return {f"caf {name}": _walk(top, name.split()) for name in COMMANDS}


def _walk(top: object, words: list[str]) -> TyperCommand:
    command = top
    for word in words:
        assert isinstance(command, TyperGroup)
        command = command.commands[word]
    assert isinstance(command, TyperCommand)
    return command


def named(words: list[str]) -> str | None:
    """Give the name of the command that these words begin with; None if there is no such command."""
    for count in (3, 2):
        if (name := " ".join(words[:count])) in leaves():
            return name
    return None


def options(command: TyperCommand) -> set[str]:
    """Give the long options of a command."""
    given = {word for one in command.params if isinstance(one, TyperOption) for word in one.opts}
    return {word for word in given if word.startswith("--")}


def arguments(command: TyperCommand) -> list[str]:
    """Give the names of a command's arguments, without the brackets of those that may be left out."""
    found = [one for one in command.params if isinstance(one, TyperArgument)]
    return [str(one.metavar or one.name).strip("[]").upper() for one in found]


def split(line: str) -> list[str]:
    """Take a line of a block apart as a shell would, up to whatever ends a command."""
    words = shlex.split(line, comments=True)
    ends = [place for place, word in enumerate(words) if word in {"&", "&&", "|", ";", ">", ">>"}]
    return words[: ends[0]] if ends else words
