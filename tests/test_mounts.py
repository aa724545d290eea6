"""What is mounted where, by the kernel's own table."""

import os
import subprocess
from pathlib import Path

import pytest

from caf.mounts import LOCAL, mount_of


def test_it_agrees_with_what_is_asked_of_the_file_systems_themselves(tmp_path: Path) -> None:
    for path in ("/", "/proc/1", "/dev", str(tmp_path)):
        kind = subprocess.run(["df", "--output=fstype", path], capture_output=True, text=True, check=True).stdout
        assert mount_of(os.path.realpath(path)).kind == kind.split()[-1]


def test_what_is_mounted_over_something_counts_and_its_name_may_hold_anything(tmp_path: Path) -> None:
    """In a mount namespace of its own, so that nothing is left; the kernel writes a blank and a backslash as octals."""
    place = tmp_path / "a b\\c"
    place.mkdir()
    program = "import sys; from caf.mounts import mount_of; print(mount_of(sys.argv[1]), mount_of(sys.argv[1] + 'd'))"
    script = 'mount -t ramfs one "$1" && mount -t tmpfs "two two" "$1" && exec "$2" -c "$3" "$1/e/f"'
    python = os.path.realpath("/proc/self/exe")
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(place), python, program]
    top = str(Path(__file__).resolve().parents[1])
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": top}, check=False)
    if run.returncode and "unshare" in run.stderr:
        pytest.skip(f"no namespace to be had: {run.stderr.strip()}")
    assert run.stderr == ""
    assert run.stdout.count("Mount(kind='tmpfs', device='two two')") == 2


def test_a_name_that_begins_alike_is_another_place() -> None:
    assert mount_of("/procession") == mount_of("/")
    assert mount_of("/proc") != mount_of("/")


def test_systems_of_the_network_are_not_local() -> None:
    assert not LOCAL & {
        "nfs",
        "nfs4",
        "afs",
        "cvmfs",
        "fuse",
        "fuse.eosxd",
        "fuse.cvmfs2",
        "ceph",
        "lustre",
        "cifs",
        "9p",
    }
