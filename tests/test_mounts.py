"""What is mounted where, by the kernel's own table."""

import os
import subprocess
from pathlib import Path

import pytest

from caf import mounts
from caf.mounts import LOCAL, Mount, mount_of


def test_it_agrees_with_what_is_asked_of_the_file_systems_themselves(tmp_path: Path) -> None:
    for path in ("/", "/proc/1", "/dev", str(tmp_path)):
        kind = subprocess.run(["df", "--output=fstype", path], capture_output=True, text=True, check=True).stdout
        assert mount_of(os.path.realpath(path)).kind == kind.split()[-1]


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        ('mount -t ramfs one "$1" && mount -t tmpfs two "$1"', "tmpfs"),
        ('mount -t tmpfs one "$1" && mkdir "$1/e" && mount -t ramfs two "$1/e"', "ramfs"),
        ('mkdir "$1/e" && mount -t tmpfs one "$1/e" && mount -t ramfs two "$1"', "ramfs"),
        ('mount -t ramfs one "$1" && mkdir "$1/e" "$1/o" && mount -t tmpfs two "$1/o" && umount "$1/o"', "ramfs"),
        ('mount -t ramfs one "$1" && mkdir "$1/e" && mount --bind /proc "$1/e" && mount -t tmpfs x "$1/e"', "tmpfs"),
    ],
    ids=["on the same place", "below", "above, which hides it", "gone again", "on what was bound there"],
)
def test_the_one_that_a_path_leads_to_counts(tmp_path: Path, made: str, kind: str) -> None:
    """In a mount namespace of its own, so that nothing is left; the kernel writes a blank and a backslash as octals."""
    place = tmp_path / "a b\\c"
    place.mkdir()
    program = "import sys; from caf.mounts import mount_of; print(mount_of(sys.argv[1]).kind)"
    script = f'{made} && mkdir -p "$1/e" && stat -f -c %T "$1/e" && exec "$2" -c "$3" "$1/e/f"'
    python = os.path.realpath("/proc/self/exe")
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(place), python, program]
    top = str(Path(__file__).resolve().parents[1])
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": top}, check=False)
    if run.returncode and "unshare" in run.stderr:
        pytest.skip(f"no namespace to be had: {run.stderr.strip()}")
    assert (run.stdout.split(), run.stderr) == ([kind, kind], "")


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


ROOT = "1 1 0:2 / / rw - rootfs rootfs rw"
TABLES = {
    "a root on itself": [ROOT, "20 1 8:1 / / rw shared:1 - xfs /dev/sda1 rw", "21 20 0:3 / /proc rw - proc proc rw"],
    "a root on what is not seen": [
        "98 97 0:40 / / rw - overlay overlay rw,lowerdir=/a",
        "99 98 0:41 / /data rw master:5 propagate_from:2 - nfs4 server:/export rw",
        "100 99 0:42 / /data/a\\040b rw - autofs systemd-1 rw",
    ],
}


@pytest.mark.parametrize(
    ("table", "path", "mount"),
    [
        ("a root on itself", "/usr/bin/sbatch", Mount("xfs", "/dev/sda1")),
        ("a root on itself", "/proc/1", Mount("proc", "proc")),
        ("a root on what is not seen", "/data/x", Mount("nfs4", "server:/export")),
        ("a root on what is not seen", "/data/a b", Mount("autofs", "systemd-1")),
        ("a root on what is not seen", "/database", Mount("overlay", "overlay")),
    ],
)
def test_tables_as_other_machines_have_them(table: str, path: str, mount: Mount) -> None:
    assert mounts._followed(path, TABLES[table]) == mount


def test_where_nothing_is_told_nothing_is_known() -> None:
    assert mounts._followed("/usr", []) == Mount("", "")
    assert mounts._followed("/usr", ["21 27 0:3 / /proc rw - proc proc rw"]) == Mount("", "")  # as in some chroots
