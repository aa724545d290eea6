"""The store against a model of it: whatever happens in whatever order, what is promised holds after every step.

Each time the same examples are tried. To look further: CAF_MODEL_EXAMPLES=2000 pytest tests/model --hypothesis-seed=7
"""

import os
import sqlite3
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from caf.domain.discovery import Rules
from caf.domain.errors import Refused
from caf.domain.jobs import Result, State, Word
from caf.store import configurations, discovery, jobs, making, queries
from caf.store.database import connect
from caf.store.jobs import Change
from caf.store.making import NewJob
from tests.model.answering import Answering
from tests.model.oracle import (
    COLUMNS,
    DUTY,
    IDLE,
    LEGAL,
    REMARKED,
    SECOND,
    SETTLE,
    STATES,
    USED,
    WORDS,
    Job,
    Run,
    attempt_after,
    said,
)
from tests.model.oracle import listeners as configured
from tests.model.readings import BEGIN, anything, good
from tests.store.feeding import write_snapshot

pytestmark = pytest.mark.timeout(600)  # it takes seconds; a failure is made small for up to five minutes

EXAMPLES = int(os.environ.get("CAF_MODEL_EXAMPLES", "0"))
KEPT = ("run", "job", "attempt", "audit", "verdict", "former_verdict", "configuration")
GROWING = ("audit", "former_verdict", "verdict", "configuration")  # tables whose rows never change

numbers = st.integers(1, 5)
NAMES = ("Fit", "Plot")
choices = st.sampled_from([0, 0, 0, 0, 0, 1, 2, 3])  # 0: the ordinary way on
results = st.sampled_from([None, Result.OK, Result.NODE])


def result_for(state: str) -> Result | None:
    return {"DONE": Result.OK, "FAILED": Result.LOG}.get(state)


class Store(Answering):
    """A real database on a real file, and the model beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "caf.db"
        self.conn = connect(self.path, create=True)
        self.now = BEGIN
        self.configuration = 0
        self.ids: dict[int, int] = {}
        self.source: dict[int, dict[str, Any]] = {}
        self.runs: dict[int, Run] = {}
        self.jobs: dict[tuple[int, str], Job] = {}
        self.verdicts: set[tuple[int, str]] = set()
        self.before: dict[str, list[tuple[Any, ...]]] = {}

    def teardown(self) -> None:
        self.conn.close()
        self.folder.cleanup()

    # The world and the discover duty. Few rules that do much: then examples go deep.

    @initialize(first=st.dictionaries(numbers, good, min_size=3), more=st.dictionaries(numbers, anything, max_size=2))
    def some_runs_have_jobs(self, first: dict[int, dict[str, Any]], more: dict[int, dict[str, Any]]) -> None:
        self._configure(0)
        self.a_round_of_discover(dict(more | first), {}, 0, 0, True, 1000, False)
        self.jobs_are_made(NAMES, False, {1, 2, 3, 4, 5})

    def _configure(self, number: int) -> None:
        self.configuration = number
        self.ids[number] = configurations.keep(self.conn, f"text {number}", f"{number}", "listeners.toml", self.now)

    @rule(
        changed=st.dictionaries(numbers, st.one_of(good, anything, st.none()), max_size=3),
        one=st.dictionaries(numbers, st.sampled_from(COLUMNS), max_size=2),
        seconds=st.sampled_from([0, 1, 600, SETTLE, 2 * SETTLE + 1]),
        lag=st.sampled_from([0, 0, 0, 3600, 5 * SETTLE]),
        read=st.sampled_from([True, True, False]),
        page=st.sampled_from([1, 2, 1000]),
        other=st.sampled_from([False, False, True]),
    )
    def a_round_of_discover(
        self,
        changed: dict[int, dict[str, Any] | None],
        one: dict[int, str],
        seconds: int,
        lag: int,
        read: bool,
        page: int,
        other: bool,
    ) -> None:
        """Runs change in any way, vanish, lose a value; time passes; the replica, written `lag` ago, is absorbed."""
        self.now += seconds
        if other:
            self._configure(1 - self.configuration)
        self.source |= {run: row for run, row in changed.items() if row is not None}
        for vanished in [run for run, row in changed.items() if row is None]:
            self.source.pop(vanished, None)
        for number in one.keys() & self.source.keys():
            self.source[number] = {**self.source[number], one[number]: None}
        rules = Rules(self.ids[self.configuration], configured(self.configuration), (), SETTLE * SECOND)
        replica = self.now - lag
        if read:
            found = [{"run": run, **row} for run, row in self.source.items()]
            discovery.attach(self.conn, write_snapshot(Path(self.folder.name) / "snapshot.db", found))
            self._pages(discovery.absorb, rules, page, replica)
            discovery.detach(self.conn)
            for number, reading in self.source.items():
                self._read(number, reading, replica)
        self._pages(discovery.look_again, rules, page, replica)
        for number, run in self.runs.items():
            if run.status == "OPEN":
                self._judge(number, run, replica)

    @rule(middle=st.booleans())
    def the_process_is_another_one(self, middle: bool) -> None:
        """It ended in order, or died in the middle of a transaction."""
        if middle:
            self.conn.execute("BEGIN IMMEDIATE")
            self.conn.execute("UPDATE job SET reason = 'half done', tries = 9")
            self.conn.execute("INSERT INTO audit (at, who, why) VALUES (1, 'ann', 'half done')")
        self.conn.close()
        self.conn = connect(self.path)

    def _pages(self, step: Any, rules: Rules, size: int, replica: int) -> None:
        after: int | None = -1
        while after is not None:
            after = step(self.conn, rules, after, size, float(self.now), replica * SECOND).last

    def _read(self, number: int, row: dict[str, Any], replica: int) -> None:
        run = self.runs.get(number)
        if run is None:
            run = self.runs[number] = Run(first_seen=self.now)
            run.read(row)
            self._judge(number, run, replica)
        elif run.read(row):
            run.last_change = self.now
            run.former += run.status != "OPEN"
            self._judge(number, run, replica)

    def _judge(self, number: int, run: Run, replica: int) -> None:
        before, validated = (run.status, run.listener), run.needs_validation is False
        run.judge(self.configuration, self.now, replica)
        self.verdicts.add((self.ids[self.configuration], run.answers))
        has_jobs = any(key[0] == number for key in self.jobs)
        same = before == (run.status, run.listener)
        run.too_few = same and (run.too_few or (has_jobs and validated and bool(run.needs_validation)))
        if run.status != "ACCEPTED":
            run.jobs_due = False
        elif before != (run.status, run.listener) and not has_jobs:
            run.jobs_due = True

    @rule(
        names=st.sampled_from([NAMES[:1], NAMES]),
        waits=st.booleans(),
        chosen=st.sampled_from([{1, 2, 3, 4, 5}, {2, 4}]),
    )
    def jobs_are_made(self, names: tuple[str, ...], waits: bool, chosen: set[int]) -> None:
        """Of the chosen runs that are due; one that is not due gets none, whatever is asked."""
        known = sorted(chosen & self.runs.keys())
        why = "a person must validate it" if waits else None
        asked = [NewJob(run, name, self.runs[run].listener or "?", 0, why) for run in known for name in names]
        due = [run for run in known if self.runs[run].jobs_due]
        made = making.make(self.conn, self.ids[self.configuration], asked, known, self.now)
        assert made == len(due) * len(names)
        for run in due:
            self.runs[run].jobs_due = False
            for name in names:
                row = jobs.find(self.conn, run, name)
                listener = self.runs[run].listener
                assert listener is not None
                self.jobs[run, name] = Job(row["id"], listener, "WAITING" if waits else "NEW")

    # People and the organise duty

    @precondition(lambda self: self.jobs)
    @rule(words=st.lists(st.tuples(st.integers(0, 99), st.sampled_from(WORDS)), min_size=1, max_size=4))
    def a_person_says(self, words: list[tuple[int, str]]) -> None:
        for number, word in words:
            (run, name), job = self._pick(number)
            target = said(job.state, word)
            if target is None:
                with pytest.raises(Refused, match="is not possible; allowed"):
                    jobs.act(self.conn, run, name, Word(word), self.now, "ann")
                continue
            jobs.act(self.conn, run, name, Word(word), self.now, "ann")
            goal = {"reset": "NEW", "hold": "WAITING", "kill": "CANCELLED"}.get(word)
            job.become(target, goal if target == "CANCELLING" else None)

    @precondition(lambda self: self.jobs)
    @rule(chosen=st.lists(st.integers(0, 99), min_size=2, max_size=6, unique=True))
    def slots_are_free(self, chosen: list[int]) -> None:
        picked = [self._pick(number)[1] for number in chosen]
        tokens = jobs.claim_tokens(self.conn, [job.id for job in picked], self.now)
        assert tokens.keys() == {job.id for job in picked if job.state == "PREPARED"}
        for job in picked:
            if job.state == "PREPARED":
                job.become("SUBMITTING")
                job.tokens[job.attempt] = tokens[job.id]

    @precondition(lambda self: self.jobs)
    @rule(
        walks=st.lists(st.tuples(st.integers(0, 99), st.lists(choices, min_size=2, max_size=8)), min_size=2, max_size=5)
    )
    def the_duty_goes_on(self, walks: list[tuple[int, list[int]]]) -> None:
        """Legal changes, one after another."""
        for number, way in walks:
            _, job = self._pick(number)
            for choice in way:
                targets = DUTY.get(job.state, "").split()
                if job.state == "PREPARED":
                    self.slots_are_free([number])
                elif targets:
                    target = targets[choice % len(targets)]
                    change = Change(job.id, State(job.state), job.attempt, State(target), "so", result_for(target))
                    assert jobs.apply(self.conn, [change], self.now) == [True]
                    job.become(target)

    @precondition(lambda self: self.jobs)
    @rule(
        asked=st.lists(
            st.tuples(
                st.integers(0, 99),
                st.sampled_from(STATES),
                st.sampled_from([None, None, None, *STATES]),
                st.sampled_from([0, 0, 0, 1, -1]),
                results,
                st.booleans(),
            ),
            min_size=1,
            max_size=4,
        )
    )
    def the_duty_decides_anything(self, asked: list[tuple[int, str, str | None, int, Result | None, bool]]) -> None:
        """Legal, illegal, outdated, incomplete: what is not right leaves everything as it was."""
        changes = []
        for number, target, seen, off, result, following in asked:
            job = self._pick(number)[1]
            sets = {"next_state": "NEW"} if target == "CANCELLING" and following else {}
            state = State(seen or job.state)
            changes.append(Change(job.id, state, job.attempt + off, State(target), "so", result, sets))
        by_id = {job.id: job for job in self.jobs.values()}
        copies = {number: Job(**vars(job)) for number, job in by_id.items()}
        expected: list[bool] = []
        possible = True
        for change in changes:
            job = copies[change.job_id]
            current = (job.state, job.attempt) == (change.seen, change.attempt)
            if current and not self._possible(job, change):
                possible = False
                break
            if current:
                job.become(change.target, change.sets.get("next_state"))
            expected.append(current)
        if not possible:
            with pytest.raises((Refused, sqlite3.IntegrityError)):
                jobs.apply(self.conn, changes, self.now)
            return
        assert jobs.apply(self.conn, changes, self.now) == expected
        for number, job in copies.items():
            vars(by_id[number]).update(vars(job))

    @staticmethod
    def _possible(job: Job, change: Change) -> bool:
        if job.state != change.target and (job.state, change.target) not in LEGAL:
            return False
        if change.target == "DONE" and change.result is not Result.OK:
            return False
        if change.target == "FAILED" and change.result in (None, Result.OK):
            return False
        if change.target == "SUBMITTING" and job.state != "SUBMITTING":
            return False  # it has no token
        return change.target != "CANCELLING" or "next_state" in change.sets

    # What holds after every step

    def _all(self, table: str) -> list[tuple[Any, ...]]:
        order = "job_id, attempt" if table == "attempt" else "1"
        return [tuple(row) for row in self.conn.execute(f"SELECT * FROM {table} ORDER BY {order}")]

    @invariant()
    def nothing_is_deleted_and_no_record_of_the_past_changes(self) -> None:
        for table in KEPT:
            rows, before = self._all(table), self.before.get(table, [])
            assert {row[:2] for row in before} <= {row[:2] for row in rows} or table in {"run", "configuration"}
            assert {row[0] for row in before} <= {row[0] for row in rows}
            if table in GROWING and table != "configuration":
                assert rows[: len(before)] == before
            self.before[table] = rows

    @invariant()
    def every_run_is_as_the_oracle_says(self) -> None:
        stored = {row["run"]: row for row in self.conn.execute("SELECT * FROM run")}
        assert stored.keys() == self.runs.keys()
        former = Counter(row[0] for row in self.conn.execute("SELECT run FROM former_verdict"))
        for number, run in self.runs.items():
            row, verdict = stored[number], queries.verdict(self.conn, stored[number]["verdict_id"])
            assert {name: row[name] for name in COLUMNS} == {name: run.values.get(name) for name in COLUMNS}
            assert (row["last_lb_end"], row["notes"] is not None) == (run.last_lb_end, run.provisional_tag)
            expected = (run.status, run.listener, run.needs_validation)
            assert (row["status"], row["listener"], row["needs_validation"]) == expected
            assert (verdict["status"], verdict["listener"], verdict["needs_validation"]) == expected
            assert verdict["answers"] == run.answers
            assert verdict["configuration_id"] == self.ids[run.configuration]
            assert (row["jobs_due"], former[number]) == (run.jobs_due, run.former)
            taken = {job.listener for key, job in self.jobs.items() if key[0] == number}
            elsewhere = bool(taken) and run.status != "OPEN" and taken != {run.listener}
            assert row["disputed"] == (elsewhere or run.too_few)

    @invariant()
    def verdicts_are_interned(self) -> None:
        stored = [tuple(row) for row in self.conn.execute("SELECT configuration_id, answers FROM verdict")]
        assert len(stored) == len(set(stored))
        assert set(stored) == self.verdicts

    @invariant()
    def every_job_is_as_the_model_says_and_there_is_one_for_each_pair(self) -> None:
        stored = self.conn.execute("SELECT * FROM job").fetchall()
        assert Counter((row["run"], row["job"]) for row in stored) == Counter(self.jobs.keys())
        for row in stored:
            job = self.jobs[row["run"], row["job"]]
            found = (row["id"], row["listener"], row["state"], row["attempt"], row["next_state"])
            assert found == (job.id, job.listener, job.state, job.attempt, job.next_state)
            said = (row["unknown_since"] is not None, row["lost"] is not None, bool(row["acknowledged"]), row["mark"])
            assert said == (job.doubtful, job.lost, job.acknowledged, job.mark)

    @invariant()
    def every_used_attempt_has_its_own_token(self) -> None:
        stored = self.conn.execute("SELECT job_id, attempt, token FROM attempt").fetchall()
        expected = [(j.id, attempt, token) for j in self.jobs.values() for attempt, token in j.tokens.items()]
        assert sorted(tuple(row) for row in stored) == sorted(expected)
        assert len({row["token"] for row in stored}) == len(stored)
        for row in self.conn.execute("SELECT * FROM job"):
            job = self.jobs[row["run"], row["job"]]
            if job.state in USED:
                assert row["token"] == job.tokens[job.attempt]
            elif job.state in IDLE:
                assert row["token"] is None

    @invariant()
    def every_jobs_trail_is_unbroken(self) -> None:
        trails: dict[tuple[int, str], list[sqlite3.Row]] = {key: [] for key in self.jobs}
        for row in self.conn.execute("SELECT * FROM audit WHERE job IS NOT NULL ORDER BY id"):
            trails[row["run"], row["job"]].append(row)
        for key, (first, *trail) in trails.items():
            assert first["was"] is None
            assert (first["became"] in {"NEW", "WAITING"}, first["attempt"]) == (True, 1)
            state, attempt = first["became"], 1
            for row in trail:
                assert row["was"] == state
                assert (state, row["became"]) in LEGAL | REMARKED
                assert row["attempt"] == attempt_after(state, row["became"], attempt)
                state, attempt = row["became"], row["attempt"]
            assert (state, attempt) == (self.jobs[key].state, self.jobs[key].attempt)

    @invariant()
    def the_counts_are_right_and_the_file_is_whole(self) -> None:
        runs = Counter(run.status for run in self.runs.values())
        counted = Counter((key[1], job.state) for key, job in self.jobs.items())
        assert {k: n for k, n in self.conn.execute("SELECT status, runs FROM run_count") if n} == runs
        kept = self.conn.execute("SELECT job, state, jobs FROM job_count").fetchall()
        assert {(row[0], row[1]): row[2] for row in kept if row[2]} == counted
        assert queries.findings(self.conn) == []
        assert not self.conn.in_transaction


TestStore = Store.TestCase
TestStore.settings = settings(
    max_examples=EXAMPLES or 45,
    stateful_step_count=40,
    deadline=None,
    derandomize=not EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow],
)
