"""A listener's dictionary as a table of listeners.toml, condition by condition."""

from collections.abc import Callable, Mapping
from typing import Any

from caf.legacy.names import usable
from caf.legacy.paths import raw_glob
from caf.legacy.tables import LISTENER_KEYS, Named, plain
from caf.legacy.toml import Entry, Section
from caf.legacy.values import LOST, Problem, Table, Unread, brief, texts, truth, whole, word_set

IGNORED = word_set("name listenername listener database dbname cooldb description comment title id")
"""Keys that say nothing about which runs are taken."""

_OFF = frozenset(["enabled", "active"])


class Translation:
    """One listener on its way: the table, its conditions, and what could not be translated."""

    def __init__(self, named: Named) -> None:
        self.table: Table = named.table
        self.old_name = named.name
        self.name, changed = usable(named.name)
        self.section = Section(f"listeners.{self.name}")
        self.match = Section(f"listeners.{self.name}.match")
        self.problems: list[Problem] = []
        self.complete = True
        self.section.remarks.append(f"{named.name}, from {self.table.file}:{self.table.line}.")
        if changed:
            self.tell(None, f"the name {brief(named.name)} is not usable any more: {self.name} now")

    def tell(self, key: Any, what: str) -> None:
        """Note what a person must look at."""
        line = self.table.line if key is None else self.table.line_of(key)
        self.problems.append(Problem(self.table.file, line, f"listener {self.name}: {what}"))

    def refuse(self, key: Any, what: str) -> None:
        """Note a condition that may be lost. Without it too many runs would be taken, so none is for now."""
        self.tell(key, what)
        self.complete = False

    def whole(self) -> "Translation":
        """Give it back, not enabled where a condition is missing."""
        if not self.complete:
            self.section.entries.insert(0, Entry("enabled", False, "a condition is missing: see the top of the file"))
        return self

    def remark(self, text: str) -> None:
        """Say something above the table."""
        self.section.remarks.append(text)

    def get(self, name: str) -> tuple[Any, Any]:
        """Give the key as it is written, and its value; None twice where it is not there."""
        for key, value in self.table.items():
            if plain(key) == name:
                return key, value
        return None, None

    def words(self, name: str) -> list[str]:
        """Give a key's text or texts; anything else is refused."""
        key, value = self.get(name)
        found = texts(value)
        if found is None:
            if not isinstance(value, Unread):
                self.refuse(key, f"{key} = {brief(value)} is neither a text nor a list of texts")
            return []
        return found


def translate(named: Named) -> Translation:
    """Translate one listener of 2009 to 2015: all that is empty or zero required nothing."""
    found = Translation(named)
    for key, value in named.table.items():
        name = plain(key)
        if isinstance(value, Unread) and (name in LISTENER_KEYS or key == LOST):
            found.refuse(key, f"{key} is not plain data (line {value.line}): write its condition by hand")
        elif name not in LISTENER_KEYS | IGNORED | _OFF:
            found.refuse(key, f"{key} = {brief(value)} is not known")
    if any(plain(key) in _OFF and truth(value) is False for key, value in named.table.items()):
        found.complete = False
        found.remark("It was not enabled.")
    _first_run(found)
    _least(found)
    _files(found)
    for step in (_run_type, _project_tag, _mask, _partition, _tier0, _strategy, _detector_status, _flags):
        step(found)
    return found.whole()


def _first_run(found: Translation) -> None:
    key, value = found.get("initialrun")
    number = whole(value)
    if number is not None and number >= 0:
        found.section.add("first_run", number + 1, f"initialrun {number} was itself left out")
    elif value and not isinstance(value, Unread):
        found.refuse(key, f"{key} = {brief(value)} is not a run number")


def _least(found: Translation) -> None:
    key, value = found.get("minevents")
    number = whole(value)
    if number is not None and number > 0:
        found.section.add("min_events", number, "fewer, or never counted: taken, but a person must validate")
    elif value and not isinstance(value, Unread):
        found.refuse(key, f"{key} = {brief(value)} is not a number of events")


def _files(found: Translation) -> None:
    key, _ = found.get("fileslocations")
    globs = []
    for path in found.words("fileslocations"):
        pattern, why = raw_glob(path)
        if why:
            found.tell(key, why)
        if pattern:
            globs.append(pattern)
    if globs:
        found.section.add("raw", globs, "tried in order; the names of the files hold the run number")


def _run_type(found: Translation) -> None:
    key, value = found.get("runtype")
    words = found.words("runtype")
    if len(words) > 1:
        found.refuse(
            key, f"{key} = {brief(value)}: a list of run types; caf has {{ contains }} of one, or a list of equal ones"
        )
    elif words:
        found.match.add("run_type", {"contains": words[0]}, "contained, case ignored; better equal: " + words[0])


def _project_tag(found: Translation) -> None:
    key, value = found.get("tag")
    words = found.words("tag")
    if len(words) > 1:
        found.refuse(key, f"{key} = {brief(value)}: caf has {{ contains }} of one text")
    elif words:
        found.match.add("project_tag", {"contains": words[0]}, "case counted in the old one, and does not here")


def _mask(found: Translation) -> None:
    key, value = found.get("detmask")
    bits = whole(value)
    if bits is not None and 0 < bits < 1 << 128:
        found.match.add("detector_mask", {"bits": f"0x{bits:x}"}, "all of these bits")
    elif value and bits != 0 and not isinstance(value, Unread):
        found.refuse(key, f"{key} = {brief(value)} is not a mask of bits")


def _partition(found: Translation) -> None:
    if words := found.words("daqpartition"):
        found.match.add("partition", words)


def _tier0(found: Translation) -> None:
    wanted, unwanted = found.words("tierzerotag"), found.words("nottierzerotag")
    if wanted and unwanted:
        left = [word for word in wanted if word not in unwanted]
        if left:
            found.match.add(
                "tier0_tag", left[0] if len(left) == 1 else left, "tierzerotag without those of NOTtierzerotag"
            )
        else:
            found.refuse(None, "tierzerotag and NOTtierzerotag exclude each other: it never took a run")
    elif wanted:
        found.match.add("tier0_tag", wanted[0] if len(wanted) == 1 else wanted)
    elif unwanted:
        found.match.add("tier0_tag", {"not_in": unwanted}, "a run without a tag passes, as before")


def _strategy(found: Translation) -> None:
    if words := found.words("gainstrategy"):
        found.match.add("gain_strategy", words[0] if len(words) == 1 else words)


def _detector_status(found: Translation) -> None:
    key, value = found.get("detstatus")
    if value is None or isinstance(value, Unread) or value in ("", [], ()):
        return
    words = value.split() if isinstance(value, str) else value
    if isinstance(words, int | float) or (isinstance(words, list) and len(words) == 1 and isinstance(value, str)):
        found.remark(f"{key} = {brief(value)}: one word required nothing of the detector status, so nothing is lost.")
    else:
        found.refuse(key, f"{key} = {brief(value)}: caf has no detector status yet; make it an attribute of the source")


def _flags(found: Translation) -> None:
    adders: Mapping[str, Callable[[], None]] = {
        "reconly": lambda: found.match.add("recorded", value=True),
        "stoptimestamp": lambda: found.match.add("end", {"known": True}),
        "cleanstop": lambda: found.match.add("clean_stop", value=True),
        "hasevents": lambda: found.match.add(
            "has_events", {"not_in": [False]}, "never counted passed too; has_events = true is stricter"
        ),
    }
    for name, add in adders.items():
        key, value = found.get(name)
        asked = truth(value)
        if asked:
            add()
        elif asked is None and not isinstance(value, Unread):
            found.refuse(key, f"{key} = {brief(value)} is neither true nor false")
