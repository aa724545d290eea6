"""What is mounted where, as the kernel tells it: nothing is asked of the file systems, which may hang."""

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

    See proc_pid_mountinfo(5).
    """
    best, found = "", Mount("", "")
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            point = _plain(left.split()[4])
            if f"{path}/".startswith(f"{point.rstrip('/')}/") and len(point) >= len(best):
                kind, device = right.split()[:2]
                best, found = point, Mount(kind, _plain(device))
    return found


def _plain(text: str) -> str:
    """Take away the kernel's way of writing blanks and the like: a backslash and three octal digits."""
    parts = text.split("\\")
    return parts[0] + "".join(chr(int(part[:3], 8)) + part[3:] for part in parts[1:])
