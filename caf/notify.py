"""What systemd is told: ready, alive, stopping. Without systemd nothing happens."""

import os
import socket


def notify(message: str) -> None:
    """Send a state such as READY=1 to the service manager, if there is one (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.connect(address)
            channel.sendall(message.encode())
    except OSError:
        return  # a manager that went away is no reason to stop


def watchdog_interval() -> float | None:
    """Give the seconds between signs of life that the service manager wants: half of its limit."""
    limit = os.environ.get("WATCHDOG_USEC", "")
    return int(limit) / 2_000_000 if limit.isdecimal() and int(limit) > 0 else None
