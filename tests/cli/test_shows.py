"""`show`, `why`, `log`, `explain`: one thing in full."""

import json
import os
import re
from pathlib import Path

import pytest

from caf import lock
from caf.domain.jobs import Result, State, Word
from caf.store import jobs
from tests.cli.pretend import D3PD, NOW, RAMP, RUNS, Site, a_run, absorb, move


def test_a_run_is_shown_with_what_is_corrected_inherited_and_what_became_of_it(site: Site) -> None:
    corrected = site.caf("runs", "show", "490002", "--json").json()
    assert corrected["corrected"] == {"gain_strategy": "it was not written that day"}
    assert [job["state"] for job in corrected["jobs"]] == ["WAITING", "WAITING"]
    inherited = site.caf("runs", "show", "490005", "--json").json()
    assert (inherited["inherited"], inherited["provisional"]) == ({"tier0_tag": 490001}, ["tier0_tag"])
    out = site.caf("runs", "show", "490005").out
    assert "(inherited from run 490001; may still change)" in out
    assert "`caf listeners explain 490005`" in out


def test_a_former_verdict_stays_to_be_seen(site: Site) -> None:
    conn = site.open()
    absorb(conn, site.folder, (*RUNS[:-1], a_run(490010, gain_strategy="Other")), NOW + 60)
    conn.close()
    shown = site.caf("runs", "show", "490010", "--json").json()
    assert (shown["status"], shown["disputed"]) == ("UNCLAIMED", True)
    former = shown["former_verdicts"][0]
    assert (former["status"], former["listener"], former["seen"]["gain_strategy"]) == (
        "ACCEPTED",
        "Scan",
        "CalibGainsEt",
    )
    assert "it was ACCEPTED by Scan" in site.caf("runs", "show", "490010").out


def test_a_job_is_shown_with_its_attempts_area_and_what_can_be_said(site: Site) -> None:
    shown = site.caf("jobs", "show", "490001", RAMP, "--json").json()
    assert shown["area"] == str(site.folder / "work" / f"490001_{RAMP}" / "1")
    assert (shown["attempts"][0]["node"], shown["attempts"][0]["batch_id"]) == ("b7", "4711")
    assert shown["commands"] == [f"caf jobs {word} 490001 {RAMP}" for word in ("reset", "hold", "kill")]
    out = site.caf("jobs", "show", "490001", RAMP).out
    assert shown["area"] in out
    assert f"`caf jobs kill 490001 {RAMP}`" in out


@pytest.mark.parametrize(
    ("run", "job", "says", "command"),
    [
        (490001, D3PD, "WAITING: for a person", f"`caf jobs start 490001 {D3PD}` or `caf jobs reject 490001 {D3PD}`"),
        (490002, RAMP, "12 of 1700 events", f"caf jobs start 490002 {RAMP}"),
        (490001, RAMP, "batch id 4711; on b7", f"caf jobs log 490001 {RAMP}"),
        (490006, RAMP, "FAILED: exit_code", f"caf jobs reset 490006 {RAMP}"),
        (490010, RAMP, "1 of 2 slots are in use", f"caf jobs hold 490010 {RAMP}"),
    ],
)
def test_why_says_what_a_job_waits_for_and_what_to_type(
    site: Site, run: int, job: str, says: str, command: str
) -> None:
    answer = site.caf("jobs", "why", str(run), job)
    assert answer.status == 0
    assert says in answer.out
    assert command in answer.out
    assert len(answer.out.splitlines()) <= 2


def test_why_without_a_job_names_those_of_the_run(site: Site) -> None:
    answer = site.caf("jobs", "why", "490001")
    assert answer.status == 0
    heading, _, *lines = answer.out.splitlines()
    assert heading == "run 490001 has 2 jobs; name the one that you mean:"
    told = [re.fullmatch(r"(\w+) +\S.*  caf jobs why 490001 (\w+)", line) for line in lines]
    assert [found.groups() if found else None for found in told] == [("RUNNING", RAMP), ("WAITING", D3PD)]
    for_programs = site.caf("jobs", "why", "490001", "--json")
    assert (for_programs.status, for_programs.out) == (2, "")
    assert f"run 490001 has {RAMP}, {D3PD}" in " ".join(for_programs.err.replace("│", " ").split())


def test_why_without_a_job_answers_of_the_only_one_and_says_where_there_is_none(site: Site) -> None:
    assert site.caf("jobs", "why", "490004").out == site.caf("jobs", "why", "490004", D3PD).out
    assert site.caf("jobs", "why", "490004", "--json").json()["job"] == D3PD
    none, unknown = site.caf("jobs", "why", "490005"), site.caf("jobs", "why", "490099")
    assert (none.status, "run 490005 has no jobs: `caf runs show 490005`" in none.err) == (1, True)
    assert (unknown.status, "no run 490099 (known:" in unknown.err) == (1, True)


def test_why_has_an_answer_in_every_state(site: Site) -> None:
    conn = site.open()
    s = State
    job = jobs.find(conn, 490010, RAMP)
    seen = set()
    jobs.act(conn, 490010, RAMP, Word.RESET, NOW, "me")
    steps: list[tuple[State, dict[str, object]]] = [
        (s.STAGING, {}),
        (s.PREPARED, {}),
        (s.SUBMITTING, {}),
        (s.PENDING, {"sets": {"unknown_since": NOW}}),
        (s.RUNNING, {}),
        (s.FINISHED, {}),
        (s.DONE, {"result": Result.OK}),
    ]
    for state, more in [(s.NEW, {}), *steps]:
        if state is not s.NEW:
            move(conn, 490010, RAMP, state, **more)
        answer = site.caf("jobs", "why", "490010", RAMP, "--json").json()
        assert answer["state"] == state
        seen.add(answer["why"])
        if state is s.PENDING:
            assert "proves nothing" in answer["why"]
    for word in (Word.KILL,):
        jobs.act(conn, 490010, RAMP, word, NOW, "me", "wrong release")
        assert "kill by me: wrong release" in site.caf("jobs", "why", "490010", RAMP).out
    jobs.act(conn, 490001, RAMP, Word.HOLD, NOW, "me")
    assert "becomes WAITING when the end of attempt 1 (batch id 4711)" in site.caf("jobs", "why", "490001", RAMP).out
    assert len(seen) == len(steps) + 1
    assert job["job"] == RAMP
    conn.close()


def test_why_of_a_new_job_tells_its_back_off(site: Site) -> None:
    conn = site.open()
    jobs.act(conn, 490010, RAMP, Word.RESET, NOW, "me")
    row = jobs.find(conn, 490010, RAMP)
    change = jobs.Change(row["id"], State.NEW, 1, State.NEW, "no raw files yet", sets={"not_before": 4e9})
    assert jobs.apply(conn, [change], NOW) == [True]
    conn.close()
    with lock.held(site.state / "caf.lock", NOW):
        assert re.search(r"looked for, again in \d+ y: no raw files yet", site.caf("jobs", "why", "490010", RAMP).out)


def test_without_a_supervisor_no_round_is_promised(site: Site) -> None:
    for run in (490001, 490010):
        out = site.caf("jobs", "why", str(run), RAMP).out
        assert "in the next round" not in out
        assert "the supervisor does not run\n`caf run` or `caf jobs " in out
    with lock.held(site.state / "caf.lock", NOW):
        assert "is submitted in the next round, in" in site.caf("jobs", "why", "490010", RAMP).out
    assert "does not run" not in site.caf("jobs", "why", "490006", RAMP).out


@pytest.mark.parametrize("result", [Result.PREPARATION, Result.STAGING])
def test_a_job_that_was_never_prepared_has_neither_folder_nor_log(site: Site, result: Result) -> None:
    conn = site.open()
    jobs.act(conn, 490010, RAMP, Word.RESET, NOW, "me")
    move(conn, 490010, RAMP, State.FAILED, why="fit.sh:3: unknown tag #X#", result=result)
    conn.close()
    out = site.caf("jobs", "why", "490010", RAMP).out
    assert f"FAILED: {result}, " in out
    assert f"`caf jobs reset 490010 {RAMP}`" in out
    assert "jobs log" not in out
    assert str(site.folder) not in out


def test_a_full_house_is_why_a_prepared_job_waits(site: Site) -> None:
    site.config.write_text(site.config.read_text().replace("slots = 2", "slots = 1"))
    assert "waits for a slot: 1 of 1 are in use" in site.caf("jobs", "why", "490010", RAMP).out


def test_a_log_is_the_one_the_job_names_and_harmless(site: Site) -> None:
    area = site.area(490001, RAMP)
    (area / "job.json").write_text(json.dumps({"log": "log/athena.log"}))
    (area / "log/athena.log").write_bytes(b"one\r\n\x1b[2Jtwo\x9b\xff\n\tthree\nfour")
    (area / "log/stderr").write_text("oops\n")
    answer = site.caf("jobs", "log", "490001", RAMP)
    assert (answer.status, answer.out) == (0, "one\n\ufffd[2Jtwo\ufffd\ufffd\n\tthree\nfour")
    assert site.caf("jobs", "log", "490001", RAMP, "--lines", "2").out == "\tthree\nfour"
    assert site.caf("jobs", "log", "490001", RAMP, "--lines", "99").out == answer.out
    assert site.caf("jobs", "log", "490001", RAMP, "--stderr").out == "oops\n"
    assert site.caf("jobs", "log", "490001", RAMP, "--attempt", "2").status == 1


def test_the_last_lines_of_a_long_log(site: Site) -> None:
    area = site.area(490001, RAMP)
    (area / "log/stdout").write_text("".join(f"line {number}\n" for number in range(100_000)))
    assert site.caf("jobs", "log", "490001", RAMP, "--lines", "3").out == "line 99997\nline 99998\nline 99999\n"
    out = site.caf("jobs", "log", "490001", RAMP, "--lines", "20000").out
    assert out.startswith("line 80000\n")


def test_without_the_named_log_standard_output_is_shown_and_said_so(site: Site) -> None:
    area = site.area(490001, RAMP)
    (area / "job.json").write_text(json.dumps({"log": "log/athena.log"}))
    (area / "log/stdout").write_text("hello\n")
    answer = site.caf("jobs", "log", "490001", RAMP)
    assert (answer.status, answer.out) == (0, "hello\n")
    assert "there is no" in answer.err


@pytest.mark.parametrize(
    "name", ["../../../secret", "/etc/passwd", "log/link", "log/pipe", "log/loop", "log", "log\0", 7]
)
def test_a_log_never_leads_out_of_the_area(site: Site, name: object) -> None:
    """The payload can write in its area: links, pipes and job.json itself are its to forge."""
    area = site.area(490001, RAMP)
    secret = site.folder / "secret"
    secret.write_text("secret")
    (area / "log/link").symlink_to(secret)
    (area / "log/loop").symlink_to("loop")
    os.mkfifo(area / "log/pipe")
    (area / "job.json").write_text(json.dumps({"log": name}))
    answer = site.caf("jobs", "log", "490001", RAMP)
    assert (answer.status, answer.out) == (1, "")
    assert "bug" not in answer.err


def test_a_job_without_an_area_has_no_log(site: Site) -> None:
    answer = site.caf("jobs", "log", "490010", RAMP)
    assert answer.status == 1
    assert "is PREPARED: it has no working area" in answer.err


def test_after_a_reset_the_log_of_the_last_attempt_is_shown(site: Site) -> None:
    (site.area(490006, RAMP) / "log/stdout").write_text("first\n")
    site.caf("jobs", "reset", "490006", RAMP)
    answer = site.caf("jobs", "log", "490006", RAMP)
    assert (answer.status, answer.out) == (0, "first\n")
    assert answer.err == "caf: attempt 2 is NEW and has no log yet; this is the log of attempt 1\n"
    assert site.caf("jobs", "log", "490006", RAMP, "--attempt", "1").err == ""
    (site.area(490006, RAMP, 2) / "log/stderr").write_text("not what was asked for\n")
    assert site.caf("jobs", "log", "490006", RAMP).out == "first\n"
    assert site.caf("jobs", "log", "490006", RAMP, "--attempt", "2").status == 1


def test_a_log_needs_the_file_and_says_so(site: Site) -> None:
    site.config.write_text("[caf")
    answer = site.caf("jobs", "log", "490006", RAMP, "--state", str(site.state))
    assert (answer.status, answer.out) == (2, "")
    assert "--config FILE" in answer.err
    assert "[caf] work" in answer.err
    assert "--state DIR" not in answer.err


def test_explain_gives_every_condition_the_nearest_listener_first(site: Site) -> None:
    explained = site.caf("listeners", "explain", "490002", "--json").json()
    assert (explained["status"], explained["listener"], explained["again_until"]) == ("ACCEPTED", "Scan", None)
    scan, standalone = explained["listeners"]
    assert (scan["name"], scan["answer"], standalone["answer"], standalone["failing"]) == ("Scan", "holds", "fails", 2)
    gain = scan["conditions"][2]
    assert (gain["attribute"], gain["operator"], gain["answer"]) == ("gain_strategy", "one_of", "holds")
    assert gain["wanted"] == ["CalibGainsEt", "GainOneOvEmbFcalHighEta"]
    assert (gain["seen"], gain["corrected"]) == ("CalibGainsEt", "it was not written that day")
    assert (scan["min_events"]["wanted"], scan["min_events"]["seen"], scan["min_events"]["answer"]) == (
        1700,
        12,
        "fails",
    )
    assert site.caf("listeners", "explain", "490004", "--json").json()["listeners"][0]["name"] == "Standalone"


def test_an_open_run_says_until_when_it_is_looked_at_again(site: Site) -> None:
    explained = site.caf("listeners", "explain", "490003", "--json").json()
    assert (explained["status"], explained["again_until"]) == ("OPEN", "2023-11-15T19:26:40.000490Z")
    assert explained["listeners"][0]["conditions"][3]["answer"] == "unknown"
    out = site.caf("listeners", "explain", "490003").out
    assert "looked at again until 2023-11-15 19:26 UTC" in out
    assert "??  end is known; seen: not known" in out


def test_a_run_that_is_not_there_is_refused_with_those_that_are(site: Site) -> None:
    answer = site.caf("runs", "show", "12345")
    assert (answer.status, answer.err) == (1, "caf: no run 12345 (known: 490001 to 490010)\n")
    answer = site.caf("listeners", "explain", "12345")
    assert (answer.status, answer.out) == (1, "")
    assert answer.err.startswith(
        "caf: no run 12345 (known: 490001 to 490010), and the run database cannot be asked: no"
    )


def test_what_a_changed_file_says_does_not_change_what_was_decided(site: Site) -> None:
    before = site.caf("listeners", "explain", "490002").out
    site.config.write_text(site.config.read_text().replace("LarCalibL1Calo", "Another"))
    assert site.caf("listeners", "explain", "490002").out == before
    assert Path("listeners.toml").exists()
