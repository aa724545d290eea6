"""What befalls the records of runs, one by one: the real duty, real replicas, a directed clock."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from caf.demo.run_writer import DERIVED_RUN_PARS
from caf.domain.runs import END_PATCHED, NO_END_RECORD
from tests.simulation.duty import DAY, NOW, Duty
from tests.simulation.recording import CONFIGURATION, REGIME, RUN, change, count, end, ns, start, whole


@pytest.fixture
def duty(tmp_path: Path) -> Iterator[Duty]:
    with Duty(tmp_path, CONFIGURATION) as duty:
        yield duty


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

    def test_one_that_settled_on_it_is_not_opened_again_by_a_later_runs_record(self, duty: Duty) -> None:
        """Its value is what it was; a run with a null in it would be open for another day."""
        self.inheriting(duty)
        with duty.writing() as writer:
            start(writer, RUN + 2, NOW, "ramp")
        duty.now = NOW + 2 * DAY
        duty.touch()
        duty.round()
        assert (duty.status(RUN + 2), duty.run(RUN + 2)["settled"]) == ("UNCLAIMED", 1)
        with duty.writing() as writer:
            whole(writer, RUN + 3, duty.now - 3600, tag="Pedestal")
        found = duty.round(60)
        assert (found.new, found.changed) == (1, 0)
        assert duty.run(RUN + 2)["notes"]["tier0_tag"] == {"final": True, "from": RUN}
        assert (duty.status(RUN + 2), duty.run(RUN + 2)["settled"]) == ("UNCLAIMED", 1)

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
