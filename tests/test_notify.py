"""What the service manager is told, on real sockets."""

import socket
from pathlib import Path

import pytest

from caf.notify import notify, watchdog_interval


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
