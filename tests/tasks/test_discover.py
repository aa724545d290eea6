"""What befalls runs and replicas, one by one: the real duty, real replicas, a directed clock."""

import asyncio
import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from caf.demo.replica import Replica
from caf.demo.run_writer import DERIVED_RUN_PARS, EOR, EVENT_COUNTERS, RunWriter
from caf.domain.errors import CafError, SourceError, StorageTimeout
from caf.domain.runs import END_PATCHED, NO_END_RECORD, SECOND
from caf.store import jobs
from caf.tasks import discover
from tests.simulation.duty import DAY, NOW, Duty

CONFIGURATION = """
[source]
replicas = ["cool/*.db"]

[listeners.Scan]
min_events = 100
[listeners.Scan.match]
run_type = "scan"
tier0_tag = "Energy"
recorded = true

[listeners.Ramp.match]
run_type = "ramp"
clean_stop = true

[listeners.Crashed.match]
run_type = "crashy"
end = { known = true }
error_bits = { bits = 16 }

[jobs.Fit]
listeners = ["Scan", "Ramp", "Crashed"]
command = ["fit"]
"""
RUN = 490001
REGIME = """
[source.attributes.regime]
folder = "/TRIGGER/L1Calo/V1/Conditions/DerivedRunPars"
column = "timingRegime"
per_run = true
"""
MINUTE = 60.0


@pytest.fixture
def duty(tmp_path: Path) -> Iterator[Duty]:
    with Duty(tmp_path, CONFIGURATION) as duty:
        yield duty


def ns(moment: float) -> int:
    return int(moment * SECOND)


def start(writer: RunWriter, run: int, at: float, run_type: str = "scan", **more: Any) -> None:
    writer.start_run(run, ns(at), run_type=run_type, detector_mask=1, **more)


def end(writer: RunWriter, run: int, at: float, **more: Any) -> None:
    writer.end_run(run, ns(at), lumi_blocks=1, **more)


def count(writer: RunWriter, run: int, events: int = 500) -> None:
    writer.counters(run, "L1CaloCombined", l1_events=events, ef_events=events, recorded_events=events)


def whole(writer: RunWriter, run: int, at: float, tag: str | None = "Energy", run_type: str = "scan") -> None:
    """Write all there is of a run that ended a minute after its start."""
    start(writer, run, at, run_type)
    end(writer, run, at + MINUTE)
    count(writer, run)
    if tag is not None:
        writer.derived(run, tag)


def change(path: Path, folder: str, run: int, **columns: Any) -> None:
    """Write over a record where it stands, as a person with enough rights may."""
    with closing(sqlite3.connect(path)) as conn:
        (table,) = conn.execute(
            "SELECT FOLDER_IOVTABLENAME FROM CONDBR2_NODES WHERE NODE_FULLPATH = ?", (folder,)
        ).fetchone()
        sets = ", ".join(f'"{name}" = ?' for name in columns)
        changed = conn.execute(
            f"UPDATE {table} SET {sets} WHERE IOV_SINCE = ?", (*columns.values(), run << 32)
        ).rowcount
        conn.commit()
    assert changed == 1


def everything(duty: Duty) -> list[tuple[Any, ...]]:
    """Give all that is known of runs and jobs, but for when it was last looked at."""
    with closing(sqlite3.connect(duty.database)) as conn:
        conn.row_factory = sqlite3.Row
        rows = [dict(row) for table in ("run", "job") for row in conn.execute(f"SELECT * FROM {table} ORDER BY 1")]
    return [tuple(value for name, value in row.items() if name not in {"judged", "last_change"}) for row in rows]


class TestLateRecords:
    def test_a_start_record_that_comes_after_later_runs_is_found(self, duty: Duty) -> None:
        """There is no watermark: a run is new when it is not known."""
        with duty.writing() as writer:
            whole(writer, RUN + 5, NOW - 3600)
        assert duty.round().new == 1
        with duty.writing() as writer:
            whole(writer, RUN + 9, NOW - 1800)
        assert duty.round(600).new == 1
        with duty.writing() as writer:
            whole(writer, RUN + 2, NOW - 7200, run_type="ramp", tag=None)
        assert duty.round(600).new == 1
        assert duty.statuses() == {RUN + 2: "ACCEPTED", RUN + 5: "ACCEPTED", RUN + 9: "ACCEPTED"}
        assert dict(duty.query("SELECT run, state FROM job")) == {RUN + 2: "NEW", RUN + 5: "NEW", RUN + 9: "NEW"}

    def test_an_old_start_record_decides_at_once(self, duty: Duty) -> None:
        """A run of years ago that is inserted today has nothing to wait for."""
        with duty.writing() as writer:
            start(writer, RUN, NOW - 900 * DAY)
        duty.round()
        assert (duty.status(RUN), duty.run(RUN)["settled"]) == ("UNCLAIMED", 1)

    def test_late_counters_decide_whatever_came_and_ended_meanwhile(self, duty: Duty) -> None:
        with duty.writing() as writer:
            start(writer, RUN, NOW)
            end(writer, RUN, NOW + 1)
            writer.derived(RUN, "Energy")
        duty.round(60)
        assert duty.status(RUN) == "OPEN"
        for hour in range(1, 12):
            duty.now = NOW + hour * 3600
            with duty.writing() as writer:
                whole(writer, RUN + hour, duty.now - 120)
            duty.round()
            assert (duty.status(RUN), duty.status(RUN + hour)) == ("OPEN", "ACCEPTED")
        with duty.writing() as writer:
            count(writer, RUN)
        duty.round()
        found = duty.run(RUN)
        assert (found["status"], found["listener"], found["needs_validation"]) == ("ACCEPTED", "Scan", 0)

    def test_a_run_never_counted_is_taken_at_settling_and_a_person_validates_it(self, duty: Duty) -> None:
        with duty.writing() as writer:
            start(writer, RUN, NOW)
            end(writer, RUN, NOW + 60)
            writer.derived(RUN, "Energy")
        duty.round(120)
        duty.now = NOW + 60 + DAY
        duty.touch()
        duty.round()
        assert duty.status(RUN) == "OPEN"
        duty.touch(duty.now + 1)
        duty.round(1)
        found = duty.run(RUN)
        assert (found["status"], found["needs_validation"]) == ("ACCEPTED", 1)
        assert duty.query("SELECT state FROM job") == [("WAITING",)]

    def test_counters_that_come_after_settling_are_an_open_question_again_for_nobody(self, duty: Duty) -> None:
        """Its jobs wait for a person, who now sees the count; what the verdict was is kept."""
        with duty.writing() as writer:
            start(writer, RUN, NOW - 9 * DAY)
            end(writer, RUN, NOW - 9 * DAY + 60)
            writer.derived(RUN, "Energy")
        duty.round()
        with duty.writing() as writer:
            count(writer, RUN)
        duty.round(600)
        found = duty.run(RUN)
        assert (found["status"], found["needs_validation"], found["recorded_events"]) == ("ACCEPTED", 0, 500)
        assert duty.query("SELECT run FROM former_verdict") == [(RUN,)]
        assert duty.query("SELECT state FROM job") == [("WAITING",)]


class TestInheritedTag:
    def inheriting(self, duty: Duty) -> None:
        """A run without a record of L1Calo's own, after one whose tag `Scan` wants."""
        with duty.writing() as writer:
            whole(writer, RUN, NOW - 3 * DAY)
            whole(writer, RUN + 1, NOW, tag=None)
        duty.round(120)
        found = duty.run(RUN + 1)
        assert (found["status"], found["tier0_tag"]) == ("OPEN", "Energy")
        assert found["notes"]["tier0_tag"] == {"final": False, "from": RUN}

    def test_the_runs_own_record_decides_when_it_comes(self, duty: Duty) -> None:
        self.inheriting(duty)
        duty.round(3600)
        assert duty.status(RUN + 1) == "OPEN"
        with duty.writing() as writer:
            writer.derived(RUN + 1, "Pedestal")
        duty.round()
        assert (duty.status(RUN + 1), duty.run(RUN + 1)["notes"]) == ("UNCLAIMED", {})

    def test_a_later_runs_record_makes_it_final(self, duty: Duty) -> None:
        self.inheriting(duty)
        with duty.writing() as writer:
            whole(writer, RUN + 2, NOW + 60, tag="Pedestal")
        duty.round()
        assert (duty.status(RUN + 1), duty.status(RUN + 2)) == ("ACCEPTED", "UNCLAIMED")
        assert duty.run(RUN + 1)["notes"]["tier0_tag"] == {"final": True, "from": RUN}

    def test_settling_decides_on_it_and_it_stays_marked_as_inherited(self, duty: Duty) -> None:
        self.inheriting(duty)
        duty.now = NOW + 60 + DAY
        duty.touch()
        duty.round()
        assert duty.status(RUN + 1) == "OPEN"
        duty.now += 121
        duty.touch()
        duty.round()
        assert (duty.status(RUN + 1), duty.run(RUN + 1)["settled"]) == ("ACCEPTED", 1)
        assert duty.run(RUN + 1)["notes"]["tier0_tag"] == {"final": False, "from": RUN}

    def test_an_own_record_back_inserted_after_a_later_one_is_a_changed_record(self, duty: Duty) -> None:
        """The folder held a later one, so the inherited tag counted as final; what comes after all is not ignored."""
        self.inheriting(duty)
        with duty.writing() as writer:
            whole(writer, RUN + 2, NOW + 60)
        duty.round()
        assert duty.status(RUN + 1) == "ACCEPTED"
        with duty.writing() as writer:
            folder, payload = DERIVED_RUN_PARS.path, {"timingRegime": "Calib1", "tierZeroTag": "Pedestal"}
            writer._trigger.store(folder, RUN + 1 << 32, RUN + 2 << 32, payload, 1)
        duty.round(600)
        found = duty.run(RUN + 1)
        assert (found["status"], found["disputed"], found["notes"]) == ("UNCLAIMED", 1, {})


class TestEnd:
    def test_an_end_is_patched_at_settling_only_and_marked(self, duty: Duty) -> None:
        with duty.writing() as writer:
            start(writer, RUN, NOW, "crashy")
            writer.lumi_blocks(RUN, [ns(NOW), ns(NOW + 60), ns(NOW + 120)])
        duty.round(180)
        found = duty.run(RUN)
        assert (found["status"], found["end"]) == ("OPEN", None)
        duty.now = NOW + 120 + DAY
        duty.touch()
        duty.round()
        assert duty.status(RUN) == "OPEN"
        duty.now += 1
        duty.touch()
        duty.round()
        found = duty.run(RUN)
        assert (found["status"], found["listener"], found["settled"]) == ("ACCEPTED", "Crashed", 1)

    def test_a_run_that_goes_on_for_long_stays_open(self, duty: Duty) -> None:
        """Its lumi blocks go on: it has not settled a day after its start."""
        with duty.writing() as writer:
            start(writer, RUN, NOW, "crashy")
            writer.lumi_blocks(RUN, [ns(NOW), ns(NOW + 60)])
        for hour in range(4, 60, 4):
            duty.now = NOW + hour * 3600
            with duty.writing() as writer:
                writer.lumi_blocks(RUN, [ns(duty.now - 60), ns(duty.now)], first=1 + hour)
            duty.round()
            assert duty.status(RUN) == "OPEN"
        with duty.writing() as writer:
            end(writer, RUN, duty.now)
        duty.round(60)
        assert (duty.status(RUN), duty.run(RUN)["error_bits"]) == ("UNCLAIMED", 0)

    def test_an_end_record_that_comes_after_the_patched_end_is_taken_instead(self, duty: Duty) -> None:
        with duty.writing() as writer:
            start(writer, RUN, NOW - 5 * DAY, "crashy")
            writer.lumi_blocks(RUN, [ns(NOW - 5 * DAY), ns(NOW - 4 * DAY)])
        duty.round()
        assert duty.status(RUN) == "ACCEPTED"
        with duty.writing() as writer:
            end(writer, RUN, NOW - 4 * DAY + 2)
        duty.round(60)
        found = duty.run(RUN)
        assert (found["status"], found["end"], found["disputed"]) == ("UNCLAIMED", ns(NOW - 4 * DAY + 2), 1)
        assert not found["error_bits"] & (NO_END_RECORD | END_PATCHED)


class TestChangedRecord:
    def test_a_run_number_used_again_is_judged_by_its_new_record(self, duty: Duty) -> None:
        with duty.writing() as writer:
            whole(writer, RUN, NOW - 3600, run_type="ramp")
            whole(writer, RUN + 1, NOW - 3600, run_type="physics")
        duty.round()
        assert (duty.status(RUN), duty.status(RUN + 1)) == ("ACCEPTED", "UNCLAIMED")
        change(duty.replica, "/TDAQ/RunCtrl/SOR", RUN + 1, RunType="ramp", SORTime=ns(NOW))
        duty.touch(NOW + 600)
        found = duty.round(600)
        assert (found.changed, found.new, found.jobs) == (1, 0, 1)
        assert (duty.status(RUN + 1), duty.run(RUN + 1)["start"]) == ("ACCEPTED", ns(NOW))

    def test_a_record_that_changes_after_its_verdict_leaves_the_jobs_alone(self, duty: Duty) -> None:
        with duty.writing() as writer:
            whole(writer, RUN, NOW - 3600)
        duty.round()
        before = duty.query("SELECT * FROM job")
        change(duty.replica, "/TDAQ/RunCtrl/SOR", RUN, RunType="ramp")
        duty.touch(NOW + 600)
        assert duty.round(600).changed == 1
        found = duty.run(RUN)
        assert (found["status"], found["listener"], found["disputed"], found["jobs_due"]) == ("ACCEPTED", "Ramp", 1, 0)
        assert duty.query("SELECT * FROM job") == before
        ((seen, judged, replaced),) = duty.query("SELECT seen, judged, replaced FROM former_verdict")
        assert (json.loads(seen)["run_type"], judged, replaced) == ("scan", NOW, NOW + 600)
        ((was, became, why),) = duty.query("SELECT was, became, why FROM audit WHERE job IS NULL")
        assert (was, became) == ("ACCEPTED", "ACCEPTED")
        assert "its record changed" in why
        assert "a person decides" in why

    def test_events_counted_again_make_a_run_need_validation(self, duty: Duty) -> None:
        with duty.writing() as writer:
            whole(writer, RUN, NOW - 3600)
        duty.round()
        change(duty.replica, "/TDAQ/RunCtrl/EventCounters", RUN, RecordedEvents=7)
        duty.touch(NOW + 600)
        duty.round(600)
        found = duty.run(RUN)
        assert (found["status"], found["needs_validation"], found["disputed"]) == ("ACCEPTED", 1, 1)
        assert duty.query("SELECT state FROM job") == [("NEW",)]


class TestReplicaWhileRead:
    def two_runs(self, duty: Duty) -> bytes:
        """Have a run known, and give a replica with one more."""
        with duty.writing() as writer:
            whole(writer, RUN, NOW - 3600)
        duty.round()
        old = duty.replica.read_bytes()
        with duty.writing() as writer:
            whole(writer, RUN + 1, NOW - 1800)
        new = duty.replica.read_bytes()
        duty.replica.write_bytes(old)
        duty.touch(NOW + 1)
        return new

    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize("how", ["renamed", "copied over", "grown"])
    def test_a_read_during_which_the_file_changed_is_thrown_away(self, duty: Duty, when: str, how: str) -> None:
        new = self.two_runs(duty)
        known = everything(duty)

        def come_between() -> None:
            setattr(duty.files, when, None)
            if how == "renamed":
                fresh = duty.replica.with_name("fresh")
                fresh.write_bytes(new)
                fresh.rename(duty.replica)
            elif how == "copied over":
                duty.replica.write_bytes(new)
            else:
                with duty.writing() as writer:
                    whole(writer, RUN + 1, NOW - 1800)
            duty.touch(NOW + 2)

        setattr(duty.files, when, come_between)
        with pytest.raises(SourceError, match="changed while it was read"):
            duty.round()
        assert everything(duty) == known
        assert duty.round().new == 1
        assert duty.statuses() == {RUN: "ACCEPTED", RUN + 1: "ACCEPTED"}

    def test_a_copy_over_the_file_never_mixes_two_states(self, tmp_path: Path) -> None:
        """A plain cp, again and again, in pieces: whatever a round takes over is one whole state."""
        with Duty(tmp_path, CONFIGURATION) as duty:
            states = []
            for letter in "AB":
                duty.replica.unlink(missing_ok=True)
                with duty.writing() as writer:
                    for run in range(RUN, RUN + 3000):
                        start(writer, run, NOW - 3600, project_tag=letter)
                states.append(duty.replica.read_bytes())
            assert len(states[0]) == len(states[1])
            taken: set[str] = set()
            stop = threading.Event()

            def copying() -> None:
                turn = 0
                while not stop.is_set():
                    turn += 1
                    content = memoryview(states[turn % 2])
                    with duty.replica.open("r+b", buffering=0) as file:
                        for at in range(0, len(content), 8192):
                            file.write(content[at : at + 8192])
                    stop.wait(0.3)

            copier = threading.Thread(target=copying)
            copier.start()
            try:
                for _ in range(200):
                    try:
                        duty.round(1)
                    except SourceError:
                        pass
                    tags = {tag for (tag,) in duty.query("SELECT DISTINCT project_tag FROM run")}
                    assert len(tags) <= 1, f"a mixture of {tags} was taken over"
                    taken |= tags
                    if len(taken) == 2:
                        break
            finally:
                stop.set()
                copier.join()
            duty.round(1)
            assert duty.query("SELECT count(DISTINCT project_tag), count(*) FROM run") == [(1, 3000)]
            assert taken == {"A", "B"}

    def test_a_replica_that_grows_is_taken_over_as_it_grows(self, duty: Duty) -> None:
        for number in range(8):
            with duty.writing() as writer:
                whole(writer, RUN + number, duty.now - 3600)
            found = duty.round(600)
            assert (found.read, found.new, found.changed, found.jobs) == (True, 1, 0, 1)
        assert set(duty.statuses().values()) == {"ACCEPTED"}


class TestReplicaThatDiffers:
    def test_an_unchanged_one_is_not_read_again(self, duty: Duty) -> None:
        with duty.writing() as writer:
            whole(writer, RUN, NOW - 3600)
        assert duty.round().read
        duty.files.asked.clear()
        assert not duty.round(600).read
        assert set(duty.files.asked) == {"expand", "marks"}
        duty.again()
        assert not duty.round(600).read
        assert len(duty.logged("source.read")) == 1
        duty.touch()
        assert duty.round(600).read

    def test_one_that_lost_a_folder_changes_nothing_until_it_is_back(self, duty: Duty) -> None:
        with duty.writing() as writer:
            whole(writer, RUN, NOW - 3600)
            start(writer, RUN + 1, NOW)
            end(writer, RUN + 1, NOW + 60)
        duty.round(120)
        known = everything(duty)
        good = duty.replica.read_bytes()
        with duty.writing() as writer:
            whole(writer, RUN + 2, NOW + 60)
        with closing(sqlite3.connect(duty.replica)) as conn:
            conn.execute("DELETE FROM CONDBR2_NODES WHERE NODE_FULLPATH = '/TDAQ/RunCtrl/EventCounters'")
            conn.commit()
        for _ in range(3):
            duty.now += DAY
            duty.touch()
            with pytest.raises(SourceError, match="EventCounters: was in the run database and is gone"):
                duty.round()
            assert everything(duty) == known
        duty.again()
        with pytest.raises(SourceError, match="is gone"):
            duty.round()
        duty.replica.write_bytes(good)
        with duty.writing() as writer:
            count(writer, RUN + 1)
            writer.derived(RUN + 1, "Energy")
            whole(writer, RUN + 2, NOW + 60)
        duty.round()
        assert duty.statuses() == {RUN: "ACCEPTED", RUN + 1: "ACCEPTED", RUN + 2: "ACCEPTED"}

    def test_a_folder_that_was_lost_when_the_configuration_changed_is_missed_too(self, duty: Duty) -> None:
        with duty.writing() as writer:
            whole(writer, RUN, NOW - 3600)
        duty.round()
        with closing(sqlite3.connect(duty.replica)) as conn:
            conn.execute("DELETE FROM CONDBR2_NODES WHERE NODE_FULLPATH = '/TDAQ/RunCtrl/EventCounters'")
            conn.commit()
        duty.again(CONFIGURATION + REGIME)
        with pytest.raises(SourceError, match="EventCounters: was in the run database and is gone"):
            duty.round()

    @pytest.mark.parametrize("younger", [False, True], ids=["with its old time", "copied anew"])
    def test_an_older_copy_takes_nothing_away(self, duty: Duty, younger: bool) -> None:
        """Runs, end, counters, tag: what came since the copy was made is known, and stays so."""
        with duty.writing() as writer:
            whole(writer, RUN, NOW - 3 * DAY, tag="Pedestal")
            for run in (RUN + 1, RUN + 2):
                start(writer, run, NOW - 3600)
                begin = NOW - 3600 + 100 * (run - RUN)
                writer.lumi_blocks(run, [ns(begin), ns(begin + 60)])
            start(writer, RUN + 3, NOW - 600)
        old, written = duty.replica.read_bytes(), duty.now
        duty.round()
        duty.now += 1200
        with duty.writing() as writer:
            writer.derived(RUN + 1, "Energy")
            end(writer, RUN + 1, NOW)
            count(writer, RUN + 1)
            writer.lumi_blocks(RUN + 2, [ns(NOW - 60), ns(NOW)], first=2)
            end(writer, RUN + 2, NOW)
            count(writer, RUN + 2)
            writer.derived(RUN + 2, "Energy")
            whole(writer, RUN + 4, NOW)
        new = duty.replica.read_bytes()
        duty.round()
        assert list(duty.statuses().values()) == ["UNCLAIMED", "ACCEPTED", "ACCEPTED", "OPEN", "ACCEPTED"]
        before, known = everything(duty), duty.query("SELECT * FROM run ORDER BY run")
        duty.replica.write_bytes(old)
        duty.touch(duty.now if younger else written)
        for _ in range(3):
            assert duty.round(600).jobs == 0
            now = duty.query("SELECT * FROM run ORDER BY run")
            assert [row[0] for row in now] == [row[0] for row in known]
            for run in (RUN + 1, RUN + 2):
                found = duty.run(run)
                assert (found["end"], found["recorded_events"], found["clean_stop"]) == (ns(NOW), 500, 1)
            assert duty.status(RUN + 4) == "ACCEPTED"
        duty.replica.write_bytes(new)
        duty.touch()
        duty.round(600)
        assert everything(duty) == before

    def test_an_older_copy_settles_nothing(self, duty: Duty) -> None:
        with duty.writing() as writer:
            start(writer, RUN, NOW)
            end(writer, RUN, NOW + 60)
        old, written = duty.replica.read_bytes(), duty.now
        duty.round(120)
        with duty.writing() as writer:
            count(writer, RUN)
        duty.round(600)
        duty.replica.write_bytes(old)
        duty.touch(written)
        duty.round(5 * DAY)
        assert duty.status(RUN) == "OPEN"
        duty.touch()
        duty.round(1)
        found = duty.run(RUN)
        assert (found["status"], found["settled"], found["recorded_events"]) == ("UNCLAIMED", 1, 500)

    def test_one_that_stands_still_is_an_alarm_and_settles_nothing(self, duty: Duty) -> None:
        with duty.writing() as writer:
            start(writer, RUN, NOW)
        assert duty.round(7200).stale is None
        assert duty.round(1).stale == pytest.approx(7201)
        (line,) = duty.logged("source.stale")
        assert (line["level"], line["limit_s"]) == ("warning", 7200)
        assert duty.round(30 * DAY).stale is not None
        assert duty.status(RUN) == "OPEN"
        duty.touch()
        assert duty.round(1).stale is None
        assert duty.status(RUN) == "UNCLAIMED"

    def test_a_file_that_gives_nothing_holds_nothing_up(self, duty: Duty) -> None:
        """An archive of Run 1 beside the replica is never written again; it is not what runs are read from."""
        with duty.writing() as writer:
            start(writer, RUN, NOW)
        archive = duty.folder / "cool" / "archive.db"
        with Replica.create(str(archive), "COMP200", ns(NOW)):
            pass
        os.utime(archive, (NOW - 999 * DAY, NOW - 999 * DAY))
        assert duty.round(60).stale is None
        duty.now += DAY
        duty.touch()
        duty.round()
        assert duty.status(RUN) == "UNCLAIMED"

    def test_folders_in_several_replicas_settle_by_the_oldest_of_them(self, duty: Duty) -> None:
        trigger = duty.folder / "cool" / "trigger.db"
        with (
            Replica.create(str(duty.replica), "CONDBR2", ns(NOW)) as control,
            Replica.create(str(trigger), "CONDBR2", ns(NOW)) as other,
        ):
            start(RunWriter(control, other), RUN, NOW)
        duty.touch()
        os.utime(trigger, (NOW, NOW))
        duty.round(60)
        duty.touch(NOW + 2 * DAY)
        duty.round(2 * DAY)
        assert duty.status(RUN) == "OPEN"
        os.utime(trigger, (NOW + 2 * DAY, NOW + 2 * DAY))
        duty.round(60)
        assert duty.status(RUN) == "UNCLAIMED"


class TestConfiguration:
    def test_an_attribute_added_later_is_read_for_all_runs_and_reopens_none(self, duty: Duty) -> None:
        """History is judged anew by `replay` only: to know more of a run is no change of its record."""
        with duty.writing() as writer:
            whole(writer, RUN, NOW - 9 * DAY)
            start(writer, RUN + 1, NOW - 8 * DAY, "crashy")
            whole(writer, RUN + 2, NOW - 8 * DAY, tag=None)
            start(writer, RUN + 3, NOW - 60)
            whole(writer, RUN + 4, NOW - 60)
        duty.round()
        before = duty.query(
            "SELECT run, status, listener, verdict_id, settled, last_change FROM run WHERE run <> ?", RUN + 3
        )
        listener = '[listeners.Late.match]\nrun_type = "crashy"\nregime = { known = false }\n'
        duty.again(CONFIGURATION + REGIME + listener)
        found = duty.round(600)
        assert (found.read, found.new, found.changed, found.jobs) == (True, 0, 0, 0)
        after = duty.query(
            "SELECT run, status, listener, verdict_id, settled, last_change FROM run WHERE run <> ?", RUN + 3
        )
        assert after == before
        assert duty.query("SELECT * FROM former_verdict") == []
        assert json.loads(duty.run(RUN)["extra"]) == {"regime": "Calib1"}
        assert json.loads(duty.run(RUN + 1)["extra"]) == {"regime": "Calib1"}
        assert duty.run(RUN + 1)["notes"]["regime"]["from"] == RUN
        assert duty.status(RUN + 3) == "OPEN"
        assert not duty.round(600).read

    def test_an_open_run_is_judged_by_an_attribute_added_later(self, duty: Duty) -> None:
        with duty.writing() as writer:
            start(writer, RUN, NOW, "crashy")
            writer.derived(RUN, "x", timing_regime="Odd")
        duty.round(60)
        assert duty.status(RUN) == "OPEN"
        odd = '[listeners.Odd.match]\nrun_type = "crashy"\nregime = "Odd"\n'
        wanted = CONFIGURATION.replace('run_type = "crashy"', 'run_type = "crushed"')
        duty.reload(wanted + REGIME + odd)
        duty.round(60)
        assert (duty.status(RUN), duty.run(RUN)["listener"]) == ("ACCEPTED", "Odd")

    def test_open_runs_are_judged_again_in_each_round(self, duty: Duty) -> None:
        """A changed configuration reaches them over an unchanged replica, and no run that is decided."""
        with duty.writing() as writer:
            start(writer, RUN, NOW)
            whole(writer, RUN + 1, NOW - 60, tag="Pedestal")
        duty.round(60)
        assert (duty.status(RUN), duty.status(RUN + 1)) == ("OPEN", "UNCLAIMED")
        duty.reload(CONFIGURATION.replace('tier0_tag = "Energy"\n', 'daq_configuration = "other"\n'))
        assert not duty.round(60).read
        assert (duty.status(RUN), duty.status(RUN + 1)) == ("UNCLAIMED", "UNCLAIMED")
        duty.reload(CONFIGURATION.replace('tier0_tag = "Energy"\n', ""))
        duty.round(60)
        assert (duty.status(RUN), duty.status(RUN + 1)) == ("UNCLAIMED", "UNCLAIMED")

    def test_runs_before_the_sources_first_are_not_read(self, duty: Duty) -> None:
        with duty.writing() as writer:
            for run in range(RUN, RUN + 4):
                whole(writer, run, NOW - 3600)
        first = CONFIGURATION.replace("[source]\n", f"[source]\nfirst_run = {RUN + 2}\n")
        duty.again(first)
        duty.round()
        assert sorted(duty.statuses()) == [RUN + 2, RUN + 3]
        duty.again(first.replace(str(RUN + 2), str(RUN + 1)))
        assert duty.round(60).new == 1
        duty.again(first.replace(str(RUN + 2), str(RUN + 3)))
        assert duty.round(60).new == 0
        assert sorted(duty.statuses()) == [RUN + 1, RUN + 2, RUN + 3]


class TestInterruption:
    @pytest.mark.parametrize("pages", [0, 1, 3])
    def test_a_first_look_that_is_cancelled_between_pages_goes_on(
        self, duty: Duty, pages: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(discover, "PAGE", 10)
        with duty.writing() as writer:
            for run in range(RUN, RUN + 50):
                whole(writer, run, NOW - 3600)
        absorb, left = discover.discovery.absorb, pages

        def until_cancelled(*arguments: Any, **more: Any) -> Any:
            nonlocal left
            if left == 0:
                loop = task.get_loop()
                loop.call_soon_threadsafe(task.cancel)
            left -= 1
            return absorb(*arguments, **more)

        async def cancelled() -> None:
            nonlocal task
            task = asyncio.ensure_future(discover.run_once(duty.house))
            with pytest.raises(asyncio.CancelledError):
                await task

        task: asyncio.Future[Any]
        with monkeypatch.context() as patch:
            patch.setattr(discover.discovery, "absorb", until_cancelled)
            duty._runner.run(cancelled())
        # The page in hand is kept whole, whatever became of who asked for it.
        assert len(duty.statuses()) == 10 * (pages + 1)
        assert duty.query("SELECT * FROM source") == []
        assert [path.name for path in (duty.folder / "state").glob("snapshot*")] == []
        assert duty.round(60).new == 50 - 10 * (pages + 1)
        assert set(duty.statuses().values()) == {"ACCEPTED"}
        assert duty.query("SELECT count(*) FROM job") == [(50,)]

    def test_what_a_killed_process_left_of_its_look_is_swept_away(self, duty: Duty) -> None:
        with duty.writing() as writer:
            whole(writer, RUN, NOW - 3600)
        left = duty.folder / "state" / "snapshot-1.db"
        left.write_bytes(b"x" * 1000)
        duty.round()
        assert not left.exists()

    def test_a_replica_that_hangs_does_not_hold_up_the_rest(self, duty: Duty, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever assigns a run meanwhile gets its jobs; open runs are looked at all the same."""
        with duty.writing() as writer:
            whole(writer, RUN, NOW - 3600, tag="Pedestal")
            start(writer, RUN + 1, NOW)
        duty.round()
        duty.replica.rename(duty.folder / "good.db")
        os.mkfifo(duty.replica)
        monkeypatch.setattr(discover, "QUICK", 1.0)
        duty.query(
            "UPDATE run SET status = 'ACCEPTED', listener = 'Scan', needs_validation = 0, decided_by = 'ann', "
            "reason = 'x', jobs_due = 1 WHERE run = ?",
            RUN,
        )
        with pytest.raises(CafError) as failure:
            duty.round(60)
        assert isinstance(failure.value, StorageTimeout)
        assert duty.query("SELECT run, state FROM job") == [(RUN, "NEW")]
        duty.replica.unlink()
        (duty.folder / "good.db").rename(duty.replica)
        duty.round(60)
