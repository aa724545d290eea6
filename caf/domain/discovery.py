"""What a look at the run database changes about one run: merging, settling, judging."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from caf.domain.matching import Listener, Status, Verdict, judge
from caf.domain.runs import NO_END_RECORD, NO_LUMI_RECORD, Correction, Note, Record, Value, complete, has_settled

_OWN = Note(None, True)


@dataclass(frozen=True, slots=True)
class Rules:
    """What runs are judged by: one configuration. `settle` is in ns."""

    configuration_id: int
    listeners: Sequence[Listener]
    corrections: Sequence[Correction]
    settle: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What the run database says of a run, as recorded: without corrections and derived values."""

    values: Mapping[str, Value]
    notes: Mapping[str, Note]
    last_lb_end: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands in the verdict's eyes; `by_person` is never overruled by a duty."""

    status: Status
    listener: str | None
    by_person: bool


@dataclass(frozen=True, slots=True)
class Moments:
    """What settling is reckoned from, all in ns: caf's clock, the replica's, and this run's own history."""

    now: int
    replica_time: int
    first_seen: int
    last_change: int | None


def merge(known: Seen, read: Seen) -> Seen:
    """Lay a new reading over what is known: a known value never becomes null again, nor a final one provisional.

    So an older copy of the run database, in which the end of a run or its own record of a folder is still missing,
    takes nothing away.
    """
    values = dict(known.values)
    notes = dict(known.notes)
    for attribute, value in read.values.items():
        if values.get(attribute) is not None and (value is None or _less_sure(attribute, known, read)):
            continue
        values[attribute] = value
        notes.pop(attribute, None)
        if attribute in read.notes:
            notes[attribute] = read.notes[attribute]
    was, now = known.values.get("error_bits"), read.values.get("error_bits")
    if isinstance(was, int) and isinstance(now, int):
        values["error_bits"] = now & (was | ~(NO_END_RECORD | NO_LUMI_RECORD))  # a record that was there is not missing
    ends = [end for end in (known.last_lb_end, read.last_lb_end) if end is not None]
    return Seen(values, notes, max(ends, default=None))


def _less_sure(attribute: str, known: Seen, read: Seen) -> bool:
    """Tell whether a value is provisional in a reading and was not in what is known."""
    return attribute in read.notes and not read.notes[attribute].final and known.notes.get(attribute, _OWN).final


def record_of(seen: Seen, rules: Rules, moments: Moments) -> Record:
    """Give the run as it is judged now: settled or not, corrected, completed."""
    times = [seen.values.get("start"), seen.values.get("end"), seen.last_lb_end, moments.last_change]
    known = [time for time in times if isinstance(time, int)] or [moments.first_seen]
    settled = has_settled(moments.now, moments.replica_time, known, rules.settle)
    return complete(
        seen.values, seen.notes, last_lb_end=seen.last_lb_end, settled=settled, corrections=rules.corrections
    )


def reconsider(seen: Seen, rules: Rules, moments: Moments) -> tuple[Record, Verdict]:
    """Judge a run by what is known of it now."""
    record = record_of(seen, rules, moments)
    return record, judge(rules.listeners, record)


def standing_after(before: Standing | None, verdict: Verdict) -> Standing:
    """Give where a run stands after a verdict: what a person decided stays."""
    if before is not None and before.by_person:
        return before
    return Standing(verdict.status, verdict.listener, False)
