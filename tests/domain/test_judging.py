"""Success is what the job says it is; anything else is named in one line."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf.domain.jobs import INFRASTRUCTURE, Result
from caf.domain.judging import Success, grown, judge_check, judge_end, retry_delay, signal_name

SUCCESS = Success(log="log/athena.log", log_has=("successful run",), log_lacks=("FATAL",), outputs=("root/out",))
GOOD: dict[str, Any] = {"missing_log": False, "log_lacks": [], "log_holds": [], "missing": [], "empty": [], "tail": ""}

# In the order in which they are looked at: the first that is wrong is the reason.
WRONG: list[tuple[dict[str, Any], Result, str]] = [
    ({"copy": "a to root/a: it is not there"}, Result.OUTPUTS, "not brought back: a to root/a: it is not there"),
    ({"missing_log": True}, Result.LOG, "exit code 0, but there is no log/athena.log"),
    ({"log_lacks": ["successful run"]}, Result.LOG, "log/athena.log lacks 'successful run'"),
    ({"log_holds": ["FATAL"]}, Result.LOG, "log/athena.log holds 'FATAL'"),
    ({"missing": ["root/out"]}, Result.OUTPUTS, "no output root/out"),
    ({"empty": ["root/out"]}, Result.OUTPUTS, "empty output root/out"),
]


def test_a_good_end() -> None:
    assert judge_end(SUCCESS, 0, None, GOOD) == (Result.OK, "good")


@pytest.mark.parametrize("first", range(len(WRONG)))
def test_the_first_that_is_wrong_is_the_reason(first: int) -> None:
    found = dict(GOOD)
    for more, _, _ in WRONG[first:]:
        found |= more
    assert judge_end(SUCCESS, 0, None, found) == WRONG[first][1:]


@pytest.mark.parametrize("found", [more for more, _, _ in WRONG])
def test_the_exit_code_comes_first(found: dict[str, Any]) -> None:
    result, why = judge_end(SUCCESS, 1, None, {**GOOD, **found})
    assert (result, why) == (Result.EXIT_CODE, "exit code 1")


@pytest.mark.parametrize(
    ("code", "result", "why"),
    [
        (1, Result.EXIT_CODE, "exit code 1"),
        (126, Result.EXIT_CODE, "exit code 126 (the command is not executable)"),
        (127, Result.EXIT_CODE, "exit code 127 (the command was not found)"),
        (128, Result.EXIT_CODE, "exit code 128"),
        (137, Result.SIGNAL, "exit code 137, as after signal KILL"),
        (139, Result.SIGNAL, "exit code 139, as after signal SEGV"),
        (152, Result.WALLTIME, "exit code 152, as after signal XCPU: its processor time was used up"),
        (255, Result.EXIT_CODE, "exit code 255"),
        (None, Result.NODE, "its exit record never came"),
    ],
)
def test_exit_codes_are_named(code: int | None, result: Result, why: str) -> None:
    assert judge_end(SUCCESS, code, None, GOOD) == (result, why)
    assert judge_end(SUCCESS, code, None, {**GOOD, "tail": "last"}) == (result, f"{why}; the log ends: last")


def test_another_exit_code_can_be_the_good_one() -> None:
    assert judge_end(Success(exit_code=3), 3, None, GOOD)[0] is Result.OK
    assert judge_end(Success(exit_code=3), 0, None, GOOD) == (Result.EXIT_CODE, "exit code 0")
    assert judge_end(Success(exit_code=137), 137, None, GOOD)[0] is Result.OK


@pytest.mark.parametrize("code", [None, 1, 137, 143])
def test_what_is_known_otherwise_explains_a_bad_end(code: int | None) -> None:
    hint = (Result.WALLTIME, "it ran longer than its walltime of 60 s")
    assert judge_end(SUCCESS, code, hint, GOOD) == hint


def test_a_good_exit_code_is_believed_whatever_was_hinted() -> None:
    """The payload ended well just before its time was up; its log and outputs still have to agree."""
    hint = (Result.WALLTIME, "too long")
    assert judge_end(SUCCESS, 0, hint, GOOD)[0] is Result.OK
    assert judge_end(SUCCESS, 0, hint, {**GOOD, "empty": ["root/out"]})[0] is Result.OUTPUTS


def test_a_log_that_nobody_asks_about_need_not_be_there() -> None:
    assert judge_end(Success(), 0, None, {**GOOD, "missing_log": True})[0] is Result.OK


def test_signals_are_those_of_this_system() -> None:
    assert signal_name(137) == "KILL"
    assert signal_name(143) == "TERM"
    assert signal_name(128) is signal_name(0) is signal_name(255) is None


@given(
    st.one_of(st.none(), st.integers(0, 255)),
    st.booleans(),
    st.lists(st.sampled_from(range(len(WRONG))), max_size=5),
)
def test_every_reason_is_one_line_and_good_only_if_nothing_is_wrong(
    code: int | None, hinted: bool, wrong: list[int]
) -> None:
    found = dict(GOOD)
    for number in wrong:
        found |= WRONG[number][0]
    hint = (Result.NODE, "its process is gone") if hinted else None
    result, why = judge_end(SUCCESS, code, hint, found)
    assert why
    assert "\n" not in why
    assert (result is Result.OK) == (code == 0 and not wrong)
    if code not in {None, 152} and not hinted:
        assert result not in INFRASTRUCTURE  # a payload's own failure is not tried again


def test_the_waits_grow_and_then_stay() -> None:
    assert [retry_delay(60, tries) for tries in (0, 1, 2, 3, 4)] == [60, 60, 120, 240, 480]
    assert retry_delay(60, 11) == retry_delay(60, 10_000) == 60 * 1024


def test_what_the_log_tells_is_on_one_line() -> None:
    found = {**GOOD, "tail": "ERROR a\nFATAL b"}
    assert judge_end(SUCCESS, 1, None, found)[1] == "exit code 1; the log ends: ERROR a / FATAL b"


def test_that_the_log_speaks_of_memory_is_a_hint_and_no_class() -> None:
    found = {**GOOD, "tail": "ERROR a", "out_of_memory": "std::bad_alloc"}
    said = "exit code 134, as after signal ABRT; the log ends: ERROR a; perhaps for want of memory: std::bad_alloc"
    assert judge_end(SUCCESS, 134, None, found) == (Result.SIGNAL, said)
    told = judge_end(SUCCESS, 1, None, {**found, "tail": "std::bad_alloc"})
    assert told == (Result.EXIT_CODE, "exit code 1; the log ends: std::bad_alloc")
    assert judge_end(SUCCESS, 0, None, found) == (Result.OK, "good")


@pytest.mark.parametrize(
    ("code", "last", "result", "why"),
    [
        (0, "", Result.OK, "good"),
        (0, "chi2 1.1", Result.OK, "good, says its check: chi2 1.1"),
        (3, "chi2 99", Result.CHECK, "its check ended with exit code 3; it says: chi2 99"),
        (127, "", Result.CHECK, "its check ended with exit code 127 (the command was not found)"),
        (-9, "", Result.CHECK, "its check ended with signal 9"),
        (None, "still at it", Result.CHECK, "its check did not end within 10m; it says: still at it"),
    ],
)
def test_a_check_is_judged_by_its_exit_code(code: int | None, last: str, result: Result, why: str) -> None:
    assert judge_check(code, "10m", last) == (result, why)


def test_what_was_too_little_is_doubled_up_to_the_limit() -> None:
    assert [grown(asked, 5.0) for asked in (1.0, 2.0, 3.0, 5.0, 6.0)] == [2.0, 4.0, 5.0, None, None]
    assert grown(None, 5.0) is grown(1.0, None) is grown(None, None) is None
