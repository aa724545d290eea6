"""The catalogue of a COOL database: which databases a file holds, and what its folders are made of.

Table names are taken from the catalogue, never built from a pattern. Validity keys are run << 32 | lumi block, or ns
since the Unix epoch (UTC); 2**63 - 1 is open-ended.
"""

import difflib
import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from caf.domain.errors import SourceError

OPEN_ENDED = 2**63 - 1
_ATTRIBUTES = "_DB_ATTRIBUTES"
_TIME_BASE = re.compile(r"<timeStamp>\s*([^<\s]*)\s*</timeStamp>")


@dataclass(frozen=True, slots=True)
class Column:
    """One payload column and its COOL type (Bool, UChar, Int16 ... String255, Blob64k)."""

    name: str
    type: str

    @property
    def is_text(self) -> bool:
        return self.type.startswith("String")


@dataclass(frozen=True, slots=True)
class Node:
    """One entry of the catalogue's tree: a folder, or a folder set."""

    path: str
    is_folder: bool


@dataclass(frozen=True, slots=True)
class Folder:
    """What is needed to read one folder. `payload_table` is None when the payload stands in the IOV table."""

    file: str
    database: str
    node_id: int
    path: str
    description: str
    multi_version: bool
    payload: tuple[Column, ...]
    vector: bool
    iov_table: str
    channel_table: str
    payload_table: str | None
    iov2tag_table: str
    tag_table: str

    @property
    def time_based(self) -> bool:
        """True if keys are ns since 1970; a description that does not say is run-lumi, as for the ATLAS tools."""
        found = _TIME_BASE.search(self.description)
        return found is not None and found[1].lower() == "time"

    def column(self, name: str) -> Column | None:
        return next((column for column in self.payload if column.name == name), None)


def quoted(name: str, schema: str = "main") -> str:
    """Quote a table's name in an attached schema; payload columns may be reserved words, tables could be."""
    return f"{schema}.{quoted_name(name)}"


def quoted_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def near(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean A, B?" or, for want of near names, what there is."""
    names = sorted(set(known))
    by_folded = {each.lower(): each for each in names}
    close = [by_folded[each] for each in difflib.get_close_matches(name.lower(), list(by_folded), n=3, cutoff=0.5)]
    if close:
        return f"; did you mean {', '.join(close)}?"
    return f"; there is {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}" if names else "; there is none"


def databases(connection: sqlite3.Connection, file: str) -> list[str]:
    """List the COOL databases of a file, sorted; a file without one is a SourceError."""
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
    names = sorted(name.removesuffix(_ATTRIBUTES) for (name,) in rows if name.endswith(_ATTRIBUTES))
    if not names:
        raise SourceError(f"{file} is not a COOL replica: it has no table *{_ATTRIBUTES}")
    return names


class Catalogue:
    """The nodes, folders and tags of one COOL database in one open file."""

    def __init__(self, connection: sqlite3.Connection, file: str, database: str) -> None:
        held = databases(connection, file)
        if database not in held:
            raise SourceError(f"{file} has no database {database}: it has {', '.join(held)}")
        self.connection, self.file, self.database = connection, file, database
        table = quoted(database + _ATTRIBUTES)
        attributes = dict(connection.execute(f"SELECT DB_ATTRIBUTE_NAME, DB_ATTRIBUTE_VALUE FROM {table}"))
        version = str(attributes.get("SCHEMA_VERSION"))
        if not re.fullmatch(r"2\.0(\.\d+)*", version):
            raise SourceError(f"{file} ({database}) is of COOL schema {version}: caf reads 2.0.*")
        self._node_table: str = attributes.get("NODE_TABLE_NAME") or f"{database}_NODES"
        self._tag_table: str = attributes.get("TAG_TABLE_NAME") or f"{database}_TAGS"

    def nodes(self) -> list[Node]:
        """List folders and folder sets in the order in which they were made."""
        rows = self.connection.execute(
            f"SELECT NODE_FULLPATH, NODE_ISLEAF FROM {quoted(self._node_table)} ORDER BY NODE_ID"
        )
        return [Node(path, bool(leaf)) for path, leaf in rows]

    def has(self, path: str) -> bool:
        return Node(path, True) in self.nodes()

    def folder(self, path: str) -> Folder:
        """Return a folder by its full path (case counts); SourceError with near names when it is not there."""
        row = self.connection.execute(
            f"""SELECT NODE_ID, NODE_DESCRIPTION, FOLDER_VERSIONING, FOLDER_PAYLOADSPEC, FOLDER_PAYLOAD_INLINE,
                       FOLDER_PAYLOAD_EXTREF, FOLDER_IOVTABLENAME, FOLDER_CHANNELTABLENAME, FOLDER_IOV2TAGTABLENAME
                FROM {quoted(self._node_table)} WHERE NODE_FULLPATH = ? AND NODE_ISLEAF = 1""",
            (path,),
        ).fetchone()
        if row is None:
            known = near(path, (node.path for node in self.nodes() if node.is_folder))
            raise SourceError(f"{self.file} ({self.database}) has no folder {path}{known}")
        node_id, description, versioning, spec, separate, payload_table, iovs, channels, iov2tag = row
        iov_columns = self._columns_of(iovs, path)
        held = self._columns_of(payload_table, path) if separate else iov_columns
        columns = (Column(*each.split(":", 1)) for each in (spec or "").split(",") if ":" in each)
        return Folder(
            file=self.file,
            database=self.database,
            node_id=node_id,
            path=path,
            description=description or "",
            multi_version=versioning == 1,
            payload=tuple(column for column in columns if column.name in held),
            vector="PAYLOAD_SET_ID" in iov_columns,
            iov_table=iovs,
            channel_table=channels,
            payload_table=payload_table if separate else None,
            iov2tag_table=iov2tag or "",
            tag_table=self._tag_table,
        )

    def _columns_of(self, table: str, path: str) -> set[str]:
        columns = {row[1] for row in self.connection.execute(f"PRAGMA table_info({quoted_name(table or '')})")}
        if not columns:
            raise SourceError(f"{self.file} ({self.database}): {path} has no table {table}: make the replica anew")
        return columns

    def channels(self, folder: Folder) -> dict[int, str]:
        """Return the channels of a folder by number, with their names ("" for none)."""
        rows = self.connection.execute(
            f"SELECT CHANNEL_ID, CHANNEL_NAME FROM {quoted(folder.channel_table)} ORDER BY CHANNEL_ID"
        )
        return {number: name or "" for number, name in rows}

    def tags(self, folder: Folder) -> dict[str, int]:
        """Return the tags of a folder, name to id, sorted by name."""
        rows = self.connection.execute(
            f"SELECT TAG_NAME, TAG_ID FROM {quoted(folder.tag_table)} WHERE NODE_ID = ? ORDER BY TAG_NAME",
            (folder.node_id,),
        )
        return dict(rows)
