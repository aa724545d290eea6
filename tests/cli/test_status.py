"""`status` and `db check`: what needs a person, and whether the database agrees with itself."""

import os
import re
import shutil
import tempfile
import time
from pathlib import Path

import pytest

from caf import lock
from caf.domain.jobs import State, Word
from caf.store import configurations, discovery, duties, jobs
from tests.cli.pretend import D3PD, NOW, RAMP, Site, move

QUIET = 4e9  # a time to come


def settle_all(site: Site) -> None:
    """Leave nothing that needs a person."""
    conn = site.open()
    for row in conn.execute("SELECT run, job, state FROM job").fetchall():
        if row["state"] in ("WAITING", "FAILED"):
            jobs.act(conn, row["run"], row["job"], Word.KILL, NOW, "me")
    conn.close()


def test_status_counts_and_asks_with_the_command_to_type(site: Site) -> None:
    answer = site.caf("status")
    assert answer.status == 1
    assert "jobs:       6 WAITING, 1 PREPARED, 1 RUNNING, 1 FAILED" in answer.out
    needs = site.caf("status", "--json").json()["needs"]
    assert [(need["what"], need["count"]) for need in needs] == [("waiting", 6), ("failed", 1)]
    assert all(need["command"].startswith("caf ") for need in needs)
    assert f"`caf jobs why 490006 {RAMP}`" in answer.out
    # But for a path that is longer by itself.
    assert max(len(line) for line in answer.out.splitlines() if " " in line.strip()) <= 80


def test_status_is_0_when_nobody_is_needed(site: Site) -> None:
    settle_all(site)
    answer = site.caf("status")
    assert answer.status == 0
    assert "Nothing needs a person." in answer.out
    nagios = site.caf("status", "--nagios")
    assert (nagios.status, nagios.out.count("\n")) == (0, 1)
    assert nagios.out.startswith("CAF OK - nothing needs a person | ")


def test_nagios_gets_one_line_and_its_own_codes(site: Site) -> None:
    answer = site.caf("status", "--nagios")
    assert (answer.status, answer.out.count("\n")) == (1, 1)
    assert answer.out.startswith("CAF WARNING - 6 jobs waiting for validation")
    assert answer.out.endswith("| waiting=6 prepared=1 running=1 failed=1\n")


def test_a_failing_duty_needs_a_person_and_is_critical_when_it_persists(site: Site) -> None:
    settle_all(site)
    conn = site.open()
    duties.ended(conn, "discover", NOW, QUIET, summary=None, error="the replica is | gone\x1b[2J")
    assert site.caf("status").status == 1
    answer = site.caf("status", "--nagios")
    assert answer.status == 1
    assert "discover fails: the replica is / gone\ufffd[2J: `caf check`" in answer.out
    for _ in range(2):
        duties.ended(conn, "discover", NOW, QUIET, summary=None, error="the replica is gone")
    conn.close()
    assert site.caf("status", "--nagios").status == 2


def test_work_that_waits_without_a_supervisor_is_critical(site: Site) -> None:
    settle_all(site)
    conn = site.open()
    duties.ended(conn, "organise", NOW, NOW + 120, summary=None, error=None)
    conn.close()
    answer = site.caf("status", "--nagios")
    assert answer.status == 2
    assert "the supervisor does not run" in answer.out
    assert "\nNeeds a person:\n- the supervisor does not run" in site.caf("status").out
    with lock.held(site.state / "caf.lock", NOW):
        found = site.caf("status", "--json").json()
    assert f"process {os.getpid()}" in found["supervisor"]
    assert [(need["what"], need["critical"]) for need in found["needs"]] == [("duty", True)]
    assert "organise is late" in found["needs"][0]["text"]


def test_a_round_that_just_began_is_not_late_however_long_nobody_supervised(site: Site) -> None:
    """Else each start after a while would send a mail about all duties."""
    settle_all(site)
    conn = site.open()
    now = time.time()
    for name in ("organise", "mail"):
        duties.ended(conn, name, now - 3600, now - 3500, summary=None, error=None)
        duties.begun(conn, name, now)
    assert [need["what"] for need in site.caf("status", "--json").json()["needs"]] == ["supervisor"]
    with lock.held(site.state / "caf.lock", now):
        assert site.caf("status", "--json").json()["needs"] == []
        duties.begun(conn, "organise", now - 400)
        (late,) = site.caf("status", "--json").json()["needs"]
    conn.close()
    assert late["text"].startswith("organise is late by ")


def test_that_nobody_supervises_stands_where_it_is_seen_on_a_small_screen(site: Site) -> None:
    """The first line may have left it by the time that the last is written."""
    said = "The supervisor does not run. Needs a person:"
    assert said in site.caf("status").out
    with lock.held(site.state / "caf.lock", NOW):
        assert said not in site.caf("status").out


def test_no_round_is_promised_while_nobody_would_do_it(site: Site) -> None:
    duty = re.compile(r"^organise .* ago +- +(\S.*?)  +7 new runs$", re.MULTILINE)
    assert duty.findall(site.caf("status").out) == ["-"]
    with lock.held(site.state / "caf.lock", NOW):
        assert duty.findall(site.caf("status").out)[0].startswith("in ")
    assert site.caf("status", "--json").json()["duties"][0]["next"] is not None


def test_looking_comes_before_deciding(site: Site) -> None:
    waiting = site.caf("status", "--json").json()["needs"][0]
    assert (waiting["what"], waiting["command"].split()[:3]) == ("waiting", ["caf", "jobs", "why"])


def test_a_doubt_is_told_with_its_own_reason(site: Site) -> None:
    conn = site.open()
    move(conn, 490001, RAMP, State.RUNNING, sets={"unknown_since": NOW}, why="its working area cannot be read")
    conn.close()
    need = next(need for need in site.caf("status", "--json").json()["needs"] if need["what"] == "unknown")
    assert re.search(r"in doubt for \d+ y: its working area cannot be read; if it is there: `caf jobs", need["text"])
    out = site.caf("jobs", "why", "490001", RAMP).out
    assert re.search(r"in doubt for \d+ y: its working area cannot be read; that proves nothing", out)


def test_who_may_not_look_learns_whose_it_is(site: Site) -> None:
    """As another user where the tests are root's, for whom nothing is closed."""
    folder = Path(tempfile.mkdtemp())  # others may not even come near that of pytest
    state = shutil.copytree(site.state, folder / "state")
    folder.chmod(0o755)
    state.chmod(0o070)
    root = os.geteuid() == 0
    other = "import os, caf.cli.access, caf.cli.status, caf.cli.jobs, caf.lock, pwd, grp, shlex, encodings.idna\n"
    other += "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
    for words in (["status"], ["status", "--nagios"], ["jobs", "list"]):
        done = site.python(*words, "--state", str(state), before=other if root else "")
        said = done.stdout + done.stderr
        assert done.returncode == (2 if "--nagios" in words else 1)
        assert re.search(
            r"state: belongs to .*, group .*, and you \(.*\) may not look into it: have yourself put", said
        )
        assert "Traceback" not in said
    state.chmod(0o700)
    shutil.rmtree(folder)


def test_runs_in_conflict_disputed_runs_and_unknown_jobs_need_a_person(site: Site) -> None:
    settle_all(site)
    conn = site.open()
    conn.execute("INSERT INTO verdict (configuration_id, status, answers) VALUES (1, 'CONFLICT', 'hhhhh hh')")
    conn.execute("UPDATE run SET status = 'CONFLICT', verdict_id = (SELECT max(id) FROM verdict) WHERE run = 490005")
    conn.execute("UPDATE run SET disputed = 1 WHERE run = 490010")
    move(conn, 490001, RAMP, State.RUNNING, sets={"unknown_since": NOW})
    conn.close()
    needs = {need["what"]: need for need in site.caf("status", "--json").json()["needs"]}
    assert needs["conflict"]["command"] == "caf runs assign 490005 LISTENER --reason TEXT"
    assert "`caf listeners explain 490005` shows which" in needs["conflict"]["text"]
    assert needs["disputed"]["command"] == "caf runs assign 490010 Scan --reason TEXT"
    assert "`caf runs show 490010` tells" in needs["disputed"]["text"]
    assert needs["unknown"]["command"] == f"caf jobs why 490001 {RAMP}"


def test_how_far_a_long_round_is_is_shown_while_somebody_does_it(site: Site) -> None:
    conn = site.open()
    duties.begun(conn, "discover", NOW)
    duties.progressed(conn, "discover", "30,000 of 1,000,000 runs looked at")
    assert site.caf("status", "--json").json()["duties"][0]["progress"] == "30,000 of 1,000,000 runs looked at"
    assert "under way" not in site.caf("status").out  # what is left of a round whose process died
    with lock.held(site.state / "caf.lock", NOW):
        assert re.search(r"^discover .* under way: 30,000 of 1,000,000 runs looked at$", site.caf("status").out, re.M)
        conn.execute("UPDATE duty SET next = ? WHERE name = 'discover'", (NOW + 60,))
        assert re.search(r"discover is late by .* ago, 30,000 of 1,000,000", site.caf("status", "--nagios").out)
    duties.ended(conn, "discover", NOW, QUIET, summary="7 new runs", error=None)
    conn.close()
    assert site.caf("status", "--json").json()["duties"][0]["progress"] is None


def test_a_file_that_is_not_in_force_needs_a_person(site: Site) -> None:
    settle_all(site)
    conn = site.open()
    configurations.complain(conn, "listeners.toml:3: [caf: is not TOML\x1b[2J\nlisteners.toml:9: more", NOW)
    answer = site.caf("status")
    assert answer.status == 1
    told = " ".join(answer.out.split())
    assert "listeners.toml is not in force since 2023-11-14 22:13 UTC: listeners.toml:3: [caf: is not TOML" in told
    assert told.endswith("`caf check`")
    assert "listeners.toml:9" not in told
    nagios = site.caf("status", "--nagios")
    assert (nagios.status, nagios.out.count("\n")) == (1, 1)
    assert "is not in force" in nagios.out
    configurations.complain(conn, None, NOW)
    conn.close()
    assert site.caf("status").status == 0


def test_a_replica_that_stands_still_needs_a_person(site: Site) -> None:
    settle_all(site)
    conn = site.open()
    now = time.time()
    for age, asks in ((3 * 3600, True), (1800, False)):
        discovery.keep_source(conn, discovery.Absorbed({}, [], [], int((now - age) * 1e9), 7200.0), now)
        duties.ended(conn, "discover", now, QUIET, summary=None, error=None)
        needs = site.caf("status", "--json").json()["needs"]
        assert [need["what"] for need in needs] == ["source"] * asks
    discovery.keep_source(conn, discovery.Absorbed({}, [], [], int((now - 3 * 3600) * 1e9), 7200.0), now)
    conn.close()
    answer = site.caf("status", "--nagios")
    assert answer.status == 1
    assert "the run database has not changed for 3 h: is its copy job alive?: `caf check`" in answer.out


def test_nobody_is_called_about_a_replica_that_nobody_looked_at(site: Site) -> None:
    """Without a supervisor only what was seen at the last look counts: the copies may well go on."""
    settle_all(site)
    conn = site.open()
    then = time.time() - 86_400
    discovery.keep_source(conn, discovery.Absorbed({}, [], [], int((then - 60) * 1e9), 7200.0), then)
    duties.ended(conn, "discover", then, QUIET, summary=None, error=None)
    conn.close()
    assert site.caf("status").status == 0
    with lock.held(site.state / "caf.lock", NOW):
        assert [need["what"] for need in site.caf("status", "--json").json()["needs"]] == ["source"]


def test_status_before_the_first_round(empty: Site) -> None:
    assert empty.caf("status").status == 0
    nagios = empty.caf("status", "--nagios")
    assert (nagios.status, nagios.out.count("\n")) == (1, 1)
    assert nagios.out.startswith("CAF WARNING - there is no database yet")
    assert nagios.out.endswith(": `caf run`\n")
    assert empty.caf("status", "--json").json()["database"] is False


def test_nagios_gets_its_line_even_when_nothing_can_be_read(site: Site) -> None:
    (site.state / "caf.db").write_bytes(b"rubbish" * 1000)
    answer = site.caf("status", "--nagios")
    assert (answer.status, answer.err, answer.out.count("\n")) == (2, "", 1)
    assert answer.out.startswith("CAF CRITICAL - ")
    assert site.caf("status").status == 1


def test_a_sound_database_is_said_to_be(site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    answer = site.caf("db", "check")
    assert (answer.status, answer.out) == (0, "the database is whole and agrees with itself\n")
    assert site.caf("db", "check", "--json").json() == {"database": True, "findings": [], "mended": []}
    shutil.rmtree(site.state)
    assert site.caf("db", "check").status == 0


def test_findings_of_the_database_are_told(site: Site) -> None:
    conn = site.open()
    conn.execute("UPDATE job_count SET jobs = 7 WHERE state = 'WAITING' AND job = ?", (D3PD,))
    conn.close()
    answer = site.caf("db", "check")
    assert answer.status == 1
    assert f"job_count says 7 {D3PD} WAITING, but there are 5" in answer.out


def test_a_damaged_database_is_told_without_a_traceback(site: Site) -> None:
    path = site.state / "caf.db"
    data = bytearray(path.read_bytes())
    data[4096 : len(data) - 4096] = b"\xa5" * (len(data) - 8192)
    path.write_bytes(data)
    answer = site.caf("db", "check")
    assert answer.status == 1
    assert "bug" not in answer.err
    assert "damaged" in answer.out + answer.err
