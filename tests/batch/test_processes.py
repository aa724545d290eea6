"""Processes of this machine: which belong to an attempt."""

import subprocess

import pytest

from caf.batch import processes


def test_whoever_is_in_the_session_is_found_without_a_look_at_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hangs in the kernel for want of memory may hang whoever reads that; most likely it is the payload."""
    read: list[str] = []

    def environment_of(pid: str) -> bytes:
        read.append(pid)
        return b""

    monkeypatch.setattr(processes, "environment_of", environment_of)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as child:
        try:
            assert processes.survivors("caf-0123abcd-1-1-none", child.pid) == [child.pid]
            assert read
            assert str(child.pid) not in read
        finally:
            child.kill()
