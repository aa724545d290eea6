"""What an attempt has left in its working area: the claim and the wrapper's start and exit records.

The wrapper (caf/batch/wrapper.sh) makes the folder `claim` before anything else. The supervisor revokes an attempt by
making that same folder first, after which nothing can start in the area. Where the claim was made already, but no start
record, it makes a folder of the start record's name: a wrapper that comes so far finds that it cannot write its record,
and ends. That mkdir is atomic is the one assumption.
"""

import os
import stat
from collections.abc import Callable
from typing import Any

from caf.domain.errors import StorageError
from caf.storage.failures import read_regular, storage_error
from caf.storage.work import marker_of

CLAIM = "claim"
START = "start"
REVOKED = "revoked"
LONGEST = 64 * 1024  # bytes; a record has less than one thousand


def read_records(areas: list[str]) -> list[dict[str, Any]]:
    """Read what stands in each area, in the order asked for.

    Each answer has exists, claim, claimed_at (s since 1970), revoked, start, exit, torn and error. A record is given
    only when it is whole; `torn` says that there is a start record and that it is not. Where `error` holds a text the
    area could not be read: everything else is None, which means "not known" and proves nothing.
    """
    return [_read_area(area) for area in areas]


def _read_area(area: str) -> dict[str, Any]:
    claim = f"{area}/{CLAIM}"
    try:
        # The exit record first: seen after a look at `start` that was too early it would seem to stand alone.
        ended = _record(f"{area}/exit", _exit_fields)
        started = _record(f"{area}/{START}", _start_fields)
        claimed = _status(claim)
        return {
            "exists": claimed is not None or _status(area) is not None,
            "claim": claimed is not None,
            "claimed_at": claimed.st_mtime if claimed else None,
            "revoked": claimed is not None and _status(f"{claim}/{REVOKED}") is not None,
            "start": started,
            "exit": ended,
            "torn": claimed is not None and started is None and _is_file(f"{area}/{START}"),
            "error": None,
        }
    except OSError as error:
        unknown = dict.fromkeys(("exists", "claim", "claimed_at", "revoked", "start", "exit", "torn"))
        return {**unknown, "error": str(storage_error("read", error.filename or area, error))}


def stirred(areas: list[tuple[str, bool, bool]]) -> list[bool]:
    """Tell of each area, given whether it held a claim and a whole start record but no exit record, if that is not so.

    True also where it cannot be looked at: the records are read then, and say why.
    """
    return [_stirred(*area) for area in areas]


def _stirred(area: str, claim: bool, start: bool) -> bool:
    try:
        if _status(f"{area}/exit") is not None or (_status(f"{area}/{CLAIM}") is not None) is not claim:
            return True
        if claim and _status(f"{area}/{CLAIM}/{REVOKED}") is not None:
            return True
        return (_status(f"{area}/{START}") is not None) is not start
    except OSError:
        return True


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _is_file(path: str) -> bool:
    status = _status(path)
    return status is not None and not stat.S_ISDIR(status.st_mode)


def _record(path: str, parse: Callable[[dict[str, str]], dict[str, Any]]) -> dict[str, Any] | None:
    """Read a record. None if it is not there, its last line is not `end`, or it holds anything unexpected."""
    found = read_regular(path, LONGEST)
    if found is None:
        return None
    status, data = found
    lines = data.decode("utf-8", "backslashreplace").split("\n")
    if lines[-2:] != ["end", ""]:
        return None
    pairs = [line.partition("=") for line in lines[:-2]]
    fields = {name: value for name, _, value in pairs}
    if len(fields) < len(pairs) or not all(equals for _, equals, _ in pairs):
        return None
    try:
        return {**parse(fields), "at": status.st_mtime}
    except (KeyError, ValueError):
        return None


def _start_fields(fields: dict[str, str]) -> dict[str, Any]:
    return {
        "token": fields["token"],
        "host": fields["host"],
        "boot": fields["boot"],
        "pid": int(fields["pid"]),
        "start_ticks": int(fields["ticks"]) if fields["ticks"] else None,
        "uptime": _seconds(fields["uptime"]),
        "batch_id": fields.get("batch") or None,
    }


def _exit_fields(fields: dict[str, str]) -> dict[str, Any]:
    return {
        "token": fields["token"],
        "code": _exit_code(fields["code"]),
        "host": fields["host"],
        "boot": fields["boot"],
        "uptime": _seconds(fields["uptime"]),
        "why": fields.get("why"),
        "copy": fields.get("copy"),
    }


def _exit_code(text: str) -> int:
    code = int(text)
    if not 0 <= code <= 255:
        raise ValueError("no exit code")
    return code


def _seconds(text: str) -> float | None:
    return float(text) if text else None


def revoke(area: str, token: str) -> str:
    """Make sure that nothing can start in an attempt's area any more, if nothing has.

    "won": this call made the claim, or stands in the way of the start record; "revoked": an earlier one did; "lost":
    somebody else, most likely the wrapper, owns the attempt, and it may have run. An area that is not there is made
    with its claim, lest a node that sees `work` late start something; but only below a `work` that holds the mark of
    the token's database, for where that is missing a file system may be unmounted, and the real area be in use.
    """
    claim = os.path.join(area, CLAIM)
    try:
        try:
            os.mkdir(claim, 0o770)
        except FileNotFoundError:
            _make_area(area, token)
            os.mkdir(claim, 0o770)
    except FileExistsError:
        if _is_revoked(claim):
            return "revoked"
        if not _bars_start(area):
            return "lost"
    except OSError as error:
        raise storage_error("make", claim, error) from error
    try:
        with open(os.path.join(claim, REVOKED), "w", encoding="utf-8") as file:
            file.write(f"{token}\n")
    except OSError:
        # The claim holds without its marker; a later call can only not tell any more that it was this one.
        return "won"
    return "won"


def _bars_start(area: str) -> bool:
    """Stand in the way of a start record that is not there; an earlier call may have done so, and died."""
    path = f"{area}/{START}"
    try:
        os.mkdir(path, 0o770)
    except FileExistsError:
        return os.path.isdir(path)
    except OSError as error:
        raise storage_error("make", path, error) from error
    return True


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
