"""One world of jobs: a misbehaving batch system, nodes, people, and supervisors that are killed."""

import asyncio
import os
import random
import re
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from caf.batch.interface import Submission
from caf.config import load
from caf.domain.discovery import Rules
from caf.domain.errors import CafError, Refused
from caf.domain.jobs import Word
from caf.domain.runs import SECOND
from caf.storage.work import mark_work
from caf.store import answers, configurations, jobs
from caf.store.database import connect, database_id
from caf.tasks import organise
from tests.simulation.lives import Files, Killed, Life
from tests.simulation.misbehaving_batch import BatchServer, MisbehavingBatch
from tests.simulation.nodes import HOUR, MINUTE, Nodes
from tests.simulation.promises import FINAL, OUT, Promises
from tests.store.feeding import DAY, SCAN, absorb, make_jobs, scanned

NOW = 1_800_000_000.0
PER_RUN = ("Fit", "Ramp")
IN_MEMORY = "/dev/shm"  # a third of the time, where there is such a place

CONFIGURATION = """
[source]
replicas = ["cool/*.db"]
[listeners.Scan]
raw = ["raw/{run}/*"]
[listeners.Scan.match]
run_type = "scan"
[jobs.Fit]
listeners = ["Scan"]
templates = ["payload.sh"]
command = ["config/payload.sh"]
success = { log_has = ["good"], outputs = ["root/out"] }
[jobs.Ramp]
listeners = ["Scan"]
templates = ["payload.sh"]
command = ["config/payload.sh"]
success = { log_has = ["good"], outputs = ["root/out"] }
[batch]
slots = 60
"""

PAYLOAD = """#!/bin/sh
echo started >>root/started
echo out >root/out
echo good
"""


@dataclass
class Figures:
    """What happened in a world."""

    jobs: int = 0
    attempts: int = 0
    payloads: int = 0
    real: int = 0
    rounds: int = 0
    kills: int = 0
    words: int = 0
    answers: int = 0
    doubts: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def add(self, other: "Figures") -> None:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


class Simulation:
    """A folder, a clock, and all that plays in it."""

    def __init__(self, folder: Path, seed: int, count: int) -> None:
        self.folder, self.seed, self.draw, self.now = folder, seed, random.Random(seed), NOW
        self.wrong_by = 0.0  # s by which the supervisor's own clock is wrong
        self.healthy = False
        self.figures = Figures(jobs=count)
        self._make(count)
        self.nodes = Nodes(self.draw, lambda: self.now, lambda process: self.server.ended(process))
        self.server = BatchServer(self.draw, lambda: self.now, self.nodes, self.figures.faults)
        self.promises = Promises(folder / "state" / "caf.db", self.nodes, self.server)
        self.files = Files(self.draw, self.pause, self.figures.faults, self.nodes.as_seen)
        self.batch = MisbehavingBatch(self.server, self.pause, self.begun)
        self.life = Life(self.configuration, self.batch, self.files, lambda: self.now + self.wrong_by)

    def _make(self, count: int) -> None:
        for name in ("cool", "templates", "state", "work"):
            (self.folder / name).mkdir()
        (self.folder / "listeners.toml").write_text(CONFIGURATION)
        payload = self.folder / "templates" / "payload.sh"
        payload.write_text(PAYLOAD)
        payload.chmod(0o755)
        runs = range(490_001, 490_001 + count // len(PER_RUN))
        for run in runs:
            (self.folder / "raw" / str(run)).mkdir(parents=True)
            (self.folder / "raw" / str(run) / "events.RAW").touch()
        c = self.configuration = load(self.folder / "listeners.toml")
        with closing(connect(self.folder / "state" / "caf.db", create=True)) as conn:
            conn.execute("PRAGMA synchronous = OFF")
            number = configurations.keep(conn, c.text, c.sha256, str(c.path), NOW)
            rules = Rules(number, (SCAN,), (), int(DAY * SECOND))
            absorb(conn, rules, self.folder, [scanned(run) for run in runs], NOW)
            assert make_jobs(conn, number, PER_RUN, NOW) == count
            mark_work(str(c.caf.work), database_id(conn), 0)

    def begun(self, submission: Submission) -> None:
        self.figures.attempts += 1
        self.promises.begun(submission)

    # Time.

    def pause(self, seconds: float) -> None:
        """Let time pass while the supervisor does something; it may be killed, and people may type."""
        self.advance(self.now + seconds * self.draw.choice((0.1, 1.0, 1.0)))
        if not self.healthy and self.draw.random() < 0.002:
            self.person()
        self.life.fate.step()

    def advance(self, until: float) -> None:
        """Let the world come to a moment."""
        while True:
            node, server = self.nodes.next_due(), self.server.next_due()
            due = min(time for time in (node, server, float("inf")) if time is not None)
            if due > until:
                break
            self.now = max(self.now, due)
            if node is not None and node <= due:
                self.nodes.step()
            else:
                self.server.step()
        self.now = max(self.now, until)

    # People.

    def person(self) -> None:
        """Have a person say something of a job."""
        draw = self.draw
        run, job = 490_001 + draw.randrange(self.figures.jobs // len(PER_RUN)), draw.choice(PER_RUN)
        with closing(connect(self.life.path)) as conn:
            row = jobs.find(conn, run, job)
            if draw.random() < 0.2:
                self._by_hand(row)
                return
            if row["unknown_since"] is not None:
                self._answer(conn, row)
                return
            word = draw.choice((Word.RESET, Word.RESET, Word.HOLD, Word.START, Word.START, Word.KILL))
            try:
                jobs.act(conn, run, job, word, self.now, "ann")
            except Refused:
                return
        self.promises.words[f"{run}_{job}"] = word.value
        self.figures.words += 1

    def _answer(self, conn: sqlite3.Connection, row: sqlite3.Row) -> None:
        """Somebody has gone and looked whether an attempt that is in doubt is still there."""
        truth = self.nodes.attempts.get(row["token"])
        with suppress(Refused):
            if truth is not None and truth.going:
                answers.adopt(conn, row["run"], row["job"], None, self.now, "ann")
            else:
                answers.lost(conn, row["run"], row["job"], self.now, "ann", "looked at the node")
            self.figures.answers += 1

    def _by_hand(self, row: sqlite3.Row) -> None:
        """Somebody who waits for a job hands its script over again."""
        script = self.configuration.caf.work / f"{row['run']}_{row['job']}" / str(row["attempt"]) / "caf.sh"
        if row["token"] is not None and script.exists():
            self.figures.faults["handed over again by hand"] += 1
            self.server.accept(Submission(row["token"], str(script)))

    # Rounds.

    async def live(self) -> None:
        """Go on until everything has come to its end, first in a bad world and then in a good one."""
        await self.life.begin()
        usual = 200
        end = self.now + self.draw.choice((8, 16, 30)) * HOUR
        while self.now < end and not self.promises.broken:
            dies = self.draw.random() < 0.3
            self.life.fate.left = self.draw.randrange(usual + usual // 5) if dies else None
            self._disturb()
            before = self.life.fate.count
            await self.round()
            if not dies:
                usual = max(self.life.fate.count - before, 10)
            self.advance(self.now + self.draw.choice((1.0, 10.0, MINUTE, 2 * MINUTE, 10 * MINUTE, 20 * MINUTE)))
        await self.recover()
        await self.life.end()

    def _disturb(self) -> None:
        draw = self.draw
        self.server.requeue_something()
        if draw.random() < (0.1 if self.files.raw_away else 0.02):
            self.files.raw_away = not self.files.raw_away
            self.figures.faults["raw files away"] += self.files.raw_away
        if draw.random() < 0.02:
            self.wrong_by = draw.choice((0.0, 0.0, 5 * HOUR, -2 * HOUR, 30.0))
            self.figures.faults["clock set"] += 1
        if draw.random() < 0.1:
            self.person()

    async def round(self) -> None:
        """Do one round; a supervisor that dies in it is followed by another."""
        self.figures.rounds += 1
        house = self.life.house
        house.steady, house.just_ended = lambda: ("boot", self.now - NOW), self.server.take_ended
        try:
            if not self.healthy and self.draw.random() < 0.3:
                await organise.run_quick(house)
            else:
                await organise.run_once(house)
        except CafError as trouble:
            if "fault in caf" in str(trouble):
                self.promises.broken.append(str(trouble))
        except Killed:
            self.figures.kills += 1
            await self.life.end()
            await self.life.begin()
        self.life.fate.left = None
        self.promises.broken += self.life.broken
        self.life.broken.clear()
        self.promises.look()

    async def recover(self) -> None:
        """Let the world be good again, and caf finish."""
        silent = self.seed % 5 == 4
        self.wrong_by, self.files.raw_away = 0.0, False
        self.healthy = self.nodes.healthy = self.server.healthy = self.files.healthy = True
        self.server.silent_until = float("inf") if silent else 0.0
        rows = await self._settle()
        if not self.promises.broken:
            self.figures.doubts = self.promises.end(rows, silent=silent)["in doubt"]
            with closing(connect(self.life.path)) as conn:
                for row in rows:
                    if row["unknown_since"] is not None:
                        self._answer(conn, jobs.find(conn, row["run"], row["job"]))
            self.server.silent_until = 0.0
            rows = await self._settle()
        if not self.promises.broken:
            ends = self.promises.end(rows)
            self.figures.ends.update(ends)
            if ends["in doubt"]:
                self.promises.broken.append(f"after all were answered {ends['in doubt']} jobs are in doubt")
        figures = self.figures
        figures.payloads = sum(attempt.starts for attempt in self.nodes.attempts.values())
        figures.real = self.nodes.real_starts
        figures.broken = [self.story(what) for what in self.promises.broken[:3]]

    async def _settle(self) -> list[dict[str, Any]]:
        """Do rounds until nothing comes any more."""
        rows: list[dict[str, Any]] = []
        quiet = 0
        for _ in range(400):
            if self.promises.broken:
                break
            before = [(row["state"], row["attempt"]) for row in rows]
            await self.round()
            rows = self.rows()
            still = before == [(row["state"], row["attempt"]) for row in rows]
            still = still and self.nodes.next_due() is None and self.server.next_due() is None
            quiet = quiet + 1 if still else 0
            silent = self.server.silent_until > self.now
            busy = [] if silent else [row for row in rows if row["state"] not in FINAL | OUT | {"WAITING"}]
            if quiet >= 8 and not busy:
                break
            self.advance(self.now + 10 * MINUTE)
        return rows

    def story(self, what: str) -> str:
        """Tell of a broken promise all that is known of its job."""
        told = [what[:2000]]
        if (found := re.search(r"(\d{6})_(\w+)", what)) is not None:
            with closing(sqlite3.connect(self.life.path)) as conn:
                rows = conn.execute(
                    "SELECT at - ?, who, attempt, was, became, why FROM audit WHERE run = ? AND job = ?",
                    (NOW, int(found[1]), found[2]),
                )
                told += [f"  {row}" for row in rows]
            attempts = [each for each in self.nodes.attempts.values() if each.job == found[0]]
            for attempt in attempts:
                told += [f"  {attempt}"[:1000]]
                told += [f"    {entry}" for entry in self.server.entries.get(attempt.token, ())]
        return "\n".join(told)

    def rows(self) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.life.path)) as conn:
            conn.row_factory = sqlite3.Row
            return [dict(row) for row in conn.execute("SELECT * FROM job ORDER BY id")]


def live(seed: int, count: int) -> Figures:
    """Live through one world; what is broken stands in its figures."""
    with TemporaryDirectory(dir=IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None) as folder:
        simulation = Simulation(Path(folder), seed, count)
        asyncio.run(simulation.live())
        figures = simulation.figures
        figures.broken = [f"seed {seed}: {what}" for what in figures.broken]
        return figures
