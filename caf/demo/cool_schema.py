"""The tables that the COOL library (2.9.2, schema 2.0) makes in SQLite, and how it stores values.

The spacing is the library's own too, so that a replica of caf's differs from a real one in its data only.
"""

import struct
from datetime import UTC, datetime, timedelta

from caf.domain.errors import CafError

SQLITE_TYPES = {
    "Bool": "BOOLEAN",
    "UChar": "UNSIGNEDCHAR",
    "Int16": "SHORT",
    "UInt16": "UNSIGNEDSHORT",
    "Int32": "INT",
    "UInt32": "UNSIGNEDINT",
    "UInt63": "ULONGLONG",
    "Int64": "SLONGLONG",
    "Float": "FLOAT",
    "Double": "DOUBLE",
    "String255": "TEXT",
    "String4k": "TEXT",
    "String64k": "TEXT",
    "String16M": "TEXT",
    "Blob64k": "BLOB",
    "Blob16M": "BLOB",
}
_INTEGER_RANGES = {
    "UChar": (0, 2**8 - 1),
    "Int16": (-(2**15), 2**15 - 1),
    "UInt16": (0, 2**16 - 1),
    "Int32": (-(2**31), 2**31 - 1),
    "UInt32": (0, 2**32 - 1),
    "UInt63": (0, 2**63 - 1),
    "Int64": (-(2**63), 2**63 - 1),
}
_MOST_BYTES = {
    "String255": 255,
    "String4k": 4000,
    "String64k": 65535,
    "String16M": 2**24 - 1,
    "Blob64k": 65535,
    "Blob16M": 2**24 - 1,
}

_SEQUENCE = ("SEQUENCE_NAME TEXT", "CURRENT_VALUE UNSIGNEDINT", "LASTMOD_DATE TEXT")
_SHARED_SEQUENCE = ("NODE_ID UNSIGNEDINT", "CURRENT_VALUE UNSIGNEDINT", "LASTMOD_DATE TEXT")
_NODES = (
    "NODE_ID UNSIGNEDINT",
    "NODE_PARENTID UNSIGNEDINT",
    *(f"NODE_{name} TEXT" for name in ("NAME", "FULLPATH", "DESCRIPTION")),
    "NODE_ISLEAF BOOLEAN",
    "NODE_SCHEMA_VERSION TEXT",
    "NODE_INSTIME TEXT",
    "LASTMOD_DATE TEXT",
    "FOLDER_VERSIONING INT",
    "FOLDER_PAYLOADSPEC TEXT",
    "FOLDER_PAYLOAD_INLINE UNSIGNEDSHORT",
    *(f"FOLDER_{name} TEXT" for name in ("PAYLOAD_EXTREF", "CHANNELSPEC", "CHANNEL_EXTREF")),
    *(f"FOLDER_{name}TABLENAME TEXT" for name in ("IOV", "TAG", "IOV2TAG", "CHANNEL")),
)
_IOVS = (
    "OBJECT_ID UNSIGNEDINT",
    "CHANNEL_ID UNSIGNEDINT",
    "IOV_SINCE ULONGLONG",
    "IOV_UNTIL ULONGLONG",
    "USER_TAG_ID UNSIGNEDINT",
    "SYS_INSTIME TEXT",
    "LASTMOD_DATE TEXT",
    "ORIGINAL_ID UNSIGNEDINT",
    "NEW_HEAD_ID UNSIGNEDINT",
)
_TAG = ("TAG_ID UNSIGNEDINT", "TAG_NAME TEXT")


def _names(columns: str) -> str:
    return ",".join(f'"{column}"' for column in columns.split())


def primary(columns: str) -> str:
    return f"PRIMARY KEY({_names(columns)})"


def unique(columns: str) -> str:
    return f"UNIQUE ( {_names(columns)} )"


def foreign(columns: str, table: str, referred: str) -> str:
    return f"FOREIGN KEY({_names(columns)}) REFERENCES {table}({_names(referred)})"


def table(name: str, columns: tuple[str, ...], *constraints: str) -> str:
    """Return a table's statement; columns are "NAME TYPE" or "NAME TYPE NOT NULL"."""
    written = []
    for column in columns:
        title, kind, *rest = column.split(" ", 2)
        written.append(f'"{title}" {kind} ' + "".join(f" {each}" for each in rest))
    return f'CREATE TABLE "{name}" ( {",".join(written)}, {", ".join(constraints)} )'


def index(table_name: str, suffix: str, columns: str, kind: str = "INDEX") -> str:
    listed = ", ".join(f'"{column}"' for column in columns.split())
    return f'CREATE {kind} "{table_name}_{suffix}" ON "{table_name}"( {listed} )'


def sequence(name: str) -> str:
    return table(name, _SEQUENCE, primary("SEQUENCE_NAME"))


def database_statements(db: str) -> list[str]:
    """Return the statements that make an empty database; CORAL's own table is made with the file's first."""
    tag2tag = ("PARENT_NODEID", "PARENT_TAGID", "CHILD_NODEID")
    shared = (_SHARED_SEQUENCE, primary("NODE_ID"), foreign("NODE_ID", f"{db}_NODES", "NODE_ID"))
    return [
        table(
            f"{db}_DB_ATTRIBUTES", ("DB_ATTRIBUTE_NAME TEXT", "DB_ATTRIBUTE_VALUE TEXT"), primary("DB_ATTRIBUTE_NAME")
        ),
        "CREATE TABLE IF NOT EXISTS coral_sqlite_fk(id TEXT NOT NULL, name TEXT, tablename TEXT NOT NULL)",
        table(
            f"{db}_NODES",
            _NODES,
            primary("NODE_ID"),
            unique("NODE_FULLPATH"),
            unique("NODE_ID NODE_PARENTID"),
            foreign("NODE_PARENTID", f"{db}_NODES", "NODE_ID"),
        ),
        sequence(f"{db}_NODES_SEQ"),
        sequence(f"{db}_F0000_TAGS_SEQ"),
        table(
            f"{db}_TAGS",
            ("NODE_ID UNSIGNEDINT", *_TAG, "TAG_LOCK_STATUS UNSIGNEDSHORT", "TAG_DESCRIPTION TEXT", "SYS_INSTIME TEXT"),
            primary("NODE_ID TAG_ID"),
            unique("TAG_NAME"),
            foreign("NODE_ID", f"{db}_NODES", "NODE_ID"),
        ),
        table(
            f"{db}_TAG2TAG",
            (*(f"{name} UNSIGNEDINT NOT NULL" for name in tag2tag), "CHILD_TAGID UNSIGNEDINT", "SYS_INSTIME TEXT"),
            primary(" ".join(tag2tag)),
            foreign("CHILD_NODEID PARENT_NODEID", f"{db}_NODES", "NODE_ID NODE_PARENTID"),
            foreign("PARENT_NODEID PARENT_TAGID", f"{db}_TAGS", "NODE_ID TAG_ID"),
            foreign("CHILD_NODEID CHILD_TAGID", f"{db}_TAGS", "NODE_ID TAG_ID"),
        ),
        sequence(f"{db}_TAG2TAG_SEQ"),
        table(f"{db}_TAGS_SEQ", *shared),
        table(f"{db}_IOVS_SEQ", *shared),
    ]


def folder_statements(prefix: str, payload: list[tuple[str, str]], multi_version: bool) -> list[str]:
    """Return the statements that make a folder's tables; `payload` is (column, COOL type) and stands inline."""
    channels, iovs, iov2tag = f"{prefix}_CHANNELS", f"{prefix}_IOVS", f"{prefix}_IOV2TAG"
    columns = ("CHANNEL_ID UNSIGNEDINT", "LAST_OBJECT_ID UNSIGNEDINT", "HAS_NEW_DATA BOOLEAN", "CHANNEL_NAME TEXT")
    made = [
        table(channels, (*columns, "DESCRIPTION TEXT"), primary("CHANNEL_ID")),
        index(channels, "N_UK", "CHANNEL_NAME", "UNIQUE INDEX"),
        table(
            iovs,
            (*_IOVS, *(f"{name} {SQLITE_TYPES[kind]}" for name, kind in payload)),
            primary("OBJECT_ID"),
            foreign("CHANNEL_ID", channels, "CHANNEL_ID"),
        ),
        index(iovs, "CO_2INDX", "CHANNEL_ID OBJECT_ID"),
        index(iovs, "CSU_3INDX", "CHANNEL_ID IOV_SINCE IOV_UNTIL"),
        index(iovs, "SU_2INDX", "IOV_SINCE IOV_UNTIL"),
    ]
    if not multi_version:
        return [*made, sequence(f"{prefix}_IOVS_SEQ")]
    return [
        *made,
        index(iovs, "OCSU_4INDX", "OBJECT_ID CHANNEL_ID IOV_SINCE IOV_UNTIL", "UNIQUE INDEX"),
        index(iovs, "UTAG_5INDX", "USER_TAG_ID NEW_HEAD_ID CHANNEL_ID IOV_SINCE IOV_UNTIL", "UNIQUE INDEX"),
        sequence(f"{prefix}_IOVS_SEQ"),
        sequence(f"{prefix}_TAGS_SEQ"),
        table(f"{prefix}_TAGS", (*_TAG, "TAG_DESCRIPTION TEXT", "SYS_INSTIME TEXT"), primary("TAG_ID")),
        table(
            iov2tag,
            ("TAG_ID UNSIGNEDINT", *_IOVS[:4], "SYS_INSTIME TEXT"),
            primary("TAG_ID OBJECT_ID"),
            foreign("OBJECT_ID", iovs, "OBJECT_ID"),
            foreign("TAG_ID", f"{prefix}_TAGS", "TAG_ID"),
        ),
        index(iov2tag, "4INDX", "TAG_ID CHANNEL_ID IOV_SINCE IOV_UNTIL"),
    ]


def attributes(db: str) -> list[tuple[str, str]]:
    """Return the rows of <DB>_DB_ATTRIBUTES; RELEASE is that of the library whose tables these are."""
    return [
        ("DEFAULT_TABLE_PREFIX", f"{db}_"),
        ("NODE_TABLE_NAME", f"{db}_NODES"),
        ("TAG_TABLE_NAME", f"{db}_TAGS"),
        ("TAG2TAG_TABLE_NAME", f"{db}_TAG2TAG"),
        ("TAG_SHAREDSEQ_NAME", f"{db}_TAGS_SEQ"),
        ("IOV_SHAREDSEQ_NAME", f"{db}_IOVS_SEQ"),
        ("RELEASE", "2.9.2"),
        ("CVS_CHECKOUT", "$Name: $"),
        ("CVS_CHECKIN", "$Id: $"),
        ("SCHEMA_VERSION", "2.0.0"),
    ]


def stamp(ns: int) -> str:
    """Write a time (ns since 1970 UTC) as COOL does; SQLite's back end knows microseconds only."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1000)
    return moment.strftime("%Y-%m-%d_%H:%M:%S.%f") + "000 GMT"


def stored(column: str, kind: str, value: object) -> object:
    """Return a payload value as the library stores it; CafError when it does not fit its type."""
    if value is None:
        return None
    fits = True
    if kind == "Bool":
        fits, value = isinstance(value, bool | int) and value in (0, 1), int(bool(value))
    elif kind in _INTEGER_RANGES:
        low, high = _INTEGER_RANGES[kind]
        fits = isinstance(value, int) and low <= value <= high
        value = str(value) if kind == "UChar" else value
    elif kind in ("Float", "Double"):
        fits = isinstance(value, int | float)
        if fits and isinstance(value, int | float):
            value = struct.unpack("f", struct.pack("f", value))[0] if kind == "Float" else float(value)
    elif kind.startswith("Blob"):
        fits = isinstance(value, bytes) and len(value) <= _MOST_BYTES[kind]
    else:
        fits = isinstance(value, str) and len(value.encode()) <= _MOST_BYTES[kind] and "\0" not in value
        value = value or None  # an empty text is stored as NULL, and read as an empty text again
    if not fits:
        raise CafError(f"{column}: {value!r} does not fit COOL's {kind}")
    return value
