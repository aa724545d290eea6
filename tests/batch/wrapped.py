"""Attempts under each POSIX shell that is here, for the tests of the wrapper."""

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from caf.batch.script import script
from caf.storage.records import read_records

SHELLS = [path for name in ("dash", "bash", "busybox") if (path := shutil.which(name))] or ["/bin/sh"]
every_shell = pytest.mark.parametrize("shell", SHELLS, ids=lambda path: Path(path).name)
"""Each shell is called as `sh`, which makes bash and busybox behave as such."""

TOKEN = "caf-0123abcd-7-1-89abcdef"
PAYLOAD = ["sh", "-c", "echo ran >>payload; exit 3"]


def make_area(folder: Path, command: list[str] = PAYLOAD, token: str = TOKEN) -> Path:
    area = folder / "work" / "490001_Job" / "1"
    (area / "log").mkdir(parents=True)
    write(area, script(area=str(area), token=token, run=490001, job="Job", attempt=1, command=command))
    return area


def write(area: Path, text: str) -> None:
    (area / "caf.sh").write_text(text, encoding="utf-8")


def start(shell: str, area: Path, name: str = "caf.sh", **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["sh", str(area / name)], executable=shell, stderr=subprocess.PIPE, text=True, start_new_session=True, **options
    )


def run(shell: str, area: Path, name: str = "caf.sh", **options: Any) -> tuple[int, str]:
    with start(shell, area, name, **options) as process:
        _, said = process.communicate(timeout=30)
    return process.returncode, said


def runs(area: Path) -> int:
    payload = area / "payload"
    return len(payload.read_text().splitlines()) if payload.exists() else 0


def record(area: Path) -> dict[str, Any]:
    return read_records([str(area)])[0]


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if path.exists() and (text := path.read_text()).endswith("\n"):
            return text.strip()
        time.sleep(0.005)
    raise AssertionError(f"{path} did not appear")
