"""What the service manager is told, on real sockets."""

import re
import signal
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from caf.notify import ALIVE, notify, watchdog_interval
from tests.world import World


@pytest.fixture(autouse=True)
def _no_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_a_message_arrives(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = str(tmp_path / "notify") if kind == "path" else f"\0{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", address.replace("\0", "@"))
        notify("READY=1\nSTATUS=running")
        assert manager.recv(1000) == b"READY=1\nSTATUS=running"


def test_a_manager_that_does_not_read_holds_up_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel keeps a few messages of it; what is too much is left out, and later ones arrive again."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        kept = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
        for _ in range(2 * kept + 2):
            notify(ALIVE)
        assert manager.recv(1000) == ALIVE.encode()
        manager.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                manager.recv(1000)
        notify("STOPPING=1")
        assert manager.recv(1000) == b"STOPPING=1"


def test_without_a_manager_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notify("READY=1")
    for gone in ("", str(tmp_path / "gone"), "@gone", f"/{'x' * 200}"):
        monkeypatch.setenv("NOTIFY_SOCKET", gone)
        notify("READY=1")


@pytest.mark.parametrize(
    ("given", "seconds"), [("30000000", 15.0), ("1", 5e-7), ("", None), ("0", None), ("-1", None), ("soon", None)]
)
def test_signs_of_life_are_given_twice_in_the_managers_time(
    given: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", given)
    assert watchdog_interval() == seconds


def test_without_a_watchdog_no_signs_of_life_are_wanted() -> None:
    assert watchdog_interval() is None


def test_a_reload_is_told_and_what_came_of_it(tmp_path: Path) -> None:
    """As sd_notify(3) wants it, so that Type=notify-reload does where systemd knows it."""
    world = World(tmp_path, [490001])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        with world.running(environment={"NOTIFY_SOCKET": str(tmp_path / "notify")}) as process:
            assert manager.recv(1000) == b"READY=1\nSTATUS=running"
            for change, status in (("slots = 0", "not in force: caf status"), ("slots = 3", "running")):
                world.config.write_text(re.sub(r"slots = \d", change, world.config.read_text()))
                process.send_signal(signal.SIGHUP)
                begins, ends = manager.recv(1000).decode(), manager.recv(1000).decode()
                assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", begins)
                assert ends.startswith("READY=1\nSTATUS=running")
                assert ends.endswith(status)
            assert world.stop(process) == 0
    world.payloads_over()
