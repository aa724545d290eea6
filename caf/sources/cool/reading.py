"""Browse folders as the COOL library does: the same rows, in the same order, with the same payloads."""

import re
import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from caf.domain.errors import SourceError
from caf.sources.cool.files import open_replica, readable
from caf.sources.cool.folders import OPEN_ENDED, Catalogue, Column, Folder, Node, databases, near, quoted, quoted_name
from caf.sources.cool.versions import version_of

Value = bool | int | float | str | bytes | None
Payload = dict[str, Value]

_ORDERS = (
    "i.CHANNEL_ID, i.IOV_SINCE",
    "i.IOV_SINCE, i.CHANNEL_ID",
    "i.CHANNEL_ID, i.IOV_SINCE DESC",
    "i.IOV_SINCE DESC, i.CHANNEL_ID",
)
_CHANNELS = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")
_MAX_RANGES = 50


@dataclass(frozen=True, slots=True)
class Record:
    """One object of a folder; valid in [since, until). A vector folder's payload is a list, one entry for each item."""

    object_id: int
    channel: int
    since: int
    until: int
    payload: Payload | list[Payload]


class Conditions:
    """One COOL database in one replica, open for reading. Use it in a `with` statement."""

    def __init__(self, path: str, database: str, busy_timeout: float = 5.0) -> None:
        self._path, self._busy_timeout = path, busy_timeout
        self._connection = open_replica(path, busy_timeout)
        try:
            with readable(path, busy_timeout):
                self.catalogue = Catalogue(self._connection, path, database)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    def nodes(self) -> list[Node]:
        """List folders and folder sets."""
        with readable(self._path, self._busy_timeout):
            return self.catalogue.nodes()

    def folder(self, path: str) -> Folder:
        """Return a folder by its full path; SourceError with near names when it is not there."""
        with readable(self._path, self._busy_timeout):
            return self.catalogue.folder(path)

    def browse(
        self,
        folder: Folder,
        since: int = 0,
        until: int = OPEN_ENDED,
        channels: str = "all",
        order: int = 0,
        tag: str = "",
    ) -> Iterator[Record]:
        """Yield the objects whose [since, until) touches the *closed* interval of keys [since, until].

        channels: "all", "N", "N-M", "a,b-c" or "name:X" (a name nobody has gives nothing). order: 0 channel/since,
        1 since/channel, 2 channel/since descending, 3 since descending/channel. tag: '' or HEAD, or a tag's name.
        """
        if not 0 <= since <= OPEN_ENDED or not 0 <= until <= OPEN_ENDED:
            raise SourceError(f"{folder.path}: a validity key must lie between 0 and {OPEN_ENDED}")
        if order not in range(len(_ORDERS)):
            raise SourceError(f"{folder.path}: order {order} is not one of 0, 1, 2, 3")
        with readable(self._path, self._busy_timeout):
            query, values = self._query(folder, since, until, channels, order, tag)
            for row in self._connection.execute(query, values):
                yield self._record(folder, row)

    def find(self, folder: Folder, at: int, channels: str = "all", tag: str = "") -> list[Record]:
        """Return the objects that are valid at one key, by channel."""
        return list(self.browse(folder, at, at, channels, 0, tag))

    def channel(self, folder: Folder, name: str) -> int:
        """Return the number of a named channel; SourceError with near names when there is none."""
        with readable(self._path, self._busy_timeout):
            names = {each: number for number, each in self.catalogue.channels(folder).items() if each}
        if name not in names:
            raise SourceError(
                f"{folder.file} ({folder.database}): {folder.path} has no channel {name}{near(name, names)}"
            )
        return names[name]

    def _query(
        self, folder: Folder, since: int, until: int, channels: str, order: int, tag: str
    ) -> tuple[str, list[int | str]]:
        version = version_of(self.catalogue, folder, tag)
        tables = f"{quoted(folder.iov_table)} i JOIN {quoted(folder.channel_table)} c ON c.CHANNEL_ID = i.CHANNEL_ID"
        key, columns = "i", folder.payload
        if folder.vector:
            extra = ["i.PAYLOAD_SET_ID", "i.PAYLOAD_N_ITEMS"]
            columns = ()
        elif folder.payload_table:
            tables += f" JOIN {quoted(folder.payload_table)} p ON p.PAYLOAD_ID = i.PAYLOAD_ID"
            key, extra = "p", []
        else:
            extra = []
        if version.tag_id is not None:
            tables += (
                f" JOIN {quoted(folder.iov2tag_table)} t ON t.OBJECT_ID = i.OBJECT_ID AND t.TAG_ID = {version.tag_id}"
            )
        chosen, values = _channel_condition(folder, channels)
        wanted = ["i.OBJECT_ID", "i.CHANNEL_ID", "i.IOV_SINCE", "i.IOV_UNTIL", *extra]
        wanted += [f"{key}.{quoted_name(column.name)}" for column in columns]
        query = (
            f"SELECT {', '.join(wanted)} FROM {tables} WHERE i.IOV_SINCE <= ? AND i.IOV_UNTIL > ?"
            f"{version.condition('i')}{chosen} ORDER BY {_ORDERS[order]}"
        )
        return query, [until, since, *values]

    def _record(self, folder: Folder, row: tuple[Value, ...]) -> Record:
        object_id, channel, since, until = (int(value or 0) for value in row[:4])
        if folder.vector:
            return Record(object_id, channel, since, until, self._items(folder, row[4], row[5]))
        return Record(object_id, channel, since, until, _payload(folder.payload, row[4:]))

    def _items(self, folder: Folder, set_id: Value, count: Value) -> list[Payload]:
        columns = ", ".join(quoted_name(column.name) for column in folder.payload)
        rows = self._connection.execute(
            f"SELECT {columns} FROM {quoted(folder.payload_table or '')} WHERE PAYLOAD_SET_ID = ? "
            "ORDER BY PAYLOAD_ITEM_ID LIMIT ?",
            (set_id, count),
        )
        return [_payload(folder.payload, row) for row in rows]


def _channel_condition(folder: Folder, channels: str) -> tuple[str, list[int | str]]:
    if channels == "all":
        return "", []
    if channels.startswith("name:"):
        return " AND c.CHANNEL_NAME = ?", [channels.removeprefix("name:")]
    if not _CHANNELS.fullmatch(channels) or channels.count(",") >= _MAX_RANGES:
        wanted = '"all", "N", "N-M", "a,b-c" (at most 50 ranges) or "name:X"'
        raise SourceError(f"{folder.path}: channels must be {wanted}, not {channels!r}")
    pairs = [part.partition("-") for part in channels.split(",")]
    values: list[int | str] = [int(end) for first, _, last in pairs for end in (first, last or first)]
    return " AND (" + " OR ".join(["i.CHANNEL_ID BETWEEN ? AND ?"] * len(pairs)) + ")", values


def _payload(columns: tuple[Column, ...], values: tuple[Value, ...]) -> Payload:
    return {column.name: converted(column.type, value) for column, value in zip(columns, values, strict=True)}


def converted(cool_type: str, value: Value) -> Value:
    """Return a stored value as what its COOL type means; SQLite's own type may differ (UChar is stored as text)."""
    if cool_type.startswith("String"):
        return "" if value is None else value
    if value is None:
        return None
    try:
        if cool_type == "Bool":
            return bool(int(value))
        if cool_type == "Float":
            return float(struct.unpack("f", struct.pack("f", float(value)))[0])
        if cool_type == "Double":
            return float(value)
    except (ValueError, OverflowError):
        return None
    return value if cool_type.startswith("Blob") else _integer(value)


def _integer(value: Value) -> int | None:
    try:
        return None if value is None else int(value)
    except ValueError:
        return None


def databases_of(path: str, busy_timeout: float = 5.0) -> list[str]:
    """List the COOL databases that a file holds."""
    connection: sqlite3.Connection = open_replica(path, busy_timeout)
    try:
        with readable(path, busy_timeout):
            return databases(connection, path)
    finally:
        connection.close()
