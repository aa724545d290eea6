"""What is known of a run: its attributes, under the names that the field uses, and what each may hold.

Inside caf a time is an integer of nanoseconds since 1970 UTC (as COOL stores it), a mask an integer of 128 bits, and
an unknown value None. Outside (JSON, messages) times are ISO 8601 and masks are hexadecimal text.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

Value = str | int | float | bool | None

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000_000  # ns


class Kind(StrEnum):
    """What sort of value an attribute has."""

    TEXT = "text"
    INTEGER = "integer"
    FLAG = "flag"
    TIME = "time"
    MASK = "mask"
    ANY = "any"  # an attribute that a configuration added: its type is the folder's


RECORDED_ATTRIBUTES: Mapping[str, Kind] = {
    "run": Kind.INTEGER,
    "run_type": Kind.TEXT,
    "partition": Kind.TEXT,
    "daq_configuration": Kind.TEXT,
    "detector_mask": Kind.MASK,
    "project_tag": Kind.TEXT,
    "recorded": Kind.FLAG,
    "start": Kind.TIME,
    "end": Kind.TIME,
    "duration": Kind.INTEGER,
    "clean_stop": Kind.FLAG,
    "lumi_blocks": Kind.INTEGER,
    "l1_events": Kind.INTEGER,
    "l2_events": Kind.INTEGER,
    "ef_events": Kind.INTEGER,
    "recorded_events": Kind.INTEGER,
    "stored_events": Kind.INTEGER,
    "tier0_tag": Kind.TEXT,
    "gain_strategy": Kind.TEXT,
    "data_source": Kind.TEXT,
    "error_bits": Kind.INTEGER,
}
"""What a source reads, in the order in which it is shown."""

DERIVED_ATTRIBUTES: Mapping[str, Kind] = {"events": Kind.INTEGER, "has_events": Kind.FLAG}
"""What caf computes from it."""

ATTRIBUTES: Mapping[str, Kind] = {**RECORDED_ATTRIBUTES, **DERIVED_ATTRIBUTES}

COUNTERS = ("l1_events", "l2_events", "ef_events", "recorded_events", "stored_events")

NO_END_RECORD = 1 << 0
NO_LUMI_RECORD = 1 << 2
END_PATCHED = 1 << 4


@dataclass(frozen=True, slots=True)
class Correction:
    """Where the run database is known to be wrong: values that hold for ranges of runs instead, with the reason."""

    runs: tuple[tuple[int, int], ...]
    values: Mapping[str, Value]
    reason: str

    def covers(self, run: int) -> bool:
        """Tell whether the correction is meant for this run."""
        return any(first <= run <= last for first, last in self.runs)


@dataclass(frozen=True, slots=True)
class Note:
    """What a source says about where a value comes from.

    `inherited_from` is the run whose record it really is; a value that is not `final` may still be replaced and
    decides nothing before the run has settled.
    """

    inherited_from: int | None = None
    final: bool = True


@dataclass(frozen=True, slots=True)
class Record:
    """A run as it is judged and shown: its values, what is provisional in them, and what was corrected."""

    values: Mapping[str, Value]
    notes: Mapping[str, Note]
    corrected: Mapping[str, str]
    settled: bool

    def provisional(self, attribute: str) -> bool:
        """Tell whether the attribute's value may still be replaced by the run database."""
        if self.settled or attribute in self.corrected:
            return False
        note = self.notes.get(attribute)
        return note is not None and not note.final


def has_settled(now: int, replica_time: int, moments: Iterable[int | None], settle: int) -> bool:
    """Tell whether a run's record is taken as it is, null values included.

    All in ns. `moments` are the run's start, its end or last lumi block, and the last change that caf itself saw
    after its first look; `replica_time` is when the replica was last written. A dead copy therefore settles nothing.
    """
    known = [moment for moment in moments if moment is not None]
    if not known:
        return False
    due = max(known) + settle
    return now > due and replica_time > due


def complete(
    recorded: Mapping[str, Value],
    notes: Mapping[str, Note],
    *,
    last_lb_end: int | None,
    settled: bool,
    corrections: Iterable[Correction] = (),
) -> Record:
    """Add to what a source recorded the corrections, the patched end (of a settled run only) and the derived values.

    A run still going has lumi blocks too, so its last one says nothing about the end before the run has settled.
    """
    values = dict(recorded)
    corrected: dict[str, str] = {}
    run = values["run"]
    if settled and values.get("end") is None and last_lb_end is not None:
        values["end"] = last_lb_end
        start, bits = values.get("start"), values.get("error_bits")
        if isinstance(start, int) and values.get("duration") is None:
            values["duration"] = (last_lb_end - start + SECOND // 2) // SECOND
        values["error_bits"] = (bits if isinstance(bits, int) else 0) | END_PATCHED
    for correction in corrections:
        if isinstance(run, int) and correction.covers(run):
            values.update(correction.values)
            corrected.update(dict.fromkeys(correction.values, correction.reason))
    for attribute, value in _derived(values).items():
        if attribute not in corrected:
            values[attribute] = value
    notes = dict(notes)
    if not settled and values.get("end") is None:
        notes["error_bits"] = Note(final=False)
    return Record(values, notes, corrected, settled)


def _derived(values: Mapping[str, Value]) -> dict[str, Value]:
    """Give `events` (stored, or recorded where stored is unknown or 0) and `has_events`."""
    stored, recorded = values.get("stored_events"), values.get("recorded_events")
    known = [count for name in COUNTERS if isinstance(count := values.get(name), int)]
    return {
        "events": stored if stored or recorded is None else recorded,
        "has_events": any(count > 0 for count in known) if known else None,
    }


def to_json(attribute: str, value: Value) -> Value:
    """Give a value as it is shown to people and programs."""
    if value is None:
        return None
    kind = ATTRIBUTES.get(attribute, Kind.ANY)
    if kind is Kind.TIME and isinstance(value, int):
        return iso_time(value)
    if kind is Kind.MASK and isinstance(value, int):
        return f"0x{value:032x}"
    return value


def iso_time(ns: int) -> str:
    """Give a time in ns as ISO 8601 with microseconds and Z; one beyond the calendar as its number."""
    try:
        moment = EPOCH + timedelta(microseconds=ns // 1000)
    except OverflowError:
        return str(ns)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def parse_time(text: str) -> int:
    """Read an ISO 8601 time (UTC where it names no zone) as ns since 1970. ValueError if it is none."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds * 1000


def parse_ranges(text: str) -> tuple[tuple[int, int], ...]:
    """Read "219978-219980,220013" as ranges of runs, both ends included. ValueError if it is none."""
    ranges = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.strip().isdecimal() or (dash and not last.strip().isdecimal()):
            raise ValueError(f"{part.strip()!r} is not a run or a range of runs such as 490001-490100")
        low, high = int(first), int(last) if dash else int(first)
        if low > high:
            raise ValueError(f"{part.strip()!r} ends before it begins")
        ranges.append((low, high))
    return tuple(ranges)
