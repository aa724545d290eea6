"""Small real file systems: tests that need one are skipped by who may not mount it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(point: Path, *words: str) -> Iterator[Path]:
    """Have something mounted in a folder for as long as the block lasts."""
    if os.getuid() != 0 and os.environ.get("CAF_CLUSTERS") != "required":
        pytest.skip("only root can mount")
    point.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", *words, str(point)], check=True, timeout=30)
    root = os.open(point, os.O_PATH)
    try:
        yield point
    finally:
        moved = os.readlink(f"/proc/self/fd/{root}")  # where it is by now: a folder above it may have been renamed
        os.close(root)
        subprocess.run(["umount", "-l", moved], check=True, timeout=30)


def small(point: Path, size: str = "4m", inodes: int = 200) -> AbstractContextManager[Path]:
    """Have a small file system in memory: so many bytes and inodes."""
    return mounted(point, "-t", "tmpfs", "-o", f"size={size},nr_inodes={inodes}", "tmpfs")
