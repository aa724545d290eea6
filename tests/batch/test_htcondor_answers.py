"""What is given to HTCondor and what its clients say, on answers recorded from HTCondor 23.9.6."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf.batch.htcondor_ads import gist_of, hold, of_history, of_queue, read_ads
from caf.batch.htcondor_log import ends_in
from caf.batch.htcondor_submit import accepted_as, description, submit_arguments
from caf.batch.interface import BatchFull, BatchRefused, Submission
from caf.batch.running import Said
from caf.domain.errors import BatchError
from caf.domain.following import Sight
from caf.domain.jobs import Result

DATA = Path(__file__).resolve().parents[1] / "data" / "htcondor"
QUEUE = {ad["CafToken"]: ad for ad in read_ads((DATA / "queue.json").read_text())}
HISTORY = {ad["CafToken"]: ad for ad in read_ads((DATA / "history.json").read_text())}
PLAIN = Submission("caf-0123abcd-1-1-00000001", "/w/490001_Fit/1/caf.sh")


def log(name: str) -> str:
    return (DATA / f"{name}.log").read_text()


class TestSubmitting:
    def test_a_path_is_quoted_for_macros_arguments_and_quotes(self) -> None:
        given = description(Submission("t", '/w/it\'s a "$HOME"/1/caf.sh'))
        assert given["arguments"] == '"\'/w/it\'\'s a ""$(DOLLAR)HOME""/1/caf.sh\'"'
        assert given["initialdir"] == '/w/it\'s a "$(DOLLAR)HOME"/1'

    def test_sizes_are_rounded_up(self) -> None:
        given = description(Submission("t", "/w/1/caf.sh", cpus=2, memory=100_000_001, walltime=90.5))
        assert (given["request_cpus"], given["request_memory"], given["My.MaxRuntime"]) == ("2", "96", "91")
        assert "time() - JobCurrentStartDate > 91" in given["periodic_hold"]

    def test_a_queue_is_a_job_flavour_and_the_flavour_has_its_own_walltime(self) -> None:
        given = description(Submission("t", "/w/1/caf.sh", 'long"lunch', "group_u_X", walltime=90))
        assert given["My.JobFlavour"] == '"long\\"lunch"'
        assert given["accounting_group"] == "group_u_X"
        assert "My.MaxRuntime" not in given

    def test_without_a_walltime_only_a_second_start_is_held(self) -> None:
        given = description(PLAIN)
        assert given["periodic_hold"] == "JobStatus == 1 && NumJobStarts > 0"
        assert "request_memory" not in given

    def test_on_eos_there_is_no_user_log(self) -> None:
        assert "log" not in description(Submission("t", "/eos/w/1/caf.sh"))
        assert description(PLAIN)["log"] == "/w/490001_Fit/1/log/htcondor.log"

    def test_options_come_last_and_requirements_are_added_to_ours(self) -> None:
        options = ['requirements = Arch == "X" || Y', "+Foo = 1", "REQUIREMENTS=Z"]
        words = submit_arguments(Submission("t", "/w/1/caf.sh", options=options))
        assert 'requirements=(NumJobStarts == 0) && (Arch == "X" || Y) && (Z)' in words
        assert words[-4:] == ["-append", "+Foo = 1", "-queue", "1"]

    @pytest.mark.parametrize("line", ["queue 3", "Queue", "a = 1\nqueue 2", "\x00"])
    def test_an_option_that_is_more_than_one_command_is_refused(self, line: str) -> None:
        with pytest.raises(BatchRefused, match="is not one command"):
            submit_arguments(Submission("t", "/w/1/caf.sh", options=[line]))

    @pytest.mark.parametrize("script", ["/w\n/1/caf.sh", "/$$(Machine)/1/caf.sh"])
    def test_a_path_that_cannot_be_told_is_refused(self, script: str) -> None:
        with pytest.raises(BatchRefused, match="cannot be told"):
            submit_arguments(Submission("t", script))

    def test_the_answer_gives_the_id(self) -> None:
        assert accepted_as(Said(0, "4711.0 - 4711.0\n", "WARNING: the line 'x = 3' was unused\n")) == "4711.0"
        with pytest.raises(ValueError, match="no such"):
            accepted_as(Said(0, "no such answer\n", ""))

    @pytest.mark.parametrize(
        "err",
        [
            "ERROR: Parse error in expression: \n\tX = (((\n\t\n",
            "ERROR: Invalid accounting_group: a b\n",
            "\nERROR: on Line 0 of submit file: \n\nERROR: Failed to parse -a argument line (#1).\n",
        ],
    )
    def test_what_is_wrong_with_the_job_is_a_refusal(self, err: str) -> None:
        with pytest.raises(BatchRefused, match=r"condor_submit: .*correct"):
            accepted_as(Said(1, "", err))

    def test_a_limit_on_how_many_passes(self) -> None:
        for words in (
            "Failed to create proc\nNumber of submitted jobs would exceed MAX_JOBS_PER_OWNER",
            "Failed to commit job submission into the queue.\nERROR: MAX_JOBS_SUBMITTED exceeded. Current=4, Limit=1",
        ):
            with pytest.raises(BatchFull, match="it is tried again"):
                accepted_as(Said(1, "", f"\nERROR: {words}\n"))

    @pytest.mark.parametrize(
        "said",
        [
            Said(-9, "", ""),
            Said(1, "", "\nERROR: Failed to connect to local queue manager\nCEDAR:6001:Failed to connect to <x:1>\n"),
            Said(1, "", "condor_submit: unknown host nosuch\n"),
            Said(1, "", "\nERROR: Failed to connect to local queue manager\nAUTHENTICATE:1003:Failed\n"),
            Said(1, "", "\nERROR: Can't find address of local schedd\n"),
            Said(1, "", "\n-- Failed to fetch ads\nSECMAN:2007:Read failure during security negotiation.\n"),
        ],
    )
    def test_what_is_not_the_jobs_fault_is_in_doubt(self, said: Said) -> None:
        with pytest.raises(BatchError) as error:
            accepted_as(said)
        assert error.type is BatchError


class TestAds:
    def test_nothing_and_many_arrays_are_answers(self) -> None:
        assert read_ads("") == read_ads("[\n]\n") == []
        assert read_ads('[\n{"a": 1}\n]\n[\n{"a": 2}\n]\n') == [{"a": 1}, {"a": 2}]

    @pytest.mark.parametrize("text", ["no answer", "{}", "[1]", "[{}", "[]]", "-- Failed to fetch ads"])
    def test_all_else_is_none(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            read_ads(text)

    @given(st.text())
    def test_no_text_makes_another_error(self, text: str) -> None:
        try:
            ads = read_ads(text)
        except ValueError:
            return
        assert isinstance(ads, list)

    @given(
        st.dictionaries(
            st.sampled_from(sorted({key for ad in QUEUE.values() for key in ad})), st.integers() | st.text()
        )
    )
    def test_no_ad_makes_an_error(self, ad: dict[str, Any]) -> None:
        assert of_queue(ad).sight in Sight
        assert of_history(ad).sight in Sight

    @pytest.mark.parametrize(
        ("status", "begun", "sight"),
        [
            (1, 0, "pending"),
            (1, 1, "running"),
            (2, 1, "running"),
            (3, 1, "running"),
            (3, 0, "pending"),
            (4, 1, "ended"),
            (6, 1, "running"),
            (7, 1, "running"),
            (8, 1, "unknown"),
            (None, 0, "unknown"),
        ],
    )
    def test_a_state_is_what_it_is(self, status: int | None, begun: int, sight: str) -> None:
        ad = {"ClusterId": 1, "ProcId": 0, "JobStatus": status, "NumJobStarts": begun}
        seen = of_queue(ad)
        assert (seen.sight, seen.batch_id, seen.stuck) == (sight, "1.0", False)

    def test_a_job_that_has_begun_is_not_pending_though_the_schedd_does_not_know_it_yet(self) -> None:
        """A payload that is killed then ends with any code; why, is awaited."""
        ad = {"ClusterId": 25, "ProcId": 0, "JobStatus": 1, "NumJobStarts": 0}
        assert [of_queue(ad, None, owner).sight for owner in ("25.0", "24.0", None)] == [
            "running",
            "pending",
            "pending",
        ]

    @pytest.mark.parametrize(
        ("token", "sight", "result", "why"),
        [
            ("wall", Sight.ENDED, Result.WALLTIME, "it ran longer than its walltime of 5 s"),
            ("userheld", Sight.ENDED, Result.NODE, "HTCondor held it: via condor_hold (by user cafbatch) (code 1)"),
            ("vacate", Sight.RUNNING, None, None),
            ("toobig", Sight.PENDING, None, "not matched yet: no match found"),
        ],
    )
    def test_the_queue_is_read(self, token: str, sight: Sight, result: Result | None, why: str | None) -> None:
        seen = of_queue(QUEUE[token])
        assert (seen.sight, seen.result, seen.reason) == (sight, result, why)

    def test_a_job_that_a_person_holds_waits_for_one(self) -> None:
        seen = of_queue(QUEUE["onhold"])
        assert (seen.sight, seen.stuck) == (Sight.PENDING, True)
        assert (seen.reason or "").endswith("`condor_release 14.0` lets it go")

    def test_a_hold_for_a_path_says_what_to_look_at(self) -> None:
        seen = of_queue(QUEUE["noout"])
        assert (seen.sight, seen.result) == (Sight.ENDED, Result.NODE)
        assert "errno 2) (code 7): do nodes see `work`" in (seen.reason or "")

    @pytest.mark.parametrize(
        ("code", "said", "result"),
        [
            (34, "Job has gone over cgroup memory limit of 128 megabytes. Peak usage: 130", Result.MEMORY),
            (34, "disk usage exceeded request_disk", Result.NODE),
            (46, "The job exceeded allowed_job_duration of 60", Result.WALLTIME),
            (26, "SYSTEM_PERIODIC_HOLD: MaxRuntime exceeded, run time 20:01", Result.WALLTIME),
            (26, "memory usage exceeded request_memory", Result.MEMORY),
            (3, "The job attribute PeriodicHold expression 'NumJobStarts > 5' evaluated to TRUE", Result.NODE),
            (4, "Corrupted credential", Result.NODE),
            (99, "something new", Result.NODE),
            (None, "it does not say why", Result.NODE),
        ],
    )
    def test_a_hold_code_is_a_result(self, code: int | None, said: str, result: Result) -> None:
        assert hold(code, 0, said)[0] is result

    @pytest.mark.parametrize(
        ("token", "result", "why", "exit_code"),
        [
            ("payloadkilled", None, "HTCondor saw it end with exit code 0", 0),
            ("userheld", Result.NODE, "HTCondor held it: via condor_hold (by user cafbatch) (code 1)", None),
            ("wall", Result.WALLTIME, "it ran longer than its walltime of 5 s", None),
            ("removed", Result.NODE, "it was removed from HTCondor: via condor_rm (by user cafbatch)", None),
            (
                "shadow",
                Result.NODE,
                "HTCondor saw it end with exit code 0, after HTCondor had started it 3 times",
                None,
            ),
        ],
    )
    def test_the_history_is_read(self, token: str, result: Result | None, why: str, exit_code: int | None) -> None:
        seen = of_history(HISTORY[token])
        assert (seen.sight, seen.result, seen.reason, seen.exit_code) == (Sight.ENDED, result, why, exit_code)

    def test_an_end_by_the_processor_time_is_a_walltime(self) -> None:
        ad = {"ClusterId": 1, "ProcId": 0, "JobStatus": 4, "ExitBySignal": True, "ExitSignal": 24}
        assert of_history(ad).result is Result.WALLTIME


class TestAnalysis:
    def test_the_gist_says_that_no_machine_fits_and_why(self) -> None:
        gist = gist_of((DATA / "analysis.txt").read_text())
        assert gist is not None
        assert gist[0].startswith("no machine fits it, of 1: none meets TARGET.Cpus >= RequestCpus: correct `cpus`")
        assert gist[1]

    def test_machines_that_fit_are_counted(self) -> None:
        text = (DATA / "analysis.txt").read_text()
        text = text.replace("0 match but are serving", "3 match but are serving").replace("0 are able", "2 are able")
        assert gist_of(text) == ("5 of 1 machines fit it, 2 of them free", False)

    def test_what_is_no_analysis_says_nothing(self) -> None:
        assert gist_of("") is None
        assert gist_of("-- Failed to fetch ads") is None


class TestLog:
    @pytest.mark.parametrize(
        ("name", "number", "result", "why"),
        [
            ("walltime", 3, Result.WALLTIME, "it ran longer than its walltime of 5 s"),
            ("removed", 7, Result.NODE, "it was removed from HTCondor: via condor_rm (by user cafbatch)"),
            (
                "shadow_killed",
                25,
                Result.NODE,
                "HTCondor saw it end with exit code 0, after HTCondor had started it 2 times",
            ),
        ],
    )
    def test_an_end_is_read(self, name: str, number: int, result: Result | None, why: str) -> None:
        ends = ends_in(log(name), f"caf-0123abcd-1-1-{number:08}")
        assert ends is not None
        assert [(one.sight, one.batch_id, one.result, one.reason) for one in ends] == [
            (Sight.ENDED, f"{number}.0", result, why)
        ]

    def test_a_job_that_is_held_has_not_left(self) -> None:
        """The queue shows it; if it does not, that is no end."""
        assert ends_in(log("starter_killed"), "caf-0123abcd-1-1-00000006") is None

    def test_another_jobs_log_tells_nothing(self) -> None:
        assert ends_in(log("removed"), "caf-0123abcd-1-1-00000008") is None

    def test_twins_have_ended_when_both_have(self) -> None:
        other = log("removed").replace("(007.", "(008.")
        both = ends_in(log("removed") + other, "caf-0123abcd-1-1-00000007")
        assert both is not None
        assert [one.batch_id for one in both] == ["7.0", "8.0"]
        cut = other[: other.index("009 (008.")]
        assert ends_in(log("removed") + cut, "caf-0123abcd-1-1-00000007") is None

    @pytest.mark.parametrize("name", ["walltime", "removed", "shadow_killed"])
    def test_a_log_that_is_cut_anywhere_gives_no_wrong_end(self, name: str) -> None:
        text = log(name)
        token = text.splitlines()[1].strip()
        whole = ends_in(text, token)
        for length in range(len(text)):
            assert ends_in(text[:length], token) in (None, whole), length

    @given(st.text())
    def test_no_text_makes_an_error(self, text: str) -> None:
        assert ends_in(text, "caf-0123abcd-1-1-00000007") is None


def test_the_recorded_answers_are_json() -> None:
    assert json.loads((DATA / "queue.json").read_text()) == list(QUEUE.values())
