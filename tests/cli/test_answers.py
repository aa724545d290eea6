"""`adopt`, `lost`, `mark`, `ack`: typed, refused where they do not fit, and shown wherever the job is."""

import pytest

from caf.domain.jobs import Result, State, Word
from caf.store import jobs
from tests.cli.pretend import D3PD, NOW, RAMP, Site, move
from tests.cli.test_orders import last_audit, state_of

DOUBT = {"unknown_since": NOW}


@pytest.fixture
def doubtful(site: Site) -> Site:
    """A site where it is not known what became of a running job."""
    conn = site.open()
    move(conn, 490001, RAMP, State.RUNNING, sets=DOUBT, why="the batch system does not know it")
    conn.close()
    return site


@pytest.fixture
def done(site: Site) -> Site:
    """A site with a good job."""
    conn = site.open()
    move(conn, 490001, RAMP, State.FINISHED)
    move(conn, 490001, RAMP, State.DONE, result=Result.OK, why="good")
    conn.close()
    return site


def listed(site: Site, run: int, job: str = RAMP) -> dict[str, object]:
    rows = site.caf("jobs", "list", "--runs", str(run), "--job", job, "--json").json()
    assert len(rows) == 1
    return dict(rows[0])


def test_a_doubt_is_shown_with_its_age_and_its_answers(doubtful: Site) -> None:
    adopt, lost = f"`caf jobs adopt 490001 {RAMP}`", f"`caf jobs lost 490001 {RAMP} --reason TEXT`"
    why = doubtful.caf("jobs", "why", "490001", RAMP).out
    assert "in doubt for" in why
    assert f"{adopt} or {lost} or " in why
    assert "in doubt for" in doubtful.caf("jobs", "list", "--runs", "490001", "--job", RAMP).out
    assert adopt in doubtful.caf("jobs", "show", "490001", RAMP).out
    status = doubtful.caf("status")
    assert status.status == 1
    assert adopt in " ".join(status.out.split())
    assert lost in " ".join(status.out.split())


@pytest.mark.parametrize(("limit", "asks"), [("1s", True), ("36499d", False)])
def test_when_a_doubt_asks_for_a_person_is_configured(doubtful: Site, limit: str, asks: bool) -> None:
    """By the configuration that is in force, which the database keeps."""
    conn = doubtful.open()
    conn.execute("UPDATE configuration SET text = ?", (f'[caf]\nunknown_after = "{limit}"\n',))
    conn.close()
    needs = doubtful.caf("status", "--json").json()["needs"]
    assert ("unknown" in [need["what"] for need in needs]) == asks


def test_lost_says_what_follows_and_is_shown_until_it_is_acted_on(doubtful: Site) -> None:
    answer = doubtful.caf("jobs", "lost", "490001", RAMP, "--reason", "b7 burnt\x1b down", "--by", "anna")
    assert (answer.status, answer.err) == (0, "")
    assert f"attempt 1 of job {RAMP} of run 490001 ends, and is judged in the next round" in answer.out
    assert last_audit(doubtful, 490001) == ("anna", "lost by anna: b7 burnt\ufffd down")
    why = doubtful.caf("jobs", "why", "490001", RAMP).out
    assert "anna: b7 burnt\ufffd down (lost): acted on" in why
    assert "jobs adopt" not in why
    assert "anna says that it is lost" in " ".join(doubtful.caf("status").out.split())
    assert listed(doubtful, 490001)["lost"] == "anna: b7 burnt\ufffd down"


def test_adopt_clears_the_doubt(doubtful: Site) -> None:
    answer = doubtful.caf("jobs", "adopt", "490001", RAMP, "4712", "--reason", "seen on b7")
    assert answer.status == 0
    assert f"job {RAMP} of run 490001 is RUNNING as 4712, and followed on" in answer.out
    assert listed(doubtful, 490001)["unknown_since"] is None
    again = doubtful.caf("jobs", "adopt", "490001", RAMP)
    assert (again.status, again.out) == (1, "")
    assert "nothing about it is in doubt; allowed: " in again.err


def test_a_cancelling_job_says_where_lost_takes_it(doubtful: Site) -> None:
    conn = doubtful.open()
    jobs.act(conn, 490001, RAMP, Word.HOLD, NOW, "ann")
    move(conn, 490001, RAMP, State.CANCELLING, sets={**DOUBT, "next_state": "WAITING"})
    conn.close()
    answer = doubtful.caf("jobs", "lost", "490001", RAMP, "--reason", "gone")
    assert "becomes WAITING in the next round" in answer.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["adopt", "490010", RAMP], "is PREPARED: there is no attempt out that could be adopted"),
        (["adopt", "490001", RAMP], "is RUNNING: nothing about it is in doubt"),
        (["lost", "490001", RAMP, "--reason", "x"], "is RUNNING: nothing about it is in doubt"),
        (["lost", "490006", RAMP, "--reason", "x"], "is FAILED: there is no attempt out that could be lost"),
        (["mark", "490006", RAMP, "good", "--reason", "x"], "is FAILED: only a DONE result is marked good or bad"),
        (["ack", "490001", RAMP], "is RUNNING: only a failure is acknowledged"),
        (["ack", "490001", D3PD], "is WAITING: only a failure is acknowledged"),
    ],
)
def test_a_word_in_the_wrong_state_is_refused_with_what_is_allowed(site: Site, words: list[str], says: str) -> None:
    answer = site.caf("jobs", *words)
    assert (answer.status, answer.out) == (1, "")
    assert says in answer.err
    assert "allowed: `caf jobs " in answer.err
    assert len(answer.err.splitlines()) <= 2


@pytest.mark.parametrize("word", ["adopt", "lost", "mark", "ack"])
@pytest.mark.parametrize(
    ("run", "job", "says"),
    [("490001", "Nix", "(it has: "), ("12345", RAMP, "(known: 490001 to 490010)"), ("490003", RAMP, "has no jobs")],
)
def test_what_is_not_there_is_named_with_what_is(site: Site, word: str, run: str, job: str, says: str) -> None:
    more = {"lost": ["--reason", "x"], "mark": ["good", "--reason", "x"]}.get(word, [])
    answer = site.caf("jobs", word, run, job, *more)
    assert (answer.status, answer.out) == (1, "")
    assert says in answer.err


@pytest.mark.parametrize(
    "words",
    [
        ["lost", "490001", RAMP],
        ["lost", "490001", RAMP, "--reason", " "],
        ["mark", "490001", RAMP, "good"],
        ["mark", "490001", RAMP, "fine", "--reason", "x"],
        ["adopt", "490001", RAMP, "two words"],
        ["adopt", "490001", RAMP, "x" * 101],
        ["adopt", "490001", RAMP, ""],
        ["adopt", "490001", RAMP, "--by", " "],
        ["ack"],
        ["ack", "490006"],
        ["ack", "490006", RAMP, "--state", "FAILED"],
    ],
)
def test_wrong_usage_changes_nothing(doubtful: Site, words: list[str]) -> None:
    before = last_audit(doubtful, 490001)
    answer = doubtful.caf("jobs", *words)
    assert (answer.status, answer.out) == (2, "")
    assert last_audit(doubtful, 490001) == before


def test_a_mark_is_shown_in_list_show_and_why(done: Site) -> None:
    assert listed(done, 490001)["mark"] is None
    answer = done.caf("jobs", "mark", "490001", RAMP, "bad", "--reason", "half of the towers", "--by", "anna")
    assert (answer.status, answer.err) == (0, "")
    assert f"is DONE, and marked bad; to run it again: `caf jobs reset 490001 {RAMP}`" in answer.out
    assert (listed(done, 490001)["mark"], state_of(done, 490001, RAMP)) == ("bad", "DONE")
    assert done.caf("jobs", "show", "490001", RAMP, "--json").json()["marked"] == "anna: half of the towers"
    assert "marked bad by anna: half of the towers" in done.caf("jobs", "why", "490001", RAMP).out
    assert " bad " in done.caf("jobs", "list", "--runs", "490001", "--job", RAMP).out
    assert f"`caf jobs mark 490001 {RAMP} good --reason TEXT`" in done.caf("jobs", "show", "490001", RAMP).out


@pytest.mark.parametrize("ack", [["jobs", "ack"], ["ack"]])
def test_an_acknowledged_failure_leaves_the_status_and_comes_back(site: Site, ack: list[str]) -> None:
    answer = site.caf(*ack, "490006", RAMP, "--reason", "known trouble")
    assert (answer.status, answer.err) == (0, "")
    assert "is FAILED, and acknowledged: it asks for nobody until it fails again" in answer.out
    assert "failed" not in [need["what"] for need in site.caf("status", "--json").json()["needs"]]
    assert listed(site, 490006)["acknowledged"] is True
    assert "acknowledged: it asks for nobody" in site.caf("jobs", "why", "490006", RAMP).out
    conn = site.open()
    jobs.act(conn, 490006, RAMP, Word.RESET, NOW, "me")
    s = State
    move(conn, 490006, RAMP, s.PREPARED, s.SUBMITTING, s.RUNNING, s.FINISHED)
    move(conn, 490006, RAMP, s.FAILED, result=Result.LOG)
    conn.close()
    assert "failed" in [need["what"] for need in site.caf("status", "--json").json()["needs"]]
    assert f"caf jobs ack 490006 {RAMP}" in site.caf("jobs", "why", "490006", RAMP).out


def test_failures_are_acknowledged_by_a_filter_with_yes_only(site: Site) -> None:
    answer = site.caf("ack", "--job", RAMP)
    assert answer.status == 1
    assert answer.out.startswith(f"would ack 1 job:\n  490006 {RAMP} (FAILED)\n")
    assert "3 more would be refused" in answer.out
    assert listed(site, 490006)["acknowledged"] is False
    for _ in range(2):  # what is acknowledged already is what is wanted
        answer = site.caf("ack", "--state", "FAILED", "--yes")
        assert (answer.status, answer.err) == (0, "")
        assert answer.out.endswith("ack: 1 done, 0 refused\n")
    assert listed(site, 490006)["acknowledged"] is True


def test_a_waiting_job_says_why_and_since_when(site: Site) -> None:
    assert "for a person for" in site.caf("jobs", "why", "490002", RAMP).out
    assert "12 of 1700 events: a person must validate it" in site.caf("jobs", "why", "490002", RAMP).out
    assert "the job asks for validation" in site.caf("jobs", "why", "490001", D3PD).out
    site.caf("jobs", "hold", "490010", RAMP, "--reason", "new release first", "--by", "anna")
    assert "hold by anna: new release first" in site.caf("jobs", "why", "490010", RAMP).out


def test_requests_that_have_grown_are_told(site: Site) -> None:
    conn = site.open()
    conn.execute("UPDATE job SET memory = 4000000000, walltime = 57600 WHERE run IN (490001, 490010)")
    conn.close()
    told = "it asks for 4 GB of memory and a walltime of 16 h, since it had too little"
    assert told in site.caf("jobs", "why", "490001", RAMP).out
    assert told in site.caf("jobs", "why", "490010", RAMP).out
    shown = site.caf("jobs", "show", "490001", RAMP, "--json").json()
    assert (shown["memory"], shown["walltime"]) == (4_000_000_000, 57600.0)
    assert "4000000000" in site.caf("jobs", "show", "490001", RAMP).out


def test_the_batch_systems_own_reason_is_told(site: Site) -> None:
    conn = site.open()
    s = State
    move(conn, 490010, RAMP, s.SUBMITTING, s.PENDING, sets={"batch_id": "7"}, why="QOSMaxJobsPerUserLimit")
    conn.close()
    assert "batch id 7; QOSMaxJobsPerUserLimit" in site.caf("jobs", "why", "490010", RAMP).out
