"""What goes wrong in the world around caf: said clearly in the log and in `caf status`, harmless, over when mended."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests.world import World, wait_until

IMPATIENT = "from caf import duty\nduty.FIRST_BACK_OFF, duty.LEAST_CAP, duty.BREATH = 0.1, 0.3, 0.05"
"""Otherwise a duty that has failed rests for five seconds and more."""

RUN = 490001


def failing(world: World, duty: str, *texts: str) -> None:
    """Wait until a duty fails with these words; status and log say so, and the other duty goes on meanwhile."""
    (other,) = {"discover", "organise"} - {duty}

    def said() -> bool:
        ((error,),) = world.query("SELECT error FROM duty WHERE name = ?", duty)
        return error is not None and all(text in error for text in texts)

    wait_until(said, what=f"{duty} failing with {texts}")
    (before,) = world.query("SELECT succeeded, error FROM duty WHERE name = ?", other)
    wait_until(
        lambda: world.query("SELECT succeeded, error FROM duty WHERE name = ?", other)[0] > before, what=f"{other}"
    )
    status = world.caf("status", check=False)
    assert status.returncode == 1
    assert f"- the duty {duty} fails" in status.stdout
    shown = " ".join(status.stdout.split())
    assert all(" ".join(text.split()) in shown for text in texts), status.stdout
    failures = [line for line in world.log() if line["event"] == "duty.failed" and line["duty"] == duty]
    assert any(all(text in line["error"] for text in texts) for line in failures)
    assert not any("exception" in line for line in failures)


def recovered(world: World, duty: str) -> None:
    wait_until(lambda: world.query("SELECT error FROM duty WHERE name = ?", duty) == [(None,)], what="recovery")


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One supervisor that lives through all that befalls its replica."""
    world = World(tmp_path_factory.mktemp("replica"), [RUN]).quick()
    world.edit('replicas = ["cool/*.db"]\n', 'replicas = ["cool/*.db"]\nbusy_timeout = "50ms"\n')
    with world.running(before=IMPATIENT) as process:
        wait_until(lambda: world.state(RUN) == "DONE", what="the first job")
        yield world
        assert world.stop(process) == 0
    assert set(world.runs_started().values()) == {1}


class TestReplica:
    """After each mending a new run goes all the way."""

    @contextmanager
    def broken(self, world: World) -> Iterator[Path]:
        """Give the replica to be broken; mend it, and see that nothing was lost and everything goes on."""
        replica = world.folder / "cool" / "replica.db"
        good = world.folder / "good.db"
        shutil.copy2(replica, good)
        before = world.query("SELECT * FROM run ORDER BY run")
        try:
            yield replica
        finally:
            os.replace(good, replica)
        assert world.query("SELECT * FROM run ORDER BY run") == before
        recovered(world, "discover")
        run = max(world.jobs()) + 1
        world.add_runs([run])
        wait_until(lambda: world.state(run) == "DONE", what="a new run")

    def test_missing(self, living: World) -> None:
        with self.broken(living) as replica:
            replica.unlink()
            failing(living, "discover", "no replica matches", "is the copy job running")

    def test_truncated(self, living: World) -> None:
        with self.broken(living) as replica:
            os.truncate(replica, replica.stat().st_size // 2)
            failing(living, "discover", "is truncated", "a copy that has not finished")

    def test_empty(self, living: World) -> None:
        with self.broken(living) as replica:
            os.truncate(replica, 0)
            failing(living, "discover", "is empty")

    def test_no_sqlite_file(self, living: World) -> None:
        with self.broken(living) as replica:
            replica.write_bytes(b"<html>503 Service Unavailable</html>" * 100)
            failing(living, "discover", "is not an SQLite file")

    def test_an_sqlite_file_that_is_not_cool(self, living: World) -> None:
        with self.broken(living) as replica:
            replica.unlink()
            with closing(sqlite3.connect(replica)) as conn:
                conn.execute("CREATE TABLE shopping (item TEXT)")
            failing(living, "discover", "is not a COOL replica")

    def test_pages_of_rubbish(self, living: World) -> None:
        """The header is whole, what follows is not."""
        with self.broken(living) as replica:
            size = replica.stat().st_size
            with replica.open("r+b") as file:
                file.seek(4096)
                file.write(b"\xa5" * (size - 4096))
            failing(living, "discover", "malformed")

    def test_locked_by_a_writer(self, living: World) -> None:
        lock = (
            "import sqlite3, sys\n"
            "conn = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            "conn.execute('BEGIN EXCLUSIVE')\nprint('locked', flush=True)\nsys.stdin.read()"
        )
        with self.broken(living) as replica:
            writer = subprocess.Popen(
                [sys.executable, "-c", lock, str(replica)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            with writer:
                assert writer.stdout is not None
                writer.stdout.readline()
                os.utime(replica)  # an unchanged one would not even be opened
                failing(living, "discover", "is locked by a writer (waited 0.05 s)")
                writer.communicate("")
            recovered(living, "discover")

    def test_a_folder_has_vanished(self, living: World) -> None:
        with self.broken(living) as replica:
            with closing(sqlite3.connect(replica)) as conn:
                conn.execute("DELETE FROM CONDBR2_NODES WHERE NODE_FULLPATH = '/TDAQ/RunCtrl/EventCounters'")
                conn.commit()
            failing(living, "discover", "/TDAQ/RunCtrl/EventCounters: was in the run database and is gone")

    def test_replaced_while_it_is_read(self, living: World) -> None:
        """A copy job that renames a new file into place, again and again."""
        stop = threading.Event()
        with self.broken(living) as replica:
            content = replica.read_bytes()

            def replace() -> None:
                while not stop.is_set():
                    fresh = replica.with_name("fresh")
                    fresh.write_bytes(content)
                    fresh.rename(replica)

            copying = threading.Thread(target=replace)
            copying.start()
            try:
                failing(living, "discover", "changed while it was read")
            finally:
                stop.set()
                copying.join()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a little file system there; skip the test where that may not be done."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=770", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk can be mounted by root only: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Write until not one byte more fits."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            with suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    return filler


class TestDisk:
    def test_a_full_disk_under_the_database(self, tmp_path: Path) -> None:
        """Nothing can be recorded, so nothing is begun; with room again it goes on where it was."""
        with small_disk(tmp_path / "state", "2m"):
            world = World(tmp_path, [RUN]).quick()
            with world.running(before=IMPATIENT) as process:
                wait_until(lambda: world.state(RUN) == "DONE", what="the first job")
                filler = fill(tmp_path / "state")
                world.add_runs([490002, 490003])
                mark = len(world.log())
                wait_until(
                    lambda: any("disk is full" in line.get("error", "") for line in world.log()[mark:]), what="the log"
                )
                assert process.poll() is None
                status = world.caf("status", check=False)
                assert status.returncode == 1
                assert "only 0 MB are free where the database is" in " ".join(status.stdout.split())
                assert world.caf("status", "--nagios", check=False).returncode == 2
                order = world.caf("jobs", "reset", str(RUN), "Fit", check=False)
                assert order.returncode == 1
                assert "disk is full" in order.stderr
                assert world.runs_started() == {RUN: 1}
                filler.unlink()
                wait_until(lambda: [*world.jobs().values()] == [("DONE", "ok", 1)] * 3, what="the others")
                recovered(world, "discover")
                assert world.stop(process) == 0
            assert world.runs_started() == dict.fromkeys((RUN, 490002, 490003), 1)
            assert world.caf("db", "check").returncode == 0

    def test_a_full_disk_under_the_working_areas(self, tmp_path: Path) -> None:
        with small_disk(tmp_path / "work", "1m"):
            world = World(tmp_path, [RUN]).quick()
            with world.running(before=IMPATIENT) as process:
                wait_until(lambda: world.state(RUN) == "DONE", what="the first job")
                filler = fill(tmp_path / "work")
                world.add_runs([490002, 490003])
                failing(world, "organise", "No space left on device")
                assert {world.state(run) for run in (490002, 490003)} <= {"NEW", "PREPARED", "SUBMITTING"}
                filler.unlink()
                wait_until(lambda: {world.state(run) for run in (490002, 490003)} == {"DONE"}, 60, what="the others")
                recovered(world, "organise")
                assert world.stop(process) == 0
            assert world.runs_started() == dict.fromkeys((RUN, 490002, 490003), 1)

    def test_a_read_only_state_folder_is_refused_in_a_line(self, tmp_path: Path) -> None:
        with small_disk(tmp_path / "state", "2m") as state:
            world = World(tmp_path, [RUN])
            world.caf("run", "--once")
            subprocess.run(["mount", "-o", "remount,ro", str(state)], check=True)
            done = world.caf("run", check=False)
            assert done.returncode == 1
            assert "Read-only file system" in done.stderr
            assert "Traceback" not in done.stderr
            assert len(done.stderr.splitlines()) <= 2
            subprocess.run(["mount", "-o", "remount,rw", str(state)], check=True)
            world.caf("run", "--once")


class TestWork:
    def test_the_working_areas_of_another_database_are_refused(self, tmp_path: Path) -> None:
        world = World(tmp_path, [RUN])
        world.caf("run", "--once")
        wait_until(lambda: bool(world.starts()), what="the payload")
        (tmp_path / "state").rename(tmp_path / "lost")
        refused = world.caf("run", "--once", check=False)
        assert refused.returncode == 1
        assert "belong to database" in refused.stderr
        assert "caf run --take-over" in refused.stderr
        assert world.jobs() == {}
        # Taken over, the other database's attempt is followed, and not begun again.
        world.payloads_over()
        taken = world.caf("run", "--once", "--take-over")
        assert taken.returncode == 0
        world.caf("run", "--once")
        assert world.jobs()[RUN] == ("DONE", "ok", 1)
        assert world.runs_started() == {RUN: 1}

    def test_working_areas_that_are_not_mounted_are_refused(self, tmp_path: Path) -> None:
        """An empty folder where there have been jobs: their areas would be made anew."""
        world = World(tmp_path, [RUN])
        world.caf("run", "--once")
        wait_until(lambda: (tmp_path / "work" / f"{RUN}_Fit" / "1" / "exit").exists(), what="the end")
        (tmp_path / "work").rename(tmp_path / "unmounted")
        (tmp_path / "work").mkdir()
        refused = world.caf("run", "--once", check=False)
        assert refused.returncode == 1
        assert "check that the file system is mounted" in refused.stderr
        assert list((tmp_path / "work").iterdir()) == []
        (tmp_path / "work").rmdir()
        (tmp_path / "unmounted").rename(tmp_path / "work")
        world.caf("run", "--once")
        assert world.jobs()[RUN] == ("DONE", "ok", 1)

    @pytest.mark.parametrize("kind", ["folder", "file", "link"])
    def test_an_attempts_folder_that_is_there_already_is_never_used(self, tmp_path: Path, kind: str) -> None:
        world = World(tmp_path, [RUN])
        world.caf("run", "--once")
        world.payloads_over()
        world.caf("run", "--once")
        area = somebodys(tmp_path, 2, kind)
        before = contents(area)
        world.caf("jobs", "reset", str(RUN), "Fit")
        world.caf("run", "--once")
        assert world.jobs()[RUN] == ("FAILED", "preparation", 2)
        ((reason,),) = world.query("SELECT reason FROM job")
        assert f"{area} is there already" in reason
        assert f"caf jobs reset {RUN} Fit" in reason
        assert contents(area) == before
        assert world.runs_started() == {RUN: 1}
        world.caf("jobs", "reset", str(RUN), "Fit")
        world.caf("run", "--once")
        wait_until(lambda: world.runs_started() == {RUN: 2}, what="the next folder's payload")
        assert world.jobs()[RUN][2] == 3
        world.end_payloads()

    @pytest.mark.parametrize("kind", ["folder", "file", "link"])
    def test_one_that_was_there_before_the_database_is_shown_to_a_person(self, tmp_path: Path, kind: str) -> None:
        world = World(tmp_path, [RUN])
        area = somebodys(tmp_path, 1, kind)
        before = contents(area)
        world.caf("run", "--once")
        assert world.jobs()[RUN] == ("WAITING", None, 2)
        assert "area 1 does not say whose it is" in world.caf("jobs", "why", str(RUN), "Fit").stdout.replace("\n", " ")
        assert (contents(area), world.runs_started()) == (before, {})
        world.caf("jobs", "start", str(RUN), "Fit")
        world.caf("run", "--once")
        wait_until(lambda: bool(world.runs_started()), what="the next folder's payload")
        assert (world.jobs()[RUN][2], contents(area)) == (2, before)
        world.end_payloads()


def somebodys(folder: Path, attempt: int, kind: str) -> Path:
    """Put something into the place of an attempt's area that caf did not make."""
    area = folder / "work" / f"{RUN}_Fit" / str(attempt)
    area.parent.mkdir(parents=True, exist_ok=True)
    if kind == "file":
        area.write_text("precious")
        return area
    precious = area if kind == "folder" else folder / "home"
    precious.mkdir()
    (precious / "mine").write_text("precious")
    if kind == "link":
        area.symlink_to(precious)
    return area


def contents(area: Path) -> object:
    return [*area.iterdir()] if area.is_dir() else area.read_text()
