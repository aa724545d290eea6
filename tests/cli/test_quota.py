"""`caf quota` and its pins: what is shown, what is refused, and that removed areas are said to be removed."""

import datetime
import re
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from caf.domain.accounts import Account, Counts, Use, Weight
from caf.domain.jobs import Result, State
from caf.store import jobs, pins, quota, removals
from caf.store.quota import Standing
from tests.cli.pretend import NOW, RAMP, Site, move

DONE = (State.PREPARED, State.SUBMITTING, State.RUNNING, State.FINISHED, State.DONE)
USES = (Use("the file system", Counts.DISK, 90 * 10**9, 10**11), Use("the file system", Counts.FILES, 5, None))
HOSTILE = "Phys\x1b[31m"


@pytest.fixture
def full(site: Site) -> Site:
    """A site whose account is too full, with one area that may go."""
    text = site.config.read_text().replace(f"[jobs.{RAMP}]", f"[jobs.{RAMP}]\nremovable = true")
    site.config.write_text(f"{text}\n[quota]\n")
    conn = site.open()
    move(conn, 490010, RAMP, *DONE[1:], result=Result.OK)
    weigh(conn, 490010, Weight(10**9, 10**9, 12))
    conn.execute("UPDATE attempt SET archive_due = NULL")
    account = Account(USES, "2 of 3 lines", "its partition is 60 % full")
    found = Standing(NOW, "filesystem", str(site.folder), 85, 75, 7 * 86_400.0, account, NOW)
    quota.keep_standing(conn, found)
    conn.close()
    return site


def weigh(conn: sqlite3.Connection, run: int, weight: Weight) -> None:
    row = conn.execute("SELECT area.*, run, job FROM area JOIN job ON job.id = job_id WHERE run = ?", (run,)).fetchone()
    removals.weighed(conn, [(row, weight)], NOW)


def changed(site: Site, change: Callable[[Standing], Standing]) -> None:
    conn = site.open()
    found = quota.standing(conn)
    assert found is not None
    quota.keep_standing(conn, change(found))
    conn.close()


def removed(site: Site, run: int) -> None:
    """Remove an area as the duty does, but for the files."""
    conn = site.open()
    (area,) = removals.areas_of(conn, jobs.find(conn, run, RAMP)["id"], {RAMP}, NOW)
    removals.intend(conn, [area], "90.0 % full", NOW)
    assert removals.begin(conn, area, NOW)
    removals.removed(conn, removals.begun(conn, NOW)[0], NOW)
    conn.close()


class TestShown:
    def test_without_a_quota_it_is_said(self, site: Site) -> None:
        answer = site.caf("quota", "--plan")
        assert answer.status == 0
        assert "there is no [quota]" in answer.out

    def test_before_the_first_start_too(self, empty: Site) -> None:
        assert empty.caf("quota").status == 0
        assert empty.caf("quota", "--json").json()["on"] is False

    def test_how_full_it_is_and_what_goes(self, full: Site) -> None:
        answer = full.caf("quota", "--plan")
        assert answer.status == 0
        assert re.search(r"90\.0 % +90 GB +100 GB +the file system", answer.out)
        for text in ("no limit", "2 of 3 lines", "its partition is 60 %"):
            assert text in answer.out
        assert "The next round removes 1 working area, 1 GB:" in answer.out
        assert "490010" in answer.out
        assert "That is not enough to reach the low mark" in answer.out
        assert "it ended badly less than 30 d ago" not in answer.out  # that was years ago

    def test_of_everything_else_it_is_said_why_it_stays(self, full: Site) -> None:
        full.caf("quota", "pin", "490010", RAMP, "--until", "2099-01-01", "--reason", "look", "--by", "anna")
        plan = full.caf("quota", "--plan", "--json").json()["plan"]
        assert (plan["removals"], plan["enough"]) == ([], False)
        assert {one["run"]: one["why"] for one in plan["kept"]} == {
            490006: "it has not been weighed yet",
            490010: "it is pinned by anna: look",
        }

    def test_an_area_weighs_what_the_account_counts(self, full: Site) -> None:
        """Else areas of a tree would weigh more than all that is in use."""
        conn = full.open()
        weigh(conn, 490010, Weight(2 * 10**9, 7 * 10**9, 12))
        conn.close()
        uses = (Use("all below work", Counts.SIZES, 90 * 10**9, 10**11),)
        changed(full, lambda found: replace(found, provider="tree", account=Account(uses)))
        answer = full.caf("quota", "--plan")
        assert "The next round removes 1 working area, 2 GB:" in answer.out
        assert "7 GB" not in answer.out

    def test_what_was_removed_since_counts(self, full: Site) -> None:
        removed(full, 490010)
        answer = full.caf("quota", "--plan")
        assert "since then  removed 1 GB, 12 files" in answer.out
        assert "removed since: 1 GB, 12 files" in " ".join(full.caf("status").out.split())

    def test_an_account_that_is_unknown_is_said_and_needs_a_person(self, full: Site) -> None:
        changed(full, lambda found: replace(found, error=f"fs said {HOSTILE}", account=None))
        answer = full.caf("quota", "--plan")
        assert answer.status == 1
        assert "\x1b" not in answer.out
        assert "not known  fs said Phys" in answer.out
        assert "Nothing has to go now" in answer.out
        assert "account:    not known: fs said" in full.caf("status").out

    @pytest.mark.parametrize(
        ("change", "text", "critical"),
        [
            ({"nothing_left": True}, "is too full, 90.0 %: 90 GB of 100 GB", True),
            (
                {"full_in": 2 * 86_400.0, "full_of": "x", "at": 4e9},
                "will be full in 2 d, in spite of cleaning: x",
                False,
            ),
            ({"full_in": 0.0, "full_of": "x"}, "will be full now", False),
            ({"full_in": 30 * 86_400.0, "full_of": "x", "at": 4e9}, None, False),
        ],
    )
    def test_a_person_is_asked_for_in_time(
        self, full: Site, change: dict[str, Any], text: str | None, critical: bool
    ) -> None:
        changed(full, lambda found: replace(found, **change))
        asked = [one for one in full.caf("status", "--json").json()["needs"] if one["what"] == "quota"]
        assert [(one["critical"], one["command"]) for one in asked] == ([(critical, "caf quota")] if text else [])
        assert not text or text in asked[0]["text"]
        assert full.caf("quota").status == bool(text)


class TestPins:
    def test_a_pin_is_kept_shown_and_audited(self, full: Site) -> None:
        answer = full.caf("quota", "pin", "490010", RAMP, "--until", "2099-01-31", "--reason", "look", "--by", "anna")
        assert answer.status == 0
        assert "stay until 2099-02-01 00:00 UTC" in answer.out
        assert full.caf("quota", "--json").json()["pins"] == [
            {
                "run": 490010,
                "job": RAMP,
                "who": "anna",
                "reason": "look",
                "since": full.caf("quota", "--json").json()["pins"][0]["since"],
                "until": "2099-02-01T00:00:00.000000Z",
            }
        ]
        assert "Its working areas stay until 2099-02-01 00:00 UTC, pinned by anna: look" in (
            full.caf("jobs", "show", "490010", RAMP).out
        )
        assert full.caf("quota", "unpin", "490010", RAMP).status == 0
        words = [row["became"] for row in full.caf("history", "--run", "490010", "--json").json()]
        assert words[-2:] == ["PINNED", "UNPINNED"]

    def test_for_ever_is_a_day_that_can_be_written(self, full: Site) -> None:
        answer = full.caf("quota", "pin", "490010", RAMP, "--until", "9999-12-31", "--reason", "look")
        assert "stay until 9999-12-31 23:59 UTC" in answer.out

    @pytest.mark.parametrize(
        ("words", "status", "text"),
        [
            (("pin", "1", RAMP, "--until", "2099-01-01", "--reason", "x"), 1, "no run 1"),
            (("pin", "490001", "Nope", "--until", "2099-01-01", "--reason", "x"), 1, "it has:"),
            (("pin", "490001", RAMP, "--until", "2019-01-01", "--reason", "x"), 2, "is over already"),
            (("pin", "490001", RAMP, "--until", "tomorrow", "--reason", "x"), 2, "is no day such as"),
            (("pin", "490001", RAMP, "--until", "0d", "--reason", "x"), 2, "is over already"),
            (("pin", "490001", RAMP, "--until", "2099-01-01", "--reason", " "), 2, "must not be empty"),
            (("pin", "490001", RAMP, "--reason", "x"), 2, "--until"),
            (("unpin", "490001", RAMP), 1, "is not pinned"),
            (("unpin", "1", RAMP), 1, "no run 1"),
        ],
    )
    def test_what_cannot_be_is_refused(self, site: Site, words: tuple[str, ...], status: int, text: str) -> None:
        answer = site.caf("quota", *words)
        assert answer.status == status
        assert text in answer.err

    def test_a_pin_may_be_for_a_time_from_now(self, full: Site) -> None:
        before = time.time()
        assert full.caf("quota", "pin", "490010", RAMP, "--until", "3d", "--reason", "look").status == 0
        until = datetime.datetime.fromisoformat(full.caf("quota", "--json").json()["pins"][0]["until"]).timestamp()
        assert before + 3 * 86_400 - 1 <= until <= time.time() + 3 * 86_400
        for_ever = full.caf("quota", "pin", "490010", RAMP, "--until", "999999w", "--reason", "look")
        assert "stay until 9999-12-31 23:59 UTC" in for_ever.out

    def test_a_second_pin_takes_the_place_of_the_first(self, full: Site) -> None:
        for day in ("2099-01-01", "2098-01-01"):
            assert full.caf("quota", "pin", "490010", RAMP, "--until", day, "--reason", "x").status == 0
        assert [one["until"][:10] for one in full.caf("quota", "--json").json()["pins"]] == ["2098-01-02"]

    def test_nothing_that_is_gone_can_be_pinned(self, full: Site) -> None:
        removed(full, 490010)
        answer = full.caf("quota", "pin", "490010", RAMP, "--until", "2099-01-01", "--reason", "x")
        assert answer.status == 1
        assert "is left to be kept" in answer.err

    def test_a_pin_starts_fast(self, full: Site) -> None:
        """It reads no configuration, and logs nothing."""
        more = (
            "import atexit; atexit.register(lambda: print(*sorted({'pydantic','structlog'} & set(sys.modules)), 'end'))"
        )
        words = ("quota", "pin", "490010", RAMP, "--until", "2099-01-01", "--reason", "x")
        done = full.python(*words, before=more)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "end"


def test_what_is_removed_is_said_to_be_wherever_its_files_are_asked_for(full: Site) -> None:
    removed(full, 490010)
    log = full.caf("jobs", "log", "490010", RAMP)
    assert log.status == 1
    for text in (log.err, full.caf("jobs", "why", "490010", RAMP).out, full.caf("jobs", "show", "490010", RAMP).out):
        assert "orking area 1 was removed" in text
        assert "1 GB, 12 files: 90.0 % full" in text
    (attempt,) = full.caf("jobs", "show", "490010", RAMP, "--json").json()["attempts"]
    assert (attempt["bytes"], attempt["files"], attempt["removed_why"]) == (10**9, 12, "90.0 % full")
    assert full.caf("jobs", "history", "490010", RAMP, "--json").json()[-1]["became"] == "REMOVED"


def test_a_pin_that_is_over_holds_nothing(full: Site) -> None:
    conn = full.open()
    pins.pin(conn, 490010, RAMP, NOW + 1, NOW, "anna", "x")
    assert pins.pins(conn, NOW + 2) == []
    conn.close()
    assert full.caf("quota", "--plan", "--json").json()["plan"]["removals"][0]["run"] == 490010
