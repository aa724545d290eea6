"""What `eos quota ls -m` says: a line of name=value for each user and group that has a quota in a quota node.

A limit of 0 is none; the percentage is 100.00 then and the status `ignored`, so neither is read. Logical bytes count
the files' sizes; the others count every replica of them. Group 99 is the quota of a project, which all of it shares.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from caf.domain.accounts import Account, Counts, Use
from caf.domain.errors import QuotaError

_FIELD = re.compile(r"([a-z]+)=(.*?)(?=\s+[a-z]+=|\s*$)")
_PROJECT = ("99", "project")


@dataclass(frozen=True, slots=True)
class Who:
    """Whose files they are, as EOS may name them: a number, or a name; None where it is not known."""

    user: tuple[str, ...]
    group: tuple[str, ...]


def arguments(client: tuple[str, ...], path: str) -> list[str]:
    """Give the command."""
    return [*client, "quota", "ls", "-m", "-p", path]


def read(text: str, path: str, who: Who) -> Account:
    """Pick what counts for a path: of the innermost node that holds it the user's, the group's and the project's line.

    QuotaError if there is none, or its numbers cannot be understood.
    """
    lines = [dict(_FIELD.findall(line)) for line in text.splitlines() if line.lstrip().startswith("quota=node")]
    if not lines:
        said = next((line.strip()[:100] for line in text.splitlines() if line.strip()), "nothing at all")
        raise QuotaError(f"eos gives no quota for {path}; it says: {said}")
    space = _space(lines, path)
    here = [line for line in lines if line.get("space") == space]
    mine = [(kind, line) for line in here for kind in [_whose(line, who)] if kind is not None]
    if not mine:
        known = ", ".join(sorted({f"{kind} {line[kind]}" for line in here for kind in ("uid", "gid") if kind in line}))
        raise QuotaError(
            f"eos has no quota of user {'/'.join(who.user)} or group {'/'.join(who.group)} in {space}, but of {known}: "
            "name the one that counts as `user` or `group` in [quota]"
        )
    uses = [use for kind, line in mine for use in _uses(f"{kind} in {space}", line)]
    if len({(use.of, use.counts) for use in uses}) < len(uses):
        raise QuotaError(f"eos gives the quota of {mine[0][0]} in {space} twice, with different numbers")
    whose = ", ".join(kind for kind, _ in mine)
    return Account(tuple(uses), f"{whose} in {space}, {len(mine)} of {len(lines)} lines")


def _space(lines: Sequence[Mapping[str, str]], path: str) -> str:
    """Give the innermost node that holds the path; where the mount has other names than EOS, the only one there is."""
    spaces = {line["space"] for line in lines if line.get("space")}
    holding = [space for space in spaces if f"{path.rstrip('/')}/".startswith(f"{space.rstrip('/')}/")]
    if holding:
        return max(holding, key=len)
    if len(spaces) == 1:
        return spaces.pop()
    raise QuotaError(
        f"eos has quotas of {', '.join(sorted(spaces)) or 'no space'}, none of which holds {path}: name the path that "
        "EOS knows as `path` in [quota]"
    )


def _whose(line: Mapping[str, str], who: Who) -> str | None:
    if line.get("uid") in who.user:
        return f"user {line['uid']}"
    if line.get("gid") in _PROJECT:
        return f"project {line['gid']}"
    return f"group {line['gid']}" if line.get("gid") in who.group else None


def _uses(of: str, line: Mapping[str, str]) -> list[Use]:
    found = []
    for counts, used, most in (
        (Counts.SIZES, "usedlogicalbytes", "maxlogicalbytes"),
        (Counts.FILES, "usedfiles", "maxfiles"),
    ):
        numbers = [line.get(name, "") for name in (used, most)]
        if not all(number.isascii() and number.isdecimal() for number in numbers):
            raise QuotaError(
                f"eos gives no usable {used} and {most} of {of}: {numbers[0][:40]!r} and {numbers[1][:40]!r}"
            )
        found.append(Use(of, counts, int(numbers[0]), int(numbers[1]) or None))
    return found
