"""settings.py of 2016: SCANS, filtered as Django filters its tables, and ANALYSIS."""

from collections.abc import Iterator
from typing import Any

from caf.legacy import listeners
from caf.legacy.listeners import Translation
from caf.legacy.tables import Named, plain
from caf.legacy.values import Table, Unread, brief, texts, truth, whole, word_set

_ATTRIBUTES = {
    "runtype": "run_type",
    "partition": "partition",
    "partname": "partition",
    "daqpartition": "partition",
    "tierzerotag": "tier0_tag",
    "tier0tag": "tier0_tag",
    "gainstrategy": "gain_strategy",
    "filetag": "project_tag",
    "projecttag": "project_tag",
    "tag": "project_tag",
    "events": "events",
    "storedevents": "stored_events",
    "recevents": "recorded_events",
    "run": "run",
    "runnumber": "run",
}
_FLAGS = {"recorded": "recorded", "reconly": "recorded", "cleanstop": "clean_stop"}
_GATHERS = word_set("filter filters query conditions criteria selection")
_EXCLUDES = frozenset(["exclude", "excludes", "not", "nottierzerotag"])
_PATHS = word_set("path paths datapath datapaths rawpath rawpaths fileslocations")
_SAME = frozenset(["gte", "gt"])  # gt was in fact "or equal"


def is_scan(named: Named) -> bool:
    """Tell a scan of 2016 from a listener: it names comparisons, or does not use the older names."""
    keys = [plain(key) for key in named.table]
    older = {"daqpartition", "initialrun", "minevents", "stoptimestamp", "hasevents", "reconly", "nottierzerotag"}
    return any("__" in str(key) for key in named.table) or not older & set(keys)


def translate(named: Named) -> Translation:
    """Translate one scan: an attribute without a comparison had to be equal."""
    found = Translation(named)
    for table, key, value, negated in _filters(named.table, negated=False):
        found.table = table  # for the line of what is refused
        if not isinstance(value, Unread):
            _condition(found, key, value, negated)
    found.table = named.table
    return found


def _filters(table: Table, *, negated: bool) -> Iterator[tuple[Table, Any, Any, bool]]:
    for key, value in table.items():
        name = plain(key)
        if isinstance(value, Table) and name in _GATHERS | _EXCLUDES:
            yield from _filters(value, negated=negated or name in _EXCLUDES)
        else:
            yield table, key, value, negated


def _condition(found: Translation, key: Any, value: Any, negated: bool) -> None:
    name, _, comparison = str(key).partition("__")
    name, comparison = plain(name), comparison.lower() or "exact"
    if name in listeners.IGNORED:
        return
    if name in _PATHS and not negated:
        _paths(found, key, value)
    elif name in _FLAGS and comparison == "exact" and (asked := truth(value)) is not None:
        found.match.add(_FLAGS[name], asked is not negated)
    elif name in {"detmask", "detectormask"} and comparison == "exact" and whole(value) and not negated:
        found.match.add("detector_mask", {"bits": f"0x{whole(value):x}"}, "all of these bits")
    elif name == "initialrun" and (number := whole(value)) is not None:
        found.section.add("first_run", number + 1, f"initialrun {number} was itself left out")
    elif name == "nottierzerotag" and (words := texts(value)):
        found.match.add("tier0_tag", {"not_in": words})
    elif name not in _ATTRIBUTES or not _compared(found, _ATTRIBUTES[name], comparison, value, negated):
        found.refuse(key, f"{'not ' if negated else ''}{key} = {brief(value)} is not known")


def _paths(found: Translation, key: Any, value: Any) -> None:
    from caf.legacy.paths import raw_glob

    globs = []
    for path in texts(value) or []:
        pattern, why = raw_glob(path)
        if why:
            found.refuse(key, why)
        if pattern:
            globs.append(pattern)
    if globs:
        found.section.add("raw", globs)


def _compared(found: Translation, attribute: str, comparison: str, value: Any, negated: bool) -> bool:
    """Add a condition; False where there is none like it."""
    words, number = texts(value), whole(value)
    if attribute in {"run", "events", "stored_events", "recorded_events"}:
        return not negated and number is not None and _number(found, attribute, comparison, number)
    if not words:
        return value in ("", None, [], ())
    if comparison in {"exact", "in"} and (len(words) == 1 or not isinstance(value, str)):
        if negated:
            found.match.add(attribute, {"not_in": words})
        else:
            found.match.add(attribute, words[0] if len(words) == 1 else words)
        return True
    if comparison in {"contains", "icontains"} and len(words) == 1 and not negated:
        said = "case counted in the old one, and does not here" if comparison == "contains" else ""
        found.match.add(attribute, {"contains": words[0]}, said)
        return True
    return False


def _number(found: Translation, attribute: str, comparison: str, number: int) -> bool:
    if comparison in _SAME:
        said = "__gt was in fact `or equal`" if comparison == "gt" else ""
        if attribute == "run":
            found.section.add("first_run", number, said)
        else:
            found.match.add(attribute, {"at_least": number}, said)
    elif comparison in {"lte", "lt"}:
        found.match.add(attribute, {"at_most": number - (comparison == "lt")})
    elif comparison == "exact":
        found.match.add(attribute, number)
    else:
        return False
    return True
