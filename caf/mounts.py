"""What is mounted where, as the kernel tells it: nothing is asked of the file systems, which may hang."""

from collections.abc import Iterable
from dataclasses import dataclass

LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "overlay", "squashfs", "erofs", "tmpfs"})
"""Kinds of file systems that ask no other machine."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A file system: its kind, such as ext4, and what it is of, such as /dev/sda5 or server:/export."""

    kind: str
    device: str


def mount_of(path: str) -> Mount:
    """Give the file system of an absolute path in which no symbolic link is left. OSError where the kernel won't say.

    What is mounted hides all that was below, mounts too: so they are followed from the root on, as the kernel does.
    See proc_pid_mountinfo(5).
    """
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return _followed(path, file)


def _followed(path: str, lines: Iterable[str]) -> Mount:
    children: dict[str, list[tuple[str, str, Mount]]] = {}  # by the mount that they are on: number, point, what it is
    numbers = set()
    for line in lines:
        left, _, right = line.partition(" - ")
        number, parent, _, _, point = left.split()[:5]
        kind, device = right.split()[:2]
        # The root is on a mount that this process does not see, or on itself.
        children.setdefault("" if parent == number else parent, []).append(
            (number, _plain(point), Mount(kind, _plain(device)))
        )
        numbers.add(number)
    at = next((parent for parent in children if parent not in numbers), "")
    found = Mount("", "")
    while way := [mount for mount in children.pop(at, ()) if f"{path}/".startswith(f"{mount[1].rstrip('/')}/")]:
        at, _, found = min(way, key=lambda mount: len(mount[1]))
    return found


def _plain(text: str) -> str:
    """Take away the kernel's way of writing blanks and the like: a backslash and three octal digits."""
    parts = text.split("\\")
    return parts[0] + "".join(chr(int(part[:3], 8)) + part[3:] for part in parts[1:])
