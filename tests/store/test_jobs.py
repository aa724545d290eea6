"""Jobs change state in one way only, and every change is on record."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest

from caf.domain.errors import NotFound, Refused
from caf.domain.jobs import FINAL, GOAL, IDLE, LEGAL, Result, State, Word, allowed_words, attempt_after, target_of
from caf.domain.slots import HOLDING
from caf.store import audit, found, jobs, making, queries
from caf.store.database import connect, database_id
from caf.store.jobs import Change
from caf.store.making import NewJob
from tests.store.feeding import NOW, absorb, job, lead_to, make_jobs, rules, scanned

RUNS = 20
TOKEN = re.compile(r"caf-[0-9a-f]{8}-\d+-\d+-[0-9a-f]{8}")


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database with a NEW job for each of twenty runs."""
    with closing(connect(tmp_path / "caf.db", create=True)) as conn:
        judged_by = rules(conn)
        absorb(conn, judged_by, tmp_path, [scanned(run) for run in range(1, RUNS + 1)])
        assert make_jobs(conn, judged_by.configuration_id) == RUNS
        yield conn


def brought_to(conn: sqlite3.Connection, state: State, run: int = 1) -> sqlite3.Row:
    """Take a NEW job to any state, along legal changes only."""
    if state in {State.DONE, State.FAILED}:
        row = lead_to(conn, run, State.FINISHED)
        result = Result.OK if state is State.DONE else Result.LOG
        jobs.apply(conn, [Change(row["id"], State.FINISHED, row["attempt"], state, "judged", result)], NOW)
    elif state is State.STAGING:
        row = job(conn, run)
        jobs.apply(conn, [Change(row["id"], State.NEW, row["attempt"], state, "asked for")], NOW)
    elif state in {State.WAITING, State.REJECTED, State.CANCELLED}:
        jobs.act(conn, run, "Fit", Word.KILL if state is State.CANCELLED else Word.HOLD, NOW, "ann")
        if state is State.REJECTED:
            jobs.act(conn, run, "Fit", Word.REJECT, NOW, "ann")
    elif state is not State.NEW:
        lead_to(conn, run, state)
    row = job(conn, run)
    assert row["state"] == state
    return row


def result_for(target: State) -> Result | None:
    return {State.DONE: Result.OK, State.FAILED: Result.NODE}.get(target)


@pytest.mark.parametrize(("state", "word"), list(product(State, Word)))
def test_a_persons_word_does_what_the_table_says(conn: sqlite3.Connection, state: State, word: Word) -> None:
    before = brought_to(conn, state)
    trail = audit.history(conn, run=1, job="Fit")
    target = target_of(state, word)
    if target is None:
        with pytest.raises(Refused) as refused:
            jobs.act(conn, 1, "Fit", word, NOW + 5, "bob", "because")
        said = str(refused.value)
        assert f"job Fit of run 1 is {state}: {word} is not possible; allowed: " in said
        for other in allowed_words(state):
            assert f"`caf jobs {other} 1 Fit`" in said
        assert tuple(job(conn, 1)) == tuple(before)
        assert audit.history(conn, run=1, job="Fit") == trail
        return
    after = jobs.act(conn, 1, "Fit", word, NOW + 5, "bob", "because")
    assert after["state"] == target
    assert after["attempt"] == attempt_after(state, target, before["attempt"])
    assert after["next_state"] == (GOAL[word] if target is State.CANCELLING else None)
    assert (after["token"] is None) == (target in IDLE or before["token"] is None)
    assert after["updated"] == NOW + 5
    *kept, last = audit.history(conn, run=1, job="Fit")
    assert kept == trail
    assert (last["was"], last["became"], last["who"], last["at"]) == (state, target, "bob", NOW + 5)
    assert last["why"].startswith(f"{word} by bob: because")
    assert last["attempt"] == after["attempt"]


@pytest.mark.parametrize("target", State)
@pytest.mark.parametrize("state", State)
def test_the_duty_changes_states_along_the_table_only(conn: sqlite3.Connection, state: State, target: State) -> None:
    before = brought_to(conn, state)
    sets: dict[str, str] = {"next_state": State.NEW} if target is State.CANCELLING else {}
    if target is State.SUBMITTING and state is not target:
        sets["token"] = "t"
    change = Change(before["id"], state, before["attempt"], target, "so", result_for(target), sets)
    if state is target or (state, target) in LEGAL:
        assert jobs.apply(conn, [change], NOW + 5) == [True]
        assert job(conn, 1)["state"] == target
    else:
        with pytest.raises(Refused, match=f"job Fit of run 1 cannot go from {state} to {target}"):
            jobs.apply(conn, [change], NOW + 5)
        assert tuple(job(conn, 1)) == tuple(before)


@pytest.mark.parametrize("word", [Word.RESET, Word.HOLD, Word.KILL])
def test_cancelling_goes_where_the_last_word_sent_it(conn: sqlite3.Connection, word: Word) -> None:
    brought_to(conn, State.RUNNING)
    for said in (Word.RESET, Word.HOLD, Word.KILL, word):
        row = jobs.act(conn, 1, "Fit", said, NOW, "ann")
    assert (row["state"], row["next_state"]) == ("CANCELLING", GOAL[word])
    jobs.apply(conn, [Change(row["id"], State.CANCELLING, 1, GOAL[word], "its end was seen")], NOW)
    after = job(conn, 1)
    assert (after["state"], after["next_state"]) == (GOAL[word], None)
    assert after["attempt"] == (1 if word is Word.KILL else 2)


@pytest.mark.parametrize("state", sorted(set(State) - FINAL))
def test_a_persons_word_begins_the_count_of_tries_anew(conn: sqlite3.Connection, state: State) -> None:
    """Also by way of CANCELLING: `tries` counts since a person last touched the job."""
    row = brought_to(conn, state)
    conn.execute("UPDATE job SET tries = 2, looks = 4 WHERE id = ?", (row["id"],))
    word = Word.START if state is State.WAITING else Word.RESET
    after = jobs.act(conn, 1, "Fit", word, NOW, "ann")
    assert (after["tries"], after["looks"]) == (0, 0)
    if after["state"] == State.CANCELLING:
        change = Change(row["id"], State.CANCELLING, after["attempt"], State.NEW, "its end was seen")
        jobs.apply(conn, [change], NOW)
        assert (job(conn, 1)["tries"], job(conn, 1)["looks"]) == (0, 0)


def test_a_word_about_a_job_that_has_moved_on_is_refused(conn: sqlite3.Connection) -> None:
    lead_to(conn, 1, State.PREPARED)
    before = list(conn.iterdump())
    with pytest.raises(Refused, match="job Fit of run 1 was NEW and is PREPARED now: look again"):
        jobs.act(conn, 1, "Fit", Word.KILL, NOW, "ann", seen=State.NEW)
    assert list(conn.iterdump()) == before
    assert jobs.act(conn, 1, "Fit", Word.KILL, NOW, "ann", seen=State.PREPARED)["state"] == "CANCELLED"


@pytest.mark.parametrize(("word", "renewed"), [(Word.RESET, 1), (Word.HOLD, 0), (Word.KILL, 0)])
@pytest.mark.parametrize("state", [State.RUNNING, State.FAILED])
def test_what_is_asked_for_again_follows_the_configuration_in_force(
    conn: sqlite3.Connection, state: State, word: Word, renewed: int
) -> None:
    row = brought_to(conn, state)
    after = jobs.act(conn, 1, "Fit", word, NOW, "ann")
    if after["state"] == State.CANCELLING:
        change = Change(row["id"], State.CANCELLING, 1, State(after["next_state"]), "its end was seen")
        jobs.apply(conn, [change], NOW)
    assert job(conn, 1)["renew"] == renewed
    other = rules(conn, text="two").configuration_id
    jobs.renew(conn, [row["id"]], other)
    found = job(conn, 1)
    if found["state"] == State.NEW:
        assert (found["configuration_id"], found["renew"]) == (other, 0)
    else:
        assert found["configuration_id"] == row["configuration_id"]


def test_a_reset_of_a_waiting_job_points_to_start(conn: sqlite3.Connection) -> None:
    brought_to(conn, State.WAITING)
    with pytest.raises(
        Refused, match="allowed: `caf jobs start 1 Fit`, `caf jobs reject 1 Fit`, `caf jobs kill 1 Fit`"
    ):
        jobs.act(conn, 1, "Fit", Word.RESET, NOW, "ann")


def test_what_is_not_there_is_named_with_what_is(conn: sqlite3.Connection, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no job Fot of run 1 \(it has: Fit\)"):
        jobs.act(conn, 1, "Fot", Word.KILL, NOW, "ann")
    with pytest.raises(NotFound, match=r"no run 99 \(known: 1 to 20\)"):
        jobs.find(conn, 99, "Fit")
    absorb(conn, rules(conn), tmp_path, [scanned(50, run_type="physics")])
    with pytest.raises(NotFound, match="run 50 has no jobs: `caf runs show 50` tells why"):
        jobs.find(conn, 50, "Fit")
    with (
        closing(connect(tmp_path / "other.db", create=True)) as empty,
        pytest.raises(NotFound, match="no run is known"),
    ):
        jobs.find(empty, 1, "Fit")


def test_a_duty_that_was_too_slow_changes_nothing(conn: sqlite3.Connection) -> None:
    """A person was quicker, or the attempt is another one by now; the rest of the batch is carried out."""
    ids = [job(conn, run)["id"] for run in (1, 2, 3)]
    jobs.act(conn, 1, "Fit", Word.KILL, NOW, "ann")
    lead_to(conn, 2, State.RUNNING)
    changes = [
        Change(ids[0], State.NEW, 1, State.PREPARED, "ready"),
        Change(ids[1], State.RUNNING, 2, State.FINISHED, "over"),
        Change(ids[2], State.NEW, 1, State.PREPARED, "ready"),
        Change(10**6, State.NEW, 1, State.PREPARED, "ready"),
    ]
    assert jobs.apply(conn, changes, NOW) == [False, False, True, False]
    assert [job(conn, run)["state"] for run in (1, 2, 3)] == ["CANCELLED", "RUNNING", "PREPARED"]


def test_one_illegal_change_undoes_the_whole_batch(conn: sqlite3.Connection) -> None:
    """A mistake of the program's must not be half done."""
    before = list(conn.iterdump())
    changes = [
        Change(job(conn, 1)["id"], State.NEW, 1, State.PREPARED, "ready"),
        Change(job(conn, 2)["id"], State.NEW, 1, State.RUNNING, "impossible"),
    ]
    with pytest.raises(Refused, match="job Fit of run 2 cannot go from NEW to RUNNING"):
        jobs.apply(conn, changes, NOW)
    assert list(conn.iterdump()) == before


def test_staying_leaves_no_audit_row_and_forgets_what_is_not_said_again(conn: sqlite3.Connection) -> None:
    row = lead_to(conn, 1, State.PENDING)
    trail = audit.history(conn, run=1, job="Fit")

    def stay(**sets: object) -> sqlite3.Row:
        change = Change(row["id"], State.PENDING, 1, State.PENDING, "not known", sets=sets)
        jobs.apply(conn, [change], NOW + 1)
        return job(conn, 1)

    doubted = stay(unknown_since=NOW, not_before=NOW + 9, batch_id="b7")
    assert (doubted["unknown_since"], doubted["not_before"], doubted["batch_id"]) == (NOW, NOW + 9, "b7")
    seen = stay()
    assert (seen["unknown_since"], seen["not_before"], seen["batch_id"]) == (None, None, "b7")
    assert audit.history(conn, run=1, job="Fit") == trail
    assert queries.attempts_of(conn, row["id"])[0]["batch_id"] == "b7"


def test_tokens_are_stored_before_anything_is_submitted(conn: sqlite3.Connection) -> None:
    rows = [lead_to(conn, run, State.PREPARED) for run in (1, 2)]
    new = job(conn, 3)
    tokens = jobs.claim_tokens(conn, [row["id"] for row in (*rows, new)], NOW + 1)
    assert set(tokens) == {row["id"] for row in rows}  # the one that is not PREPARED gets none
    for row in rows:
        after, (attempt,) = job(conn, row["run"]), queries.attempts_of(conn, row["id"])
        assert after["state"] == "SUBMITTING"
        assert after["token"] == attempt["token"] == tokens[row["id"]]
        assert TOKEN.fullmatch(tokens[row["id"]])
        assert tokens[row["id"]].startswith(f"caf-{database_id(conn)}-{row['id']}-1-")
        assert attempt["asked"] == NOW + 1
    assert jobs.claim_tokens(conn, [row["id"] for row in rows], NOW + 2) == {}
    assert found.standing(conn, tokens[rows[0]["id"]]).used


def test_every_attempt_keeps_its_token_and_what_became_of_it(conn: sqlite3.Connection) -> None:
    row = lead_to(conn, 1, State.FINISHED)
    facts = {"started": NOW, "ended": NOW + 1, "node": "n1", "exit_code": 1}
    change = Change(row["id"], State.FINISHED, 1, State.FAILED, "exit code 1", Result.EXIT_CODE, attempt_sets=facts)
    jobs.apply(conn, [change], NOW)
    jobs.act(conn, 1, "Fit", Word.RESET, NOW, "ann")
    lead_to(conn, 1, State.RUNNING)
    first, second = queries.attempts_of(conn, row["id"])
    assert {name: first[name] for name in facts} == facts
    assert (first["result"], first["reason"]) == ("exit_code", "exit code 1")
    assert (second["attempt"], second["result"]) == (2, None)
    assert first["token"] != second["token"] == job(conn, 1)["token"]


def test_an_attempt_that_the_infrastructure_broke_keeps_what_was_known_of_its_end(conn: sqlite3.Connection) -> None:
    """The job goes back to NEW without a result; the attempt's own row is all that tells why."""
    row = lead_to(conn, 1, State.RUNNING)
    hint = {"result": Result.WALLTIME, "reason": "it ran longer than its walltime of 60 s"}
    stay = Change(row["id"], State.RUNNING, 1, State.RUNNING, "too long", attempt_sets=hint)
    over = Change(row["id"], State.RUNNING, 1, State.FINISHED, "its end was seen")
    again = Change(row["id"], State.FINISHED, 1, State.NEW, "walltime: attempt 2 of 3 follows in 60 s")
    for change in (stay, over, again):
        jobs.apply(conn, [change], NOW)
    (attempt,) = queries.attempts_of(conn, row["id"])
    assert attempt["result"] == "walltime"
    assert attempt["reason"] == "walltime: attempt 2 of 3 follows in 60 s"


def test_a_result_that_leads_to_another_attempt_is_the_attempts_own(conn: sqlite3.Connection) -> None:
    row = lead_to(conn, 1, State.FINISHED)
    jobs.apply(conn, [Change(row["id"], State.FINISHED, 1, State.NEW, "once more", Result.NODE)], NOW)
    assert (job(conn, 1)["result"], job(conn, 1)["attempt"]) == (None, 2)
    assert [(found["result"], found["reason"]) for found in queries.attempts_of(conn, row["id"])] == [
        ("node", "once more")
    ]


def test_a_hint_stands_beside_the_finished_job(conn: sqlite3.Connection) -> None:
    row = lead_to(conn, 1, State.RUNNING)
    facts = {"result": Result.MEMORY, "reason": "killed by the kernel"}
    jobs.apply(conn, [Change(row["id"], State.RUNNING, 1, State.FINISHED, "its end was seen", attempt_sets=facts)], NOW)
    (found,) = jobs.in_states(conn, [State.FINISHED])
    assert (found["hint"], found["hint_reason"], found["result"]) == ("memory", "killed by the kernel", None)


def test_jobs_come_by_priority_then_by_run_and_only_when_due(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "caf.db", create=True)) as conn:
        judged_by = rules(conn)
        absorb(conn, judged_by, tmp_path, [scanned(run) for run in (3, 1, 2)])
        new = [NewJob(run, name, "Scan", priority) for run in (3, 1, 2) for name, priority in (("A", 0), ("B", 5))]
        making.make(conn, judged_by.configuration_id, new, [1, 2, 3], NOW)
        ordered = [(row["job"], row["run"]) for row in jobs.in_states(conn, [State.NEW])]
        assert ordered == [("B", 1), ("B", 2), ("B", 3), ("A", 1), ("A", 2), ("A", 3)]
        assert [(row["job"], row["run"]) for row in jobs.in_states(conn, [State.NEW], limit=2)] == ordered[:2]
        later = Change(job(conn, 1, "B")["id"], State.NEW, 1, State.NEW, "waits", sets={"not_before": NOW + 10})
        jobs.apply(conn, [later], NOW)
        assert len(jobs.in_states(conn, [State.NEW], due=NOW + 9.9)) == 5
        assert len(jobs.in_states(conn, [State.NEW], due=NOW + 10)) == 6
        assert len(jobs.in_states(conn, [State.NEW])) == 6


def test_a_flood_of_changes_is_one_transaction_and_every_one_is_on_record(tmp_path: Path) -> None:
    count = 3000
    with closing(connect(tmp_path / "caf.db", create=True)) as conn:
        judged_by = rules(conn)
        absorb(conn, judged_by, tmp_path, [scanned(run) for run in range(count)])
        make_jobs(conn, judged_by.configuration_id)
        commits: list[str] = []
        conn.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
        rows = jobs.in_states(conn, [State.NEW])
        changes = [Change(row["id"], State.NEW, 1, State.PREPARED, "ready") for row in rows]
        assert sum(jobs.apply(conn, changes, NOW)) == count
        tokens = jobs.claim_tokens(conn, [row["id"] for row in rows], NOW)
        conn.set_trace_callback(None)
        assert len(commits) == 2
        assert len(set(tokens.values())) == count
        assert queries.job_counts(conn) == {"SUBMITTING": count}
        assert conn.execute("SELECT count(*) FROM audit").fetchone()[0] == 3 * count
        assert queries.findings(conn) == []


def test_counts_are_kept_as_they_would_be_counted(conn: sqlite3.Connection) -> None:
    for number, state in enumerate(State, 1):
        brought_to(conn, state, number)
    assert queries.job_counts(conn) == {state: 1 + (state is State.NEW) * (RUNS - len(State)) for state in State}
    assert queries.in_slots(conn) == len(HOLDING)
    assert queries.findings(conn) == []


def test_a_failure_that_was_acknowledged_asks_again_when_it_fails_again(conn: sqlite3.Connection) -> None:
    row = brought_to(conn, State.FAILED)
    conn.execute("UPDATE job SET acknowledged = 1 WHERE id = ?", (row["id"],))
    jobs.act(conn, 1, "Fit", Word.RESET, NOW, "ann")
    assert job(conn, 1)["acknowledged"] == 0
    brought_to(conn, State.FAILED)
    assert job(conn, 1)["acknowledged"] == 0
    assert queries.failed_jobs(conn)[0] == 1
