"""What befalls replicas, and the duty that reads them, one by one: all real but the clock."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from caf.demo.replica import Replica
from caf.demo.run_writer import RunWriter
from caf.domain.errors import SourceError, StorageTimeout
from caf.store import discovery
from caf.tasks import discover
from tests.simulation.duty import DAY, NOW, Duty
from tests.simulation.recording import CONFIGURATION, REGIME, RUN, count, end, ns, start, whole


@pytest.fixture
def duty(tmp_path: Path) -> Iterator[Duty]:
    with Duty(tmp_path, CONFIGURATION) as duty:
        yield duty


def everything(duty: Duty) -> list[tuple[Any, ...]]:
    """Give all that is known of runs and jobs, but for when it was last looked at."""
    with closing(sqlite3.connect(duty.database)) as conn:
        conn.row_factory = sqlite3.Row
        rows = [dict(row) for table in ("run", "job") for row in conn.execute(f"SELECT * FROM {table} ORDER BY 1")]
    return [tuple(value for name, value in row.items() if name not in {"judged", "last_change"}) for row in rows]


class TestReplicaWhileRead:
    def two_runs(self, duty: Duty) -> bytes:
        """Have a run known, and give a replica with one more."""
        with duty.writing() as writer:
            whole(writer, RUN, NOW - 3600)
        duty.round()
        old = duty.replica.read_bytes()
        with duty.writing() as writer:
            whole(writer, RUN + 1, NOW - 1800)
        new = duty.replica.read_bytes()
        duty.replica.write_bytes(old)
        duty.touch(NOW + 1)
        return new

    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize("how", ["renamed", "copied over", "grown"])
    def test_a_read_during_which_the_file_changed_is_thrown_away(self, duty: Duty, when: str, how: str) -> None:
        new = self.two_runs(duty)
        known = everything(duty)

        def come_between() -> None:
            setattr(duty.files, when, None)
            if how == "renamed":
                fresh = duty.replica.with_name("fresh")
                fresh.write_bytes(new)
                fresh.rename(duty.replica)
            elif how == "copied over":
                duty.replica.write_bytes(new)
            else:
                with duty.writing() as writer:
                    whole(writer, RUN + 1, NOW - 1800)
            duty.touch(NOW + 2)

        setattr(duty.files, when, come_between)
        with pytest.raises(SourceError, match="changed while it was read"):
            duty.round()
        assert everything(duty) == known
        assert duty.round().new == 1
        assert duty.statuses() == {RUN: "ACCEPTED", RUN + 1: "ACCEPTED"}

    @pytest.mark.campaign
    def test_a_copy_over_the_file_never_mixes_two_states(self, tmp_path: Path) -> None:
        """A plain cp, again and again, in pieces: whatever a round takes over is one whole state."""
        with Duty(tmp_path, CONFIGURATION) as duty:
            states = []
            for letter in "AB":
                duty.replica.unlink(missing_ok=True)
                with duty.writing() as writer:
                    for run in range(RUN, RUN + 3000):
                        start(writer, run, NOW - 3600, project_tag=letter)
                states.append(duty.replica.read_bytes())
            assert len(states[0]) == len(states[1])
            taken: set[str] = set()
            stop = threading.Event()

            def copying() -> None:
                turn = 0
                while not stop.is_set():
                    turn += 1
                    content = memoryview(states[turn % 2])
                    with duty.replica.open("r+b", buffering=0) as file:
                        for at in range(0, len(content), 8192):
                            file.write(content[at : at + 8192])
                    stop.wait(0.3)

            copier = threading.Thread(target=copying)
            copier.start()
            try:
                for _ in range(200):
                    with suppress(SourceError):
                        duty.round(1)
                    tags = {tag for (tag,) in duty.query("SELECT DISTINCT project_tag FROM run")}
                    assert len(tags) <= 1, f"a mixture of {tags} was taken over"
                    taken |= tags
                    if len(taken) == 2:
                        break
            finally:
                stop.set()
                copier.join()
            duty.round(1)
            assert duty.query("SELECT count(DISTINCT project_tag), count(*) FROM run") == [(1, 3000)]
            assert taken == {"A", "B"}

    def test_a_replica_that_grows_is_taken_over_as_it_grows(self, duty: Duty) -> None:
        for number in range(8):
            with duty.writing() as writer:
                whole(writer, RUN + number, duty.now - 3600)
            found = duty.round(600)
            assert (found.read, found.new, found.changed, found.jobs) == (True, 1, 0, 1)
        assert set(duty.statuses().values()) == {"ACCEPTED"}


class TestReplicaThatDiffers:
    def test_an_unchanged_one_is_not_read_again(self, duty: Duty) -> None:
        with duty.writing() as writer:
            whole(writer, RUN, NOW - 3600)
        assert duty.round().read
        duty.files.asked.clear()
        assert not duty.round(600).read
        assert set(duty.files.asked) == {"expand", "marks"}
        duty.again()
        assert not duty.round(600).read
        assert len(duty.logged("source.read")) == 1
        duty.touch()
        assert duty.round(600).read

    def test_one_that_lost_a_folder_changes_nothing_until_it_is_back(self, duty: Duty) -> None:
        with duty.writing() as writer:
            whole(writer, RUN, NOW - 3600)
            start(writer, RUN + 1, NOW)
            end(writer, RUN + 1, NOW + 60)
        duty.round(120)
        known = everything(duty)
        good = duty.replica.read_bytes()
        with duty.writing() as writer:
            whole(writer, RUN + 2, NOW + 60)
        with closing(sqlite3.connect(duty.replica)) as conn:
            conn.execute("DELETE FROM CONDBR2_NODES WHERE NODE_FULLPATH = '/TDAQ/RunCtrl/EventCounters'")
            conn.commit()
        for _ in range(3):
            duty.now += DAY
            duty.touch()
            with pytest.raises(SourceError, match="EventCounters: was in the run database and is gone"):
                duty.round()
            assert everything(duty) == known
        duty.again()
        with pytest.raises(SourceError, match="is gone"):
            duty.round()
        duty.replica.write_bytes(good)
        with duty.writing() as writer:
            count(writer, RUN + 1)
            writer.derived(RUN + 1, "Energy")
            whole(writer, RUN + 2, NOW + 60)
        duty.round()
        assert duty.statuses() == {RUN: "ACCEPTED", RUN + 1: "ACCEPTED", RUN + 2: "ACCEPTED"}

    def test_a_folder_that_was_lost_when_the_configuration_changed_is_missed_too(self, duty: Duty) -> None:
        with duty.writing() as writer:
            whole(writer, RUN, NOW - 3600)
        duty.round()
        with closing(sqlite3.connect(duty.replica)) as conn:
            conn.execute("DELETE FROM CONDBR2_NODES WHERE NODE_FULLPATH = '/TDAQ/RunCtrl/EventCounters'")
            conn.commit()
        duty.again(CONFIGURATION + REGIME)
        with pytest.raises(SourceError, match="EventCounters: was in the run database and is gone"):
            duty.round()

    @pytest.mark.parametrize("younger", [False, True], ids=["with its old time", "copied anew"])
    def test_an_older_copy_takes_nothing_away(self, duty: Duty, younger: bool) -> None:
        """Runs, end, counters, tag: what came since the copy was made is known, and stays so."""
        with duty.writing() as writer:
            whole(writer, RUN, NOW - 3 * DAY, tag="Pedestal")
            for run in (RUN + 1, RUN + 2):
                start(writer, run, NOW - 3600)
                begin = NOW - 3600 + 100 * (run - RUN)
                writer.lumi_blocks(run, [ns(begin), ns(begin + 60)])
            start(writer, RUN + 3, NOW - 600)
        old, written = duty.replica.read_bytes(), duty.now
        duty.round()
        duty.now += 1200
        with duty.writing() as writer:
            writer.derived(RUN + 1, "Energy")
            end(writer, RUN + 1, NOW)
            count(writer, RUN + 1)
            writer.lumi_blocks(RUN + 2, [ns(NOW - 60), ns(NOW)], first=2)
            end(writer, RUN + 2, NOW)
            count(writer, RUN + 2)
            writer.derived(RUN + 2, "Energy")
            whole(writer, RUN + 4, NOW)
        new = duty.replica.read_bytes()
        duty.round()
        assert list(duty.statuses().values()) == ["UNCLAIMED", "ACCEPTED", "ACCEPTED", "OPEN", "ACCEPTED"]
        before = everything(duty)
        duty.replica.write_bytes(old)
        duty.touch(duty.now if younger else written)
        for _ in range(3):
            assert duty.round(600).jobs == 0
            assert everything(duty) == before
        duty.replica.write_bytes(new)
        duty.touch()
        duty.round(600)
        assert everything(duty) == before

    def test_an_older_copy_settles_nothing(self, duty: Duty) -> None:
        with duty.writing() as writer:
            start(writer, RUN, NOW)
            end(writer, RUN, NOW + 60)
        old, written = duty.replica.read_bytes(), duty.now
        duty.round(120)
        with duty.writing() as writer:
            count(writer, RUN)
        duty.round(600)
        duty.replica.write_bytes(old)
        duty.touch(written)
        duty.round(5 * DAY)
        assert duty.status(RUN) == "OPEN"
        duty.touch()
        duty.round(1)
        found = duty.run(RUN)
        assert (found["status"], found["settled"], found["recorded_events"]) == ("UNCLAIMED", 1, 500)

    def test_one_that_stands_still_is_an_alarm_and_settles_nothing(self, duty: Duty) -> None:
        with duty.writing() as writer:
            start(writer, RUN, NOW)
        assert duty.round(7200).stale is None
        assert duty.round(1).stale == pytest.approx(7201)
        (line,) = duty.logged("source.stale")
        assert (line["level"], line["limit_s"]) == ("warning", 7200)
        assert duty.round(30 * DAY).stale is not None
        assert duty.status(RUN) == "OPEN"
        duty.touch()
        assert duty.round(1).stale is None
        assert duty.status(RUN) == "UNCLAIMED"

    def test_a_file_that_gives_nothing_holds_nothing_up(self, duty: Duty) -> None:
        """An archive of Run 1 beside the replica is never written again; it is not what runs are read from."""
        with duty.writing() as writer:
            start(writer, RUN, NOW)
        archive = duty.folder / "cool" / "archive.db"
        with Replica.create(str(archive), "COMP200", ns(NOW)):
            pass
        os.utime(archive, (NOW - 999 * DAY, NOW - 999 * DAY))
        assert duty.round(60).stale is None
        duty.now += DAY
        duty.touch()
        duty.round()
        assert duty.status(RUN) == "UNCLAIMED"

    def test_folders_in_several_replicas_settle_by_the_oldest_of_them(self, duty: Duty) -> None:
        trigger = duty.folder / "cool" / "trigger.db"
        with (
            Replica.create(str(duty.replica), "CONDBR2", ns(NOW)) as control,
            Replica.create(str(trigger), "CONDBR2", ns(NOW)) as other,
        ):
            start(RunWriter(control, other), RUN, NOW)
        duty.touch()
        os.utime(trigger, (NOW, NOW))
        duty.round(60)
        duty.touch(NOW + 2 * DAY)
        duty.round(2 * DAY)
        assert duty.status(RUN) == "OPEN"
        os.utime(trigger, (NOW + 2 * DAY, NOW + 2 * DAY))
        duty.round(60)
        assert duty.status(RUN) == "UNCLAIMED"


class TestInterruption:
    @pytest.mark.parametrize("pages", [0, 1, 3])
    def test_a_first_look_that_is_cancelled_between_pages_goes_on(
        self, duty: Duty, pages: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(discover, "PAGE", 10)
        with duty.writing() as writer:
            for run in range(RUN, RUN + 50):
                whole(writer, run, NOW - 3600)
        absorb, left = discovery.absorb, pages
        round_: list[asyncio.Task[Any]] = []

        def until_cancelled(*arguments: Any, **more: Any) -> Any:
            nonlocal left
            if left == 0:
                round_[0].get_loop().call_soon_threadsafe(round_[0].cancel)
            left -= 1
            return absorb(*arguments, **more)

        async def cancelled() -> None:
            round_.append(asyncio.create_task(discover.run_once(duty.house)))
            with pytest.raises(asyncio.CancelledError):
                await round_[0]

        with monkeypatch.context() as patch:
            patch.setattr(discovery, "absorb", until_cancelled)
            duty._runner.run(cancelled())
        # The page in hand is kept whole, whatever became of who asked for it.
        assert len(duty.statuses()) == 10 * (pages + 1)
        assert duty.query("SELECT * FROM source") == []
        read = duty.folder / "state" / discover.SNAPSHOT
        inode = read.stat().st_ino
        assert duty.round(60).new == 50 - 10 * (pages + 1)
        # What had been read was not read again: it is the file that is kept now.
        assert not read.exists()
        assert read.with_name(discover.LAST).stat().st_ino == inode
        assert set(duty.statuses().values()) == {"ACCEPTED"}
        assert duty.query("SELECT count(*) FROM job") == [(50,)]

    @pytest.mark.parametrize("left", [b"", b"x" * 5000], ids=["empty", "rubbish"])
    def test_half_a_snapshot_that_a_killed_process_left_is_written_anew(self, duty: Duty, left: bytes) -> None:
        with duty.writing() as writer:
            whole(writer, RUN, NOW - 3600)
        for name in (discover.SNAPSHOT, f"{discover.SNAPSHOT}-journal", discover.LAST, f"{discover.LAST}-journal"):
            (duty.folder / "state" / name).write_bytes(left)
        assert duty.round().new == 1
        with duty.writing() as writer:
            whole(writer, RUN + 1, NOW - 3600)
        assert duty.round(60).new == 1

    def test_a_replica_that_hangs_does_not_hold_up_the_rest(self, duty: Duty, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever assigns a run meanwhile gets its jobs; open runs are looked at all the same."""
        with duty.writing() as writer:
            whole(writer, RUN, NOW - 3600, tag="Pedestal")
            start(writer, RUN + 1, NOW)
        duty.round()
        duty.replica.rename(duty.folder / "good.db")
        os.mkfifo(duty.replica)
        duty.query(
            "UPDATE run SET status = 'ACCEPTED', listener = 'Scan', needs_validation = 0, decided_by = 'ann', "
            "reason = 'x', jobs_due = 1 WHERE run = ?",
            RUN,
        )
        with monkeypatch.context() as patch:
            patch.setattr(discover, "QUICK", 3.0)
            with pytest.raises(StorageTimeout):
                duty.round(60)
        assert duty.query("SELECT run, state FROM job") == [(RUN, "NEW")]
        duty.replica.unlink()
        (duty.folder / "good.db").rename(duty.replica)
        duty.round(60)
