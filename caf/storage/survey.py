"""What stands in the folder of all working areas: looked through once, when areas are taken over."""

import json
import os
import re
from contextlib import nullcontext
from typing import Any

from caf.storage.area import FACTS, SCRIPT
from caf.storage.failures import open_regular, storage_error
from caf.storage.records import read_records
from caf.storage.removal import GOING
from caf.storage.work import REMOVED

_FOLDER = re.compile(r"([0-9]{1,18})_([A-Za-z][A-Za-z0-9_]{0,39})", re.ASCII)
_ATTEMPT = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_REMOVED = re.compile(rb"([0-9]{1,18}) ([A-Za-z][A-Za-z0-9_]{0,39}) ([1-9][0-9]{0,8})\n")
_TOKEN = re.compile(rb"^CAF_TOKEN=(caf-[0-9a-f]{8}-[0-9]+-[0-9]+-[0-9a-f]{8})$", re.MULTILINE)
_HEAD = 64 * 1024  # bytes of a script in which its token stands
_LONGEST_FACTS = 64 * 1024 * 1024


def attempts_in(work: str) -> list[tuple[int, str, list[int]]]:
    """Give run, job and the attempts' numbers of every `<run>_<job>` folder that has any, in the order of runs."""
    found = []
    try:
        for name in os.listdir(work):
            if (match := _FOLDER.fullmatch(name)) and (numbers := _numbers(os.path.join(work, name))):
                found.append((int(match[1]), match[2], numbers))
    except OSError as error:
        raise storage_error("read", error.filename or work, error) from error
    return sorted(found)


def _numbers(folder: str, prefix: str = "") -> list[int]:
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
    return sorted(int(name) for name in found if _ATTEMPT.fullmatch(name))


def removed_in(work: str) -> list[tuple[int, str, int]]:
    """Give run, job and the newest attempt whose area was removed, or begun to be, of every job that has such."""
    found: dict[tuple[int, str], int] = {}
    try:
        for name in os.listdir(work):
            if (match := _FOLDER.fullmatch(name)) and (going := _numbers(os.path.join(work, name), GOING)):
                found[int(match[1]), match[2]] = going[-1]
        file = open_regular(os.path.join(work, REMOVED))
        with file or nullcontext(()) as lines:
            for line in lines:
                if told := _REMOVED.fullmatch(line):
                    key = int(told[1]), told[2].decode("ascii")
                    found[key] = max(found.get(key, 0), int(told[3]))
    except OSError as error:
        raise storage_error("read", error.filename or work, error) from error
    return sorted((*key, number) for key, number in found.items())


def survey(areas: list[str]) -> list[dict[str, Any]]:
    """Say of each area whose it is and how far its attempt came.

    Each answer has exists, script (it was given one), facts (run, job, attempt, job_id and database_id of job.json, or
    None), token (of the script, or None), claim, revoked and ended (there is a whole exit record), foreign (a record
    names another token), and error: a text where it cannot be read, which no other try will change.
    """
    return [_survey(area) for area in areas]


def _survey(area: str) -> dict[str, Any]:
    (records,) = read_records([area])
    try:
        token, script = _token(os.path.join(area, SCRIPT))
        facts = _facts(os.path.join(area, FACTS))
        exists = os.path.lexists(area)
    except OSError as error:
        failure = storage_error("read", error.filename or area, error)
        if failure.transient:
            raise failure from error
        return {**_nothing(), "error": str(failure)}
    if records["error"]:
        return {**_nothing(), "error": records["error"]}
    named = {record["token"] for record in (records["start"], records["exit"]) if record is not None}
    return {
        "exists": exists,
        "script": script,
        "facts": facts,
        "token": token,
        "claim": records["claim"],
        "revoked": records["revoked"],
        "ended": records["exit"] is not None,
        "foreign": bool(named - {token}),
        "error": None,
    }


def _nothing() -> dict[str, Any]:
    flags = dict.fromkeys(("script", "claim", "revoked", "ended", "foreign"), False)
    return {"exists": True, "facts": None, "token": None, **flags}


def _token(path: str) -> tuple[str | None, bool]:
    """Give the token in a script's head, and whether there is a script at all."""
    file = open_regular(path)
    if file is None:
        return None, os.path.lexists(path)
    with file:
        found = _TOKEN.search(file.read(_HEAD))
    return (found[1].decode("ascii") if found else None), True


def _facts(path: str) -> dict[str, Any] | None:
    file = open_regular(path)
    if file is None:
        return None
    with file:
        try:
            facts = json.loads(file.read(_LONGEST_FACTS))
        except (ValueError, RecursionError):
            return None
    names = ("run", "job", "attempt", "job_id", "database_id")
    return {name: facts.get(name) for name in names} if isinstance(facts, dict) else None
