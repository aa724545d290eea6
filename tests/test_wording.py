"""How things are worded wherever people read them."""

import pytest

from caf.wording import ended


@pytest.mark.parametrize(
    ("result", "reason", "told"),
    [
        ("exit_code", "exit code 1; the log ends: FATAL", "exit code 1; the log ends: FATAL"),
        ("signal", "exit code 137, as after signal KILL", "signal: exit code 137, as after signal KILL"),
        ("log", "log/stdout lacks 'good'", "log: log/stdout lacks 'good'"),
        ("check", "its check ended with exit code 1", "check: its check ended with exit code 1"),
    ],
)
def test_a_result_that_its_reason_begins_with_is_told_once(result: str, reason: str, told: str) -> None:
    assert ended(result, reason) == told
