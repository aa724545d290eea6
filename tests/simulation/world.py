"""One world, and the store that follows it in the rounds of a discover duty, until everything has settled."""

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from caf.domain.discovery import Rules
from caf.store import configurations, discovery
from caf.store.database import connect
from caf.store.newcomers import Bulk
from tests.simulation.history import BEGIN, DAY, HOUR, SECOND, SPAN, Source, events_of
from tests.simulation.oracle import LISTENERS, Verdict, verdicts
from tests.simulation.watch import Provisional, begin_round, differing, faults, watch

SETTLE = DAY
END = BEGIN + SPAN + 15 * DAY
COPIES = 4  # older copies of the replica that may come back


class Simulation:
    """One world, and the store that follows it as the discover duty would."""

    def __init__(self, folder: Path, seed: int, runs: int) -> None:
        self.folder, self.seed = folder, seed
        self.draw = random.Random(seed + 1_000_000)
        self.source = Source(folder / "source.db", events_of(seed, runs))
        self.provisional = Provisional(LISTENERS)
        self.copies: list[tuple[Path, int]] = []
        self.replica_time = self.latest = 0
        self.rounds: list[str] = []
        self.past: list[tuple[Any, ...]] = []
        self.conn = self._open(create=True)

    def _open(self, *, create: bool = False) -> sqlite3.Connection:
        conn = connect(self.folder / "caf.db", create=create)
        conn.execute("PRAGMA synchronous = OFF")  # nothing here is about losing power
        number = configurations.keep(conn, "x", "x", "listeners.toml", BEGIN)
        self.rules = Rules(number, LISTENERS, (), SETTLE * SECOND)
        watch(conn)
        return conn

    def restart(self, *, killed: bool) -> None:
        """Be another process; the one before ended in order, or in the middle of a transaction."""
        self.past += [tuple(row) for row in self.conn.execute("SELECT * FROM temp.past")]
        if killed:
            self.conn.execute("BEGIN IMMEDIATE")
            self.conn.execute(
                "UPDATE run SET status = 'UNCLAIMED', listener = NULL, needs_validation = NULL, jobs_due = 0"
            )
            self.conn.execute("INSERT INTO run_count VALUES ('half done', 1)")
        self.conn.close()
        self.conn = self._open()

    def round(self, now: int) -> None:
        """Let the world come to `now` (s), and do one round of the duty in one of the ways that rounds go."""
        draw = self.draw
        begin_round(self.conn, len(self.rounds))
        self.source.advance(now)
        file: Path | None = self.source.path
        written, how = now - draw.choice((0, 0, 60, 3 * HOUR)), "read"
        chance = draw.random()
        if chance < 0.15 and self.copies:
            file, written = draw.choice(self.copies)
            how = "an older copy"
            if draw.random() < 0.3:
                written, how = now, "an older copy, copied anew"
        elif chance < 0.25:
            file, how = None, "unchanged"
        pages = draw.randint(0, 3) if draw.random() < 0.1 else None
        self.rounds.append(
            f"{now}: {how}, written {written}" + ("" if pages is None else f", ended after {pages} pages")
        )
        whole = file is not None and self.absorb(file, now, written, pages)
        if pages is not None:
            self.restart(killed=draw.random() < 0.5)
        else:
            self.look_again(now)
        due = None if pages is not None else (min(now, self.replica_time) - SETTLE) * SECOND
        self.check(str(file) if whole else None, due)
        if draw.random() < 0.25 and how == "read":
            self.keep_copy(now)

    def absorb(self, file: Path, now: int, written: int, pages: int | None = None) -> bool:
        """Take over what the file says, or only its first pages; tells whether it was the whole."""
        self.latest = max(self.latest, written)
        discovery.attach(self.conn, str(file))
        bulk, size, after, done = Bulk(), self.draw.choice((100, 1000, 10_000)), -1, 0
        last: int | None = after
        try:
            while last is not None:
                if done == pages:
                    return False
                last = discovery.absorb(self.conn, self.rules, last, size, float(now), written * SECOND, bulk).last
                done += 1
        finally:
            discovery.detach(self.conn)
        self.replica_time = written
        return True

    def look_again(self, now: int) -> None:
        after: int | None = -1
        size = self.draw.choice((20, 1000))
        while after is not None:
            page = discovery.look_again(self.conn, self.rules, after, size, float(now), self.replica_time * SECOND)
            after = page.last

    def keep_copy(self, now: int) -> None:
        path = self.folder / f"copy{len(self.rounds)}.db"
        shutil.copy(self.source.path, path)
        self.copies.append((path, now))
        if len(self.copies) > COPIES:
            self.copies.pop(self.draw.randrange(COPIES))[0].unlink()

    def check(self, whole: str | None, due: int | None) -> None:
        found = faults(self.conn, self.provisional, whole, (self.latest - SETTLE) * SECOND, due)
        if found:
            self.fail(*found[0])

    def settle(self) -> dict[int, Verdict]:
        """Let everything come to its end, and give the verdicts."""
        begin_round(self.conn, len(self.rounds))
        self.source.advance(END)
        self.rounds.append(f"{END}: all there will ever be")
        self.absorb(self.source.path, END, END)
        self.look_again(END)
        later = END + SETTLE + 1
        begin_round(self.conn, len(self.rounds))
        self.rounds.append(f"{later}: all has settled")
        self.replica_time = self.latest = later
        self.look_again(later)
        self.check(str(self.source.path), (later - SETTLE) * SECOND)
        for run in differing(self.conn, str(self.source.path)):
            self.fail(run, "is not known just as it was recorded")
        return standing(self.conn)

    def single_look(self) -> dict[int, Verdict]:
        """Give the verdicts of caf's own one look at the final state, in an empty database."""
        with closing(connect(self.folder / "single.db", create=True)) as conn:
            number = configurations.keep(conn, "x", "x", "listeners.toml", END)
            rules = Rules(number, LISTENERS, (), SETTLE * SECOND)
            discovery.attach(conn, str(self.source.path))
            later = END + SETTLE + 1
            assert discovery.absorb(conn, rules, -1, 10**6, float(later), later * SECOND).last is None
            discovery.detach(conn)
            # A run without any time is reckoned from when it was first seen.
            discovery.look_again(conn, rules, -1, 10**6, later + SETTLE + 1.0, (later + SETTLE + 1) * SECOND)
            return standing(conn)

    def compare(self, got: dict[int, Verdict], expected: dict[int, Verdict], whose: str) -> None:
        for run in sorted(expected.keys() | got.keys()):
            if got.get(run) != expected.get(run):
                self.fail(run, f"is {got.get(run)}, and {whose} says {expected.get(run)}")

    def fail(self, run: int | None, what: str) -> None:
        """Tell all that is needed to understand a failure."""
        told = [f"seed {self.seed}, run {run}: {what}"]
        told += [f"  record {kind}: {record}" for kind, record in self.source.records.get(run or 0, {}).items()]
        told += [f"  came {event}" for event in self.source.events if event.run == run]
        self.past += [tuple(row) for row in self.conn.execute("SELECT * FROM temp.past")]
        told += [f"  became {row[2:]} in round {row[0]} ({self.rounds[row[0]]})" for row in self.past if row[1] == run]
        raise AssertionError("\n".join(told))


def standing(conn: sqlite3.Connection) -> dict[int, Verdict]:
    return {
        row[0]: (row[1], row[2], row[3])
        for row in conn.execute("SELECT run, status, listener, needs_validation FROM run")
    }


def follow(seed: int, runs: int) -> str | None:
    """Follow a world through all its rounds; gives what went wrong, with the run's whole history."""
    with TemporaryDirectory() as folder:
        simulation = Simulation(Path(folder), seed, runs)
        draw = simulation.draw
        looks = 25 if seed % 5 == 4 else draw.randint(3, 9)
        try:
            for now in sorted(draw.randint(BEGIN, BEGIN + SPAN + 8 * DAY) for _ in range(looks)):
                simulation.round(now)
            got = simulation.settle()
            expected = verdicts(simulation.source.records)
            assert len(expected) == runs
            simulation.compare(got, expected, "the oracle")
            simulation.compare(got, simulation.single_look(), "a single look")
        except AssertionError as failure:
            return f"seed {seed}: {failure}"
        finally:
            simulation.conn.close()
    return None
