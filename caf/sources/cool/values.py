"""Payload columns as values of the snapshot, in SQL, by their COOL type rather than by SQLite's.

A folder's specification may differ between eras (a mask is an integer in COMP200 and hexadecimal text in CONDBR2), and
a column may be missing altogether: then the value is SQL's NULL.
"""

import json
import math
import sqlite3
import struct

from caf.sources.cool.attached import Attached
from caf.sources.cool.folders import Column

_INTEGERS = frozenset({"Int16", "UInt16", "Int32", "UInt32", "UInt63", "Int64"})
MASK_DIGITS = 32
_HEX = "0f123456789abcde"


def _found(source: Attached | None, names: tuple[str, ...]) -> tuple[Column, str] | None:
    if source is None:
        return None
    columns = (source.folder.column(name) for name in names)
    column = next((column for column in columns if column is not None), None)
    return None if column is None else (column, source.value(column))


def text(source: Attached | None, *names: str) -> str:
    """Take text from the first of the columns that the folder has; NULL in a record that is there is ''."""
    found = _found(source, names)
    if found is None or source is None:
        return "NULL"
    column, value = found
    if not column.is_text:
        return f"CAST({value} AS TEXT)"
    return f"CASE WHEN {source.present} IS NOT NULL THEN coalesce({value}, '') END"


def integer(source: Attached | None, *names: str) -> str:
    """Take an integer from the first of the columns that the folder has."""
    found = _found(source, names)
    if found is None:
        return "NULL"
    column, value = found
    return value if column.type in _INTEGERS or column.type == "Bool" else f"CAST({value} AS INTEGER)"


def flag(source: Attached | None, *names: str) -> str:
    """Take 0 or 1 from the first of the columns that the folder has."""
    value = integer(source, *names)
    return "NULL" if value == "NULL" else f"({value} <> 0)"


def mask(source: Attached | None, *names: str) -> str:
    """Take a detector mask as 32 lower-case hexadecimal digits; text that is no hexadecimal number is NULL."""
    found = _found(source, names)
    if found is None:
        return "NULL"
    column, value = found
    if not column.is_text:
        return f"CASE WHEN {value} IS NOT NULL THEN printf('%0{MASK_DIGITS}x', {value}) END"
    # Nearly every mask is written in full: only the others take the long way. Trimming is five times faster than GLOB.
    digits = f"lower(trim({value}))"
    digits = f"CASE WHEN {digits} LIKE '0x%' THEN substr({digits}, 3) ELSE {digits} END"
    short = f"ltrim({digits}, '0')"
    valid = f"({digits}) <> '' AND ltrim({digits}, '{_HEX}') = '' AND length({short}) <= {MASK_DIGITS}"
    padded = f"substr('{'0' * MASK_DIGITS}' || {short}, -{MASK_DIGITS})"
    return f"""CASE WHEN length({value}) = {MASK_DIGITS} AND ltrim({value}, '{_HEX}') = '' THEN {value}
        WHEN {valid} THEN {padded} END"""


def filled(source: Attached | None, *names: str) -> str:
    """Take text that is not empty from the first of the columns that the folder has."""
    found = _found(source, names)
    return "NULL" if found is None else f"nullif({found[1]}, '')"


def json_member(name: str) -> str:
    """Return the SQL text that begins a member of a JSON object."""
    return "'" + json.dumps(name, ensure_ascii=False).replace("'", "''") + ":'"


def json_value(source: Attached, column: Column) -> str:
    """Write a column's value as JSON text, 'null' where it is unknown; blobs as hexadecimal text."""
    value = source.value(column)
    if column.is_text:
        return f"CASE WHEN {source.present} IS NULL THEN 'null' ELSE json_quote(coalesce({value}, '')) END"
    if column.type == "Bool":
        written = f"CASE WHEN {value} THEN 'true' ELSE 'false' END"
    elif column.type in ("Float", "Double"):
        written = f"cool_real({value}, {int(column.type == 'Float')})"
    elif column.type.startswith("Blob"):
        written = f"'\"' || lower(hex({value})) || '\"'"
    else:
        written = f"CAST(CAST({value} AS INTEGER) AS TEXT)"
    return f"CASE WHEN {value} IS NULL THEN 'null' ELSE {written} END"


def add_functions(connection: sqlite3.Connection) -> None:
    """Add the SQL functions that `json_value` uses."""
    connection.create_function("cool_real", 2, _real, deterministic=True)


def _real(value: float, single: int) -> str:
    # SQLite itself writes 15 digits only, which would make two values of one.
    try:
        number = float(value)
        if single:
            number = struct.unpack("f", struct.pack("f", number))[0]
    except (ValueError, OverflowError):
        return "null"
    return json.dumps(number) if math.isfinite(number) else "null"
