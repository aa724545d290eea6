"""What LSF's clients say is understood: words that were seen of its relatives, and that are documented of IBM's."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf.batch.lsf_answers import (
    EMPTY,
    FORMS,
    LEAN,
    RICH,
    WIDE,
    Form,
    Row,
    read_reasons,
    read_rows,
    sighting,
    slots,
)
from caf.batch.lsf_history import parse_history
from caf.batch.lsf_jobs import TOKEN
from caf.domain.following import Sight

ONE, TWO = "caf-0123abcd-1-1-00000001", "caf-0123abcd-2-1-00000002"
JSON, LEAN_JSON, DELIMITED, _ = FORMS


def rows(form: Form, text: str) -> list[Row] | None:
    return read_rows(form, form.fields, text, TOKEN)


class TestTheForms:
    """Of bjobs' answers."""

    def test_volclavas_json(self) -> None:
        text = """{"COMMAND":"bjobs","JOBS":3,"RECORDS":[
            {"JOBID":"1","STAT":"EXIT","JOB_NAME":"caf-0123abcd-1-1-00000001"},
            {"JOBID":"2","STAT":"RUN","JOB_NAME":"caf-0123abcd-2-1-00000002"},
            {"JOBID":"777","ERROR":"Job <777> is not found"}]}"""
        assert rows(LEAN_JSON, text) == [Row("1", "EXIT", ONE), Row("2", "RUN", TWO)]
        assert rows(JSON, f"warning: {{}}\n{text}\n") is None
        assert rows(JSON, f"warning: line 7\n{text}\nbye\n") == rows(LEAN_JSON, text)

    def test_an_object_without_records_is_a_table_without_rows(self) -> None:
        assert rows(JSON, '{"COMMAND":"bjobs","JOBS":0,"RECORDS":[]}') == []
        for text in ("", "{}", "[]", '{"RECORDS": 3}', "No job found"):
            assert rows(JSON, text) is None

    def test_delimited_fields_with_a_reason_that_holds_anything(self) -> None:
        text = f"7^PEND^{ONE}^-^-^Not enough slots: 3 hosts, ^^ and more;\n8^EXIT^{TWO}^3^TERM_OWNER: x^-\nnonsense\n"
        first, second = rows(DELIMITED, text) or []
        assert first == Row("7", "PEND", ONE, pend_reason="Not enough slots: 3 hosts, ^^ and more;")
        assert second == Row("8", "EXIT", TWO, "3", "TERM_OWNER: x")
        assert rows(DELIMITED, "") is None

    def test_the_table_for_people(self) -> None:
        text = (
            "JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME\n"
            f"101     calib   RUN   8nm        front       node1       {ONE} Nov 22 12:00\n"
            f"102     calib   PEND  8nm        front          -        {TWO} Nov 22 12:00\n"
            "103     calib   DONE  8nm        front       2*n1:n2     sh -c 'echo caf-1; x' Nov 22 12:00\n"
            "                                             node7\n"
        )
        found = rows(WIDE, text) or []
        assert [(row.batch_id, row.state, row.name) for row in found] == [
            ("101", "RUN", ONE),
            ("102", "PEND", TWO),
            ("103", "DONE", ""),
        ]
        assert slots(found[2]) == 3
        assert rows(WIDE, text.split("\n")[0] + "\n") == []
        assert rows(WIDE, "this is no answer") is None

    @pytest.mark.parametrize(
        "text",
        [
            "No unfinished job found",
            "No job found",
            "No running job found",
            "No unfinished job found in queue <8nm>",
            "Job <99999> is not found",
            "Job <caf-*> is not found",
            "No matching job found",
        ],
    )
    def test_that_there_is_none_is_an_answer(self, text: str) -> None:
        assert EMPTY.search(text)

    @pytest.mark.parametrize("text", ["", "LSF is down. Please wait ...", "Notice: jobs\nwere found"])
    def test_that_nobody_answers_is_none(self, text: str) -> None:
        assert not EMPTY.search(text)

    @given(st.text())
    def test_no_text_breaks_a_reader(self, text: str) -> None:
        for form in FORMS:
            for row in rows(form, text) or []:
                assert sighting(row).batch_id == row.batch_id
        read_reasons(text)
        parse_history(text)

    @given(st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)))
    def test_no_json_breaks_the_reader(self, value: Any) -> None:
        for text in (json.dumps(value), json.dumps({"RECORDS": value}), json.dumps({"RECORDS": [{"JOBID": value}]})):
            rows(JSON, text)


class TestStates:
    """What rows say of jobs."""

    @pytest.mark.parametrize(
        ("row", "sight", "reason", "result"),
        [
            (Row("1", "RUN", ONE), Sight.RUNNING, None, None),
            (Row("1", "DONE", ONE), Sight.ENDED, "LSF says DONE", None),
            (Row("1", "EXIT", ONE, "3"), Sight.ENDED, "LSF says EXIT (exit code 3)", None),
            (Row("1", "EXIT", ONE, "140"), Sight.ENDED, "LSF says EXIT (exit code 140)", "walltime"),
            (
                Row("1", "EXIT", ONE, "140", "TERM_OWNER: job killed by owner"),
                Sight.ENDED,
                "LSF says EXIT (exit code 140, TERM_OWNER)",
                None,
            ),
            (
                Row("1", "EXIT", ONE, "1", "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit"),
                Sight.ENDED,
                "LSF says EXIT (exit code 1, TERM_MEMLIMIT)",
                "memory",
            ),
            (Row("1", "EXIT", ONE, "", "TERM_RUNLIMIT: x"), Sight.ENDED, "LSF says EXIT (TERM_RUNLIMIT)", "walltime"),
            (Row("1", "EXIT", ONE, "", "TERM_PREEMPT: x"), Sight.ENDED, "LSF says EXIT (TERM_PREEMPT)", "node"),
            (Row("1", "PEND", ONE), Sight.PENDING, "pending", None),
            (Row("1", "PEND", ONE, pend_reason="Host load: 1 host;"), Sight.PENDING, "Host load: 1 host", None),
            (Row("1", "PROV", ONE), Sight.PENDING, "PROV", None),
            (Row("1", "WAIT", ONE), Sight.PENDING, "WAIT", None),
            (Row("1", "SSUSP", ONE), Sight.RUNNING, "suspended by LSF (SSUSP)", None),
            (Row("7", "USUSP", ONE), Sight.RUNNING, "suspended by somebody (USUSP): `bresume 7` lets it go on", None),
            (Row("1", "MOVED", ONE), Sight.UNKNOWN, "LSF says MOVED, which caf does not know", None),
        ],
    )
    def test_a_state_is(self, row: Row, sight: Sight, reason: str | None, result: str | None) -> None:
        seen = sighting(row)
        assert (seen.sight, seen.reason, seen.result, seen.stuck) == (sight, reason, result, False)

    @pytest.mark.parametrize(
        "row",
        [
            Row("1", "UNKWN", ONE),
            Row("1", "ZOMBI", ONE),
            Row("1", "EXIT", ONE, "", "TERM_FORCE_ADMIN: job killed by root or LSF administrator"),
            Row("1", "EXIT", ONE, "", "TERM_REMOVE_HUNG_JOB: job removed from LSF"),
        ],
    )
    def test_what_lsf_lost_or_struck_off_is_no_end(self, row: Row) -> None:
        """The payload may go on where nobody sees it, and come back."""
        seen = sighting(row)
        assert seen.sight is Sight.UNKNOWN
        assert "it may still run there" in (seen.reason or "")

    @pytest.mark.parametrize(
        ("row", "way_out"),
        [
            (Row("9", "PSUSP", ONE), "`bresume 9` lets it go"),
            (Row("9", "PEND", ONE, pend_reason="Dependency condition invalid or never satisfied;"), "has failed"),
            (Row("9", "PEND", ONE, pend_reason="There are no suitable hosts for the job;"), "no host has"),
            (Row("9", "PEND", ONE, pend_reason="The queue is inactivated by the administrator;"), "ask there"),
        ],
    )
    def test_what_does_not_pass_by_itself_asks_for_a_person(self, row: Row, way_out: str) -> None:
        seen = sighting(row)
        assert (seen.sight, seen.stuck) == (Sight.PENDING, True)
        assert way_out in (seen.reason or "")

    def test_reasons_of_pending_jobs(self) -> None:
        text = """JOBID   USER    STAT  QUEUE       FROM_HOST      JOB_NAME           SUBMIT_TIME
3       root    PEND  8nm         vm             *0123abcd-1-1-0001 Nov 22 12:00
 User has reached the per-user job slot limit of the queue: 1 host;
 Load information unavailable: 2 hosts;
4       root    PEND  8nm         vm             caf.44             Nov 22 12:00
 The job has a specified start time: 1 host;
"""
        reasons = read_reasons(text)
        assert reasons["3"].startswith("User has reached the per-user job slot limit")
        assert reasons["4"] == "The job has a specified start time: 1 host;"


USED = "The CPU time used is 0.1 seconds;"
IBM = f"""
Job <1001>, Job Name <{ONE}>, User <calib>, Project <default>, Command </bi
                     n/sh /w/490001_Fit/1/caf.sh>
Thu Mar 13 17:30:05: Submitted from host <front>, to Queue <8nm>, CWD </>, Outp
                     ut File </w/log/batch.out>;
Thu Mar 13 17:31:05: Dispatched 1 Task(s) on Host(s) <node1>, Allocated 1 Slot(s
                     ) on Host(s) <node1>;
Thu Mar 13 17:31:05: Starting (Pid 5566);
{{end}}

Summary of time in seconds spent in various states by  Thu Mar 13 19:31:13
  PEND     PSUSP    RUN      USUSP    SSUSP    UNKWN    TOTAL
  60       0        7        0        0        0        67
"""


class TestHistory:
    """What bhist and bjobs -l tell."""

    @pytest.mark.parametrize(
        ("events", "told"),
        [
            (["Done successfully. {used}"], "LSF says DONE"),
            (
                ["Exited with exit code 3. The CPU time used is 0.1 sec\n                     onds;"],
                "EXIT (exit code 3)",
            ),
            (["Signal <KILL> requested by user or administrator <u>;", "Exited by signal 2. {used}"], "LSF says EXIT"),
            (
                [
                    "Exited with exit code 140. {used}",
                    "Completed <exit>; TERM_RUNLIMIT: job killed after reach\n     ing;",
                ],
                "LSF says EXIT (exit code 140, TERM_RUNLIMIT)",
            ),
            (["Unknown; unable to reach the execution host;", "Running;", "Exited with exit code 143. {used}"], "143"),
            (["Exited with exit code 1;", "Pending: Job has been requeued;"], None),
            (["Exited; job will be requeued and rerun;"], None),
            (["Unknown; unable to reach the execution host;"], None),
            (["Execution host unavailable; job is killed;"], None),
        ],
    )
    @pytest.mark.parametrize("year", ["", " 2026"])
    def test_the_last_word_counts(self, events: list[str], told: str | None, year: str) -> None:
        lines = [f"Thu Mar 13 17:32:05{year}: {event.format(used=USED)}" for event in events]
        ((seen,),) = parse_history(IBM.format(end="\n".join(lines))).values()
        assert seen.batch_id == "1001"
        assert seen.sight is (Sight.UNKNOWN if told is None else Sight.ENDED)
        assert (told or "") in (seen.reason or "")
        assert (seen.result == "walltime") is ("RUNLIMIT" in (told or ""))

    def test_several_jobs_and_names(self) -> None:
        done = "Thu Mar 13 17:32:05: Done successfully. The CPU time used is 0.1 seconds;"
        line = "------------------------------------------------------------------------------"
        text = f"{IBM.format(end=done)}{line}\n{IBM.format(end='').replace(ONE, TWO).replace('1001', '1002')}"
        found = parse_history(text)
        assert {name: [(one.batch_id, one.sight.value) for one in seen] for name, seen in found.items()} == {
            ONE: [("1001", "ended")],
            TWO: [("1002", "unknown")],
        }

    def test_no_job_is_none(self) -> None:
        assert parse_history("No matching job found\n") == {}


def test_fields_are_asked_for_as_the_forms_have_it() -> None:
    assert JSON.options(RICH) == ["-o", " ".join(RICH), "-json"]
    assert LEAN_JSON.options(LEAN) == ["-o", "jobid stat job_name", "-json"]
    assert re.fullmatch(r"jobid stat .* delimiter='\^'", DELIMITED.options(RICH)[-1])
    assert WIDE.options(()) == ["-w"]
