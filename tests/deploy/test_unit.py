"""The files that an administrator installs, as far as they can be judged where no systemd runs."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from caf import heartbeat
from caf.config import CredentialsTable
from caf.tasks.credentials import MARGIN

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNIT, LOCAL = DEPLOY / "caf.service", DEPLOY / "local.conf"

analysed = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed: sh tests/packages.sh gets it"
)


def installed(folder: Path, *, local: bool) -> Path:
    """Have the unit, as it would be installed; the program need not be there."""
    unit = folder / "caf.service"
    unit.write_text(UNIT.read_text().replace("/opt/caf/bin/caf", "/bin/true"))
    if local:
        (folder / "caf.service.d").mkdir()
        shutil.copy(LOCAL, folder / "caf.service.d")
    return unit


def analyse(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = ["systemd-analyze", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@analysed
@pytest.mark.parametrize("local", [False, True])
def test_systemd_has_nothing_to_say_against_the_unit(local: bool, tmp_path: Path) -> None:
    """An unknown key is a warning only, and the status stays 0."""
    done = analyse("verify", installed(tmp_path, local=local))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@analysed
def test_the_sandbox_leaves_little_open(tmp_path: Path) -> None:
    done = analyse("security", "--offline=true", "--threshold=20", "--json=short", installed(tmp_path, local=False))
    assert done.returncode == 0, done.stdout + done.stderr
    open_doors = {row["json_field"] for row in json.loads(done.stdout) if row["set"] is False and row["exposure"]}
    assert "CapabilityBoundingSet_CAP_SYS_ADMIN" not in open_doors
    assert "SystemCallFilter_reboot" not in open_doors


def settings(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^([A-Z]\w+)=(.*)$", text, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def test_the_unit_keeps_what_local_jobs_rest_on() -> None:
    """Each of these was seen to matter on a real systemd: tests/clusters/test_systemd.py."""
    unit, local = settings(UNIT.read_text()), settings(LOCAL.read_text())
    wanted = {
        "Type": "notify",
        "Restart": "on-failure",
        "RestartPreventExitStatus": "2",
        "KillMode": "process",
        "OOMPolicy": "continue",
        "UMask": "0007",
        "StateDirectory": "caf",
        "StateDirectoryMode": "2770",
    }
    assert {name: unit[name] for name in wanted} == {name: [value] for name, value in wanted.items()}
    assert float(unit["WatchdogSec"][0]) >= 60
    assert {"PrivateTmp": ["no"], "RemoveIPC": ["no"], "MemoryDenyWriteExecute": ["no"]}.items() <= local.items()
    assert local.keys() <= unit.keys() | {"ReadWritePaths", "TasksMax"}, "what is loosened is not tight"


def test_a_first_renewal_fits_into_the_time_that_a_start_has() -> None:
    """A KDC that hangs holds a start up for both commands' time, and for no longer."""
    limit = CredentialsTable.model_fields["timeout"].default
    assert settings(UNIT.read_text())["TimeoutStartSec"] == ["5min"]
    assert 2 * limit + MARGIN < 300


def test_the_rules_for_the_log_are_understood(tmp_path: Path) -> None:
    program = shutil.which("logrotate", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if program is None:
        pytest.skip("logrotate is not installed: sh tests/packages.sh gets it")
    rules = tmp_path / "caf"
    rules.write_text((DEPLOY / "caf.logrotate").read_text().replace("su caf caf", "su root root"))
    command = [program, "--debug", "--state", str(tmp_path / "status"), str(rules)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr


def test_a_heartbeat_comes_often_enough_for_the_check() -> None:
    script = (DEPLOY / "caf-alive").read_text()
    (limit,) = re.findall(r"limit=\$\{2-(\d+)\}", script)
    assert int(limit) >= heartbeat.EVERY * 10
