"""What to say to somebody who may not look into the state folder: whose it is, and how to be let in."""

import os
import shlex
import stat
import sys
from pathlib import Path


def denied(path: Path) -> str:
    """Say which file or folder on the way to `path` is closed, whose it is, and what to do."""
    closed, found = _closed(path)
    if found is None:
        return f"{closed}: you may not look there; ask whoever keeps caf"
    owner, group = _user(found.st_uid), _group(found.st_gid)
    whose = f"{closed}: belongs to {owner}, group {group}, and you ({_user(os.geteuid())}) may not look into it"
    needed = stat.S_IRGRP | (stat.S_IXGRP if stat.S_ISDIR(found.st_mode) else 0)
    if found.st_mode & needed == needed:
        return f"{whose}: have yourself put into the group {group}, or: `{_as(owner)}`"
    rights = "rwX" if closed in (path.absolute(), path.absolute().parent) else "X"
    return f"{whose}, nor may the group: {owner} can allow it by `chmod g+{rights} {closed}`; or: `{_as(owner)}`"


def _closed(path: Path) -> tuple[Path, os.stat_result | None]:
    """Give the first on the way that is closed, from the top."""
    path = path.absolute()
    for place in (*reversed(path.parents), path):
        try:
            found = place.stat()
        except OSError:
            return place, None
        wanted = os.X_OK if stat.S_ISDIR(found.st_mode) else os.R_OK
        if not os.access(place, wanted, effective_ids=True):
            return place, found
    return path, path.stat()


def _as(owner: str) -> str:
    """Give the command that was typed as the owner would type it; sudo does not pass the environment on."""
    words = sys.argv[1:]
    for option, variable in (("--state", "CAF_STATE"), ("--config", "CAF_CONFIG")):
        given = os.environ.get(variable)
        if given and not any(word.split("=")[0] == option for word in words):
            words = [option, given, *words]
    return shlex.join(["sudo", "-u", owner, "caf", *words])


def _user(number: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"uid {number}"


def _group(number: int) -> str:
    import grp

    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return f"gid {number}"
