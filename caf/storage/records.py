"""What an attempt has left in its working area: the claim and the wrapper's start and exit records.

The wrapper (caf/batch/wrapper.sh) makes the folder `claim` before anything else. The supervisor revokes an attempt by
making that same folder first, after which nothing can start in the area. That mkdir is atomic is the one assumption.
"""

import os
from collections.abc import Callable
from typing import Any

from caf.domain.errors import StorageError
from caf.storage.failures import open_regular, storage_error
from caf.storage.work import marker_of

CLAIM = "claim"
REVOKED = "revoked"
LONGEST = 64 * 1024  # bytes; a record has less than one thousand


def read_records(areas: list[str]) -> list[dict[str, Any]]:
    """Read what stands in each area, in the order asked for.

    Each answer has exists, claim, claimed_at (s since 1970), revoked, start, exit and error. A record is given only
    when it is whole. Where `error` holds a text the area could not be read: everything else is None, which means
    "not known" and proves nothing.
    """
    return [_read_area(area) for area in areas]


def _read_area(area: str) -> dict[str, Any]:
    claim = os.path.join(area, CLAIM)
    try:
        # The exit record first: seen after a look at `start` that was too early it would seem to stand alone.
        ended = _record(os.path.join(area, "exit"), _exit_fields)
        started = _record(os.path.join(area, "start"), _start_fields)
        claimed = _status(claim)
        return {
            "exists": claimed is not None or _status(area) is not None,
            "claim": claimed is not None,
            "claimed_at": claimed.st_mtime if claimed else None,
            "revoked": claimed is not None and _status(os.path.join(claim, REVOKED)) is not None,
            "start": started,
            "exit": ended,
            "error": None,
        }
    except OSError as error:
        unknown = dict.fromkeys(("exists", "claim", "claimed_at", "revoked", "start", "exit"))
        return {**unknown, "error": str(storage_error("read", error.filename or area, error))}


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _record(path: str, parse: Callable[[dict[str, str]], dict[str, Any]]) -> dict[str, Any] | None:
    """Read a record. None if it is not there, its last line is not `end`, or it holds anything unexpected."""
    file = open_regular(path)
    if file is None:
        return None
    with file:
        written = os.fstat(file.fileno()).st_mtime
        data = file.read(LONGEST)
    lines = data.decode("utf-8", "backslashreplace").split("\n")
    if lines[-2:] != ["end", ""]:
        return None
    pairs = [line.partition("=") for line in lines[:-2]]
    fields = {name: value for name, _, value in pairs}
    if len(fields) < len(pairs) or not all(equals for _, equals, _ in pairs):
        return None
    try:
        return {**parse(fields), "at": written}
    except (KeyError, ValueError):
        return None


def _start_fields(fields: dict[str, str]) -> dict[str, Any]:
    return {
        "token": fields["token"],
        "host": fields["host"],
        "boot": fields["boot"],
        "pid": int(fields["pid"]),
        "start_ticks": start_ticks(fields["stat"]),
        "uptime": _seconds(fields["uptime"]),
    }


def _exit_fields(fields: dict[str, str]) -> dict[str, Any]:
    return {
        "token": fields["token"],
        "code": _exit_code(fields["code"]),
        "host": fields["host"],
        "boot": fields["boot"],
        "uptime": _seconds(fields["uptime"]),
        "why": fields.get("why"),
    }


def _exit_code(text: str) -> int:
    code = int(text)
    if not 0 <= code <= 255:
        raise ValueError("no exit code")
    return code


def _seconds(text: str) -> float | None:
    return float(text) if text else None


def start_ticks(line: str) -> int | None:
    """Give field 22 of a line of /proc/PID/stat: when the process started, in clock ticks since boot (proc(5)).

    Field 2 is the program's name in parentheses and may itself hold blanks and parentheses. None for an empty line,
    as a node without /proc writes it; ValueError if it is not such a line.
    """
    if not line:
        return None
    fields = line[line.rindex(")") + 1 :].split()
    if len(fields) < 20:
        raise ValueError(f"{line!r} is no line of /proc/PID/stat")
    return int(fields[19])


def revoke(area: str, token: str) -> str:
    """Make sure that nothing can start in an attempt's area any more, if nothing has.

    "won": this call made the claim; "revoked": an earlier one did; "lost": somebody else, most likely the wrapper,
    owns the attempt, and it may have run. An area that is not there is made with its claim, lest a node that sees
    `work` late start something; but only below a `work` that holds the mark of the token's database, for where that is
    missing a file system may be unmounted, and the real area be in use.
    """
    claim = os.path.join(area, CLAIM)
    try:
        try:
            os.mkdir(claim, 0o770)
        except FileNotFoundError:
            _make_area(area, token)
            os.mkdir(claim, 0o770)
    except FileExistsError:
        return "revoked" if _is_revoked(claim) else "lost"
    except OSError as error:
        raise storage_error("make", claim, error) from error
    try:
        with open(os.path.join(claim, REVOKED), "w", encoding="utf-8") as file:
            file.write(f"{token}\n")
    except OSError:
        # The claim holds without its marker; a later call can only not tell any more that it was this one.
        return "won"
    return "won"


def _is_revoked(claim: str) -> bool:
    try:
        return _status(os.path.join(claim, REVOKED)) is not None
    except OSError as error:
        raise storage_error("read", claim, error) from error


def _make_area(area: str, token: str) -> None:
    folder = os.path.dirname(area)
    work = os.path.dirname(folder)
    database_id = marker_of(work)
    if database_id is None or not token.startswith(f"caf-{database_id}-"):
        raise StorageError(
            f"{area} is not there, and {work} does not hold the mark of the database of {token}:"
            " nothing was changed; check that the file system is mounted"
        )
    for path in (folder, area):
        try:
            os.mkdir(path, 0o770)
        except FileExistsError:
            continue
