"""What a person says of jobs: one by name, many by filter."""

import os
import pwd
from pathlib import Path

import pytest

from caf.domain.jobs import Result, State
from caf.store import audit, jobs, making
from tests.cli.pretend import D3PD, RAMP, Site, move

WHO = pwd.getpwuid(os.getuid()).pw_name


def state_of(site: Site, run: int, job: str) -> str:
    conn = site.open()
    try:
        return str(jobs.find(conn, run, job)["state"])
    finally:
        conn.close()


def last_audit(site: Site, run: int) -> tuple[str, str]:
    conn = site.open()
    try:
        row = audit.history(conn, run=run, limit=1)[0]
        return row["who"], row["why"]
    finally:
        conn.close()


@pytest.mark.parametrize(
    ("word", "run", "job", "became"),
    [
        ("start", 490001, D3PD, "NEW"),
        ("reject", 490001, D3PD, "REJECTED"),
        ("hold", 490010, RAMP, "WAITING"),
        ("reset", 490006, RAMP, "NEW"),
        ("kill", 490010, RAMP, "CANCELLED"),
        ("hold", 490001, RAMP, "CANCELLING"),
    ],
)
def test_a_word_acts_at_once_and_says_what_the_job_is_now(
    site: Site, word: str, run: int, job: str, became: str
) -> None:
    answer = site.caf("jobs", word, str(run), job, "--reason", "noisy\x1b tower")
    assert (answer.status, answer.err) == (0, "")
    assert f"job {job} of run {run} is {became}" in answer.out
    assert state_of(site, run, job) == became
    who, why = last_audit(site, run)
    assert who == WHO
    assert "noisy\ufffd tower" in why


@pytest.mark.parametrize("word", ["kill", "hold"])
def test_what_spoils_a_good_result_says_so(site: Site, word: str) -> None:
    """It is obeyed, as a word about one job always is; but nobody offers it, so perhaps another was meant."""
    conn = site.open()
    done = (State.SUBMITTING, State.RUNNING, State.FINISHED, State.DONE)
    move(conn, 490010, RAMP, *done, result=Result.OK)
    conn.close()
    filtered = site.caf("jobs", word, "--runs", "490010", "--job", RAMP)
    assert "1 of them is DONE: a result there would count as good no more\nTo do it" in filtered.out
    answer = site.caf("jobs", word, "490010", RAMP)
    assert answer.status == 0
    assert answer.err.startswith("caf: it was DONE: its result counts as good no more")
    assert f"`caf jobs reset 490010 {RAMP}`" in answer.err


def test_a_refusal_says_the_state_and_what_would_be_allowed(site: Site) -> None:
    answer = site.caf("jobs", "start", "490001", RAMP)
    assert (answer.status, answer.out) == (1, "")
    assert answer.err.startswith("caf: ")
    assert "is RUNNING" in answer.err
    assert f"`caf jobs hold 490001 {RAMP}`" in answer.err


def test_a_job_or_run_that_is_not_there_is_named_with_what_there_is(site: Site) -> None:
    assert "(it has: " in site.caf("jobs", "hold", "490001", "Nix").err
    answer = site.caf("jobs", "hold", "12345", RAMP)
    assert (answer.status, answer.err) == (1, "caf: no run 12345 (known: 490001 to 490010)\n")


def test_the_person_is_the_one_named_or_the_login_behind_sudo(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "shifter")
    site.caf("jobs", "hold", "490010", RAMP)
    assert last_audit(site, 490010)[0] == "shifter"
    site.caf("jobs", "start", "490010", RAMP, "--by", "Ann Example")
    assert last_audit(site, 490010)[0] == "Ann Example"
    assert site.caf("jobs", "hold", "490010", RAMP, "--by", " ").status == 2


def test_a_filter_without_yes_only_says_what_it_would_do(site: Site) -> None:
    answer = site.caf("jobs", "hold", "--job", RAMP)
    assert answer.status == 1
    assert answer.out.startswith("would hold 3 jobs:\n")
    assert "1 more would be refused" in answer.out
    assert "--yes" in answer.out
    assert state_of(site, 490010, RAMP) == "PREPARED"


def test_a_filter_with_yes_does_it_and_counts(site: Site) -> None:
    answer = site.caf("jobs", "hold", "--job", RAMP, "--yes")
    assert answer.status == 1
    assert answer.out.endswith("hold: 3 done, 1 refused\n")
    assert "490002 is WAITING: hold is not possible" in answer.err
    assert state_of(site, 490010, RAMP) == "WAITING"
    answer = site.caf("jobs", "start", "--state", "WAITING", "--runs", "490006-490010", "--yes")
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.endswith("start: 4 done, 0 refused\n")


def test_a_filter_that_finds_nothing_does_nothing(site: Site) -> None:
    assert site.caf("jobs", "kill", "--state", "DONE").status == 1
    answer = site.caf("jobs", "kill", "--state", "DONE", "--yes")
    assert (answer.status, answer.out) == (0, "kill: 0 done, 0 refused\n")


def test_ten_jobs_are_named_and_the_rest_counted(site: Site) -> None:
    conn = site.open()
    made = [making.NewJob(490010, f"More{number}", "Scan") for number in range(12)]
    conn.execute("UPDATE run SET jobs_due = 1 WHERE run = 490010")
    assert making.make(conn, 1, made, [490010], 0.0) == 12
    conn.close()
    out = site.caf("jobs", "hold", "--state", "NEW").out
    assert out.startswith("would hold 12 jobs:")
    assert "... and 2 more" in out


@pytest.mark.parametrize(
    "words", [[], ["490001"], ["490001", RAMP, "--state", "NEW"], ["490001", "--job", RAMP], ["--yes"]]
)
def test_neither_a_job_nor_a_filter_is_wrong_usage(site: Site, words: list[str]) -> None:
    """A slip of the pen must not become a command about all jobs."""
    assert site.caf("jobs", "kill", *words).status == 2
    assert state_of(site, 490010, RAMP) == "PREPARED"


def test_with_a_rubbish_file_the_state_folder_still_serves(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.config.write_text("this is = not TOML [")
    answer = site.caf("jobs", "hold", "490010", RAMP)
    assert answer.status == 2
    assert "--state DIR or $CAF_STATE" in answer.err
    assert site.caf("jobs", "hold", "490010", RAMP, "--state", str(site.state)).status == 0
    assert site.caf("--state", "state", "jobs", "start", "490010", RAMP).status == 0
    monkeypatch.setenv("CAF_STATE", str(site.state))
    assert site.caf("jobs", "kill", "490010", RAMP).status == 0
    assert state_of(site, 490010, RAMP) == "CANCELLED"


def test_the_file_is_named_before_or_after_the_command_or_by_the_environment(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert site.caf("jobs", "list").status == 2
    for words in (["jobs", "list", "--config", str(site.config)], ["--config", str(site.config), "jobs", "list"]):
        assert RAMP in site.caf(*words).out
    monkeypatch.setenv("CAF_CONFIG", str(site.config))
    assert RAMP in site.caf("jobs", "list").out
    assert site.caf("jobs", "list", "--config", str(Path("nix.toml"))).status == 2


def test_text_that_is_not_utf8_is_no_bug(site: Site) -> None:
    assert site.caf("jobs", "hold", "490010", RAMP, "--reason", os.fsdecode(b"caf\xe9")).status == 0
    assert "caf\ufffd" in last_audit(site, 490010)[1]
    assert site.caf("jobs", "hold", "490010", os.fsdecode(b"\xff")).status == 1
