"""What systemd is told: ready, alive, stopping. Without systemd nothing happens."""

import os
import socket

PATIENCE = 2.0  # s; the kernel keeps a few messages, and a manager that is busy reads them late
ALIVE = "WATCHDOG=1"


def notify(message: str) -> None:
    """Send a state such as READY=1 to the service manager, if there is one (sd_notify(3)).

    It holds up the event loop for an instant at most: a sign of life that cannot be sent now is left out, for the ones
    before it have not been read yet.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(0.0 if message == ALIVE else PATIENCE)
            channel.connect(address)
            channel.sendall(message.encode())
    except OSError:
        return  # a manager that went away is no reason to stop


def watchdog_interval() -> float | None:
    """Give the seconds between signs of life that the service manager wants: half of its limit."""
    limit = os.environ.get("WATCHDOG_USEC", "")
    return int(limit) / 2_000_000 if limit.isdecimal() and int(limit) > 0 else None
