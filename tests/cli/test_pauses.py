"""`caf pause` and `caf resume`, and where a pause is shown."""

import json
import time

import pytest

from caf.attention import PAUSED_LONG
from caf.store import configurations, pauses
from tests.cli.pretend import D3PD, RAMP, Site
from tests.cli.test_orders import WHO

WHY = ("--reason", "new  release\x1b[31m")
REASON = "new release\ufffd[31m"


def paused(site: Site, job: str | None, ago: float) -> None:
    """Have a pause of some time ago."""
    conn = site.open()
    pauses.pause(conn, job, time.time() - ago, "ann", "new release")
    conn.close()


def test_a_pause_of_one_job_says_what_it_holds_up_and_how_to_end_it(site: Site) -> None:
    answer = site.caf("pause", "--job", RAMP, *WHY)
    assert (answer.status, answer.err) == (0, "")
    assert answer.out == (
        f"submitting of {RAMP} is paused; 1 job that is ready waits for its end; what is out goes on\n"
        f"To end it: `caf resume --job {RAMP}`\n"
    )
    (row,) = [row for row in site.caf("history", "--job", RAMP, "--json").json() if row["became"] == "PAUSED"]
    assert (row["who"], row["run"], row["why"]) == (WHO, None, f"submitting of {RAMP} paused by {WHO}: {REASON}")
    assert site.caf("resume", "--job", RAMP).out == f"submitting of {RAMP} goes on\n"


def test_a_pause_of_all_and_who_made_it(site: Site) -> None:
    assert site.caf("pause", *WHY, "--by", "Ann Example").out.startswith("all submitting is paused; 1 job that is")
    assert "by Ann Example" in site.caf("status").out
    assert site.caf("resume", "--by", "Bob", "--reason", "it is there").status == 0
    assert site.caf("history", "--limit", "1", "--json").json()[0]["why"] == (
        "all submitting resumed by Bob: it is there"
    )


def test_pausing_twice_and_resuming_what_is_not_paused_are_told_in_a_line(site: Site) -> None:
    assert site.caf("resume").err == (
        "caf: submitting as a whole is not paused, and nothing else is: `caf status` shows what jobs wait for\n"
    )
    assert site.caf("pause", "--job", RAMP, *WHY).status == 0
    again = site.caf("pause", "--job", RAMP, "--reason", "x")
    assert (again.status, again.err.count("\n")) == (1, 1)
    assert "is paused already" in again.err
    other = site.caf("resume", "--job", D3PD)
    assert (other.status, f"`caf resume --job {RAMP}`" in other.err) == (1, True)


def test_ending_one_of_two_pauses_says_that_the_other_stays(site: Site) -> None:
    site.caf("pause", "--job", RAMP, *WHY)
    site.caf("pause", *WHY)
    one = site.caf("resume", "--job", RAMP)
    assert (one.status, "all submitting still is" in one.out, "`caf resume`" in one.out) == (0, True, True)
    site.caf("pause", "--job", RAMP, *WHY)
    assert f"submitting of {RAMP} still is" in site.caf("resume").out


def test_an_unknown_name_is_refused_with_the_one_that_was_meant(site: Site) -> None:
    """A slip of the pen would pause nothing, and seem to."""
    answer = site.caf("pause", "--job", "LArL1CaloRampMakr", *WHY)
    assert (answer.status, answer.out) == (1, "")
    assert answer.err == (
        "caf: no job LArL1CaloRampMakr, neither in the configuration nor made already; "
        "did you mean LArL1CaloRampMaker?\n"
    )
    assert f"there are {D3PD}, {RAMP}" in site.caf("resume", "--job", "qqq").err
    assert site.caf("pause", "--job", RAMP).status == 2
    assert site.caf("pause", "--reason", " ").status == 2


def test_a_name_that_is_only_in_the_file_or_only_in_the_database_will_do(site: Site) -> None:
    site.config.write_text(
        "[source]\nreplicas = ['x']\n[listeners.Scan]\n[jobs.Fresh]\nlisteners = ['Scan']\ncommand = ['x']\n"
    )
    assert site.caf("pause", "--job", "Fresh", *WHY).status == 0
    assert site.caf("pause", "--job", RAMP, *WHY).status == 0
    site.config.write_text("rubbish [")
    assert site.caf("resume", "--job", "Fresh", "--state", str(site.state)).status == 0
    conn = site.open()
    text, path = configurations.last_good(conn) or ("", "")
    configurations.keep(conn, text + '\n[jobs.Kept]\nlisteners = ["Scan"]\ncommand = ["x"]\n', "k", path, time.time())
    conn.close()
    assert site.caf("pause", "--job", "Kept", *WHY, "--state", str(site.state)).status == 0


def test_before_the_first_start_there_is_nothing_to_pause(empty: Site) -> None:
    answer = empty.caf("pause", *WHY)
    assert (answer.status, answer.err.count("\n")) == (1, 1)
    assert "nothing is known yet" in answer.err


@pytest.mark.parametrize(("ago", "asks"), [(PAUSED_LONG - 60, False), (PAUSED_LONG + 60, True)])
def test_status_shows_every_pause_and_asks_for_a_person_once_it_is_old(site: Site, ago: float, *, asks: bool) -> None:
    """Whoever comes on shift must be told; who made it a moment ago need not."""
    paused(site, RAMP, ago)
    out = site.caf("status").out
    line = f"submitting of {RAMP} has been paused for {int(ago // 3600)} h by ann: new release; 1 job is held up"
    assert f"PAUSED:     {line}: `caf resume --job {RAMP}`" in " ".join(out.split("\n            "))
    facts = site.caf("status", "--json").json()
    (pause,) = facts["pauses"]
    assert {key: pause[key] for key in ("job", "who", "reason", "held_up")} == {
        "job": RAMP, "who": "ann", "reason": "new release", "held_up": 1,
    }  # fmt: skip
    needs = [need for need in facts["needs"] if need["what"] == "paused"]
    assert [need["command"] for need in needs] == [f"caf resume --job {RAMP}"] * asks
    assert ("paused for" in site.caf("status", "--nagios").out) == asks


def test_a_pause_alone_is_no_reason_for_an_exit_status_of_one(empty: Site) -> None:
    empty.open().close()
    paused(empty, None, 60)
    answer = empty.caf("status")
    assert (answer.status, "PAUSED" in answer.out, "Nothing needs a person" in answer.out) == (0, True, True)


def test_why_names_the_pause_of_each_job_that_it_holds_up(site: Site) -> None:
    paused(site, None, 7200)
    answer = site.caf("jobs", "why", "490010", RAMP)
    assert "PREPARED: all submitting has been paused for 2 h by ann: new release" in answer.out
    facts = site.caf("jobs", "why", "490010", RAMP, "--json").json()
    assert facts["commands"][-2:] == ["caf resume", f"caf jobs hold 490010 {RAMP}"]
    assert (facts["pause"]["job"], facts["pause"]["who"], facts["before"]) == (None, "ann", None)
    running = site.caf("jobs", "why", "490001", RAMP, "--json").json()
    assert (running["pause"], "paused" in running["why"]) == (None, False)
    site.caf("jobs", "reset", "490010", RAMP)
    assert "then it waits: all submitting has been paused" in site.caf("jobs", "why", "490010", RAMP).out


def test_why_says_how_many_go_before(site: Site) -> None:
    conn = site.open()
    conn.execute("UPDATE job SET state = 'PREPARED' WHERE job = ? AND state = 'NEW'", (D3PD,))
    for run in (490002, 490006):
        conn.execute("UPDATE job SET state = 'NEW' WHERE run = ? AND job = ? AND state = 'WAITING'", (run, D3PD))
        conn.execute("UPDATE job SET state = 'PREPARED' WHERE run = ? AND job = ?", (run, D3PD))
    conn.close()
    facts = site.caf("jobs", "why", "490010", RAMP, "--json").json()
    assert facts["before"] == 1  # the other name has its turn first, and then this one
    assert "slots are in use; 1 job before it" in facts["why"]


def test_why_says_what_is_known_of_the_group(site: Site) -> None:
    conn = site.open()
    text = site.config.read_text().replace('command = ["true"]', 'command = ["true"]\ngroup = "u_LAR"')
    conn.execute("UPDATE configuration SET text = ?", (text.replace("slots = 2", "slots = 2\ngroup_slots = 44"),))
    for others, says in ((41, "others of group u_LAR use 41 of its 44"), (None, "has not been known for 5 min")):
        told = json.dumps({"u_LAR": {"others": others, "since": time.time() - 300}})
        conn.execute("INSERT OR REPLACE INTO meta VALUES ('group_use', ?)", (told,))
        assert says in site.caf("jobs", "why", "490010", RAMP).out.replace("\n  ", " ")
    conn.close()


def test_check_says_where_a_groups_share_means_nothing(empty: Site) -> None:
    empty.config.write_text(empty.config.read_text().replace("slots = 2", "slots = 2\ngroup_slots = 44"))
    said = " ".join(empty.caf("check").out.split())
    assert 'note batch.group_slots means nothing with kind = "local": this machine has no groups, slots counts' in said


def test_check_names_jobs_that_are_larger_than_their_groups_share(empty: Site) -> None:
    text = empty.config.read_text().replace("slots = 2", 'kind = "slurm"\nslots = 2\ngroup_slots = 3')
    empty.config.write_text(text.replace('command = ["true"]', 'command = ["true"]\ngroup = "g"\ncpus = 4', 1))
    said = " ".join(empty.caf("check").out.split())
    assert f"warn batch.group_slots is less than the `cpus` of {RAMP}: correct one, or it never goes out" in said
