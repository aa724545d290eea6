"""Write COOL replicas as the library would, for the rehearsal and the tests: caf itself never writes to a real one."""

import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from caf.demo.cool_schema import attributes, database_statements, folder_statements, sequence, stamp, stored
from caf.domain.errors import CafError

OPEN_ENDED = 2**63 - 1
SINGLE, MULTI = 0, 1

Payload = Mapping[str, Any]

ATTRIBUTE_LIST = (
    '<addrHeader><address_header service_type="71" clid="40774348" /></addrHeader>'
    "<typeName>AthenaAttributeList</typeName>"
)
ATTRIBUTE_LIST_COLLECTION = (
    '<addrHeader><address_header service_type="71" clid="1238547719" /></addrHeader>'
    "<typeName>CondAttrListCollection</typeName>"
)


@dataclass(frozen=True, slots=True)
class FolderSpec:
    """A folder as it is created: `payload` is COOL's own text, "name:Type,name:Type"."""

    path: str
    payload: str
    versioning: int = SINGLE
    timestamp: str = "run-lumi"
    description_extra: str = ATTRIBUTE_LIST_COLLECTION


class Replica:
    """One COOL database in an SQLite file, open for writing. Leaving its `with` block commits, an exception undoes."""

    def __init__(self, path: str, database: str, now: int, new: bool) -> None:
        if not new and not os.path.exists(path):
            raise CafError(f"{path} is missing: no replica to write to")
        self.path, self.database = path, database
        self._stamp = stamp(now)
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=10)
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.execute("BEGIN IMMEDIATE")
        if new:
            self._create()

    @classmethod
    def create(cls, path: str, database: str, now: int) -> Self:
        """Create a database in a file, new or not; `now` (ns since 1970 UTC) is the stamp of all that is written."""
        return cls(path, database, now, new=True)

    @classmethod
    def open(cls, path: str, database: str, now: int) -> Self:
        """Open a replica that is there, to add to it."""
        return cls(path, database, now, new=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.execute("COMMIT" if error is None else "ROLLBACK")
        self._connection.close()

    def commit(self) -> None:
        """Make what was written so far visible to readers, and go on."""
        self._connection.execute("COMMIT")
        self._connection.execute("BEGIN IMMEDIATE")

    def _create(self) -> None:
        db, run = self.database, self._connection.execute
        for statement in database_statements(db):
            run(statement)
        self._connection.executemany(f"INSERT INTO {db}_DB_ATTRIBUTES VALUES (?, ?)", attributes(db))
        named = (None, f"{db}_TAG2TAG_PTAG_FK", f"{db}_TAG2TAG_CTAG_FK")
        for number, name in enumerate(named):
            run("INSERT INTO coral_sqlite_fk VALUES (?, ?, ?)", (str(number), name or "0", f"{db}_TAG2TAG"))
        run(f"INSERT INTO {db}_TAG2TAG_SEQ VALUES (?, NULL, NULL)", (f"{db}_TAG2TAG_SEQ",))
        self._start_sequence(f"{db}_NODES_SEQ")
        self._start_sequence(f"{db}_F0000_TAGS_SEQ")
        self._add_node(0, None, None, "/", None, None)

    def folder(
        self,
        path: str,
        spec: str,
        versioning: int = SINGLE,
        timestamp: str = "run-lumi",
        description_extra: str = ATTRIBUTE_LIST_COLLECTION,
    ) -> None:
        """Create a folder, and the folder sets above it; one that is there already stays as it is."""
        if self._node(path) is not None:
            return
        parent = self._folder_set(path.rpartition("/")[0] or "/")
        number = self._next(f"{self.database}_NODES_SEQ", 1)
        prefix = f"{self.database}_F{number:04d}"
        description = f"<timeStamp>{timestamp}</timeStamp>{description_extra}"
        self._add_node(number, parent, path.rpartition("/")[2], path, description, (spec, versioning, prefix))
        for statement in folder_statements(prefix, _columns(spec), versioning == MULTI):
            self._connection.execute(statement)
        iovs = f"{prefix}_IOVS"
        self._connection.execute("INSERT INTO coral_sqlite_fk VALUES ('0', ?, ?)", (f"{iovs}_CHANNEL_FK", iovs))
        self._start_sequence(f"{iovs}_SEQ")
        if versioning == MULTI:
            self._start_sequence(f"{prefix}_TAGS_SEQ")

    def create_folders(self, folders: Sequence[FolderSpec]) -> None:
        """Create several folders, in their order."""
        for each in folders:
            self.folder(each.path, each.payload, each.versioning, each.timestamp, each.description_extra)

    def channel(self, folder: str, number: int, name: str | None = None) -> None:
        """Create a channel that nothing is stored in yet, or give one a name."""
        prefix = self._folder(folder)[0]
        self._connection.execute(
            f"INSERT INTO {prefix}_CHANNELS VALUES (?, 0, 0, ?, '') "
            "ON CONFLICT (CHANNEL_ID) DO UPDATE SET CHANNEL_NAME = excluded.CHANNEL_NAME",
            (number, name),
        )

    def store(self, folder: str, since: int, until: int, payload: Payload, channel: int = 0) -> int:
        """Store one object valid in [since, until) and return its id; CafError when a single version would overlap."""
        if not 0 <= since < until <= OPEN_ENDED:
            raise CafError(f"{folder}: [{since}, {until}) is not an interval of validity")
        prefix, versioning, columns = self._folder(folder)
        if set(payload) != {name for name, _ in columns}:
            raise CafError(
                f"{folder} has the columns {', '.join(name for name, _ in columns)}, not {', '.join(payload)}"
            )
        values = [stored(f"{folder} {name}", kind, payload[name]) for name, kind in columns]
        known = self._connection.execute(f"SELECT 1 FROM {prefix}_CHANNELS WHERE CHANNEL_ID = ?", (channel,)).fetchone()
        if known is None:
            self.channel(folder, channel)
        if versioning == MULTI:
            return self._store_multi(prefix, since, until, values, channel)
        return self._store_single(prefix, folder, since, until, values, channel)

    def read(self, folder: str, since: int) -> dict[str, Any] | None:
        """Return the visible payload that begins at a key, with IOV_UNTIL, or None."""
        prefix = self._folder(folder)[0]
        cursor = self._connection.execute(
            f"SELECT * FROM {prefix}_IOVS WHERE IOV_SINCE = ? AND NEW_HEAD_ID = 0 AND USER_TAG_ID = 0", (since,)
        )
        row = cursor.fetchone()
        return None if row is None else dict(zip((each[0] for each in cursor.description), row, strict=True))

    def _store_single(
        self, prefix: str, folder: str, since: int, until: int, values: Sequence[object], channel: int
    ) -> int:
        iovs = f"{prefix}_IOVS"
        last = self._connection.execute(
            f"SELECT OBJECT_ID, IOV_SINCE, IOV_UNTIL FROM {iovs} WHERE CHANNEL_ID = ? ORDER BY IOV_SINCE DESC LIMIT 1",
            (channel,),
        ).fetchone()
        is_last = last is None or since > last[1]
        if last is not None and is_last and last[2] == OPEN_ENDED:
            change = f"UPDATE {iovs} SET IOV_UNTIL = ?, LASTMOD_DATE = ? WHERE OBJECT_ID = ?"
            self._connection.execute(change, (since, self._stamp, last[0]))
        else:
            overlap = f"SELECT 1 FROM {iovs} WHERE CHANNEL_ID = ? AND IOV_SINCE < ? AND IOV_UNTIL > ?"
            if self._connection.execute(overlap, (channel, until, since)).fetchone():
                raise CafError(f"{folder} is single-version: [{since}, {until}) overlaps what channel {channel} holds")
        number = self._next(f"{iovs}_SEQ", 1)
        self._insert(prefix, (number, channel, since, until, 0, 0), values)
        if is_last:
            self._set_last(prefix, channel, number)
        return number

    def _store_multi(self, prefix: str, since: int, until: int, values: Sequence[object], channel: int) -> int:
        """Store as HEAD: what is cut keeps its interval and names its successor; what remains of it comes anew."""
        iovs = f"{prefix}_IOVS"
        cut = self._connection.execute(
            f"SELECT * FROM {iovs} WHERE USER_TAG_ID = 0 AND NEW_HEAD_ID = 0 AND CHANNEL_ID = ? "
            "AND IOV_SINCE < ? AND IOV_UNTIL > ? ORDER BY IOV_SINCE",
            (channel, until, since),
        ).fetchall()
        # Ids go by six: the object, what is left of it and right of it, and three more for user tags.
        number = self._next(f"{iovs}_SEQ", 6) - 5
        for old in cut:
            change = f"UPDATE {iovs} SET NEW_HEAD_ID = ?, LASTMOD_DATE = ? WHERE OBJECT_ID = ?"
            self._connection.execute(change, (number, self._stamp, old[0]))
        self._insert(prefix, (number, channel, since, until, 0, 0), values)
        latest = number
        for old in cut:
            for remainder, begin, end in ((number + 1, old[2], since), (number + 2, until, old[3])):
                if begin < end:
                    self._insert(prefix, (remainder, channel, begin, end, 0, old[0]), old[9:])
                    latest = remainder
        self._set_last(prefix, channel, latest)
        return number

    def _insert(self, prefix: str, key: tuple[int, ...], values: Sequence[object]) -> None:
        number, channel, since, until, user_tag, original = key
        row = (number, channel, since, until, user_tag, self._stamp, self._stamp, original, 0, *values)
        self._connection.execute(f"INSERT INTO {prefix}_IOVS VALUES ({', '.join('?' * len(row))})", row)

    def _set_last(self, prefix: str, channel: int, number: int) -> None:
        change = f"UPDATE {prefix}_CHANNELS SET LAST_OBJECT_ID = ? WHERE CHANNEL_ID = ?"
        self._connection.execute(change, (number, channel))

    def _node(self, path: str) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._connection.execute(
            f"SELECT NODE_ID, FOLDER_VERSIONING, FOLDER_PAYLOADSPEC FROM {self.database}_NODES WHERE NODE_FULLPATH = ?",
            (path,),
        ).fetchone()
        return row

    def _folder(self, path: str) -> tuple[str, int, list[tuple[str, str]]]:
        node = self._node(path)
        if node is None or not node[2]:
            raise CafError(f"{self.path} ({self.database}) has no folder {path}")
        return f"{self.database}_F{node[0]:04d}", node[1], _columns(node[2])

    def _folder_set(self, path: str) -> int:
        node = self._node(path)
        if node is not None:
            return int(node[0])
        parent = self._folder_set(path.rpartition("/")[0] or "/")
        number = self._next(f"{self.database}_NODES_SEQ", 1)
        self._add_node(number, parent, path.rpartition("/")[2], path, None, None)
        tags = f"{self.database}_F{number:04d}_TAGS_SEQ"
        self._connection.execute(sequence(tags))
        self._start_sequence(tags)
        return number

    def _add_node(
        self,
        number: int,
        parent: int | None,
        name: str | None,
        path: str,
        description: str | None,
        folder: tuple[str, int, str] | None,
    ) -> None:
        row: tuple[object, ...] = (number, parent, name, path, description)
        if folder is None:
            row += (0, "2.0.0", self._stamp, self._stamp, -1, None, 0, *[None] * 7)
        else:
            spec, versioning, prefix = folder
            tables = [f"{prefix}_{suffix}" for suffix in ("IOVS", "TAGS", "IOV2TAG", "CHANNELS")]
            row += (1, "2.0.1", self._stamp, self._stamp, versioning, spec, 0, None, None, None, *tables)
        self._connection.execute(f"INSERT INTO {self.database}_NODES VALUES ({', '.join('?' * 19)})", row)

    def _start_sequence(self, table: str) -> None:
        self._connection.execute(f"INSERT INTO {table} VALUES (?, 0, ?)", (table, self._stamp))

    def _next(self, table: str, step: int) -> int:
        change = f"UPDATE {table} SET CURRENT_VALUE = CURRENT_VALUE + ?, LASTMOD_DATE = ?"
        self._connection.execute(change, (step, self._stamp))
        return int(self._connection.execute(f"SELECT CURRENT_VALUE FROM {table}").fetchone()[0])


def _columns(spec: str) -> list[tuple[str, str]]:
    pairs = (each.partition(":") for each in spec.split(","))
    return [(name, kind) for name, _, kind in pairs]
