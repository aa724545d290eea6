"""The text of an attempt's script."""

from typing import Any

import pytest

from caf.batch.script import script
from caf.domain.errors import PreparationError
from tests.batch.wrapped import TOKEN


@pytest.mark.parametrize(
    "change", [{"area": "relative"}, {"command": []}, {"command": [""]}, {"command": ["-c"]}, {"command": ["a\0b"]}]
)
def test_a_script_that_no_shell_could_run_is_refused(change: dict[str, Any]) -> None:
    good: dict[str, Any] = {"area": "/a", "token": TOKEN, "run": 1, "job": "Job", "attempt": 1, "command": ["true"]}
    assert script(**good).startswith("#!/bin/sh\n")
    with pytest.raises(PreparationError):
        script(**good | change)
