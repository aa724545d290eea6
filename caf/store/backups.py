"""Copies of the database, made while others write to it, and proved to be whole before they count.

SQLite's own online backup holds the database for as long as it copies (seconds for 1 GB, in which nobody can commit),
or, done in steps, begins again with every commit of another process. So the file is copied first, with nobody waiting,
and then compared with its copy under a read lock; what was written in between is copied again. That holds up commits
for as long as it takes to read both from memory: docs/figures.md has what was measured, tests/benchmarks/backup.py how.
"""

import json
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from caf.domain.errors import StoreError
from caf.store.database import APPLICATION_ID, VERSION, explain, recall, remember

FOLDER = "backups"  # in the state folder
CHUNK = 1 << 20  # bytes
PATIENCE = 120.0  # s to wait for a writer: one big transaction may take as long
RECORD = "backup"
_NAME = "caf-{identity}-{stamp}.db"
_STAMP = "%Y%m%dT%H%M%SZ"
_PART = re.compile(r"\.caf-.*\.db\.[0-9a-f]{8}\.part")
Progress = Callable[[int, int], None]  # bytes done, and in all


@dataclass(frozen=True, slots=True)
class Contents:
    """What tells one state of a database from another. `newest` is when it was last changed (s since 1970), if ever."""

    database_id: str
    version: int
    runs: int
    jobs: int
    changes: int
    newest: float | None


def kept_name(identity: str, now: float) -> str:
    """Give a backup's name: whose it is, and when it was made (UTC), so that names sort by age."""
    return _NAME.format(identity=identity, stamp=time.strftime(_STAMP, time.gmtime(now)))


def names_kept(folder: str, identity: str) -> list[str]:
    """Give the backups of one database in a folder, the oldest first."""
    wanted = re.compile(re.escape(_NAME.format(identity=identity, stamp="\0")).replace("\0", r"\d{8}T\d{6}Z"))
    return sorted(name for name in os.listdir(folder) if wanted.fullmatch(name))


def back_up(database: str, folder: str, now: float, keep: int) -> dict[str, Any]:
    """Add a backup to a folder, and then remove all but the newest `keep`. Gives path, bytes, runs, jobs, held (s).

    Done in a process of its own that has no other connection: closing the file lets go of SQLite's locks on it.
    """
    with _told("write a backup into", folder):
        os.makedirs(folder, mode=0o770, exist_ok=True)
        for left in os.listdir(folder):
            if _PART.fullmatch(left):
                os.unlink(os.path.join(folder, left))
        _make_sure_of_room(folder, os.path.getsize(database))
    with closing(_open(Path(database), "ro")) as conn:
        identity = _contents(conn).database_id
    made = copy_to(database, os.path.join(folder, kept_name(identity, now)))
    with _told("remove old backups from", folder):
        newest = kept_name(identity, now)
        # A name that is later is of a clock that was wrong: what was made last is never the one to go.
        names = sorted(names_kept(folder, identity), key=lambda name: (name <= newest, name))
        for name in names[:-keep]:
            os.unlink(os.path.join(folder, name))
    return made


def copy_to(database: str, target: str, progress: Progress | None = None) -> dict[str, Any]:
    """Copy a database that is in use; the target appears in one rename, once the copy is proved to be whole."""
    folder, name = os.path.split(os.path.abspath(target))
    part = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.part")
    with _told("back up to", target):
        try:
            before, held = _copy(database, part, progress or (lambda _done, _all: None))
            after = verify(Path(part))
            if after != before:
                raise StoreError(f"{target}: the copy is not what the database was ({after} for {before}); try again")
            size = os.path.getsize(part)
            os.rename(part, target)
            _sync_folder(folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(part)
            raise
    return {"path": target, "bytes": size, "held": held, **asdict(after)}


def _copy(database: str, part: str, progress: Progress) -> tuple[Contents, float]:
    """Copy, then compare while nobody can commit; gives what was locked, and for how long (s)."""
    with open(database, "rb", buffering=0) as raw, open(part, "x+b", buffering=0) as out:
        os.fchmod(out.fileno(), 0o660)
        whole, at = os.fstat(raw.fileno()).st_size, 0
        while piece := os.pread(raw.fileno(), CHUNK, at):
            _write(out.fileno(), piece, at)
            at += len(piece)
            progress(at, max(whole, at))
        os.fsync(out.fileno())
        # The connection is closed before `raw` is, which would let go of its lock.
        with closing(_open(Path(database), "rw")) as conn:
            conn.execute("BEGIN")
            contents = _contents(conn)  # the first statement takes the lock
            began = time.monotonic()
            _compare(raw.fileno(), out.fileno())
            held = time.monotonic() - began
        os.fsync(out.fileno())
    return contents, held


def _compare(raw: int, out: int) -> None:
    at = 0
    while piece := os.pread(raw, CHUNK, at):
        if os.pread(out, CHUNK, at) != piece:
            _write(out, piece, at)
        at += len(piece)
    os.ftruncate(out, at)


def _write(out: int, piece: bytes, at: int) -> None:
    left = memoryview(piece)
    while left:
        done = os.pwrite(out, left, at)
        left, at = left[done:], at + done


def verify(path: Path) -> Contents:
    """Give what is in a file, read as a whole. StoreError if it is damaged, not caf's, or of a newer version."""
    with _told("read", str(path)), closing(_open(path, "rw" if os.access(path, os.W_OK) else "ro")) as conn:
        try:
            contents = _contents(conn)
            damage = [str(row[0]) for row in conn.execute("PRAGMA integrity_check(3)") if row[0] != "ok"]
            damage += [f"{row[0]} refers to what is not there" for row in conn.execute("PRAGMA foreign_key_check")][:3]
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {explain(error)}") from error
    if damage:
        raise StoreError(f"{path}: is damaged: {'; '.join(' '.join(text.split()) for text in damage)}")
    return contents


def _open(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None)


def _contents(conn: sqlite3.Connection) -> Contents:
    application = conn.execute("PRAGMA application_id").fetchone()[0]
    version = conn.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise StoreError("this is not a database of caf's: name another file")
    if version > VERSION:
        raise StoreError(
            f"this was written by a newer caf (schema {version}, this one knows {VERSION}): install that version first"
        )
    identity = conn.execute("SELECT value FROM meta WHERE name = 'database_id'").fetchone()
    runs, jobs = (
        conn.execute(f"SELECT coalesce(sum({what}), 0) FROM {table}").fetchone()[0]
        for what, table in (("runs", "run_count"), ("jobs", "job_count"))
    )
    last = conn.execute("SELECT id, at FROM audit ORDER BY id DESC LIMIT 1").fetchone() or (0, None)
    return Contents(str(identity[0]) if identity else "", version, runs, jobs, last[0], last[1])


def _make_sure_of_room(folder: str, size: int) -> None:
    """Leave as much again to the database, which may stand on the same disk: a backup must not stop the work."""
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    if free < 2 * size:
        raise StoreError(
            f"{folder}: no room for a backup of {size / 1e6:.0f} MB: {free / 1e6:.0f} MB are free, and the database "
            "must have as much again; make room, or lower [caf] keep_backups"
        )


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _told(doing: str, where: str) -> Iterator[None]:
    """Say what could not be done, and where."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot {doing} {where}: {error.strerror or error}") from error
    except sqlite3.Error as error:
        raise StoreError(f"cannot {doing} {where}: {explain(error)}") from error
    except StoreError as error:
        raise error if where in str(error) else StoreError(f"{where}: {error}") from error


def record(conn: sqlite3.Connection) -> dict[str, Any]:
    """Give how backups have been doing, as the last round of housekeeping left it; {} before the first.

    `every` (s) is how often one is due. `made` is the newest one: at (s since 1970), path, bytes, runs, jobs; or None.
    `error` is why the last try failed, or None. `second` is the other place, if there is to be one: folder; copied: at,
    path, or None; error, or None.
    """
    kept = recall(conn, RECORD)
    found: dict[str, Any] = {} if kept is None else json.loads(kept)
    return found


def keep_record(conn: sqlite3.Connection, found: dict[str, Any]) -> None:
    """Keep that."""
    remember(conn, RECORD, json.dumps(found))
