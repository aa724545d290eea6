"""The disk of the database reports errors, or turns read-only: said, nothing lost, and over when it is mended."""

import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from caf.store.database import connect
from caf.store.queries import findings
from tests.acceptance.test_faults import IMPATIENT
from tests.clusters.shared import lack, need
from tests.crash.dying import to_the_end
from tests.faults.disks import ext4
from tests.world import World, wait_until

RUN = 490001
BAD = re.compile("is read-only|the disk reports an error|Read-only file system")
CALLS = "pwrite64,write,fsync,fdatasync,ftruncate,unlink"


def disturbed(world: World, number: int, error: str) -> tuple[int, bool, str]:
    """Do a round of every duty in which the n-th such call on the database fails; status, whether one did, output."""
    log = world.folder / "strace"
    paths = [word for suffix in ("", "-journal") for word in ("-P", f"{world.database}{suffix}")]
    command = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", str(log), *paths, "-e", f"trace={CALLS}"]
    command += ["-e", f"inject={CALLS}:error={error}:when={number}"]
    done = subprocess.run(
        [*command, sys.executable, "-m", "caf", "run", "--once", "--config", str(world.config)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.returncode, "(INJECTED)" in log.read_text(errors="replace"), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("first", "step", "last"),
    [(11, 20, 20), pytest.param(2, 11, 600, marks=[pytest.mark.campaign, pytest.mark.timeout(1800)])],
)
def test_an_io_error_at_any_write_of_the_database(tmp_path: Path, first: int, step: int, last: int) -> None:
    """Each call in turn fails once; a few of them for every day."""
    need(["strace"], root=False)
    failed = 0
    for number in range(first, last, step):
        folder = tmp_path / str(number)
        folder.mkdir()
        world = World(folder, [RUN])
        status, injected, said = disturbed(world, number, "EIO")
        if "Operation not permitted" in said and not injected:
            lack("strace may not be used here")
        if not injected:
            assert status == 0
            break
        failed += 1
        assert status in {0, 1}
        assert "Traceback" not in said
        assert '"exception"' not in said
        assert status == 0 or BAD.search(said) or "Input/output" in said
        to_the_end(world)
        with closing(connect(world.database)) as conn:
            assert findings(conn) == []
        assert world.jobs()[RUN][:2] == ("DONE", "ok")
        assert max(world.starts().values()) == 1
    assert failed >= 1


@pytest.mark.campaign
def test_a_disk_that_turns_read_only_under_the_supervisor(tmp_path: Path) -> None:
    """As ext4 does on an error of its own. Mended, it is as if nothing had been."""
    with ext4(tmp_path / "state", "errors=remount-ro") as state:
        world = World(tmp_path, [RUN]).quick()
        with world.running(before=IMPATIENT) as process:
            wait_until(lambda: world.state(RUN) == "DONE", what="the first job")
            words = ["findmnt", "-no", "SOURCE", str(state)]
            device = Path(subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip())
            trigger = Path("/sys/fs/ext4") / device.name / "trigger_fs_error"
            if not trigger.exists():
                lack("this kernel cannot be told to find an error in an ext4")
            trigger.write_text("for a test")
            world.add_runs([490002])
            wait_until(lambda: any(BAD.search(line.get("error", "")) for line in world.log()), what="the log")
            status = world.caf("status", check=False)
            assert status.returncode == 1
            assert BAD.search(" ".join((status.stdout + status.stderr).split()))
            order = world.caf("jobs", "reset", str(RUN), "Fit", check=False)
            assert (order.returncode, len(order.stderr.splitlines())) == (1, 1)
            assert BAD.search(order.stderr)
            assert process.poll() is None
            assert world.stop(process) == 0
    subprocess.run(["e2fsck", "-fy", f"{state}.ext4"], capture_output=True, check=False, timeout=60)
    with ext4(tmp_path / "state"):
        with world.running() as process:
            wait_until(lambda: world.state(490002) == "DONE", what="the second job")
            assert world.stop(process) == 0
        assert world.caf("db", "check").returncode == 0
    assert world.runs_started() == {RUN: 1, 490002: 1}
