"""caf under a real systemd as process 1, installed by the very commands of docs/administrator.md."""

import base64
import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clusters import kdc
from tests.clusters import systemd as systemd_machine
from tests.clusters.page import blocks
from tests.clusters.shared import run_of, taking_turns
from tests.clusters.systemd import PACKAGES, SOURCE, WHEEL, Systemd, interpreter
from tests.world import World, wait_until

pytestmark = pytest.mark.timeout(500)  # the first one may make the Debian, which takes one or two minutes

RUN, OTHER = 490001, 490002
HERE, STATE = "/var/lib/caf/world", "/var/lib/caf"
DROP_INS = "/etc/systemd/system/caf.service.d"
QUICK = "[Service]\nRestartSec=100ms\nWatchdogSec=3\nTimeoutAbortSec=3\n"
GATE = f"while [ ! -e {HERE}/gate ]; do sleep 0.05; done"

# The event loop's thread can be made to stand still, as a bug might.
STUCK = """
import signal, time
signal.signal(signal.SIGUSR1, lambda *_: time.sleep(3600))
from caf.cli.main import main
main()
"""


def install(machine: Systemd) -> None:
    """Follow the page; only where it asks a package registry the wheel that was built here is taken."""
    steps, local, _ = blocks("Install")
    python, _ = interpreter()
    pip = (
        "/opt/caf/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --no-index --ignore-installed"
    )
    packages = f"for d in /opt/caf/lib/python3.*/site-packages; do echo {PACKAGES} >$d/packages.pth; done"
    for typed, done in (
        ("python3.11 -m venv /opt/caf\n", f"{python} -m venv --without-pip /opt/caf\n{packages}\n"),
        ("/opt/caf/bin/pip install .\n", f"{pip} {WHEEL}/*.whl\n"),
    ):
        assert steps.count(typed) == 1
        steps = steps.replace(typed, done)
    machine.sh(f"cd {SOURCE}\n{steps}\n{local}", timeout=120)


@pytest.fixture(scope="session")
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Systemd]:
    """Have a systemd with caf installed."""
    with systemd_machine.running(run_of(tmp_path_factory)) as machine:
        with taking_turns(machine.folder):
            if machine.ask("test", "-e", "/opt/caf/bin/caf").returncode != 0:
                install(machine)
        yield machine


@pytest.fixture
def booted(systemd: Systemd) -> Iterator[Systemd]:
    """Have it alone."""
    with taking_turns(systemd.folder):
        yield systemd


class Site:
    """The installed caf with a small world; the payload of each run waits for `gate`."""

    def __init__(self, machine: Systemd, folder: Path) -> None:
        self.machine = machine
        caf = f'state = "{STATE}"\nwork = "{STATE}/work"\ntemplates = "{HERE}/templates"\n'
        self.world = World(folder, [RUN, OTHER], body=GATE, caf=caf).quick()
        for name in ("cool/*.db", "raw/{run:08d}/*"):
            self.world.edit(f'"{name}"', f'"{HERE}/{name}"')
        payload = folder / "templates" / "payload.sh"
        payload.write_text(payload.read_text().replace(str(folder), HERE))
        machine.sh(
            "systemctl stop caf; systemctl reset-failed caf 2>/dev/null || true\n"
            f"find {STATE} -mindepth 1 -delete; rm -f {DROP_INS}/test.conf\n"
            "systemd-tmpfiles --create caf.conf; journalctl --rotate --vacuum-time=1s -q"
        )
        self.copy()
        machine.sh(f"cp {HERE}/listeners.toml /etc/caf/listeners.toml; chgrp caf /etc/caf/listeners.toml")
        self.drop_in(QUICK)

    def copy(self) -> None:
        """Have the world inside, its owner caf's account."""
        packed = subprocess.run(["tar", "-C", self.world.folder, "-c", "."], capture_output=True, check=True).stdout
        pid = (self.machine.folder / "pid").read_text().strip()
        enter = ["nsenter", "-t", pid, "--mount", "--pid", "--root", "--wd", "--", "/bin/sh", "-c"]
        unpack = f"mkdir -p {HERE} && tar -C {HERE} -x --no-same-owner && chown -R caf:caf {HERE}"
        subprocess.run([*enter, unpack], input=packed, check=True, timeout=30)

    def drop_in(self, text: str) -> None:
        self.machine.call("tee", f"{DROP_INS}/test.conf", text=text)
        self.machine.call("systemctl", "daemon-reload")

    def start(self) -> None:
        self.machine.call("systemctl", "start", "caf")

    def running(self) -> "Site":
        """Have it running with both payloads begun."""
        self.start()
        wait_until(lambda: len(self.starts()) == 2, 60, "both payloads")
        return self

    def caf(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Type a command as an operator does."""
        return self.machine.ask("setpriv", "--reuid=caf", "--regid=caf", "--init-groups", *self.command(*words))

    @staticmethod
    def command(*words: str) -> list[str]:
        return ["env", "CAF_CONFIG=/etc/caf/listeners.toml", "caf", *words]

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.caf("status", "--json").stdout)
        return found

    def states(self) -> dict[int, str]:
        return {row["run"]: row["state"] for row in json.loads(self.caf("jobs", "list", "--json").stdout or "[]")}

    def starts(self) -> Counter[str]:
        """Count how often each attempt's payload started."""
        lines = self.machine.ask("cat", f"{HERE}/started.txt").stdout.splitlines()
        return Counter(line.split()[3] for line in lines)

    def all_well_at_the_end(self) -> None:
        """Open the gate: both jobs end good, and each was begun once."""
        self.machine.call("touch", f"{HERE}/gate")
        wait_until(lambda: self.states() == {RUN: "DONE", OTHER: "DONE"}, 30, "the end of both jobs")
        assert list(self.starts().values()) == [1, 1]

    def events(self) -> list[str]:
        lines = [line for line in self.machine.journal().splitlines() if line.startswith("{")]
        return [json.loads(line)["event"] for line in lines]

    def main(self) -> str:
        return self.machine.show("MainPID")

    def restarts(self) -> int:
        return int(self.machine.show("NRestarts"))


@pytest.fixture
def site(booted: Systemd, tmp_path: Path) -> Iterator[Site]:
    made = Site(booted, tmp_path)
    yield made
    booted.ask("touch", f"{HERE}/gate")
    booted.ask("systemctl", "stop", "caf")
    booted.ask("pkill", "-KILL", "-u", "caf")


def test_the_page_installs_a_unit_without_a_fault_and_hardly_exposed(booted: Systemd) -> None:
    done = booted.ask("systemd-analyze", "verify", "caf.service")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    booted.call("mv", f"{DROP_INS}/local.conf", "/var/tmp/local.conf")
    try:
        booted.call("systemctl", "daemon-reload")
        done = booted.ask("systemd-analyze", "security", "--no-pager", "--threshold=20", "caf.service")
        assert done.returncode == 0, done.stdout.splitlines()[-1]
    finally:
        booted.call("mv", "/var/tmp/local.conf", f"{DROP_INS}/local.conf")
    assert booted.sh("stat -c '%a %U %G' /var/lib/caf /var/lib/caf/work /var/log/caf /etc/caf").splitlines() == [
        "2770 caf caf",
        "2770 caf caf",
        "2770 caf caf",
        "2750 root caf",
    ]
    shipped = booted.ask("setpriv", "--reuid=caf", "--regid=caf", "--init-groups", *Site.command("check"))
    assert "/etc/caf/listeners.toml: 7 listeners" in shipped.stdout, shipped.stderr


@pytest.mark.parametrize("local", [True, False], ids=["local.conf", "strict"])
def test_a_start_waits_for_readiness_and_a_stop_is_in_order(local: bool, site: Site) -> None:
    """With the strict sandbox alone payloads run as well, if they are as plain as this one."""
    machine = site.machine
    if not local:
        machine.sh(f"mv {DROP_INS}/local.conf /var/tmp/; systemctl daemon-reload")
    try:
        site.start()
        assert "supervisor.ready" in site.events(), "systemctl start did not wait"
        assert machine.show("StatusText") == "running"
        site.all_well_at_the_end()
        assert machine.call("caf-alive").startswith("CAF OK - alive ")
        begun = time.monotonic()
        machine.call("systemctl", "stop", "caf")
        assert time.monotonic() - begun < 20
        assert site.events()[-2:] == ["supervisor.stopping", "supervisor.stopped"]
        assert (machine.show("Result"), machine.show("ActiveState")) == ("success", "inactive")
        wait_until(lambda: machine.ask("pgrep", "-u", "caf").returncode == 1, 10, "the end of all that it started")
        alive = machine.ask("caf-alive")
        assert alive.returncode == 2
        assert alive.stdout.startswith("CAF CRITICAL - caf was stopped in order")
    finally:
        machine.sh(f"[ ! -e /var/tmp/local.conf ] || mv /var/tmp/local.conf {DROP_INS}/; systemctl daemon-reload")
    modes = machine.sh(f"stat -c '%a %G' {STATE}/caf.db {STATE}/work {STATE}/work/{RUN}_Fit").splitlines()
    assert modes == ["660 caf", "2770 caf", "2770 caf"]


def test_local_jobs_survive_restart_kill_and_stop(site: Site) -> None:
    machine = site.running().machine
    machine.call("systemctl", "restart", "caf")
    first = site.main()
    machine.call("kill", "-KILL", first)
    wait_until(lambda: site.main() not in {"0", first}, 20, "the restart")
    wait_until(lambda: machine.show("ActiveState") == "active", 20, "its readiness")
    assert site.restarts() == 1
    machine.call("systemctl", "stop", "caf")
    assert machine.sh("pgrep -u caf -c sleep || pgrep -u caf -fc payload.sh") >= "1"
    assert site.starts().total() == 2
    site.start()
    assert site.states() == {RUN: "RUNNING", OTHER: "RUNNING"}
    site.all_well_at_the_end()


def test_a_stuck_event_loop_trips_the_watchdog_which_says_where_it_was(site: Site) -> None:
    machine = site.machine
    machine.call("tee", f"{HERE}/stuck.py", text=STUCK)
    site.drop_in(f"{QUICK}ExecStart=\nExecStart=/opt/caf/bin/python {HERE}/stuck.py run\n")
    site.running()
    first = site.main()
    machine.call("kill", "-USR1", first)
    wait_until(lambda: site.restarts() == 1 and machine.show("ActiveState") == "active", 40, "the watchdog")
    log = machine.sh("journalctl --sync; journalctl -o cat --no-pager | tail -300")
    assert "Watchdog timeout" in log
    assert "Fatal Python error: Aborted" in log
    assert "stuck.py" in log
    site.all_well_at_the_end()


def test_a_wedged_duty_does_not_trip_it(site: Site) -> None:
    """Its file child stands still, as on a file system that does not answer."""
    machine = site.running().machine
    first = site.main()
    machine.call("pkill", "-STOP", "-P", first, "-f", "child_main.py")
    seen = {duty["name"]: duty["succeeded"] for duty in site.status()["duties"]}
    time_up = time.monotonic() + 10  # three times the watchdog's
    wait_until(lambda: time.monotonic() > time_up, 20, "the watchdog's time")
    assert (site.main(), site.restarts()) == (first, 0)
    assert machine.call("caf-alive", f"{STATE}/heartbeat", "20").startswith("CAF OK")
    duties = {duty["name"]: duty["succeeded"] for duty in site.status()["duties"]}
    assert duties["organise"] == seen["organise"] or duties["discover"] == seen["discover"], "nothing was wedged"
    assert duties["mail"] is not None
    machine.call("pkill", "-CONT", "-P", first, "-f", "child_main.py")
    site.all_well_at_the_end()


def test_a_reload_takes_a_good_file_and_shows_a_bad_one(site: Site) -> None:
    machine = site.machine
    site.start()
    main = site.main()
    machine.sh("sed -i 's/^slots = 4/slots = 3/' /etc/caf/listeners.toml; systemctl reload caf")
    wait_until(lambda: site.events().count("config.loaded") == 2, 10, "the new file")
    machine.sh("sed -i 's/^slots = 3/slots = three/' /etc/caf/listeners.toml; systemctl reload caf")
    wait_until(lambda: "is not in force" in machine.show("StatusText"), 10, "the complaint")
    assert (site.main(), machine.show("ActiveState")) == (main, "active")
    machine.sh("sed -i 's/^slots = three/slots = 2/' /etc/caf/listeners.toml; systemctl reload caf")
    wait_until(lambda: machine.show("StatusText") == "running", 10, "the end of it")
    site.all_well_at_the_end()


def test_a_wrong_configuration_is_not_tried_again_and_a_second_supervisor_is_refused(site: Site) -> None:
    machine = site.machine
    machine.sh("sed -i 's/^slots = 4/slots = 0/' /etc/caf/listeners.toml; ! systemctl start caf")
    wait_until(lambda: machine.show("ActiveState") == "failed", 10, "the failure")
    assert (site.restarts(), machine.show("ExecMainStatus")) == (0, "2")
    assert "batch.slots" in machine.journal()
    machine.sh("sed -i 's/^slots = 0/slots = 4/' /etc/caf/listeners.toml; systemctl reset-failed caf")
    site.start()
    second = site.caf("run")
    assert second.returncode == 1
    assert f"another supervisor runs already: process {site.main()} on cafnode since" in second.stderr
    assert "end it first, or leave it to its work" in second.stderr
    machine.sh("sed s/caf.db/x/ /etc/systemd/system/caf.service >/etc/systemd/system/twin.service")
    machine.sh("systemctl daemon-reload; ! systemctl start twin; rm /etc/systemd/system/twin.service")
    assert "another supervisor runs already" in machine.journal("twin")
    machine.sh("systemctl stop twin; systemctl daemon-reload; systemctl reset-failed")
    site.all_well_at_the_end()


def test_a_ticket_comes_through_the_strict_sandbox(site: Site) -> None:
    """By the keytab that the page has installed, from a KDC on this machine."""
    machine = site.machine
    with kdc.running(600) as realm:
        for name, file in (("/etc/caf/krb5.conf", realm.folder / "krb5.conf"), ("/var/tmp/caf.keytab", realm.keytab)):
            machine.call("sh", "-c", f"base64 -d >{name}", text=base64.b64encode(file.read_bytes()).decode())
        text, commands = blocks("Credentials", "toml")[0], blocks("Credentials")[0]
        text = text.replace("l1ccalib@CERN.CH", kdc.PRINCIPAL).replace('["aklog"]', '["klist", "-s"]')
        assert kdc.PRINCIPAL in text
        machine.call("sh", "-c", "cat >>/etc/caf/listeners.toml", text=f"\n{text}")
        machine.sh("echo KRB5_CONFIG=/etc/caf/krb5.conf >>/etc/caf/caf.env")
        machine.sh(f"mv {DROP_INS}/local.conf /var/tmp/")
        try:
            machine.sh(
                f"cd /var/tmp; export KRB5_CONFIG=/etc/caf/krb5.conf; sudo() {{ shift 2; setpriv --reuid=caf "
                f'--regid=caf --init-groups "$@"; }}\n{commands}'
            )
            assert "credentials.renewed" in site.events()
            assert "supervisor.ready" in site.events()
            assert kdc.PRINCIPAL in machine.call("klist", "-c", "FILE:/var/lib/caf/credentials/krb5cc")
            assert not [need for need in site.status()["needs"] if need["what"] in {"credentials", "duty"}]
            site.all_well_at_the_end()
        finally:
            machine.sh(f"mv /var/tmp/local.conf {DROP_INS}/; systemctl daemon-reload; rm /etc/caf/caf.keytab")


def test_anybody_may_ask_the_heartbeat_where_the_page_says(site: Site) -> None:
    machine = site.machine
    machine.sh("sed -i 's|^\\[caf\\]|[caf]\\nheartbeat = \"/run/caf/heartbeat\"|' /etc/caf/listeners.toml")
    site.start()
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "caf-alive"]
    wait_until(lambda: machine.ask(*nobody, "/run/caf/heartbeat").returncode == 0, 10, "a heartbeat")
    machine.call("systemctl", "stop", "caf")
    assert "caf was stopped in order" in machine.ask(*nobody, "/run/caf/heartbeat").stdout
    site.start()
    site.all_well_at_the_end()


def test_logrotate_takes_its_rules(site: Site) -> None:
    machine = site.machine
    machine.sh("sed -i 's|^\\[caf\\]|[caf]\\nlog = \"/var/log/caf/caf.log\"|' /etc/caf/listeners.toml")
    site.start()
    log = "/var/log/caf/caf.log"
    wait_until(lambda: "supervisor.ready" in machine.ask("cat", log).stdout, 10, "the log's file")
    machine.sh("logrotate -f /etc/logrotate.d/caf")
    assert "supervisor.ready" in machine.call("cat", f"{log}.1")
    wait_until(lambda: "job.moved" in machine.ask("cat", log).stdout, 20, "a new file")
    site.all_well_at_the_end()


RSYNC = """#!/bin/sh
# As far as the page uses it: rsync -a [--exclude NAME]... FROM/ newnode:TO/
shift
set -- "$@" end
out=''
while [ "$1" = --exclude ]; do out="$out --exclude=./$2"; shift 2; done
to=/newnode${2#newnode:}
[ "newnode${to#/newnode}" != "$2" ] && mkdir -p "$to" && tar -C "$1" $out -cf - . | tar -C "$to" -xpf -
"""
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def test_moving_to_another_node_as_the_page_tells(site: Site) -> None:
    """One job is over; the other still runs on the old node, against advice: a person must say what becomes of it."""
    machine = site.running().machine
    site.caf("jobs", "kill", str(OTHER), "Fit")
    wait_until(lambda: site.states()[OTHER] == "CANCELLED", 20, "the end of one")
    old_node, new_node = blocks("Moving to another node")
    machine.call("tee", "/usr/local/bin/rsync", text=RSYNC)
    machine.call("chmod", "755", "/usr/local/bin/rsync")
    machine.sh(old_node)
    machine.sh(
        "rm -rf /etc/caf; mv /newnode/etc/caf /etc/caf; mv /newnode/var/lib/caf /var/lib/caf\n"
        "hostname newnode; cat /proc/sys/kernel/random/uuid >/run/boot_id\n"
        f"mount --bind /run/boot_id {BOOT_ID}"
    )
    try:
        machine.sh(new_node)
        assert "on newnode since" in site.status()["supervisor"]
        assert site.states() == {RUN: "RUNNING", OTHER: "CANCELLED"}
        wait_until(lambda: "started on cafnode" in site.caf("jobs", "why", str(RUN), "Fit").stdout, 20, "the doubt")
        machine.sh("pkill -KILL -u caf -f payload.sh; pkill -KILL -u caf -f caf.sh || true")
        assert site.caf("jobs", "lost", str(RUN), "Fit", "--reason", "moved").returncode == 0
        machine.call("touch", f"{HERE}/gate")
        wait_until(lambda: site.states()[RUN] == "DONE", 40, "its second attempt")
        assert sorted(site.starts().values()) == [1, 1, 1]
    finally:
        machine.sh(
            f"systemctl disable --now caf; hostname cafnode; umount {BOOT_ID}; rm -rf /var/lib/caf.moved /newnode"
        )
