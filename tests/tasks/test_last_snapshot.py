"""The last snapshot is a cache: a changed replica costs little with it, and without it nothing is missed."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from caf.sources import absorbed
from caf.store import discovery
from caf.tasks import discover
from tests.simulation.duty import DAY, NOW, Duty
from tests.simulation.recording import CONFIGURATION, REGIME, RUN, change, whole


@pytest.fixture
def duty(tmp_path: Path) -> Iterator[Duty]:
    with Duty(tmp_path, CONFIGURATION) as duty:
        with duty.writing() as writer:
            for run in range(RUN, RUN + 20):
                whole(writer, run, NOW - 7200)
        duty.round()
        yield duty


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many runs each reading brought."""
    numbers: list[int] = []
    attach = discovery.attach

    def counted(conn: sqlite3.Connection, snapshot: str) -> int:
        numbers.append(attach(conn, snapshot))
        return numbers[-1]

    monkeypatch.setattr(discovery, "attach", counted)
    return numbers


def last(duty: Duty) -> Path:
    return duty.folder / "state" / discover.LAST


def one_more(duty: Duty, run: int, **changes: Any) -> None:
    with duty.writing() as writer:
        whole(writer, run, duty.now - 3600, **changes)


def test_only_what_differs_is_brought(duty: Duty, brought: list[int]) -> None:
    one_more(duty, RUN + 20)
    assert duty.round(60).new == 1
    one_more(duty, RUN + 21)
    change(duty.replica, "/TDAQ/RunCtrl/EventCounters", RUN + 3, RecordedEvents=7)
    found = duty.round(60)
    assert (found.new, found.changed) == (1, 1)
    assert duty.run(RUN + 3)["recorded_events"] == 7
    assert brought == [1, 2]
    assert [event["runs"] for event in duty.events if event["event"] == "source.read"] == [20, 21, 22]


def damage(name: str, duty: Duty, monkeypatch: pytest.MonkeyPatch) -> None:
    match name:
        case "missing":
            last(duty).unlink()
        case "empty":
            last(duty).write_bytes(b"")
        case "rubbish":
            last(duty).write_bytes(b"\xff" * 20_000)
        case "another's":
            with closing(sqlite3.connect(last(duty))) as conn, conn:
                conn.execute("UPDATE label SET value = 'x' WHERE name = 'token'")
        case "of before the machine was started":
            with closing(sqlite3.connect(last(duty))) as conn, conn:
                conn.execute("UPDATE label SET value = 'x' WHERE name = 'boot'")
        case "old":
            duty.now += absorbed.LONGEST + 1
        case "of the future":
            with closing(sqlite3.connect(last(duty))) as conn, conn:
                conn.execute("UPDATE label SET value = ? WHERE name = 'since'", (str(NOW + DAY),))
        case "a folder":
            last(duty).unlink()
            last(duty).mkdir()
        case "without its rows":
            with closing(sqlite3.connect(last(duty))) as conn, conn:
                conn.execute("DROP TABLE label")


WAYS = ("missing", "empty", "rubbish", "another's", "of before the machine was started", "old", "of the future")


@pytest.mark.parametrize("way", [*WAYS, "a folder", "without its rows"])
def test_one_that_cannot_be_believed_is_done_without(
    duty: Duty, brought: list[int], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(way, duty, monkeypatch)
    one_more(duty, RUN + 20)
    assert duty.round(60).new == 1
    assert brought == [21]
    one_more(duty, RUN + 21)
    assert duty.round(60).new == 1
    assert brought == [21, 22 if way == "a folder" else 1]


def test_a_restored_database_gets_everything_again(duty: Duty, brought: list[int]) -> None:
    """It is older than the last snapshot: what that holds already, it lacks."""
    kept = duty.folder / "kept.db"
    duty.end()
    shutil.copy(duty.database, kept)
    duty.begin()
    one_more(duty, RUN + 20)
    change(duty.replica, "/TDAQ/RunCtrl/EventCounters", RUN + 3, RecordedEvents=7)
    duty.round(60)
    duty.end()
    shutil.copy(kept, duty.database)
    duty.begin()
    one_more(duty, RUN + 21)
    found = duty.round(60)
    assert (found.new, found.changed) == (2, 1)
    assert brought == [2, 22]


@pytest.mark.parametrize("when", ["before the source is kept", "before the snapshot is", "while pages are absorbed"])
def test_a_death_at_any_point_of_a_changed_look_misses_nothing(
    duty: Duty, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discover, "PAGE", 5)
    for run in range(RUN + 20, RUN + 32):
        one_more(duty, run)
    name = {"before the source is kept": "keep_source", "while pages are absorbed": "absorb"}.get(when)

    def dies(*_given: Any, **_more: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        if name is None:
            patch.setattr(discover, "_keep_snapshot", dies)
        else:
            patch.setattr(discovery, name, dies)
        with pytest.raises(MemoryError):
            duty.round(60)
    duty.again()
    one_more(duty, RUN + 32)
    duty.round(60)
    assert set(duty.statuses()) == set(range(RUN, RUN + 33))
    assert duty.query("SELECT count(*) FROM job") == [(33,)]


def test_what_cannot_be_kept_is_said_and_costs_nothing_else(duty: Duty) -> None:
    last(duty).unlink()
    last(duty).mkdir()
    one_more(duty, RUN + 20)
    assert duty.round(60).new == 1
    said = [event["problem"] for event in duty.events if event["event"] == "source.problem"]
    assert len(said) == 1
    assert "could not be kept, so that the next reading is a whole one" in said[0]


def test_another_configuration_of_the_source_compares_everything(duty: Duty, brought: list[int]) -> None:
    duty.again(CONFIGURATION + REGIME)
    duty.round(60)
    assert brought == [20]


def test_a_run_that_went_away_and_came_back_is_known_all_the_time(duty: Duty, brought: list[int]) -> None:
    old = duty.replica.read_bytes()
    one_more(duty, RUN + 20)
    new = duty.replica.read_bytes()
    duty.round(60)
    for replica in (old, new, old, new):
        duty.replica.write_bytes(replica)
        duty.touch()
        found = duty.round(60)
        assert (found.new, found.changed) == (0, 0)
        assert RUN + 20 in duty.statuses()
    assert brought == [1, 0, 0, 0, 0]


def test_texts_that_are_not_utf_8_do_not_count_as_changed(duty: Duty, brought: list[int]) -> None:
    change(duty.replica, "/TDAQ/RunCtrl/SOR", RUN + 3, DetectorMask="1")
    with closing(sqlite3.connect(duty.replica)) as conn, conn:
        (table,) = conn.execute(
            "SELECT FOLDER_IOVTABLENAME FROM CONDBR2_NODES WHERE NODE_FULLPATH = '/TDAQ/RunCtrl/SOR'"
        ).fetchone()
        conn.execute(f"UPDATE {table} SET T0ProjectTag = CAST(x'64ff' AS TEXT) WHERE IOV_SINCE = ?", (RUN + 3 << 32,))
    duty.touch()
    assert duty.round(60).changed == 1
    one_more(duty, RUN + 20)
    assert (duty.round(60).changed, duty.run(RUN + 3)["project_tag"]) == (0, "d\N{REPLACEMENT CHARACTER}")
    assert brought == [1, 2]
