"""rundb.db taken over: everything is known, nothing is run again."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from caf.config import Configuration, parse
from caf.domain.errors import ConfigError, StoreError
from caf.domain.jobs import Word
from caf.domain.runs import to_json
from caf.legacy.taking_over import take_over
from caf.store import configurations, jobs, queries
from caf.store.configurations import text_of
from caf.store.rows import record_from
from tests.legacy.old_database import CONFIGURATION, NOW, START, Import, a_job, a_run, put, the_run


def dump(conn: sqlite3.Connection) -> list[str]:
    return list(conn.iterdump())


def test_a_run_has_its_attributes_and_its_verdict(
    old: sqlite3.Connection, conn: sqlite3.Connection, bring: Import
) -> None:
    a_run(old, 217001, validated=True)
    assert (bring().runs, bring().known_runs) == (1, 1)
    row = queries.run(conn, 217001)
    assert row is not None
    assert (row["status"], row["listener"], row["needs_validation"]) == ("ACCEPTED", "LArEnergyScan", 1)
    assert (row["decided_by"], row["jobs_due"], row["settled"]) == ("import", 0, 1)
    values = record_from(row).values
    assert (values["start"], values["end"], values["duration"]) == (START + 217001, START + 217001 + 600 * 10**9, 600)
    assert values["recorded"] is True
    assert values["clean_stop"] is True
    assert to_json("detector_mask", values["detector_mask"]) == f"0x{0x7C00000000:032x}"
    assert (values["stored_events"], values["recorded_events"], values["events"]) == (None, 2000, 2000)
    assert (values["l2_events"], values["data_source"], values["partition"]) == (None, None, "L1CaloCombined")
    assert values["imported_listener"] == "LArEnergyScan"
    trail = conn.execute("SELECT who, became, why FROM audit WHERE run = 217001").fetchall()
    assert [tuple(row) for row in trail] == [("ann", "ACCEPTED", "imported from rundb.db: accepted there")]


@pytest.mark.parametrize(("rec", "recorded"), [("False", 1), ("True", 0), ("None", None), ("", None)])
def test_rec_was_negated(
    old: sqlite3.Connection, conn: sqlite3.Connection, bring: Import, rec: str, recorded: int | None
) -> None:
    a_run(old, 1, rec=rec)
    bring()
    assert the_run(conn, 1)["recorded"] == recorded


def test_odd_numbers_are_read_and_nonsense_is_not_known(
    old: sqlite3.Connection, conn: sqlite3.Connection, bring: Import
) -> None:
    a_run(old, 1, recevents="1700L", storedevents="12.0", l1events="many", maxlb=10**30, detmask=-1, cleanstop="maybe")
    notes = bring().notes
    row = the_run(conn, 1)
    assert (row["recorded_events"], row["stored_events"], row["l1_events"], row["lumi_blocks"]) == (
        1700,
        12,
        None,
        None,
    )
    assert int(row["detector_mask"], 16) == 2**64 - 1
    assert row["clean_stop"] is None
    assert "run 1: RUNPARAMS.l1events is 'many', which is no number: not known" in notes


def test_an_end_from_the_last_lumi_block_stays_one(
    old: sqlite3.Connection, conn: sqlite3.Connection, bring: Import
) -> None:
    """It is put in at settling, as with all runs, so that the run database can still give the real one."""
    a_run(old, 1, errcode=17)
    bring()
    row = the_run(conn, 1)
    assert (row["end"], row["last_lb_end"], row["error_bits"]) == (None, START + 1 + 600 * 10**9, 1)
    values = record_from(conn.execute("SELECT * FROM run").fetchone()).values
    assert (values["end"], values["error_bits"], values["duration"]) == (START + 1 + 600 * 10**9, 17, 600)


@pytest.mark.parametrize(
    ("status", "more", "state", "result"),
    [
        ("DONE", {"result": "OK"}, "DONE", "ok"),
        ("DONE", {"result": "FAILED"}, "FAILED", "log"),
        ("DONE", {}, "WAITING", None),
        ("ABORTED", {}, "FAILED", "preparation"),
        ("NEW", {"validation": "WAITING"}, "WAITING", None),
        ("NEW", {}, "WAITING", None),
        ("STAGEIN", {"validation": "YES"}, "WAITING", None),
        ("PREPARED", {}, "WAITING", None),
        ("NEW", {"validation": "BAD"}, "REJECTED", None),
        ("SUBMITTED", {"batchid": 15468385}, "WAITING", None),
        ("PEND", {}, "WAITING", None),
        ("RUN", {"validation": "BAD"}, "WAITING", None),
        ("NONSENSE", {}, "WAITING", None),
        ("None", {}, "WAITING", None),
    ],
)
def test_a_job_has_its_state(
    old: sqlite3.Connection,
    conn: sqlite3.Connection,
    bring: Import,
    status: str,
    more: dict[str, Any],
    state: str,
    result: str | None,
) -> None:
    """What might run again waits, whatever it was."""
    a_run(old, 217001)
    a_job(old, 217001, status, **more)
    assert bring().jobs == {state: 1}
    job = jobs.find(conn, 217001, "LArL1CaloRampMaker")
    assert (job["state"], job["result"], job["attempt"], job["token"]) == (state, result, 1, None)
    assert job["reason"].startswith("imported from rundb.db; was ")
    assert conn.execute("SELECT became FROM audit WHERE job IS NOT NULL").fetchone()[0] == state


def test_what_was_running_says_so(old: sqlite3.Connection, conn: sqlite3.Connection, bring: Import) -> None:
    a_run(old, 1)
    a_job(old, 1, "RUN", batchid=15468385)
    assert bring().asks == ["1 imported job waits for a person: caf jobs list --state WAITING"]
    job = jobs.find(conn, 1, "LArL1CaloRampMaker")
    assert "was RUN as batch job 15468385: what became of it is not known" in job["reason"]
    assert job["batch_id"] == "15468385"


def test_a_job_waiting_in_doubt_can_be_started_by_a_person(
    old: sqlite3.Connection, conn: sqlite3.Connection, bring: Import
) -> None:
    a_run(old, 1)
    a_job(old, 1, "RUN")
    bring()
    row = jobs.act(conn, 1, "LArL1CaloRampMaker", Word.START, NOW, "ann")
    assert (row["state"], row["renew"], row["batch_id"]) == ("NEW", 1, None)


def test_times_of_jobs_were_genevas(old: sqlite3.Connection, conn: sqlite3.Connection, bring: Import) -> None:
    a_run(old, 1)
    a_job(old, 1, "DONE", result="OK", jobstart="2014-07-01 12:00", jobend="2014-12-01 12:00")
    bring()
    job = jobs.find(conn, 1, "LArL1CaloRampMaker")
    assert datetime.fromtimestamp(job["created"], UTC) == datetime(2014, 7, 1, 10, 0, tzinfo=UTC)
    assert datetime.fromtimestamp(job["updated"], UTC) == datetime(2014, 12, 1, 11, 0, tzinfo=UTC)


def test_old_failures_ask_nobody(old: sqlite3.Connection, conn: sqlite3.Connection, bring: Import) -> None:
    a_run(old, 1)
    a_job(old, 1, "DONE", result="FAILED")
    bring()
    assert queries.failed_jobs(conn)[0] == 0


def test_a_run_that_stands_twice_is_taken_once(
    old: sqlite3.Connection, conn: sqlite3.Connection, bring: Import
) -> None:
    """Two listeners took it: each job is that listener's which it serves."""
    a_run(old, 1, gainstrategy=None, tierzerotag=None, filetag="")
    a_run(old, 1, listener="Standalone")
    a_job(old, 1, "DONE", result="FAILED")
    a_job(old, 1, "DONE", result="OK")
    a_job(old, 1, "RUN", job="D3PD")
    taken = bring()
    row = the_run(conn, 1)
    assert (row["listener"], row["gain_strategy"]) == ("LArEnergyScan", "GainOneOvEmbFcalHighEta")
    found = {job["job"]: (job["state"], job["listener"]) for job in queries.jobs_of(conn, 1)}
    assert found == {"LArL1CaloRampMaker": ("DONE", "LArEnergyScan"), "D3PD": ("WAITING", "Standalone")}
    assert (
        "run 1 stands 2 times in RUNSTATUS: taken by LArEnergyScan and Standalone; kept as LArEnergyScan's"
        in taken.notes
    )
    assert "job LArL1CaloRampMaker of run 1 stands 2 times (DONE FAILED, DONE OK): kept as DONE" in taken.notes


def test_jobs_without_a_verdict_are_kept(old: sqlite3.Connection, conn: sqlite3.Connection, bring: Import) -> None:
    a_job(old, 5, "DONE", result="OK")
    bring()
    row = the_run(conn, 5)
    assert (row["status"], row["listener"]) == ("IGNORED", None)
    assert jobs.find(conn, 5, "LArL1CaloRampMaker")["state"] == "DONE"


def test_parameters_without_a_verdict_are_left_to_discover(
    old: sqlite3.Connection, conn: sqlite3.Connection, bring: Import
) -> None:
    """The old system took no such run, so nothing of it could be run again."""
    put(old, "RUNPARAMS", run=7, runtype="Physics")
    assert bring().runs == 0


def test_a_run_that_was_new_is_named(old: sqlite3.Connection, conn: sqlite3.Connection, bring: Import) -> None:
    put(old, "RUNSTATUS", run=9, listener="LArEnergyScan", status="NEW", validated=False)
    assert any(line.startswith("1 run was accepted, but no jobs had been made of it") for line in bring().asks)
    assert the_run(conn, 9)["jobs_due"] == 0


def test_names_that_are_gone_are_kept_and_told(
    old: sqlite3.Connection, conn: sqlite3.Connection, bring: Import
) -> None:
    """Names become those of folders: what cannot be one is changed."""
    a_run(old, 1, listener="OldScan")
    a_job(old, 1, "DONE", job="../../etc", result="OK")
    a_job(old, 1, "NEW", job="OldJob")
    notes = bring().notes
    assert {job["job"] for job in queries.jobs_of(conn, 1)} == {"x______etc", "OldJob"}
    assert "the name '../../etc' is not usable any more: it is x______etc now" in notes
    assert "listeners that listeners.toml does not have: OldScan" in notes
    assert "jobs that listeners.toml does not have: OldJob, x______etc" in notes


def test_every_imported_verdict_and_job_has_its_configuration(
    old: sqlite3.Connection, conn: sqlite3.Connection, bring: Import, tmp_path: Path
) -> None:
    """Else `caf listeners explain` and the organise duty could not read them."""
    a_run(old, 1, listener="OldScan")
    a_run(old, 2)
    a_job(old, 1, "NEW", job="OldJob")
    a_job(old, 3, "NEW", job="OldJob")
    bring()
    for row in conn.execute("SELECT verdict.*, run FROM run JOIN verdict ON verdict.id = verdict_id").fetchall():
        kept = parse(*reversed_path(text_of(conn, row["configuration_id"])))
        listeners = kept.listeners_in_force()
        assert len(row["answers"].split(" ")) == len(listeners) == 2
    for job in conn.execute("SELECT * FROM job").fetchall():
        kept = parse(*reversed_path(text_of(conn, job["configuration_id"])))
        assert kept.jobs[job["job"]].templates
        assert job["listener"] in kept.listeners


def reversed_path(given: tuple[str, str]) -> tuple[str, Path]:
    return given[0], Path(given[1])


def test_the_last_good_configuration_is_the_one_of_the_file(
    old: sqlite3.Connection, conn: sqlite3.Connection, bring: Import
) -> None:
    a_run(old, 1)
    bring()
    last = configurations.last_good(conn)
    assert last is not None
    assert last[0] == CONFIGURATION


def test_a_second_import_changes_nothing(old: sqlite3.Connection, conn: sqlite3.Connection, bring: Import) -> None:
    for run in range(1, 20):
        a_run(old, run)
        a_job(old, run, "DONE", result="OK")
    bring()
    before = dump(conn)
    again = bring()
    assert dump(conn) == before
    assert (again.runs, again.jobs, again.known_runs, again.known_jobs) == (0, {}, 19, 19)


def test_a_later_import_adds_what_is_new(old: sqlite3.Connection, conn: sqlite3.Connection, bring: Import) -> None:
    """Both systems may run side by side for a while."""
    a_run(old, 1)
    bring()
    a_run(old, 2, listener="Another")
    a_job(old, 1, "DONE", result="OK")
    again = bring()
    assert (again.runs, again.known_runs, again.jobs) == (1, 1, {"DONE": 1})


@pytest.mark.campaign
def test_progress_is_told_page_by_page(
    old: sqlite3.Connection, conn: sqlite3.Connection, tmp_path: Path, configuration: Configuration
) -> None:
    for run in range(1, 1102):
        a_run(old, run)
    told: list[tuple[int, int]] = []
    take_over(conn, tmp_path / "rundb.db", configuration, "ann", NOW, lambda done, all_of: told.append((done, all_of)))
    assert told == [(500, 1101), (1000, 1101), (1101, 1101)]


@pytest.mark.parametrize("kind", ["nothing", "text", "empty", "other", "column"])
def test_a_file_that_is_no_such_database_is_refused(
    conn: sqlite3.Connection, bring: Import, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "rundb.db"
    if kind == "text":
        path.write_text("this is no database " * 100)
    elif kind == "empty":
        path.touch()
    elif kind != "nothing":
        other = sqlite3.connect(path)
        other.execute("CREATE TABLE RUNSTATUS (id, run)" if kind == "column" else "CREATE TABLE t (x)")
        other.close()
    before = dump(conn)
    with pytest.raises(StoreError, match=r"rundb\.db: (there is no such file|is not the old system's rundb\.db)"):
        bring()
    assert dump(conn) == before


def test_overlapping_listeners_are_mended_first(
    old: sqlite3.Connection, conn: sqlite3.Connection, tmp_path: Path
) -> None:
    twin = parse(CONFIGURATION + "[listeners.Twin]\n", tmp_path / "listeners.toml")
    with pytest.raises(ConfigError, match="overlap"):
        take_over(conn, tmp_path / "rundb.db", twin, "ann", NOW)
