"""Every command's help: readable in a terminal of 80 columns, with an example that does what it says."""

import datetime
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from caf.cli.commands import COMMANDS, GROUPS
from tests.cli.pretend import TOP, Site

NAMES = [*COMMANDS, *(name for name in GROUPS if name not in COMMANDS), ""]
ENDLESS = {"watch", "logs"}
NOT_DONE = {
    "status": "jobs wait for a person",
    "watch": "interrupted",
    "logs": "there may be no journal",
    "quota": "the disk may be full",
    "listeners replay": "something may differ",
    "jobs adopt": "nothing is in doubt after a rehearsal",
    "jobs lost": "nothing is in doubt after a rehearsal",
    "jobs ack": "`caf ack` has said so before",
    "db import": "there is no database of the old system",
}
"""Examples that may end with 1, and why; all others do what they say."""


def help_of(site: Site, name: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", "80")
    return site.caf(*name.split(), "--help").out.splitlines()


def example_of(lines: list[str]) -> str:
    found = [line for line in lines if line.startswith("  Example: caf ")]
    assert len(found) == 1
    after = lines.index(found[0]) + 1
    assert lines[after] == ""  # in one line, to be copied
    return found[0].removeprefix("  Example: ")


@pytest.mark.parametrize("name", NAMES)
def test_help_fits_80_columns_and_has_an_example_in_one_line(
    empty: Site, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = help_of(empty, name, monkeypatch)
    assert max(map(len, lines)) <= 80
    example = example_of(lines)
    assert name in GROUPS or example.startswith(f"caf {name}".strip())
    assert not [line for line in lines if line.endswith("...") and "[ARGS]" not in line and "RUN" not in line]


@pytest.mark.campaign
def test_every_example_can_be_typed_after_a_rehearsal(
    empty: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As help prints it, but for places that are not of this machine, and a day that will be over."""
    folder = tmp_path / "demo"
    next_year = str(datetime.datetime.now(datetime.UTC).year + 1)
    places = {"/tmp/": f"{tmp_path}/", "/home/l1calo/": f"{tmp_path}/", "/data/": f"{tmp_path}/", "2027": next_year}
    places |= {"/etc/caf/": f"{folder}/", f"{tmp_path}/caf-demo": str(folder)}
    examples = {name: example_of(help_of(empty, name, monkeypatch)) for name in COMMANDS}
    first = ["demo", *(name for name in COMMANDS if name not in {"demo", "db import"}), "db import"]
    for name in first:
        line = examples[name]
        for place, instead in places.items():
            line = line.replace(place, instead)
        done = typed(folder if name != "demo" else tmp_path, line, endless=name in ENDLESS)
        assert done.returncode in ((0, 1) if name in NOT_DONE else (0,)), (line, done.stdout, done.stderr)
        assert "bug in caf" not in done.stderr
        if name == "demo":
            (folder / "new.toml").write_text((folder / "listeners.toml").read_text())


def typed(folder: Path, line: str, *, endless: bool) -> "subprocess.CompletedProcess[str]":
    """Type a line in a shell; what would never end is interrupted."""
    environment = {"PYTHONPATH": TOP, "PATH": os.environ["PATH"], "HOME": str(folder)}
    words = f"caf() {{ {'exec ' if endless else ''}'{sys.executable}' -m caf \"$@\"; }}; {line}"
    with subprocess.Popen(
        ["bash", "-c", words], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            out, err = process.communicate(timeout=5 if endless else 100)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
    assert not re.search("^Traceback", err, re.M)
    status = process.returncode
    return subprocess.CompletedProcess(words, 0 if endless and status == 130 else status, out, err)
