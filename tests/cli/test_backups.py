"""`caf db backup`, `restore` and `check --mend`, as they are typed; `caf status` tells how old the newest backup is."""

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from caf import lock
from caf.store import backups
from caf.store.database import connect, database_id, remember
from caf.store.found import GENERATION
from tests.cli.pretend import RAMP, Site


def identity(site: Site) -> str:
    with closing(site.open()) as conn:
        return database_id(conn)


def mark(site: Site, generation: int, newest: str = "") -> None:
    work = site.folder / "work"
    work.mkdir(exist_ok=True)
    (work / ".caf-database").write_text(f"{identity(site)}\ngeneration={generation}\nnewest={newest}\n")


def test_a_backup_and_its_restoring(site: Site) -> None:
    answer = site.caf("db", "backup", "kept.db")
    assert answer.status == 0
    assert answer.out.startswith("kept.db: 7 runs, 9 jobs, 0.")
    assert site.caf("db", "backup", "kept.db").err == "caf: kept.db: is there already: name another file\n"
    assert "is a folder: name a file in it" in site.caf("db", "backup", str(site.folder)).err
    site.caf("jobs", "ack", "490006", RAMP)
    answer = site.caf("db", "restore", "kept.db", "--by", "anna", "--reason", "a trial")
    assert answer.status == 0
    assert answer.out.splitlines()[0].startswith("restored from kept.db: 7 runs, 9 jobs, last changed 20")
    assert "caf.db.replaced-20" in answer.out
    assert answer.out.endswith("now start the supervisor as ever\n")
    last = site.caf("history", "--by", "anna", "--json").json()[-1]
    assert (last["became"], last["run"]) == ("RESTORED", None)
    assert last["why"].endswith(": a trial")
    assert not site.caf("jobs", "show", "490006", RAMP, "--json").json()["acknowledged"]


@pytest.mark.parametrize(("generation", "newest"), [(3, ""), (2, "caf-00000000-1-1-00000000")])
def test_a_backup_that_is_behind_the_working_areas_says_how_to_start(site: Site, generation: int, newest: str) -> None:
    with closing(site.open()) as conn:
        remember(conn, GENERATION, "2")
    site.caf("db", "backup", "kept.db")
    mark(site, generation, newest)
    answer = site.caf("db", "restore", "kept.db")
    assert answer.status == 0
    assert "the working areas are ahead of it" in answer.out
    assert "`caf run --once --take-over`" in answer.out


def test_nothing_is_restored_or_mended_under_a_supervisor(site: Site) -> None:
    site.caf("db", "backup", "kept.db")
    for words in (("restore", "kept.db"), ("check", "--mend")):
        with lock.held(site.state / "caf.lock", time.time()):
            answer = site.caf("db", *words)
        assert answer.status == 1
        assert "another supervisor runs already" in answer.err
        assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize("words", [("restore", "kept.db"), ("check", "--mend"), ("migrate",)])
def test_a_start_meanwhile_would_be_told_what_is_at_work(site: Site, words: tuple[str, ...]) -> None:
    """Not that a supervisor is: the lock's file says so from then on until the next one takes it."""
    site.caf("db", "backup", "kept.db")
    (site.folder / "work").mkdir()
    site.caf("db", *words)
    assert json.loads((site.state / "caf.lock").read_text())["what"] == " ".join(("caf db", *words)).partition(" k")[0]


def test_a_newer_database_is_refused_with_what_to_do(site: Site) -> None:
    site.caf("db", "backup", "kept.db")
    with closing(sqlite3.connect("kept.db")) as conn:
        conn.execute("PRAGMA user_version = 99")
    answer = site.caf("db", "restore", "kept.db")
    assert answer.status == 1
    assert answer.err == (
        "caf: kept.db: this was written by a newer caf (schema 99, this one knows 1): install that version first\n"
    )
    assert site.caf("db", "check").status == 0


def test_it_is_restored_into_an_empty_place_too(site: Site) -> None:
    site.caf("db", "backup", "kept.db")
    mark(site, 0)
    for path in (*site.state.iterdir(),):
        path.unlink()
    site.state.rmdir()
    assert site.caf("db", "restore", "kept.db").status == 0
    assert site.state.stat().st_mode & 0o7777 == 0o2770
    assert len(site.caf("runs", "list", "--json").json()) == 7


def test_there_is_nothing_to_back_up_before_the_first_start(empty: Site) -> None:
    assert "no database yet" in empty.caf("db", "backup", "kept.db").err
    assert not Path("kept.db").exists()
    assert empty.caf("db", "check", "--mend").out == "there is no database yet\n"


def test_check_tells_what_mend_mends(site: Site) -> None:
    with closing(site.open()) as conn:
        conn.execute("UPDATE run_count SET runs = 99")
        token = conn.execute("SELECT attempt.token FROM attempt JOIN job ON id = job_id WHERE run = 490006").fetchone()[
            0
        ]
        job = conn.execute("SELECT id FROM job WHERE run = 490006 AND job = ?", (RAMP,)).fetchone()[0]
    area = site.area(490006, RAMP)
    facts = {"run": 490006, "job": RAMP, "attempt": 1, "job_id": job, "database_id": identity(site)}
    (area / "job.json").write_text(json.dumps(facts))
    (area / "caf.sh").write_text(f"#!/bin/sh\nCAF_TOKEN={token}\n")
    (area / "claim").mkdir()
    (area / "exit").write_text(f"token={token}\ncode=1\nhost=b7\nboot=x\nuptime=2.0\nend\n")
    plain = site.caf("db", "check")
    assert plain.status == 1
    assert "run_count says 99" in plain.out
    assert "490006" not in plain.out
    assert "/1: the database lacks what its records say: ended" in site.caf("db", "check", "--areas").out
    mended = site.caf("db", "check", "--mend", "--by", "anna")
    assert mended.status == 0
    assert mended.out.splitlines()[0] == "mended: runs and jobs counted anew"
    assert mended.out.splitlines()[-1] == "the database is whole and agrees with itself"
    answer = site.caf("db", "check", "--areas", "--json").json()
    assert answer == {"database": True, "findings": [], "mended": []}
    assert site.caf("history", "--by", "anna", "--json").json()[-1]["became"] == "MENDED"


def test_status_shows_the_age_of_the_newest_backup_and_asks_for_one_that_was_missed(site: Site) -> None:
    assert site.caf("status", "--json").json()["backup"]["made"] is None
    now = time.time()
    made = {"at": now - 7200, "path": "/s/backups/b.db", "bytes": 12_300_000, "runs": 7, "jobs": 7}
    second = {"folder": "/eos/b", "copied": None, "error": "the backup was not copied: it is away"}
    known = {"every": 86_400, "made": made, "error": None, "second": second}
    with closing(connect(site.state / "caf.db")) as conn:
        backups.keep_record(conn, known)
        shown = " ".join(site.caf("status").out.split())
        assert "backup: 2 h ago, 12.3 MB: /s/backups/b.db; in /eos/b none yet" in shown
        facts = site.caf("status", "--json").json()
        assert facts["backup"]["copy_error"] == "the backup was not copied: it is away"
        assert "backup" not in {need["what"] for need in facts["needs"]}
        made["at"] = now - 3 * 86_400
        backups.keep_record(conn, known)
    with lock.held(site.state / "caf.lock", now):
        needs = site.caf("status", "--json").json()["needs"]
    (asks,) = (need for need in needs if need["what"] == "backup")
    assert asks["text"] == "the newest backup of the database is 3 d old"
    assert asks["command"] == "caf db backup FILE"
