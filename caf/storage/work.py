"""The folder of all working areas, and the mark that says whose it is."""

import os
import secrets

from caf.domain.errors import StorageError
from caf.storage.failures import storage_error

MARKER = ".caf-database"


def marker_of(work: str) -> str | None:
    """Give the id of the database that the folder belongs to; None if it, or its mark, is not there."""
    path = os.path.join(work, MARKER)
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1000).strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error("read", path, error) from error


def own_work(work: str, database_id: str, take_over: bool, used_before: bool = False) -> None:
    """Make the folder of working areas this database's own, or make sure that it is.

    A folder without a mark is taken, unless this database has `used_before` what should be there: then a file system
    is not mounted. One that another database has marked is refused unless `take_over`.
    """
    owner = marker_of(work)
    if owner == database_id:
        return
    if owner is not None and not take_over:
        raise StorageError(
            f"working areas in {work} belong to database {owner}, not to {database_id}:"
            " set another `work` in [caf], or, if that database is given up: caf run --take-over"
        )
    if owner is None and used_before and not take_over:
        raise StorageError(
            f"{work} has lost its mark {MARKER} of database {database_id}: check that the file system is mounted;"
            " if it was emptied on purpose: caf run --take-over"
        )
    _mark(work, database_id)


def _mark(work: str, database_id: str) -> None:
    path = os.path.join(work, MARKER)
    fresh = f"{path}.{secrets.token_hex(4)}"
    try:
        os.makedirs(work, mode=0o770, exist_ok=True)
        with open(fresh, "x", encoding="utf-8") as file:
            file.write(f"{database_id}\n")
            file.flush()
            os.fsync(file.fileno())
        os.rename(fresh, path)
    except OSError as error:
        raise storage_error("write", path, error) from error


def stamp(path: str) -> list[int] | None:
    """Say what tells one state of a file from another: device, inode, size, time (ns). None if it is not there."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error("look at", path, error) from error
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns]


def read_text(path: str) -> str:
    """Read a small text file in UTF-8, with or without a byte-order mark."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise StorageError(f"{path}: is not text in UTF-8: {error.reason}: save it as UTF-8") from error
    except OSError as error:
        raise storage_error("read", path, error) from error
