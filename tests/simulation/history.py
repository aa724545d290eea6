"""What happens to the runs of a world, record by record, and what a source says of them at any moment.

Everything follows from a seed. Records come late, in any order, or never; some are replaced by others.
"""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caf.sources import snapshot

SECOND = 10**9
HOUR = 3600
DAY = 24 * HOUR
BEGIN = 1_700_000_000  # s
FIRST = 490_000
SPAN = 12 * DAY
KINDS = 16

TYPES = ("scan", "scan", "scan", "LarRampL1", "crash", "", "cosmic", "pedestal", "mono", "physics", "physics")
TAGS = ("Energy", "Energy", "Energy", "Gain", "Bad")
REGIMES = ("Calib1", "Calib1", "Calib1", "Calib1", "Calib1", "Odd")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """A record of a run that stands in the run database from `at` (s) on."""

    at: int
    run: int
    kind: str  # start, end, counters, stored, trigger, lumi
    record: Row = field(compare=False)


def _late(draw: random.Random) -> int:
    """Give a delay in s: mostly none or little, sometimes days."""
    chance = draw.random()
    if chance < 0.7:
        return draw.randint(0, 60)
    if chance < 0.9:
        return draw.randint(60, 2 * HOUR)
    if chance < 0.98:
        return draw.randint(2 * HOUR, DAY)
    return draw.randint(DAY, 5 * DAY)


def events_of(seed: int, runs: int) -> list[Event]:
    """Give all that will ever be recorded of so many runs, in the order in which it comes."""
    draw = random.Random(seed)
    events: list[Event] = []
    number = FIRST
    for position in range(runs):
        number += draw.choice((1, 1, 1, 2, 7))
        start = BEGIN + SPAN * position // runs + draw.randint(0, HOUR)
        events += _of_run(draw, number, start)
    return sorted(events)


def _of_run(draw: random.Random, run: int, start: int) -> Iterator[Event]:
    # Most runs are of a few kinds, as in life; the others are like no other.
    like = random.Random(draw.randrange(KINDS)) if draw.random() < 0.93 else draw
    length = like.choice((60, 300, 900, 5000, 20_000))
    began, ended, counted, tagged = (
        _start_record(like, start),
        _end_record(like, start, length),
        _count(like),
        _trigger(like),
    )
    yield Event(start + _late(draw), run, "start", began)
    if draw.random() < 0.3:
        for block in range(1, draw.randint(1, 3)):
            over = start + length * block // 3
            yield Event(over + draw.randint(0, HOUR), run, "lumi", {"block": block, "end": over * SECOND})
    if draw.random() < 0.95:
        yield Event(start + length + _late(draw), run, "end", ended)
    if draw.random() < 0.95:
        yield Event(start + length + _late(draw), run, "counters", counted)
    if draw.random() < 0.15:
        events = draw.choice((0, 50, 500))
        yield Event(start + length + _late(draw), run, "stored", {"stored_events": events})
    if draw.random() < 0.9:
        yield Event(start + _late(draw), run, "trigger", tagged)
    if draw.random() < 0.01:  # the number is used again, or the record put right
        # A source's word is never taken back by a null, so neither record has one where the other has none.
        second = _start_record(draw, start)
        again = {name: value and (second[name] or value) for name, value in began.items()}
        yield Event(start + 6 * HOUR + _late(draw), run, "start", again)
    if draw.random() < 0.01:
        yield Event(start + length + 6 * DAY, run, "counters", _count(draw))
    if draw.random() < 0.01:
        yield Event(start + length + 6 * DAY, run, "trigger", _trigger(draw))


def _start_record(draw: random.Random, start: int) -> Row:
    return {
        "run_type": draw.choice(TYPES),
        "recorded": draw.choice((0, 1, 1, 1, 1, None)) if draw.random() < 0.2 else 1,
        "start": None if draw.random() < 0.005 else start * SECOND,
        "detector_mask": f"{draw.choice((1, 1 << 100 | 3)):032x}",
        "gain_strategy": draw.choice(("G1", "G1", None)),
        "project_tag": "data24_calib",
    }


def _end_record(draw: random.Random, start: int, length: int) -> Row:
    return {
        "end": None if draw.random() < 0.02 else (start + length) * SECOND,
        "duration": length,
        "clean_stop": draw.choice((0, 1, 1, 1)),
        "lumi_blocks": draw.choice((1, 2, None)),
    }


def _count(draw: random.Random) -> Row:
    events = draw.choice((0, 99, 100, 500, 500, 500))
    partition = draw.choice(("L1CaloCombined", "L1CaloCombined", "TileL1CaloCombined"))
    return {"partition": partition, "l1_events": events, "recorded_events": events}


def _trigger(draw: random.Random) -> Row:
    return {"tag": draw.choice(TAGS), "regime": draw.choice(REGIMES)}


class Source:
    """The run database as it fills: `advance` lets time pass, `snapshot` is a file that says what stands in it."""

    def __init__(self, path: Path, events: list[Event]) -> None:
        self.path = path
        self.events, self._next = events, 0
        self.records: dict[int, dict[str, Row]] = {}
        self._written: dict[int, tuple[Any, ...]] = {}
        snapshot.create(str(path)).close()

    def advance(self, now: int) -> None:
        """Let everything be recorded that comes up to `now` (s), and write what has become different."""
        changed: set[int] = set()
        while self._next < len(self.events) and self.events[self._next].at <= now:
            event = self.events[self._next]
            self._next += 1
            known = self.records.setdefault(event.run, {})
            if event.kind == "lumi" and event.record["block"] < known.get("lumi", event.record)["block"]:
                continue
            known[event.kind] = event.record
            changed.add(event.run)
        rows = []
        tagged = sorted(run for run, known in self.records.items() if "trigger" in known)
        latest, earlier = (tagged[-1] if tagged else 0), 0
        inherited: Row | None = None
        for run in sorted(self.records):
            known = self.records[run]
            if "trigger" in known:
                earlier, inherited = run, known["trigger"]
            if "start" not in known:
                continue
            final = earlier == run or run < latest
            if run in changed or self._written.get(run) != (id(inherited), earlier, final):
                row = reading(run, known, inherited, earlier, final=final)
                self._written[run] = (id(inherited), earlier, final)
                rows.append(row)
        self._write(rows)

    def _write(self, rows: list[tuple[Any, ...]]) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as conn:
            conn.execute("PRAGMA synchronous = OFF")
            conn.execute("BEGIN")
            marks = ", ".join("?" * len(snapshot.NAMES))
            conn.executemany(f"INSERT OR REPLACE INTO run VALUES ({marks})", rows)
            conn.execute("COMMIT")

    @property
    def runs(self) -> list[int]:
        """Give the runs that have started."""
        return [run for run, known in self.records.items() if "start" in known]


def reading(run: int, known: dict[str, Row], tag: Row | None, tagged: int, *, final: bool) -> tuple[Any, ...]:
    """Say what a source says of a run with these records; the trigger's record in force is that of run `tagged`."""
    lumi, ended = known.get("lumi"), known.get("end")
    row: Row = dict.fromkeys(snapshot.NAMES)
    row |= {"run": run, **known["start"], **(ended or {}), **known.get("counters", {}), **known.get("stored", {})}
    if lumi is not None:
        row["last_lb_end"] = lumi["end"]
        row["lumi_blocks"] = row["lumi_blocks"] or lumi["block"]
    row["error_bits"] = (ended is None) + 4 * (lumi is None)
    row["extra"] = '{"regime":null}'
    notes = []
    if ended is None and lumi is not None:
        notes.append('"lumi_blocks":{"final":false}')
    if tag is not None:
        row["tier0_tag"], row["extra"] = tag["tag"], f'{{"regime":"{tag["regime"]}"}}'
        if tagged != run:
            note = f'{{"final":{"true" if final else "false"},"from":{tagged}}}'
            notes += [f'"regime":{note}', f'"tier0_tag":{note}']
    row["notes"] = "{" + ",".join(notes) + "}" if notes else None
    return tuple(row.values())
