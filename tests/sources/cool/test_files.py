"""A replica that cannot be read is said to be so, in words that tell an operator what to do."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from caf.demo.replica import Replica
from caf.demo.run_writer import RunWriter
from caf.domain.errors import SourceError
from caf.sources import snapshot
from caf.sources.cool import Conditions, expand, marks, read_runs, read_settled, runs

NOW = 1_714_500_000_000_000_000
BUSY = 0.05


@pytest.fixture
def replica(tmp_path: Path) -> Path:
    path = tmp_path / "odd #?%20 näme" / "r.db"
    path.parent.mkdir()
    with Replica.create(str(path), "CONDBR2", NOW) as writing:
        writer = RunWriter(writing)
        for run in range(490001, 490201):
            writer.start_run(run, NOW + run, run_type="LarCalibL1Calo", detector_mask=run)
    return path


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as stream:
        stream.seek(at)
        stream.write(data)


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def renamed_table(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE CONDBR2_DB_ATTRIBUTES RENAME TO something")
    connection.close()


def newer_schema(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE CONDBR2_DB_ATTRIBUTES SET DB_ATTRIBUTE_VALUE = '3.0.0' WHERE DB_ATTRIBUTE_NAME LIKE 'SCH%'"
        )
    connection.close()


def missing_table(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("DROP TABLE CONDBR2_F0003_IOVS")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (Path.unlink, "is missing"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_text("run,start\n" * 100), "is not an SQLite file"),
        (lambda path: os.truncate(path, 50), "holds only 50 bytes"),
        (lambda path: os.truncate(path, 8192), r"is truncated \(8192 of \d+ bytes\)"),
        (truncated, "is truncated"),
        (lambda path: overwrite(path, 100, b"\xff" * 3000), "malformed"),
        (lambda path: overwrite(path, 4096, b"\xff" * (path.stat().st_size - 4096)), "malformed"),
        (renamed_table, "is not a COOL replica"),
        (newer_schema, "COOL schema 3.0.0: caf reads 2.0"),
        (missing_table, "has no table CONDBR2_F0003_IOVS"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read: Is a directory"),
    ],
)
def test_an_unreadable_replica_is_explained(
    spoil: Callable[[Path], object], said: str, replica: Path, tmp_path: Path
) -> None:
    spoil(replica)
    with pytest.raises(SourceError, match=said) as caught:
        read_runs([str(replica)], "CONDBR2", 0, {}, str(tmp_path / "snapshot.db"), BUSY)
    assert str(replica) in str(caught.value)
    assert caught.value.transient
    assert not (tmp_path / "snapshot.db").exists()


def test_a_locked_replica_is_explained(replica: Path, tmp_path: Path) -> None:
    writing = sqlite3.connect(replica, isolation_level=None)
    writing.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(SourceError, match=r"is locked by a writer \(waited 0.05 s\)"):
            read_runs([str(replica)], "CONDBR2", 0, {}, str(tmp_path / "snapshot.db"), BUSY)
    finally:
        writing.close()
    assert read_runs([str(replica)], "CONDBR2", 0, {}, str(tmp_path / "snapshot.db"), BUSY)["runs"] == 200


def test_an_unfinished_write_left_behind_is_explained(replica: Path, tmp_path: Path) -> None:
    """A copy job killed in mid-transaction leaves a hot journal, which a reader may not play back."""
    writing = sqlite3.connect(replica, isolation_level=None)
    writing.execute("PRAGMA cache_size = 1")
    writing.execute("BEGIN")
    writing.execute("UPDATE CONDBR2_F0003_IOVS SET RunType = 'half-written'")
    (tmp_path / "killed").mkdir()
    for file in replica.parent.iterdir():
        shutil.copy(file, tmp_path / "killed")
    writing.close()
    assert (tmp_path / "killed" / "r.db-journal").stat().st_size > 0
    with pytest.raises(SourceError, match="unfinished write"):
        read_runs([str(tmp_path / "killed" / "r.db")], "CONDBR2", 0, {}, str(tmp_path / "snapshot.db"), BUSY)


def test_another_database_is_named(replica: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no replica has the database COMP200: .* has CONDBR2"):
        read_runs([str(replica)], "COMP200", 0, {}, str(tmp_path / "snapshot.db"))
    with pytest.raises(SourceError, match="has no database COMP200: it has CONDBR2"):
        Conditions(str(replica), "COMP200")
    with pytest.raises(SourceError, match="CONDBR2 or COMP200"):
        read_runs([str(replica)], "OFLP200", 0, {}, str(tmp_path / "snapshot.db"))
    with pytest.raises(SourceError, match="no replicas"):
        read_runs([], "CONDBR2", 0, {}, str(tmp_path / "snapshot.db"))


def test_a_replica_is_never_written_to(replica: Path, tmp_path: Path) -> None:
    before = (marks([str(replica)]), replica.read_bytes(), sorted(replica.parent.iterdir()))
    read_settled([str(replica)], "CONDBR2", 0, {}, str(tmp_path / "snapshot.db"))
    assert (marks([str(replica)]), replica.read_bytes(), sorted(replica.parent.iterdir())) == before


def test_marks_tell_one_state_of_a_file_from_the_next(replica: Path, tmp_path: Path) -> None:
    [before] = marks([str(replica)])
    assert before[0] == str(replica)
    assert before[3:5] == [replica.stat().st_size, replica.stat().st_mtime_ns]
    with Replica.open(str(replica), "CONDBR2", NOW) as writing:
        writing.channel("/TDAQ/RunCtrl/SOR", 7)
    os.utime(replica, ns=(NOW, int(before[4])))
    [after] = marks([str(replica)])
    assert after[5] == int(before[5]) + 1  # SQLite's change counter, where size and time are the same
    assert after[:5] == before[:5]
    short = tmp_path / "short"
    short.write_bytes(b"x" * 27)
    assert marks([str(short)])[0][5] == -1
    with pytest.raises(SourceError, match="is missing"):
        marks([str(tmp_path / "none.db")])


def test_patterns_name_replicas_in_sorted_order(tmp_path: Path) -> None:
    for name in ("b.db", "a.db", "c.txt"):
        (tmp_path / name).touch()
    found = expand([str(tmp_path / "b*"), str(tmp_path / "*.db")])
    assert found == [str(tmp_path / "a.db"), str(tmp_path / "b.db")]
    with pytest.raises(SourceError, match=r"no replica matches .*x"):
        expand([str(tmp_path / "*.db"), str(tmp_path / "*.x")])


@pytest.mark.parametrize("how", ["written", "replaced", "removed"])
def test_a_read_during_which_the_file_changed_is_thrown_away(
    how: str, replica: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change comes after the real read, so that nothing but the marks can tell."""
    real = runs.read_runs

    def read_and_change(*arguments: object) -> object:
        result = real(*arguments)  # type: ignore[arg-type]  # handed on as they came
        if how == "written":
            with Replica.open(str(replica), "CONDBR2", NOW) as writing:
                writing.channel("/TDAQ/RunCtrl/SOR", 7)
        elif how == "replaced":
            shutil.copy(replica, tmp_path / "new.db")
            os.replace(tmp_path / "new.db", replica)
        else:
            replica.unlink()
        return result

    monkeypatch.setattr(runs, "read_runs", read_and_change)
    with pytest.raises(SourceError, match="changed while it was read; it will be read again") as caught:
        read_settled([str(replica)], "CONDBR2", 0, {}, str(tmp_path / "snapshot.db"))
    assert caught.value.transient
    assert not (tmp_path / "snapshot.db").exists()
    monkeypatch.undo()
    if how != "removed":
        assert read_settled([str(replica)], "CONDBR2", 0, {}, str(tmp_path / "snapshot.db"))["runs"] == 200


def test_a_snapshot_that_cannot_be_made_is_explained(replica: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be made"):
        read_runs([str(replica)], "CONDBR2", 0, {}, str(tmp_path / "no folder" / "snapshot.db"))


def test_an_old_snapshot_is_replaced(replica: Path, tmp_path: Path) -> None:
    for first in (0, 490101):
        read_runs([str(replica)], "CONDBR2", first, {}, str(tmp_path / "snapshot.db"))
    connection = sqlite3.connect(tmp_path / "snapshot.db")
    assert connection.execute("SELECT count(*) FROM run").fetchone() == (100,)
    connection.close()


def test_a_full_disk_is_not_blamed_on_the_replica(
    replica: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot that may have three pages only stands for one on a full disk: SQLite says the same of both."""
    create = snapshot.create

    def small(path: str) -> sqlite3.Connection:
        connection = create(path)
        connection.execute("PRAGMA max_page_count = 3")
        return connection

    monkeypatch.setattr(snapshot, "create", small)
    with pytest.raises(SourceError, match="the disk is full where the snapshot"):
        read_runs([str(replica)], "CONDBR2", 0, {}, str(tmp_path / "snapshot.db"))
