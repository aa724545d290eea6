"""`caf jobs reset --set`: other tags for one time, kept in the audit trail and in job.json."""

import json
from pathlib import Path

import pytest

from caf.domain.jobs import Result, State
from caf.store import jobs
from tests.cli.pretend import RAMP, Site, move
from tests.world import World


def tags_of(site: Site, run: int) -> dict[str, str] | None:
    conn = site.open()
    try:
        text = jobs.find(conn, run, RAMP)["tags"]
        return None if text is None else dict(json.loads(text))
    finally:
        conn.close()


def with_template(site: Site, text: str) -> None:
    (site.folder / "templates").mkdir(exist_ok=True)
    (site.folder / "templates" / "run.sh").write_text(text)
    config = site.config.read_text()
    at = config.index(f"[jobs.{RAMP}]") + len(f"[jobs.{RAMP}]")
    site.config.write_text(f'{config[:at]}\ntemplates = ["run.sh"]{config[at:]}')


def test_a_tag_that_is_set_stands_in_the_job_and_in_its_history(site: Site) -> None:
    with_template(site, "release #ATLAS_RELEASE_NOCACHE# #OPTION#\n")
    settings = ("--set", "ATLAS_RELEASE=20.1.7.3", "--set", "OPTION=a=b $x")
    answer = site.caf("jobs", "reset", "490006", RAMP, *settings, "--reason", "new release", "--by", "ann")
    assert answer.status == 0
    assert tags_of(site, 490006) == {"ATLAS_RELEASE": "20.1.7.3", "OPTION": "a=b $x"}
    last = site.caf("jobs", "history", "490006", RAMP, "--json").json()[-1]
    assert last["why"] == "reset by ann (ATLAS_RELEASE=20.1.7.3, OPTION=a=b $x): new release"


def test_it_is_gone_when_the_job_has_ended_and_survives_a_hold(site: Site) -> None:
    with_template(site, "#ATLAS_RELEASE#\n")
    site.caf("jobs", "reset", "490006", RAMP, "--set", "ATLAS_RELEASE=1.2", "--reason", "x")
    site.caf("jobs", "hold", "490006", RAMP)
    site.caf("jobs", "start", "490006", RAMP)
    assert tags_of(site, 490006) == {"ATLAS_RELEASE": "1.2"}
    conn = site.open()
    # An attempt that the infrastructure broke is tried again with them.
    move(conn, 490006, RAMP, State.PREPARED, State.SUBMITTING, State.RUNNING, State.NEW)
    assert tags_of(site, 490006) == {"ATLAS_RELEASE": "1.2"}
    move(conn, 490006, RAMP, State.PREPARED, State.SUBMITTING, State.RUNNING, State.FINISHED)
    move(conn, 490006, RAMP, State.FAILED, why="bad", result=Result.LOG)
    conn.close()
    assert tags_of(site, 490006) is None


def test_another_reset_without_it_takes_it_away(site: Site) -> None:
    with_template(site, "#ATLAS_RELEASE#\n")
    site.caf("jobs", "reset", "490006", RAMP, "--set", "ATLAS_RELEASE=1.2", "--reason", "x")
    site.caf("jobs", "reset", "490006", RAMP)
    assert tags_of(site, 490006) is None


def test_a_tag_that_no_template_uses_is_refused_at_once(site: Site) -> None:
    with_template(site, "#ATLAS_RELEASE#\n")
    answer = site.caf("jobs", "reset", "490006", RAMP, "--set", "ATLAS_RELEAS=1.2", "--reason", "x")
    assert answer.status == 1
    assert f"--set ATLAS_RELEAS: no template of {RAMP} uses this tag: they use ATLAS_RELEASE" in answer.err
    assert tags_of(site, 490006) is None
    conn = site.open()
    assert jobs.find(conn, 490006, RAMP)["state"] == State.FAILED
    conn.close()


def test_wrong_usage(site: Site) -> None:
    for words, said in (
        (("--set", "ATLAS_RELEASE=1"), "is needed with --set"),
        (("--set", "atlas=1", "--reason", "x"), "is not a tag and its value"),
        (("--set", "ATLAS_RELEASE=a\nb", "--reason", "x"), "must be one line"),
    ):
        answer = site.caf("jobs", "reset", "490006", RAMP, *words)
        assert (answer.status, said in " ".join(answer.err.split())) == (2, True), answer.err


@pytest.mark.campaign
def test_the_next_attempt_is_made_with_it_and_the_one_after_without(tmp_path: Path) -> None:
    """From end to end: rendered, in job.json, and gone."""
    world = World(tmp_path, [490001], body="echo release #RELEASE#", job='tags = { RELEASE = "1.0" }\n')

    def through() -> None:
        for _ in range(6):
            world.caf("run", "--once", check=False)
            world.payloads_over()
            if world.state(490001) == "DONE":
                return
        raise AssertionError(world.jobs())

    through()
    world.caf("jobs", "reset", "490001", "Fit", "--set", "RELEASE=2.0", "--reason", "try")
    through()
    world.caf("jobs", "reset", "490001", "Fit")
    through()
    areas = world.folder / "work" / "490001_Fit"
    logs = [(areas / str(attempt) / "log" / "stdout").read_text().splitlines()[0] for attempt in (1, 2, 3)]
    assert logs == ["release 1.0", "release 2.0", "release 1.0"]
    facts = [json.loads((areas / str(attempt) / "job.json").read_text()) for attempt in (1, 2, 3)]
    assert [one["set"] for one in facts] == [{}, {"RELEASE": "2.0"}, {}]
    assert facts[1]["tags"]["RELEASE"] == "2.0"
