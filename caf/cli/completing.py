"""Which words could stand where somebody is typing: commands, options, and what is known of their values."""

from collections.abc import Iterable, Sequence
from typing import Any

import typer

from caf.cli.choices import FILES, KNOWN, Asked, place_of, values
from caf.cli.commands import BEFORE, COMMANDS, GROUPS, application, function_of, split

Words = list[tuple[str, str]]
Found = tuple[str, Words]
NOTHING: Found = ("words", [])
_FIRST = ("--config", "--state", "--version", "--help")


def complete(words: Sequence[str], *, explained: bool) -> Found:
    """Give "words" and those that the last one could become, each with what it is; or "files", which the shell knows.

    `explained`: say what commands do, for which all of them must be read.
    """
    *before, now = words or [""]
    if now == "=":
        now = ""
    before = [word for word in before if word != "="]  # bash takes --job=NAME apart
    name, rest = split(before)
    if not name and before and before[-1] in BEFORE:
        return "files", []
    if name in COMMANDS and (name not in GROUPS or now.startswith("-") or rest):
        return _in_command(name, rest, now, before)
    if rest:  # a command that there is not
        return NOTHING
    if now.startswith("-"):
        return "words", _beginning([(option, "") for option in (("--help",) if name else _FIRST)], now)
    return "words", _beginning(_commands(f"{name} " if name else "", explained=explained), now)


def _beginning(words: Iterable[tuple[str, str]], now: str) -> Words:
    return [word for word in words if word[0].startswith(now)]


def _commands(group: str, *, explained: bool) -> Words:
    """Give the commands of a group, or those that stand first."""
    names = dict.fromkeys(name.removeprefix(group).split()[0] for name in COMMANDS if name.startswith(group))
    names.pop(group.strip(), None)  # what a group does by itself
    if not explained:
        return [(name, "") for name in names]
    return [(name, _what(f"{group}{name}")) for name in names]


def _what(name: str) -> str:
    text = GROUPS.get(name) or function_of(name).__doc__ or ""
    return text.partition("\n")[0]


def _in_command(name: str, rest: list[str], now: str, before: Sequence[str]) -> Found:
    """Give what could follow in a command: an option's value, an option, or its next argument."""
    command: Any = typer.main.get_command(application(name.split()))
    for word in name.split():
        command = command.commands[word]
    options = {word: one for one in command.params if one.param_type_name == "option" for word in one.opts}
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    given: list[str] = []
    waits = None  # for its value
    for word in rest:
        if waits is not None:
            waits = None
        elif word.startswith("-"):
            option = options.get(word)
            waits = option if option is not None and not option.is_flag else None
        else:
            given.append(word)
    run = int(given[0]) if given and given[0].isdigit() and _title(arguments[:1]) == "RUN" else None
    asked = Asked(name, place_of(before), run)
    if waits is not None:
        return _value(waits.opts[-1], waits, asked, now)
    if now.startswith("--") and "=" in now:
        word, _, begun = now.partition("=")
        kind, found = _value(word, options[word], asked, begun) if word in options else NOTHING
        return kind, [(f"{word}={value}", text) for value, text in found]
    if now.startswith("-"):
        again = [word for word, one in options.items() if word in rest and not one.multiple]
        shown = ((word, one.help or "") for word, one in options.items() if word not in again and not one.hidden)
        return "words", _beginning([*shown, ("--help", "Show this message and exit.")], now)
    if name in GROUPS and not given:
        return "words", _beginning(_commands(f"{name} ", explained=False), now)
    title = _title(arguments[len(given) : len(given) + 1])
    return ("files", []) if title in FILES else ("words", values(title, asked, now)) if title in KNOWN else NOTHING


def _title(arguments: Sequence[Any]) -> str:
    return str(arguments[0].metavar).strip("[]") if arguments else ""


def _value(word: str, option: Any, asked: Asked, now: str) -> Found:
    if option.metavar == "STATE" and "/" not in now:
        return "words", values("STATE", asked, now.upper())
    if word in FILES:
        return "files", []
    return ("words", values(word, asked, now)) if word in KNOWN else NOTHING
