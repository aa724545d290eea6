"""Which tables of an old file are listeners, which are jobs, and what they are called."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from caf.legacy.modules import Module
from caf.legacy.values import Table, word_set

LISTENER_KEYS = word_set(
    "runtype tag detmask daqpartition tierzerotag nottierzerotag gainstrategy detstatus detstatustag "
    "reconly stoptimestamp cleanstop hasevents initialrun minevents fileslocations"
)
"""The conditions of 2009 to 2015; upper and lower case, and _ between words, make no difference here."""

SCAN_KEYS = word_set(
    "runtype partition partname daqpartition events recevents storedevents tier0tag tierzerotag "
    "nottierzerotag gainstrategy filetag projecttag tag cleanstop recorded reconly run initialrun detmask "
    "detectormask datapath path paths fileslocations"
)
"""What SCANS of 2016 filtered by, before any `__` (Django's way to name a comparison)."""

SERVES = ("listeners", "runlisteners", "listener", "runlistener", "scans", "scan")
JOB_KEYS = frozenset(
    (*SERVES, "needsvalidation", "validation", "validate", "template", "jobtemplate", "configuration")
) | word_set("jobconfiguration configtemplate configurationtemplate queue group release atlasrelease")


def plain(key: object) -> str:
    """Give a key without what people write differently: case and underscores."""
    return re.sub(r"[_\-\s]", "", str(key)).lower()


@dataclass(frozen=True, slots=True)
class Named:
    """A table with the name that it goes by."""

    name: str
    table: Table


def listeners_in(module: Module) -> list[Named]:
    """Give the listeners of a file in its order."""
    return _named(module, _is_listener)


def jobs_in(module: Module) -> list[Named]:
    """Give the jobs of a file in its order."""
    return _named(module, is_job)


def _is_listener(table: Table, way: tuple[str, ...]) -> bool:
    keys = {plain(key) for key in table if isinstance(key, str)}
    known = keys & LISTENER_KEYS
    if len(known) >= 2 and 2 * len(known) >= len(keys):
        return True
    filters = {plain(str(key).partition("__")[0]) for key in table}
    scans = any(plain(step) in {"scans", "scan"} for step in way)
    return scans and bool(filters & SCAN_KEYS) and not _holds_tables(table, SCAN_KEYS)


def is_job(table: Table, way: tuple[str, ...] = ()) -> bool:
    """Tell a job by the listeners that it names."""
    if _is_listener(table, ()):
        return False
    for key, value in table.items():
        if plain(key) in SERVES:
            names = [value] if isinstance(value, str) else value
            if isinstance(names, list | tuple) and any(isinstance(name, str) for name in names):
                others = {plain(other) for other in table} & JOB_KEYS
                return len(others) > 1 or len(table) <= 3 or bool(way)
    return False


def _holds_tables(table: Table, keys: frozenset[str]) -> bool:
    """Tell whether a table is a set of tables rather than one."""
    return any(
        isinstance(value, Table) and {plain(str(key).partition("__")[0]) for key in value} & keys
        for value in table.values()
    )


def _named(module: Module, wanted: Any) -> list[Named]:
    found: dict[int, tuple[Table, list[str]]] = {}
    for table, name in _walk(module.names, wanted):
        entry = found.setdefault(id(table), (table, []))
        if name:
            entry[1].append(name)
    named = []
    for table, names in found.values():
        own = next((v for k, v in table.items() if plain(k) in {"name", "listenername", "jobname"}), None)
        if isinstance(own, str) and own.strip():
            names = [own.strip()]
        # The key in a set of tables says more than the name of a variable, which comes first.
        named.append(Named(names[-1] if names else f"line{table.line}", table))
    return sorted(named, key=lambda one: one.table.line)


def _walk(top: Table, wanted: Any) -> Iterator[tuple[Table, str]]:
    """Give every table that is wanted, with what leads to it. Values may hold themselves: none is looked at twice."""
    seen: set[int] = set()
    stack: list[tuple[Any, str, tuple[str, ...]]] = [(top, "", ())]
    while stack:
        value, name, way = stack.pop(0)
        if isinstance(value, Table) and value is not top and wanted(value, way):
            yield value, name
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Table):
            stack += [(one, str(key), (*way, str(key))) for key, one in value.items()]
        elif isinstance(value, list | tuple):
            stack += [(one, "", (*way, "")) for one in value]
