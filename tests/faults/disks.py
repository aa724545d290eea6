"""Small disks of several kinds, and how they fill up."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.clusters.shared import need
from tests.storage.disks import mounted

QUOTA = 8 << 20  # bytes
BEFORE_QUOTA = 192 << 10  # bytes short of it: beyond, nothing can be removed either


@contextmanager
def tmpfs(point: Path) -> Iterator[Path]:
    """Have 4 MB in memory."""
    with mounted(point, "-t", "tmpfs", "-o", "size=4m,mode=770", "tmpfs"):
        yield point


@contextmanager
def ext4(point: Path, *options: str) -> Iterator[Path]:
    """Have 16 MB of ext4, on a loop device."""
    need(["mkfs.ext4", "losetup"])
    image = point.with_name(f"{point.name}.ext4")
    if not image.exists():
        image.touch()
        os.truncate(image, 16 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], check=True, timeout=60)
    with mounted(point, "-o", ",".join(("loop", *options)), str(image)):
        with suppress(OSError):
            (point / "lost+found").rmdir()
        yield point


@contextmanager
def btrfs_quota(point: Path) -> Iterator[Path]:
    """Have a subvolume with a quota of 8 MB: EDQUOT while df still shows room."""
    need(["mkfs.btrfs", "btrfs"])
    image, whole = point.with_name(f"{point.name}.btrfs"), point.with_name(f"{point.name}-whole")
    image.touch()
    os.truncate(image, 256 << 20)
    subprocess.run(["mkfs.btrfs", "-q", "-f", str(image)], check=True, timeout=60, capture_output=True)
    with mounted(whole, "-o", "loop", str(image)):
        for words in (
            ("quota", "enable", str(whole)),
            ("subvolume", "create", str(whole / "part")),
            ("qgroup", "limit", str(QUOTA), str(whole / "part")),
        ):
            subprocess.run(["btrfs", *words], check=True, timeout=60, capture_output=True)
        with mounted(point, "--bind", str(whole / "part")):
            yield point


def fill(folder: Path, leave: int = 0) -> Path:
    """Write until not one byte more fits, but for so many; of a quota, which then refuses even to truncate, nearly."""
    filler = folder / "filler"
    found = os.statvfs(folder)
    if found.f_blocks * found.f_frsize > 4 * QUOTA:  # what it shows is the whole disk
        filler.write_bytes(b"\1" * max(0, QUOTA - BEFORE_QUOTA - leave))
        os.sync()
        return filler
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            with suppress(OSError):
                while True:
                    file.write(b"\0" * size)
        os.truncate(filler, max(0, file.tell() - leave))
    return filler
