"""`runs assign`, `runs ignore`: a person's word on a run, and refusals that say what helps."""

import time

import pytest

from caf import lock
from caf.store import configurations
from tests.cli.pretend import CONFIGURATION, D3PD, NOW, RAMP, Site

WHY = ("--reason", "agreed with LAr", "--by", "anna")


def test_a_run_is_assigned_and_its_jobs_are_promised(site: Site) -> None:
    answer = site.caf("runs", "assign", "490005", "Scan", *WHY)
    assert answer.status == 0
    assert answer.out == (f"run 490005 is ACCEPTED by Scan: its jobs are made in the next round: {RAMP}, {D3PD}\n")
    shown = site.caf("runs", "show", "490005", "--json").json()
    assert (shown["status"], shown["listener"], shown["needs_validation"]) == ("ACCEPTED", "Scan", False)
    assert (shown["decided_by"], shown["reason"], shown["jobs"]) == ("anna", "agreed with LAr", [])
    assert site.caf("history", "--run", "490005", "--json").json()[-1]["why"] == "assigned: agreed with LAr"
    assert "(decided by anna: agreed with LAr)" in site.caf("listeners", "explain", "490005").out
    conn = site.open()
    assert conn.execute("SELECT jobs_due FROM run WHERE run = 490005").fetchone()[0] == 1
    conn.close()


def test_too_few_events_are_for_a_person_as_ever(site: Site) -> None:
    conn = site.open()
    for sets, few in (("stored_events = 12", True), ("stored_events = NULL", True), ("stored_events = 1700", False)):
        conn.execute(f"UPDATE run SET {sets} WHERE run = 490005")
        out = site.caf("runs", "assign", "490005", "Scan", *WHY).out
        assert ("It has too few events: its jobs wait" in out) == few
        assert site.caf("runs", "show", "490005", "--json").json()["needs_validation"] is few
    conn.close()


def test_a_run_that_is_ignored_leaves_its_jobs_as_they_are(site: Site) -> None:
    answer = site.caf("runs", "ignore", "490006", *WHY)
    assert (answer.status, answer.err) == (0, "")
    assert answer.out == (
        f"run 490006 is IGNORED; its jobs {RAMP}, {D3PD} are left as they are: `caf jobs list --runs 490006`\n"
    )
    assert site.caf("runs", "ignore", "490005", *WHY).out == "run 490005 is IGNORED\n"
    assert site.caf("runs", "show", "490005", "--json").json()["status"] == "IGNORED"


def test_what_status_asks_for_is_settled_by_the_command_that_it_gives(site: Site) -> None:
    conn = site.open()
    conn.execute("UPDATE run SET disputed = 1 WHERE run = 490010")
    conn.close()
    need = next(need for need in site.caf("status", "--json").json()["needs"] if need["what"] == "disputed")
    answer = site.caf(*need["command"].split()[1:])
    assert answer.status == 0
    assert f"its jobs {RAMP}, {D3PD} are kept" in answer.out
    assert "disputed" not in {need["what"] for need in site.caf("status", "--json").json()["needs"]}


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["assign", "490005", "Scan"], 2, "Missing option '--reason'"),
        (["ignore", "490005"], 2, "Missing option '--reason'"),
        (["ignore", "490005", "--reason", " \n "], 2, "must not be empty: the next shift will read it"),
        (["assign", "490005", "Scan", "--reason", "x", "--by", " "], 2, "must not be empty"),
        (["assign", "490005", "Scna", "--reason", "x"], 1, "in force; did you mean Scan?"),
        (["assign", "490005", "X", "--reason", "x"], 1, "there are Scan, Standalone"),
        (["assign", "490006", "Standalone", "--reason", "x"], 1, "run 490006 has jobs of Scan already, which stay"),
        (["assign", "7", "Scan", "--reason", "x"], 1, "caf: no run 7 (known: 490001 to 490010)"),
        (["ignore", "7", "--reason", "x"], 1, "caf: no run 7 (known: 490001 to 490010)"),
    ],
)  # fmt: skip
def test_what_is_refused_says_why_and_changes_nothing(site: Site, words: list[str], status: int, says: str) -> None:
    before = site.caf("history", "--json").out
    answer = site.caf("runs", *words)
    assert (answer.status, answer.out) == (status, "")
    assert says in " ".join(answer.err.split())
    assert site.caf("history", "--json").out == before


def test_without_a_database_nothing_can_be_decided(empty: Site) -> None:
    answer = empty.caf("runs", "ignore", "1", *WHY)
    assert answer.status == 1
    assert "nothing is known yet" in answer.err


def test_the_listener_must_be_one_that_the_next_round_knows(site: Site) -> None:
    """A running supervisor goes by what it has put into force, whatever the file says by now."""
    more = CONFIGURATION + '\n[listeners.New]\nmatch = { run_type = "new" }\n'
    site.config.write_text(more)
    with lock.held(site.state / "caf.lock", NOW):
        assert "no listener New" in site.caf("runs", "assign", "490005", "New", *WHY).err
        conn = site.open()
        configurations.keep(conn, more, "more", str(site.config), time.time())
        conn.close()
        answer = site.caf("runs", "assign", "490005", "New", *WHY)
        assert answer.out == (
            "run 490005 is ACCEPTED by New: but no enabled job serves this listener, so that nothing is done with it\n"
        )


def test_a_file_that_is_rubbish_does_not_stand_in_the_way(site: Site) -> None:
    site.config.write_text("[caf")
    assert site.caf("runs", "assign", "490005", "Scan", *WHY, "--state", str(site.state)).status == 0
    assert site.caf("runs", "ignore", "490005", *WHY, "--state", str(site.state)).status == 0


def test_without_a_supervisor_it_is_the_file_that_the_next_one_would_take(site: Site) -> None:
    site.config.write_text(CONFIGURATION + '\n[listeners.New]\nmatch = { run_type = "new" }\n')
    assert site.caf("runs", "assign", "490005", "New", *WHY).status == 0
