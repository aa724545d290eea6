"""The part of the model in which attempts are in doubt, and people say what they know."""

import sqlite3

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from caf.domain.errors import Refused
from caf.domain.jobs import State
from caf.store import answers, jobs, remarks
from caf.store.jobs import Change
from tests.model.oracle import FOLLOWED, Job


class Answering(RuleBasedStateMachine):
    """Doubts and words that change no state, or only with proof."""

    conn: sqlite3.Connection
    now: int
    jobs: dict[tuple[int, str], Job]

    def _pick(self, number: int) -> tuple[tuple[int, str], Job]:
        key = sorted(self.jobs)[number % len(self.jobs)]
        return key, self.jobs[key]

    @precondition(lambda self: self.jobs)
    @rule(chosen=st.lists(st.integers(0, 99), min_size=1, max_size=4))
    def the_duty_is_in_doubt(self, chosen: list[int]) -> None:
        """The batch system does not know an attempt."""
        for number in chosen:
            job = self._pick(number)[1]
            if job.state in FOLLOWED:
                sets = {"unknown_since": float(self.now), "next_state": job.next_state}
                state = State(job.state)
                assert jobs.apply(self.conn, [Change(job.id, state, job.attempt, state, "not known", sets=sets)], 1.0)
                job.doubtful = True

    @precondition(lambda self: self.jobs)
    @rule(
        said=st.lists(
            st.tuples(st.integers(0, 99), st.sampled_from(["adopt", "adopt as", "lost", "mark", "ack"])), max_size=5
        )
    )
    def a_person_answers(self, said: list[tuple[int, str]]) -> None:
        for number, word in said:
            (run, name), job = self._pick(number)
            if word not in job.answers():
                with pytest.raises(Refused, match="allowed: "):
                    self._answer(run, name, word)
                continue
            self._answer(run, name, word)
            if word == "ack":
                job.acknowledged = True
            elif word == "mark":
                job.mark = "bad"
            elif word == "lost":
                job.lost = True
            else:
                known = job.state == "SUBMITTING" and word == "adopt as"
                job.become("PENDING" if known else job.state, job.next_state)
                job.lost = False

    def _answer(self, run: int, name: str, word: str) -> None:
        now = float(self.now)
        if word == "ack":
            remarks.acknowledge(self.conn, run, name, now, "ann")
        elif word == "mark":
            remarks.mark(self.conn, run, name, "bad", now, "ann", "dead towers")
        elif word == "lost":
            answers.lost(self.conn, run, name, now, "ann", "it burnt down")
        else:
            answers.adopt(self.conn, run, name, f"{run}-{name}" if word == "adopt as" else None, now, "ann")
