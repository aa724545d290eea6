"""Writing the status page's folder: each file whole or not at all, and the one that names all others last.

Files of data are named after a sum of what is in them, so a reader who has the old status finds the old files, and one
who has the new one finds the new. What no status names any more is removed later, when no reader can want it.
"""

import os
import secrets
import time
from contextlib import suppress
from typing import Any

from caf.domain.errors import StorageError
from caf.storage.failures import read_regular, storage_error

DATA = "data"
SHOWN = "shown"
# A web server is somebody else, and so is the node exporter: what stands here is meant to be read.
FILE_MODE, FOLDER_MODE = 0o644, 0o755
UNDONE, LEFT_BEHIND = "new", 3600.0  # s


def make_folder(folder: str) -> None:
    """Make a folder of the page, with those above it, if it is not there."""
    if os.path.isdir(folder):
        return
    parent = os.path.dirname(folder)
    if parent and parent != folder:
        make_folder(parent)
    with suppress(FileExistsError):
        os.mkdir(folder)
        os.chmod(folder, FOLDER_MODE)


def replace(path: str, data: bytes) -> None:
    """Write a file whole, under another name first."""
    fresh = f"{path}.{secrets.token_hex(4)}.{UNDONE}"
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, FILE_MODE)
            file.write(data)
        os.rename(fresh, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(fresh)
        raise


def write_data(folder: str, files: list[list[str]]) -> int:
    """Write files of data that are not there yet, as JSON and as a script; gives the bytes written.

    `files` are names, which say what is in them, and JSON in ASCII.
    """
    place = os.path.join(folder, DATA)
    written = 0
    try:
        make_folder(place)
        for name, text in files:
            for ending, data in (("json", text), ("js", f"caf({_quoted(name)},{text});\n")):
                path = os.path.join(place, f"{name}.{ending}")
                if _size(path) != len(data):
                    replace(path, data.encode("ascii"))
                    written += len(data)
    except OSError as error:
        raise storage_error("write", place, error) from error
    return written


def _quoted(name: str) -> str:
    return f'"{name}"'


def _size(path: str) -> int | None:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return None


def publish(folder: str, request: dict[str, Any]) -> dict[str, Any]:
    """Put a new status into force: what else has changed first, then the status itself.

    The request has `static` (object: name to text, written where it differs), `status` (JSON in ASCII), `metrics`
    (null, or a path and text) and `needs` (names of data files that the status leads to). Gives `lost`: true if one of
    those is not there; then the status is not put into force.
    """
    try:
        make_folder(folder)
        for name in request["needs"]:
            for ending in ("js", "json"):
                if not _size(os.path.join(folder, DATA, f"{name}.{ending}")):
                    return {"lost": True}
        for name, text in request["static"].items():
            _differs_then_write(os.path.join(folder, name), text.encode())
        status = request["status"]
        for ending, data in (("json", status), ("js", f'caf("status",{status});\n')):
            replace(os.path.join(folder, f"status.{ending}"), data.encode("ascii"))
    except OSError as error:
        raise storage_error("write", folder, error) from error
    if request["metrics"] is not None:
        write_metrics(*request["metrics"])
    return {"lost": False}


def write_metrics(path: str, text: str) -> None:
    """Write the metrics; their folder is the node exporter's, and is not made here unless it is the page's."""
    try:
        replace(path, text.encode())
    except OSError as error:
        raise storage_error("write", path, error) from error


def _differs_then_write(path: str, data: bytes) -> None:
    known = read_regular(path, len(data) + 1)
    if known is None or known[1] != data:
        replace(path, data)


def data_names(folder: str) -> list[str]:
    """Give the names of data of which both files are there and not empty."""
    place = os.path.join(folder, DATA)
    found: dict[str, int] = {}
    try:
        with os.scandir(place) as entries:
            for entry in list(entries):
                name, _, ending = entry.name.rpartition(".")
                if ending == UNDONE and entry.stat(follow_symlinks=False).st_mtime < time.time() - LEFT_BEHIND:
                    os.unlink(entry.path)  # of a writer that died
                if ending in {"js", "json"} and entry.is_file(follow_symlinks=False) and entry.stat().st_size:
                    found[name] = found.get(name, 0) + 1
    except FileNotFoundError:
        return []
    except OSError as error:
        raise storage_error("read", place, error) from error
    return [name for name, count in found.items() if count == len(("js", "json"))]


def remove_data(folder: str, names: list[str]) -> None:
    """Remove files of data that nothing leads to any more."""
    place = os.path.join(folder, DATA)
    for name in names:
        if "/" in name or name.startswith("."):
            raise StorageError(f"{name} is not the name of a file in {place}")
        for ending in ("js", "json"):
            try:
                os.unlink(os.path.join(place, f"{name}.{ending}"))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise storage_error("remove", place, error) from error
