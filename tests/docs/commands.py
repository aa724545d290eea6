"""The command line as typer has it, and commands as pages have them."""

import re
import shlex
from collections.abc import Iterator
from functools import cache

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from caf.cli.commands import COMMANDS, application

ENDS = {"&", "&&", "||", "|", ";", ">", ">>"}
_VALUE = re.compile(r"[A-Z_]+=")


@cache
def leaves() -> dict[str, TyperCommand | TyperGroup]:
    """Give every command by its name, such as "caf jobs list"; a group may be one too, such as "caf quota"."""
    top = typer.main.get_command(application([]))
    return {f"caf {name}": _walk(top, name.split()) for name in COMMANDS}


def _walk(top: object, words: list[str]) -> TyperCommand | TyperGroup:
    command = top
    for word in words:
        assert isinstance(command, TyperGroup)
        command = command.commands[word]
    assert isinstance(command, TyperCommand) or (isinstance(command, TyperGroup) and command.invoke_without_command)
    return command


def named(words: list[str]) -> str | None:
    """Give the name of the command that these words begin with; None if there is no such command."""
    for count in (3, 2):
        if (name := " ".join(words[:count])) in leaves():
            return name
    return None


def options(command: TyperCommand | TyperGroup) -> set[str]:
    """Give the long options of a command."""
    given = {word for one in command.params if isinstance(one, TyperOption) for word in one.opts}
    return {word for word in given if word.startswith("--")}


def arguments(command: TyperCommand | TyperGroup) -> list[str]:
    """Give the names of a command's arguments, without the brackets of those that may be left out."""
    found = [one for one in command.params if isinstance(one, TyperArgument)]
    return [str(one.metavar or one.name).strip("[]").upper() for one in found]


def split(line: str) -> list[str]:
    """Take a line of a block apart as a shell would, up to whatever ends a command."""
    words = shlex.split(line, comments=True)
    ends = [place for place, word in enumerate(words) if word in ENDS]
    return words[: ends[0]] if ends else words


def typed(line: str) -> Iterator[list[str]]:
    """Give each command of caf's in a line, also behind others and behind `sudo -u caf` or a variable's value."""
    words = shlex.split(line, comments=True)
    while words:
        end = next((place for place, word in enumerate(words) if word in ENDS), len(words))
        command, words = words[:end], words[end + 1 :]
        while command and (command[0] == "sudo" or _VALUE.match(command[0])):
            command = command[3 if command[:2] == ["sudo", "-u"] else 1 :]
        if command[:1] == ["caf"]:
            yield plain(command)


def plain(words: list[str]) -> list[str]:
    """Leave out the options that may stand before a command's name."""
    while words[1:2] and words[1] in {"--config", "--state"}:
        words = [words[0], *words[3:]]
    return words
