"""What `quota -w` says: one section for the user and each of its groups, in it one line for each file system.

By the manual of quota-tools 4.06 (-p, -w, the exit code, which is not 0 where anything is over its limit) and from
memory (the columns, KiB, a `*` for what is over its soft limit, `none`); none with quotas was at hand. Without
any, 4.06 says nothing at all and ends with 1: that is unknown.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from caf.domain.accounts import Account, Counts, Use
from caf.domain.errors import QuotaError

BLOCK = 1024  # bytes
_SECTION = re.compile(r"Disk quotas for (user|group|project) (.+) \([upg]id ([0-9]+)\):\s*(none)?\s*")
_NUMBER = re.compile(r"([0-9]+)(\*?)")


@dataclass(frozen=True, slots=True)
class Line:
    """What one line says: whose quota it is ("user", 1000), on which file system, and its numbers."""

    kind: str
    name: str
    number: int
    device: str
    blocks: tuple[int, int, int]  # used, soft, hard
    files: tuple[int, int, int]


def arguments(client: tuple[str, ...], user: str | None) -> list[str]:
    """Give the command: of the user that runs it and its groups, or of another one (which only root may ask)."""
    return [*client, "-w", "-p", "-u", *(["-g"] if user is None else [user])]


def read(text: str, device: str, group: int) -> Account:
    """Pick what counts for a file system, by its device, and a group's number; QuotaError if nothing does.

    The user's line counts, and that of the group that the files there belong to. Of a soft and a hard limit the lower
    counts: beyond the soft one writing ends after the time of grace.
    """
    sections, lines = 0, []
    for one in _lines(text):
        sections += 1
        lines += [one] if one is not None else []
    if not sections:
        raise QuotaError(f"quota said nothing that can be understood: {_first(text)}")
    if not lines:
        return Account((), "quota says that there is none")
    mine = [line for line in lines if line.kind == "user" or (line.kind, line.number) == ("group", group)]
    here = [line for line in mine if line.device == device]
    if not here:
        others = ", ".join(sorted({f"{line.device} ({line.kind} {line.name})" for line in lines}))
        raise QuotaError(
            f"quota has no line for {device}; it has {others}: use another `provider`, or `path`, in [quota]"
        )
    uses = []
    for line in here:
        of = f"{line.kind} {line.name} on {device}"
        uses += [Use(of, Counts.DISK, line.blocks[0] * BLOCK, _limit(line.blocks, BLOCK))]
        uses += [Use(of, Counts.FILES, line.files[0], _limit(line.files, 1))]
    whose = " and ".join(f"{line.kind} {line.name}" for line in here)
    return Account(tuple(uses), f"{whose} on {device}, {len(here)} of {len(lines)} lines")


def _limit(numbers: tuple[int, int, int], unit: int) -> int | None:
    return min((limit for limit in numbers[1:] if limit), default=0) * unit or None


def _lines(text: str) -> Iterator[Line | None]:
    """Give every line; None for a section that has begun."""
    section: re.Match[str] | None = None
    device = ""
    for row in text.splitlines():
        if found := _SECTION.fullmatch(row.strip()):
            section, device = found, ""
            yield None
            continue
        words = row.split()
        if section is None or section[4] or not words:
            continue
        if words[0] == "Filesystem":
            if words[1:2] != ["blocks"]:
                raise QuotaError(f"quota gives no blocks but {' '.join(words[1:2])}: it was asked for `-w -p` alone")
            continue
        if len(words) == 1:  # a long name, wrapped by an old version
            device = words[0]
            continue
        words = [device, *words] if device else words
        device = ""
        numbers = _numbers(words[1:])
        if numbers is None:
            raise QuotaError(f"quota has a line that cannot be understood: {row.strip()[:100]}")
        yield Line(section[1], section[2], int(section[3]), words[0], *numbers)


def _numbers(words: list[str]) -> tuple[tuple[int, int, int], tuple[int, int, int]] | None:
    """Take used, soft and hard of blocks and of files out of a line's words, with times of grace or without."""
    if not 6 <= len(words) <= 8:
        return None
    # A time of grace follows what is over its soft limit, and with -p both.
    second = 4 if len(words) == 8 or (len(words) == 7 and words[0].endswith("*")) else 3
    found = [_NUMBER.fullmatch(word) for word in (*words[:3], *words[second : second + 3])]
    numbers = [int(one[1]) for one in found if one is not None]
    if len(numbers) != 6:
        return None
    used, soft, hard, files, soft_files, hard_files = numbers
    return (used, soft, hard), (files, soft_files, hard_files)


def _first(text: str) -> str:
    return next((line.strip()[:100] for line in text.splitlines() if line.strip()), "nothing at all")
