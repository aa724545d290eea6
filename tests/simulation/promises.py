"""What must hold of jobs, whatever happens: written from docs/design.md, and told by what really happened."""

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from caf.batch.interface import Submission
from tests.simulation.misbehaving_batch import BatchServer, Phase
from tests.simulation.nodes import Attempt, Nodes

FINAL = {"DONE", "FAILED", "REJECTED", "CANCELLED"}
OUT = {"SUBMITTING", "PENDING", "RUNNING", "CANCELLING"}
GOAL = {"start": "NEW", "reset": "NEW", "hold": "WAITING", "kill": "CANCELLED"}
LEADS_TO = {
    "WAITING": {"NEW", "REJECTED", "CANCELLED"},
    "NEW": {"NEW", "STAGING", "PREPARED", "FAILED", "WAITING", "CANCELLED"},
    "PREPARED": {"SUBMITTING", "NEW", "WAITING", "CANCELLED"},
    "SUBMITTING": {"PENDING", "RUNNING", "FINISHED", "PREPARED", "NEW", "FAILED", "CANCELLING"},
    "PENDING": {"RUNNING", "FINISHED", "NEW", "CANCELLING"},
    "RUNNING": {"PENDING", "FINISHED", "NEW", "CANCELLING"},
    "FINISHED": {"DONE", "FAILED", "NEW", "CANCELLING"},
    "CANCELLING": {"NEW", "WAITING", "CANCELLED", "CANCELLING"},
    "DONE": {"NEW", "WAITING", "CANCELLED"},
    "FAILED": {"NEW", "WAITING", "CANCELLED"},
    "CANCELLED": {"NEW", "WAITING"},
}
INFRASTRUCTURE = {"node", "memory", "walltime", "refused"}
PAYLOADS_OWN = {"exit_code", "log", "outputs"}


class Promises:
    """Watches one database and one world; what is broken is told in `broken`."""

    def __init__(self, path: Path, nodes: Nodes, server: BatchServer) -> None:
        self.path, self.nodes, self.server = path, nodes, server
        self.broken: list[str] = []
        self.words: dict[str, str] = {}  # the last word that a person said of each job
        self._audited = 0
        self._standing: dict[str, tuple[str, int]] = {}

    def begun(self, submission: Submission) -> None:
        """No attempt is begun before all that were before it are proved to be over."""
        area = Path(submission.script).parent
        for number in range(1, int(area.name)):
            before = area.with_name(str(number))
            going = [a for a in self.nodes.attempts.values() if a.area == before and a.going]
            could_start = (before / "caf.sh").exists() and not (before / "claim").is_dir()
            if going or could_start:
                attempt = f"{area.parent.name} attempt {area.name}"
                self.broken.append(f"{attempt} is begun, and attempt {number} is not over: {going}")

    def look(self) -> None:
        """Follow the audit trail, and compare it with what is and with what was."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as conn:
            conn.row_factory = sqlite3.Row
            conn.execute("BEGIN")
            rows = conn.execute("SELECT * FROM audit WHERE id > ? ORDER BY id", (self._audited,)).fetchall()
            jobs = {f"{row['run']}_{row['job']}": row for row in conn.execute("SELECT * FROM job")}
        for row in rows:
            self._audited = row["id"]
            if row["job"] is not None:
                self._follow(f"{row['run']}_{row['job']}", row)
        for name, row in jobs.items():
            if self._standing.get(name) != (row["state"], row["attempt"]):
                self.broken.append(f"{name} is {row['state']}, and its trail says {self._standing.get(name)}")
            self._check_ids(name, row)
        self.broken += self.nodes.broken
        self.nodes.broken.clear()

    def _follow(self, name: str, row: sqlite3.Row) -> None:
        was, became, attempt = row["was"], row["became"], row["attempt"]
        if name not in self._standing:
            if was is not None or attempt != 1:
                self.broken.append(f"{name}: its trail begins with {tuple(row)}")
        else:
            state, number = self._standing[name]
            answered = was == became and state in OUT  # adopt, lost, and that it was contradicted: no change of state
            if was != state or not (answered or became in LEADS_TO[was]) or attempt not in (number, number + 1):
                self.broken.append(f"{name}: after {state} {number} came {tuple(row)}")
            used = state in OUT | FINAL | {"FINISHED"}
            if (attempt > number) is not (used and became in {"NEW", "WAITING", "PREPARED"}):
                self.broken.append(f"{name}: attempt {attempt} after {number}: {tuple(row)}")
        self._standing[name] = (became, attempt)
        if became == "DONE" and (truth := self.truth(name, attempt), truth and truth.outcome)[1] != "good":
            self.broken.append(f"{name} is DONE, and its payload: {truth}")
        if became in {"NEW", "WAITING", "CANCELLED"} and was == "CANCELLING":
            truth = self.truth(name, row["attempt"] - (became != "CANCELLED"))
            if truth is not None and truth.going:
                self.broken.append(f"{name} left CANCELLING, and its payload: {truth}")

    def _check_ids(self, name: str, row: sqlite3.Row) -> None:
        if row["token"] is None:
            return
        ids = {entry.batch_id for entry in self.server.entries.get(row["token"], ())}
        if row["batch_id"] is not None and row["batch_id"] not in ids:
            self.broken.append(f"{name} has batch id {row['batch_id']}, and its jobs are {ids}")

    def truth(self, name: str, number: int) -> Attempt | None:
        for attempt in self.nodes.attempts.values():
            if attempt.job == name and attempt.number == number:
                return attempt
        return None

    def end(self, jobs: Sequence[Mapping[str, Any]], *, silent: bool = False) -> dict[str, int]:
        """Judge where everything stands after all is well again; gives how many are in which state.

        Where the batch system is `silent` for ever nothing that it has is lost, and nothing is believed to be over.
        """
        counts: dict[str, int] = defaultdict(int)
        for row in jobs:
            name = f"{row['run']}_{row['job']}"
            truth = self.truth(name, row["attempt"])
            wrong = self._wrong(name, row, truth, silent)
            counts[row["state"] if row["unknown_since"] is None else "in doubt"] += 1
            if wrong:
                shown = self.server.entries.get(row["token"], ())
                self.broken.append(f"{name} {wrong}: {dict(row)}; {truth}; {shown}")
        return counts

    def _wrong(self, name: str, row: Mapping[str, Any], truth: Attempt | None, silent: bool) -> str | None:
        state = row["state"]
        goal = GOAL.get(self.words.get(name, "start"))
        if state in OUT:
            if not silent and not self._nobody_knows(row, truth):
                return "is lost"
            return None if row["unknown_since"] is not None else "asks nobody"
        if silent and state in {"NEW", "PREPARED"}:  # all slots are held by what nobody knows of
            return None
        if state in {"CANCELLED", "WAITING"}:
            return None if goal == state else f"is not where a person sent it, {goal}"
        if goal != "NEW":
            return f"is not where a person sent it, {goal}"
        if state == "DONE":
            return None if truth is not None and truth.outcome == "good" else "is not good"
        return self._not_failed(row, truth) if state == "FAILED" else "is lost"

    def _not_failed(self, row: Mapping[str, Any], truth: Attempt | None) -> str | None:
        result = row["result"]
        if result in PAYLOADS_OWN:
            return None if truth is not None and truth.outcome == result else "failed for another reason"
        if result not in INFRASTRUCTURE:
            return "failed for no reason"
        recorded = truth is not None and truth.recorded is not None
        return "was given up although it ended" if recorded or row["tries"] < 2 else None

    def _nobody_knows(self, row: Mapping[str, Any], truth: Attempt | None) -> bool:
        """Whether nothing there is tells how the attempt stands."""
        if truth is not None and truth.recorded is not None:
            return False
        now = self.server.now()
        entries = self.server.entries.get(row["token"], ())
        if truth is not None and truth.owner is not None:
            entries = [entry for entry in entries if entry.batch_id == truth.owner.batch_id]
        return not any(entry.shown(now) and entry.phase is not Phase.LOST for entry in entries)
