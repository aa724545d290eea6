"""Replica files: found, marked, checked and opened, with every failure said in an operator's words."""

import glob
import os
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from caf.domain.errors import SourceError

MAGIC = b"SQLite format 3\x00"
HEADER_BYTES = 100
NOT_YET = "it will be read again"


def expand(patterns: list[str]) -> list[str]:
    """Find the replicas that glob patterns name, sorted; a pattern that matches nothing is a SourceError."""
    found: set[str] = set()
    for pattern in patterns:
        matches = glob.glob(pattern, recursive=True)
        if not matches:
            raise SourceError(f"no replica matches {pattern}: is the copy job running, is the file system mounted?")
        found.update(matches)
    return sorted(found)


def marks(files: list[str]) -> list[list[str | int]]:
    """Say what tells one state of each file from another, without reading it.

    For each file [path, device, inode, size in bytes, mtime in ns, SQLite's change counter (-1 in a file too short)].
    """
    return [_mark(path) for path in files]


def _mark(path: str) -> list[str | int]:
    try:
        with open(path, "rb") as stream:
            status = os.fstat(stream.fileno())
            header = stream.read(HEADER_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from error
    counter = struct.unpack_from(">I", header, 24)[0] if len(header) >= 28 else -1
    return [path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, counter]


def read_only_uri(path: str) -> str:
    """Return the URI by which SQLite opens a file without ever writing to it or making it."""
    # Not immutable=1: that skips the locks, and a replica being refreshed would be read half old, half new.
    return f"file:{quote(os.path.abspath(path))}?mode=ro"


def open_replica(path: str, busy_timeout: float) -> sqlite3.Connection:
    """Open a replica read-only; `busy_timeout` is in seconds. SourceError when it is no whole SQLite file."""
    check_whole(path)
    with readable(path, busy_timeout):
        connection = sqlite3.connect(read_only_uri(path), uri=True, timeout=busy_timeout, isolation_level=None)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except BaseException:
            connection.close()
            raise
    # Nothing promises UTF-8 in old online data, and what is read must be fit to be written anywhere.
    connection.text_factory = lambda data: data.decode("utf-8", errors="replace")
    return connection


def check_whole(path: str) -> None:
    """Refuse a file that is missing, is not SQLite, or is shorter than its own header says (a copy not finished)."""
    try:
        with open(path, "rb") as stream:
            header = stream.read(HEADER_BYTES)
            size = os.fstat(stream.fileno()).st_size
    except OSError as error:
        raise _unreadable(path, error) from error
    if not size:
        raise SourceError(f"{path} is empty: a copy that has not begun, or has failed; {NOT_YET}")
    if header[: len(MAGIC)] != MAGIC[: len(header)]:
        raise SourceError(f"{path} is not an SQLite file: check what [source] replicas matches")
    if len(header) < HEADER_BYTES:
        raise SourceError(f"{path} holds only {size} bytes: a copy that has not finished; {NOT_YET}")
    page = struct.unpack_from(">H", header, 16)[0]
    page = 65536 if page == 1 else page
    changed, pages, valid_for = (struct.unpack_from(">I", header, at)[0] for at in (24, 28, 92))
    # The page count is only kept by SQLite since 3.7, which then makes these two counters equal.
    expected = page * pages if changed == valid_for and pages else page
    if size < expected:
        raise SourceError(f"{path} is truncated ({size} of {expected} bytes): a copy that has not finished; {NOT_YET}")


@contextmanager
def readable(path: str, busy_timeout: float) -> Iterator[None]:
    """Turn SQLite's errors while `path` (one file or several, as text) is read into SourceErrors."""
    try:
        yield
    except sqlite3.Error as error:
        raise SourceError(_explain(path, busy_timeout, error)) from error


def _explain(path: str, busy_timeout: float, error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    kind = None if code is None else code & 0xFF
    if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"{path} is locked by a writer (waited {busy_timeout:g} s); {NOT_YET}"
    if kind == sqlite3.SQLITE_NOTADB:
        return f"{path} is not an SQLite file, or is encrypted: {error}"
    if kind == sqlite3.SQLITE_CORRUPT:
        return f"{path} is malformed, perhaps half-copied ({error}); {NOT_YET}; if that lasts, make the replica anew"
    if kind == sqlite3.SQLITE_READONLY:
        return f"{path} has an unfinished write (a -journal stands beside it): let its copy job finish; {NOT_YET}"
    if kind == sqlite3.SQLITE_FULL:
        return f"the disk is full where the snapshot of {path}, or SQLite's temporary files, are written"
    return f"{path} could not be read: {error}; {NOT_YET}"


def _unreadable(path: str, error: OSError) -> SourceError:
    if isinstance(error, FileNotFoundError):
        return SourceError(f"{path} is missing: is the copy job running, is the file system mounted?")
    return SourceError(f"{path} cannot be read: {error.strerror or error}")
