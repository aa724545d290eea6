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

GATHERS = word_set("filter filters query conditions criteria selection")
EXCLUDES = word_set("exclude excludes not")
"""Tables of filters within a scan."""

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
    in_scans = len(way) > 1 and plain(way[-2]) in {"scans", "scan"}
    return in_scans and any(_filters(key, value) for key, value in table.items())


def _filters(key: object, value: object) -> bool:
    name = plain(str(key).partition("__")[0])
    return name in SCAN_KEYS or (name in GATHERS | EXCLUDES and isinstance(value, Table))


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


def _named(module: Module, wanted: Any) -> list[Named]:
    found: dict[int, tuple[Table, list[str], bool]] = {}
    for table, way in _walk(module.names, wanted):
        _, names, gathered = found.get(id(table), (table, [], False))
        # The key in a set of tables says more than the name of a variable, which comes first.
        found[id(table)] = (table, [*names, way[-1]] if way[-1] else names, gathered or len(way) > 1)
    # Where there is a set of them, a table outside of it is what others were made from.
    sets = any(gathered for _, _, gathered in found.values())
    named = []
    for table, names, gathered in found.values():
        own = next((v for k, v in table.items() if plain(k) in {"name", "listenername", "jobname"}), None)
        if isinstance(own, str) and own.strip():
            names = [own.strip()]
        if gathered or not sets:
            named.append(Named(names[-1] if names else f"line{table.line}", table))
    return sorted(named, key=lambda one: one.table.line)


def _walk(top: Table, wanted: Any) -> Iterator[tuple[Table, tuple[str, ...]]]:
    """Give every table that is wanted, with the way to it. Values may hold themselves: none is looked into twice."""
    seen: set[int] = set()
    stack: list[tuple[Any, tuple[str, ...]]] = [(top, ())]
    while stack:
        value, way = stack.pop(0)
        if isinstance(value, Table) and value is not top and wanted(value, way):
            yield value, way
        elif id(value) not in seen:
            seen.add(id(value))
            if isinstance(value, Table):
                stack += [(one, (*way, str(key))) for key, one in value.items()]
            elif isinstance(value, list | tuple):
                stack += [(one, (*way, "")) for one in value]


def named_anywhere(top: Table, name: str) -> list[Any]:
    """Give what any table of a file has under a key."""
    return [
        value
        for table, _ in _walk(top, lambda table, way: any(plain(key) == name for key in table))
        for key, value in table.items()
        if plain(key) == name
    ] + [value for key, value in top.items() if plain(key) == name]
