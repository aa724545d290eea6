"""Tables of a listeners.toml to be written: keys with their values, and comments on how they were translated."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

WIDTH = 116  # of a comment's line


@dataclass(frozen=True, slots=True)
class Entry:
    """One key. A comment says what stood in the old file."""

    key: str
    value: Any
    comment: str = ""


@dataclass(slots=True)
class Section:
    """One table: its dotted name, what is said above it, its keys."""

    name: str
    remarks: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    def add(self, key: str, value: Any, comment: str = "") -> None:
        """Add a key."""
        self.entries.append(Entry(key, value, comment))

    def lines(self) -> list[str]:
        """Give the table as lines of a file: each key on one line of its own."""
        lines = comment(self.remarks)
        lines.append(f"[{self.name}]")
        for entry in self.entries:
            said = f"   # {tidy(entry.comment)}" if entry.comment else ""
            lines.append(f"{entry.key} = {written(entry.value)}{said}")
        return lines


def written(value: Any) -> str:
    """Write a value as TOML, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        sound = value.encode("utf-8", "replace").decode("utf-8")
        return json.dumps(sound, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(written(one) for one in value)}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(key)} = {written(one)}' for key, one in value.items())} }}"
    return str(value)


def _key(key: str) -> str:
    plain = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if plain else written(key)


def tidy(text: str) -> str:
    """Give a text as it may stand in a comment: on one line, nothing in it that a terminal would obey."""
    sound = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(c if c.isprintable() else " " for c in sound).strip()


def comment(texts: Iterable[str]) -> list[str]:
    """Write sentences as comments, broken at blanks."""
    import textwrap

    lines = []
    for text in texts:
        lines += textwrap.wrap(
            tidy(text),
            WIDTH,
            initial_indent="# ",
            subsequent_indent="#   ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines
