"""Words that change no state by themselves: adopt, lost, mark, ack. Each is refused where it does not fit."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from caf.domain.errors import NotFound, Refused
from caf.domain.jobs import FOLLOWED, Result, State, Word
from caf.store import answers, audit, jobs, queries, remarks
from caf.store.database import connect
from caf.store.jobs import Change
from tests.store.feeding import NOW, absorb, job, lead_to, make_jobs, rules, scanned


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database with a NEW job for each of three runs."""
    with closing(connect(tmp_path / "caf.db", create=True)) as conn:
        judged_by = rules(conn)
        absorb(conn, judged_by, tmp_path, [scanned(run) for run in (1, 2, 3)])
        make_jobs(conn, judged_by.configuration_id)
        yield conn


def brought_to(conn: sqlite3.Connection, state: State, run: int = 1) -> sqlite3.Row:
    """Take a NEW job to any state."""
    if state in {State.DONE, State.FAILED}:
        row = lead_to(conn, run, State.FINISHED)
        result = Result.OK if state is State.DONE else Result.LOG
        jobs.apply(conn, [Change(row["id"], State.FINISHED, row["attempt"], state, "judged", result)], NOW)
    elif state is State.STAGING:
        jobs.apply(conn, [Change(job(conn, run)["id"], State.NEW, 1, state, "asked for")], NOW)
    elif state in {State.WAITING, State.REJECTED, State.CANCELLED}:
        jobs.act(conn, run, "Fit", Word.KILL if state is State.CANCELLED else Word.HOLD, NOW, "ann")
        if state is State.REJECTED:
            jobs.act(conn, run, "Fit", Word.REJECT, NOW, "ann")
    elif state is not State.NEW:
        lead_to(conn, run, state)
    return job(conn, run)


def doubt(conn: sqlite3.Connection, state: State, run: int = 1) -> sqlite3.Row:
    """Take a NEW job to a state in which it is not known what became of it."""
    row = brought_to(conn, state, run)
    sets = {"unknown_since": NOW - 60, "batch_id": "4711", "next_state": row["next_state"]}
    jobs.apply(conn, [Change(row["id"], state, 1, state, "not known", sets=sets)], NOW)
    return job(conn, run)


SAID = {
    "adopt": lambda conn: answers.adopt(conn, 1, "Fit", None, NOW + 5, "bob"),
    "lost": lambda conn: answers.lost(conn, 1, "Fit", NOW + 5, "bob", "it burnt down"),
    "mark": lambda conn: remarks.mark(conn, 1, "Fit", "bad", NOW + 5, "bob", "dead towers"),
    "ack": lambda conn: remarks.acknowledge(conn, 1, "Fit", NOW + 5, "bob", "known"),
}
FITS = {"adopt": FOLLOWED, "lost": FOLLOWED, "mark": {State.DONE}, "ack": {State.FAILED}}


@pytest.mark.parametrize("word", SAID)
@pytest.mark.parametrize("state", State)
def test_a_word_that_does_not_fit_is_refused_with_what_would_be_allowed(
    conn: sqlite3.Connection, state: State, word: str
) -> None:
    before = brought_to(conn, state)
    trail = audit.history(conn, run=1)
    if state in FITS[word] and word in {"mark", "ack"}:
        assert SAID[word](conn)["state"] == state
        return
    with pytest.raises(Refused, match=f"job Fit of run 1 is {state}: ") as refused:
        SAID[word](conn)
    for command in answers.words_for(before):
        assert f"`{command}`" in str(refused.value)
    assert tuple(job(conn, 1)) == tuple(before)
    assert audit.history(conn, run=1) == trail


def test_nobody_is_offered_to_undo_what_is_done(conn: sqlite3.Connection) -> None:
    """A line is soon copied from the page: after it a good calibration would be CANCELLED."""
    offered = [command.split()[2] for command in answers.words_for(brought_to(conn, State.DONE))]
    assert offered == ["mark", "reset"]


@pytest.mark.parametrize("word", ["adopt", "lost"])
@pytest.mark.parametrize("state", sorted(FOLLOWED))
def test_a_doubt_can_be_answered_wherever_an_attempt_is_out(conn: sqlite3.Connection, state: State, word: str) -> None:
    before = doubt(conn, state)
    assert [f"caf jobs {one} 1 Fit" in " ".join(answers.words_for(before)) for one in ("adopt", "lost")] == [True, True]
    after = SAID[word](conn)
    assert (after["state"], after["attempt"], after["token"]) == (state, 1, before["token"])
    assert (after["next_state"], after["batch_id"]) == (before["next_state"], "4711")
    assert after["since"] == NOW + 5  # so that a round that decided on what was before changes nothing
    *_, last = audit.history(conn, run=1)
    assert (last["who"], last["was"], last["became"]) == ("bob", state, state)
    if word == "adopt":
        assert (after["unknown_since"], after["lost"]) == (None, None)
        assert last["why"].endswith("adopt by bob")
    else:
        assert (after["unknown_since"], after["lost"]) == (NOW - 60, "bob: it burnt down")
        assert last["why"] == "lost by bob: it burnt down"
        assert after["reason"] == before["reason"]


@pytest.mark.parametrize("word", ["adopt", "lost", "mark", "ack"])
def test_what_is_not_there_is_named_with_what_is(conn: sqlite3.Connection, word: str) -> None:
    conn.execute("UPDATE job SET job = 'Other' WHERE run = 1")
    with pytest.raises(NotFound, match=r"no job Fit of run 1 \(it has: Other\)"):
        SAID[word](conn)


def test_an_id_says_which_one_is_ours(conn: sqlite3.Connection) -> None:
    """Also without a doubt: of two that carry the same token a person says which counts."""
    lead_to(conn, 1, State.RUNNING)
    after = answers.adopt(conn, 1, "Fit", "4712", NOW, "bob", "the other is a ghost")
    assert (after["state"], after["batch_id"]) == ("RUNNING", "4712")
    assert queries.attempts_of(conn, after["id"])[0]["batch_id"] == "4712"
    assert audit.history(conn, run=1)[-1]["why"] == "adopt by bob as 4712: the other is a ghost"


def test_one_that_was_being_submitted_is_submitted_once_its_id_is_known(conn: sqlite3.Connection) -> None:
    lead_to(conn, 1, State.SUBMITTING)
    assert answers.adopt(conn, 1, "Fit", "4712", NOW, "bob")["state"] == "PENDING"


def test_another_jobs_id_is_refused(conn: sqlite3.Connection) -> None:
    doubt(conn, State.RUNNING, run=2)
    lead_to(conn, 1, State.RUNNING)
    with pytest.raises(Refused, match="batch id 4711 is that of job Fit of run 2: `caf jobs show 2 Fit` tells"):
        answers.adopt(conn, 1, "Fit", "4711", NOW, "bob")
    jobs.apply(conn, [Change(job(conn, 2)["id"], State.RUNNING, 1, State.FINISHED, "over")], NOW)
    jobs.apply(conn, [Change(job(conn, 2)["id"], State.FINISHED, 1, State.DONE, "good", Result.OK)], NOW)
    assert answers.adopt(conn, 1, "Fit", "4711", NOW, "bob")["batch_id"] == "4711"  # batch systems use ids again


def test_a_word_that_it_is_lost_ends_with_the_attempt(conn: sqlite3.Connection) -> None:
    row = doubt(conn, State.RUNNING)
    SAID["lost"](conn)
    jobs.apply(conn, [Change(row["id"], State.RUNNING, 1, State.FINISHED, "over")], NOW)
    assert job(conn, 1)["lost"] is None
    jobs.apply(conn, [Change(row["id"], State.FINISHED, 1, State.NEW, "once more", Result.NODE)], NOW)
    lead_to(conn, 1, State.RUNNING)
    assert job(conn, 1)["lost"] is None


def test_an_attempt_that_is_over_by_now_is_not_adopted(conn: sqlite3.Connection) -> None:
    """Whoever was asked about an id took its time."""
    before = doubt(conn, State.RUNNING)
    with pytest.raises(Refused, match="the attempt with token caf-old is over; allowed: "):
        answers.adopt(conn, 1, "Fit", "4711", NOW, "bob", token="caf-old")
    assert tuple(job(conn, 1)) == tuple(before)
    assert answers.adopt(conn, 1, "Fit", "4711", NOW, "bob", token=before["token"])["batch_id"] == "4711"


def test_a_contradicted_word_is_dropped_and_on_record(conn: sqlite3.Connection) -> None:
    ids = [doubt(conn, State.RUNNING, run)["id"] for run in (1, 2)]
    SAID["lost"](conn)
    before = audit.history(conn)
    answers.contradict(conn, ids, NOW + 9)
    assert (job(conn, 1)["lost"], job(conn, 1)["unknown_since"]) == (None, NOW - 60)
    *kept, last = audit.history(conn)
    assert kept == before
    assert (last["who"], last["run"]) == ("organise", 1)
    assert "lost was said (bob: it burnt down), but the batch system shows it alive" in last["why"]


def test_an_acknowledged_failure_asks_for_nobody_until_it_fails_again(conn: sqlite3.Connection) -> None:
    row = brought_to(conn, State.FAILED)
    assert queries.failed_jobs(conn)[0] == 1
    after = SAID["ack"](conn)
    assert (after["acknowledged"], after["state"], after["updated"]) == (1, "FAILED", row["updated"])
    assert queries.failed_jobs(conn)[0] == 0
    with pytest.raises(Refused, match="was acknowledged already"):
        SAID["ack"](conn)
    jobs.act(conn, 1, "Fit", Word.RESET, NOW, "ann")
    row = lead_to(conn, 1, State.FINISHED)
    jobs.apply(conn, [Change(row["id"], State.FINISHED, 2, State.FAILED, "again", Result.LOG)], NOW)
    assert queries.failed_jobs(conn)[0] == 1


def test_of_many_those_acknowledged_already_are_passed_over_and_those_that_moved_on_refused(
    conn: sqlite3.Connection,
) -> None:
    brought_to(conn, State.FAILED)
    for _ in range(2):
        remarks.acknowledge(conn, 1, "Fit", NOW, "bob", seen=State.FAILED)
    assert [row["why"] for row in audit.history(conn, run=1)].count("ack by bob") == 1
    with pytest.raises(Refused, match="was FAILED and is NEW now: look again"):
        remarks.acknowledge(conn, 2, "Fit", NOW, "bob", seen=State.FAILED)


def test_a_mark_is_kept_replaced_and_gone_with_the_result(conn: sqlite3.Connection) -> None:
    brought_to(conn, State.DONE)
    SAID["mark"](conn)
    after = remarks.mark(conn, 1, "Fit", "good", NOW, "ann", "they are known")
    assert (after["mark"], after["marked"], after["state"]) == ("good", "ann: they are known", "DONE")
    whys = [row["why"] for row in audit.history(conn, run=1)]
    assert whys[-2:] == ["marked bad by bob: dead towers", "marked good by ann: they are known"]
    after = jobs.act(conn, 1, "Fit", Word.RESET, NOW, "ann")
    assert (after["mark"], after["marked"]) == (None, None)


@pytest.mark.parametrize(
    "change", ["mark = 'fine', marked = 'x'", "mark = 'good'", "marked = 'x'", "lost = 'ann: x'", "acknowledged = 2"]
)
def test_the_database_refuses_words_that_do_not_fit(conn: sqlite3.Connection, change: str) -> None:
    brought_to(conn, State.DONE)
    with pytest.raises(sqlite3.IntegrityError):
        conn.execute(f"UPDATE job SET {change} WHERE run = 1")
    with pytest.raises(sqlite3.IntegrityError):
        conn.execute("UPDATE job SET mark = 'good', marked = 'x' WHERE run = 2")
