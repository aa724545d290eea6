"""What somebody may have meant who typed a command or a name that there is not."""

import sqlite3
from collections.abc import Sequence

from caf import paths
from caf.cli.commands import COMMANDS, GROUPS, split
from caf.cli.options import Place
from caf.cli.text import harmless, warn
from caf.domain.spelling import instead, near
from caf.store import pauses
from caf.store.configurations import last_good


def no_command(words: Sequence[str]) -> str:
    """Say of a command line that there is no such command, and which is perhaps meant."""
    name, rest = split(words)
    typed, group = rest[0], f"{name} " if name else ""
    found = _meant(group, rest)
    if not found:
        known = f"`caf {group}--help` shows those that there are"
        return f"there is no command `caf {group}{harmless(typed)}`: {known}"
    meant = " or ".join(f"`caf {name}`" for name in found)
    return f"there is no command `caf {group}{harmless(typed)}`; did you mean {meant}?"


def _meant(group: str, rest: Sequence[str]) -> list[str]:
    """Give the commands that may be meant: the last word of one elsewhere, or something alike."""
    typed = rest[0].lower()
    if typed == "help":
        asked = " ".join(rest[1:3])
        return [f"{group}{asked if asked in COMMANDS or asked in GROUPS else ''} --help".replace("  ", " ").strip()]
    below = {name.removeprefix(group).split()[0] for name in (*COMMANDS, *GROUPS) if name.startswith(group)}
    elsewhere = [name for name in COMMANDS if name.rpartition(" ")[2] == typed]
    if elsewhere:
        return elsewhere
    if not group and len(rest) > 1 and (both := near(" ".join(rest[:2]), [n for n in COMMANDS if " " in n])):
        return both[:1]
    return [f"{group}{name}" for name in near(typed, below)[:1]]


def strange_names(
    place: Place, conn: sqlite3.Connection, *, job: str | None = None, listener: str | None = None
) -> None:
    """Where a list is empty: say of a name that nothing has, on standard error; there it is in no program's way."""
    for kind, name in (("job", job), ("listener", listener)):
        if name is None:
            continue
        known = names_of(kind, place, conn)
        if name not in known:
            warn(f"there is no {kind} {harmless(name)}; {harmless(instead(name, known))}")


def names_of(kind: str, place: Place, conn: sqlite3.Connection | None) -> set[str]:
    """Give the names of all jobs, or listeners: in the file, in what was in force last, and of jobs ever made."""
    last = None if conn is None else last_good(conn)
    text = "" if last is None else last[0]
    if kind == "listener":
        return paths.listener_names(place.config, text)
    return paths.job_names(place.config, text) | (set() if conn is None else pauses.known_jobs(conn))
