"""`listeners replay`: the difference that a file makes, fit for a merge check; and for good, only as asked."""

import os
import pty
import sys
import time
from typing import Any

import pytest

from caf import lock
from caf.cli import progress
from caf.cli import replay as command
from caf.store import configurations
from tests.cli.pretend import CONFIGURATION, D3PD, NOW, RAMP, Site, a_run, absorb

WIDER = CONFIGURATION.replace('run_type = "LarCalibL1Calo"', 'run_type = ["LarCalibL1Calo", "cismono"]')
TIGHTER = CONFIGURATION.replace("min_events = 1700", "min_events = 10").replace(
    '"CalibGainsEt", "GainOneOvEmbFcalHighEta"', '"GainOneOvEmbFcalHighEta"'
)
OVERLAPPING = CONFIGURATION + '\n[listeners.Twin]\nmatch = { run_type = "LarCalibL1Calo" }\n'
GOOD = ("--apply", "--runs", "490001-490010", "--reason", "agreed", "--by", "anna")


def dump(site: Site) -> list[str]:
    conn = site.open()
    try:
        return list(conn.iterdump())
    finally:
        conn.close()


def test_the_file_in_force_makes_no_difference(site: Site) -> None:
    answer = site.caf("listeners", "replay")
    assert (answer.status, answer.out, answer.err) == (0, "7 runs judged, 0 would change\n", "")


def test_a_changed_file_is_shown_as_a_difference_and_changes_nothing(site: Site) -> None:
    site.config.write_text(WIDER)
    before = dump(site)
    answer = site.caf("listeners", "replay", "--json")
    assert (answer.status, dump(site)) == (1, before)
    found = answer.json()
    assert (found["judged"], found["differ"], found["applied"]) == (7, 1, False)
    assert found["totals"] == {"gained": 1, "lost": 0, "moved": 0, "validation": 0, "other": 0, "jobs": 2}
    taken = {"status": "ACCEPTED", "listener": "Scan", "needs_validation": False}
    open_ = {"status": "UNCLAIMED", "listener": None, "needs_validation": None}
    assert found["gained"] == [{"run": 490005, "from": open_, "to": taken, "jobs": []}]
    assert found["jobs_to_make"] == [{"run": 490005, "job": RAMP}, {"run": 490005, "job": D3PD}]
    assert found["all_waiting"] is False
    out = site.caf("listeners", "replay").out
    assert "  490005  UNCLAIMED -> ACCEPTED by Scan\n" in out
    assert f"2 jobs would be made:\n  490005  {RAMP}\n" in out
    assert "7 runs judged, 1 would change" in out
    assert "Nothing is changed." in out


def test_another_file_is_weighed_against_the_runs_of_this_one(site: Site) -> None:
    (site.folder / "new.toml").write_text(TIGHTER.replace("[batch]", "[caf]\nmax_new_jobs = 1\n\n[batch]"))
    found = site.caf("listeners", "replay", "--against", "new.toml", "--json").json()
    assert [one["run"] for one in found["lost"]] == [490001, 490002, 490006, 490010]
    assert found["lost"][0]["jobs"] == [RAMP, D3PD]
    out = site.caf("listeners", "replay", "--against", "new.toml", "--limit", "1").out
    assert f"490001  ACCEPTED by Scan -> UNCLAIMED  (has {RAMP}, {D3PD}, left as they are)" in out
    assert "... and 3 more: --limit N, or --json" in out
    few = site.caf("listeners", "replay", "--against", "new.toml", "--json", "--limit", "2").json()
    assert (len(few["lost"]), few["totals"]["lost"]) == (2, 4)


def test_what_is_left_to_people_is_counted(site: Site) -> None:
    site.caf("runs", "ignore", "490010", "--reason", "noise")
    (site.folder / "new.toml").write_text(TIGHTER)
    found = site.caf("listeners", "replay", "--against", "new.toml", "--json").json()
    assert (found["judged"], len(found["lost"]), found["left"]) == (6, 3, {"runs": 1, "jobs": 6})
    out = site.caf("listeners", "replay", "--against", "new.toml").out
    assert "1 run that somebody assigned or ignored and 6 jobs that runs above have, which stay\n" in out
    others = site.caf("listeners", "replay", "--against", "new.toml", "--runs", "490001-490001", "--json").json()
    assert others["left"] == {"runs": 0, "jobs": 2}


def test_a_change_of_validation_is_told_and_makes_no_jobs(site: Site) -> None:
    site.config.write_text(CONFIGURATION.replace("min_events = 1700", "min_events = 10"))
    found = site.caf("listeners", "replay", "--json").json()
    assert [(one["run"], one["to"]["needs_validation"]) for one in found["validation"]] == [(490002, False)]
    assert found["totals"]["jobs"] == 0
    assert "ACCEPTED by Scan, a person must validate it -> ACCEPTED by Scan" in site.caf("listeners", "replay").out


def test_too_many_jobs_would_all_wait(site: Site) -> None:
    site.config.write_text(WIDER.replace("[batch]", "[caf]\nmax_new_jobs = 1\n\n[batch]"))
    assert site.caf("listeners", "replay", "--json").json()["all_waiting"] is True
    out = site.caf("listeners", "replay").out
    assert "2 jobs would be made: more than max_new_jobs = 1, so all of them wait for a person" in out


def test_only_the_runs_asked_for_are_judged(site: Site) -> None:
    site.config.write_text(WIDER)
    found = site.caf("listeners", "replay", "--runs", "490001-490003,490010", "--json")
    assert (found.status, found.json()["judged"]) == (0, 4)


@pytest.mark.parametrize(("text", "says"), [(OVERLAPPING, "listeners.Scan and listeners.Twin overlap"), ("x", "TOML")])
def test_a_file_with_errors_is_status_2(site: Site, text: str, says: str) -> None:
    (site.folder / "new.toml").write_text(text)
    answer = site.caf("listeners", "replay", "--against", "new.toml")
    assert (answer.status, answer.out) == (2, "")
    assert "new.toml:" in answer.err
    assert says in answer.err


def test_without_a_database_there_is_nothing_to_differ(empty: Site) -> None:
    answer = empty.caf("listeners", "replay", "--json")
    assert (answer.status, answer.json()["judged"], empty.state.exists()) == (0, 0, False)
    assert empty.caf("listeners", "replay", *GOOD).status == 0


def test_what_is_applied_is_said_and_kept(site: Site) -> None:
    site.config.write_text(WIDER)
    answer = site.caf("listeners", "replay", *GOOD)
    assert answer.status == 0
    assert "1 run gained (are taken):\n  490005  UNCLAIMED -> ACCEPTED by Scan\n" in answer.out
    assert "2 jobs are made in the next round:" in answer.out
    assert "7 runs judged, 1 changed" in answer.out
    assert "Nothing is changed" not in answer.out
    shown = site.caf("runs", "show", "490005", "--json").json()
    assert (shown["status"], shown["verdict"]["configuration"]) == ("ACCEPTED", 2)
    assert shown["former_verdicts"][0]["why"] == "replayed: agreed"
    row = site.caf("history", "--run", "490005", "--json").json()[-1]
    assert (row["who"], row["why"]) == ("anna", "replayed: agreed")
    assert site.caf("listeners", "replay").status == 0
    again = site.caf("listeners", "replay", *GOOD, "--json").json()
    assert (again["differ"], again["applied"]) == (0, True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--apply", "--reason", "x"], "history is judged anew only by name"),
        (["--apply", "--runs", "1-9"], "must be given with --apply"),
        (["--apply", "--runs", "1-9", "--reason", " "], "must not be empty"),
        (["--apply", "--runs", "1-9", "--reason", "x", "--against", "listeners.toml"], "is for looking only"),
        (["--reason", "x"], "without it nothing is changed"),
        (["--limit", "0"], "--limit"),
    ],
)
def test_history_is_changed_only_as_asked(site: Site, words: list[str], says: str) -> None:
    before = dump(site)
    answer = site.caf("listeners", "replay", *words)
    assert (answer.status, answer.out, dump(site)) == (2, "", before)
    assert says in " ".join(answer.err.split())


def test_under_a_supervisor_only_what_it_goes_by_is_applied(site: Site) -> None:
    """What is kept last is what it falls back on; and a file that it has rejected must not come in by this door."""
    site.config.write_text(WIDER)
    before = dump(site)
    with lock.held(site.state / "caf.lock", NOW):
        answer = site.caf("listeners", "replay", *GOOD)
        assert (answer.status, answer.out, dump(site)) == (1, "", before)
        assert "is not what the running supervisor goes by" in answer.err
        conn = site.open()
        configurations.keep(conn, WIDER, "wider", str(site.config), time.time())
        conn.close()
        assert site.caf("listeners", "replay", *GOOD).status == 0


def test_a_copy_of_the_file_elsewhere_does_not_move_the_one_in_force(site: Site) -> None:
    """Its paths are relative to its folder."""
    copy = site.folder / "elsewhere" / "copy.toml"
    copy.parent.mkdir()
    copy.write_text(CONFIGURATION)
    words = ("listeners", "replay", *GOOD, "--config", str(copy), "--state", str(site.state))
    assert site.caf(*words).status == 0
    conn = site.open()
    assert configurations.last_good(conn) == (CONFIGURATION, str(site.config))
    conn.close()


def test_what_no_supervisor_could_take_is_not_applied(site: Site) -> None:
    site.config.write_text(WIDER.replace("slots = 2", 'kind = "pbs"'))
    before = dump(site)
    answer = site.caf("listeners", "replay", *GOOD)
    assert (answer.status, dump(site)) == (2, before)
    assert "batch.kind" in answer.err


def test_what_a_person_decided_does_not_differ(site: Site) -> None:
    site.caf("runs", "ignore", "490005", "--reason", "a test")
    site.config.write_text(WIDER)
    assert site.caf("listeners", "replay").status == 0
    assert site.caf("listeners", "replay", *GOOD, "--json").json()["judged"] == 6


def test_attributes_that_known_runs_were_not_read_with_are_named(site: Site) -> None:
    regime = '\n[source.attributes.regime]\nfolder = "/A/B"\ncolumn = "c"\n'
    site.config.write_text(CONFIGURATION + regime)
    assert "listeners.toml reads regime from elsewhere than known runs were read" in site.caf("listeners", "replay").err


def test_who_waits_at_a_terminal_sees_how_far_it_is(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    conn = site.open()
    absorb(conn, site.folder, tuple(a_run(490100 + n) for n in range(3)), NOW)
    conn.close()
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    monkeypatch.setattr(progress, "PERIOD", 0.0)
    assert site.caf("listeners", "replay").err == ""
    ours, theirs = pty.openpty()
    with open(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        found: Any = command.Found(lambda _: (), None)
        command._follow(iter([(2, []), (8, [])]), 10, found)
    shown = ""
    while "10 of 10 runs" not in shown:  # an error once there is no more
        shown += os.read(ours, 1000).decode()
    os.close(ours)
    assert "2 of 10 runs" in shown
