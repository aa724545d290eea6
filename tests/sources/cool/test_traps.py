"""What `caf check` says of replicas that were copied badly; a good one is passed over in silence."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from caf.demo.replica import MULTI, OPEN_ENDED, Replica
from caf.demo.run_writer import DERIVED_RUN_PARS, STRATEGY, TRIGGER_FOLDERS, RunWriter
from caf.sources.cool import read_runs
from caf.sources.cool.traps import Trap, traps
from tests.sources.library import library

NOW = 1_714_500_000_000_000_000
RUN = 490001
SYNTHETIC = library() / "synthetic"


def replica(path: Path, **given: Any) -> str:
    """Write three runs, as all is well but for what is given."""
    with Replica.create(str(path), "CONDBR2", NOW) as written:
        writer = RunWriter(written)
        since, until = given.get("strategy", (NOW - 10**9, OPEN_ENDED))
        written.store(STRATEGY.path, since, until, {"name": "x"}, 0)
        for number in range(3):
            run = given.get("first", RUN) + number
            writer.start_run(run, NOW + number * 10**9, run_type="t", detector_mask=1)
            until = given.get("until", OPEN_ENDED) if number == 2 else (run + 1) << 32
            if given.get("derived", True):
                pars = {"timingRegime": "a", "tierZeroTag": "b"}
                written.store(DERIVED_RUN_PARS.path, run << 32, until, pars, 1)
    return str(path)


def found(*files: str, database: str = "CONDBR2", **attributes: dict[str, Any]) -> list[Trap]:
    into = str(Path(files[0]).with_name("snapshot.db"))
    read_runs(list(files), database, 0, attributes, into)
    return traps(list(files), database, attributes, into, 5.0)


def test_a_good_replica_is_passed_over_in_silence(tmp_path: Path) -> None:
    assert found(replica(tmp_path / "a.db")) == []


def test_a_folder_that_was_copied_without_its_head_is_grave(tmp_path: Path) -> None:
    """As AtlCoolCopy does it without -ih: the rows are those of a user tag, and HEAD has none."""
    path = replica(tmp_path / "a.db")
    conn = sqlite3.connect(path)
    (node, iovs) = conn.execute(
        "SELECT NODE_ID, FOLDER_IOVTABLENAME FROM CONDBR2_NODES WHERE NODE_FULLPATH = ?", (DERIVED_RUN_PARS.path,)
    ).fetchone()
    conn.execute("INSERT INTO CONDBR2_TAGS VALUES (?, 7, 'Pars-01', 0, '', '')", (node,))
    conn.execute(f"UPDATE {iovs} SET USER_TAG_ID = 7")
    conn.commit()
    conn.close()
    (trap,) = found(path)
    assert trap.grave
    assert trap.text == (
        f"tier0_tag: {DERIVED_RUN_PARS.path} in {path} has tags (Pars-01) but nothing in its HEAD: "
        "copied without -ih? Copy it again with it"
    )
    asked = {"folder": DERIVED_RUN_PARS.path, "column": "tierZeroTag", "tag": "Pars-01", "per_run": True}
    assert [one.text.split(":")[0] for one in found(path, mine=asked)] == ["tier0_tag"]


def test_a_folder_without_records_is_told(tmp_path: Path) -> None:
    (trap,) = found(replica(tmp_path / "a.db", derived=False))
    assert (trap.grave, trap.text) == (
        False,
        f"tier0_tag: {DERIVED_RUN_PARS.path} in {tmp_path / 'a.db'} holds no records: copy it again",
    )


@pytest.mark.parametrize(("end", "missing"), [(RUN + 2, "1 run"), (RUN + 3, "0 runs")])
def test_the_last_record_of_a_run_must_be_open_ended(tmp_path: Path, end: int, missing: str) -> None:
    until = end << 32 if end > RUN + 2 else ((end << 32) | 5)
    (trap,) = found(replica(tmp_path / "a.db", until=until))
    assert not trap.grave
    assert f"is valid before run {end} only" in trap.text
    assert f"missing for {missing};" in trap.text


@pytest.mark.parametrize(
    ("strategy", "says"),
    [
        ((NOW + 1, OPEN_ENDED), "on: 1 run (490001 to 490001) started outside of it"),
        ((NOW - 1, NOW + 10**9), f"2 runs ({RUN + 1} to {RUN + 2}) started outside of it"),
        ((NOW - 1, NOW + 10**12), "ends at 2024-04-30 18:16 UTC: intervals were cut when it was copied (-tr)?"),
    ],
)
def test_a_folder_by_time_must_cover_the_runs(tmp_path: Path, strategy: tuple[int, int], says: str) -> None:
    (trap,) = found(replica(tmp_path / "a.db", strategy=strategy))
    assert trap.text.startswith(f"gain_strategy: {STRATEGY.path} in ")
    assert says in trap.text


def test_runs_of_the_other_era_are_told(tmp_path: Path) -> None:
    (trap,) = found(replica(tmp_path / "a.db", first=236106))
    assert trap.text.startswith("1 run of CONDBR2 (236106 to 236106) should be in COMP200")


def test_folders_that_are_missing_are_named_with_what_is_lost(tmp_path: Path) -> None:
    path = replica(tmp_path / "a.db")
    conn = sqlite3.connect(path)
    conn.execute("DELETE FROM CONDBR2_NODES WHERE NODE_FULLPATH LIKE '%Strategy' OR NODE_FULLPATH LIKE '%EOR'")
    conn.commit()
    conn.close()
    texts = [trap.text for trap in found(path)]
    assert [text.partition(": copy")[0] for text in texts] == [
        "no replica has /TDAQ/RunCtrl/EOR, which tells the ends of runs",
        f"no replica has {STRATEGY.path}, which tells gain_strategy",
    ]


def test_a_configured_attribute_is_looked_at_too(tmp_path: Path) -> None:
    path = replica(tmp_path / "a.db")
    with Replica.open(path, "CONDBR2", NOW) as written:
        written.folder("/BY/TIME", "value:Int32", MULTI, timestamp="time")
        written.store("/BY/TIME", NOW + 1, OPEN_ENDED, {"value": 1}, 3)
    texts = [trap.text for trap in found(path, mine={"folder": "/BY/TIME", "column": "value", "channel": 3})]
    assert len(texts) == 1
    assert texts[0].startswith("mine: /BY/TIME in ")


def test_folders_may_lie_in_several_files(tmp_path: Path) -> None:
    control, trigger = str(tmp_path / "a.db"), str(tmp_path / "b.db")
    with Replica.create(control, "CONDBR2", NOW) as one, Replica.create(trigger, "CONDBR2", NOW) as two:
        writer = RunWriter(one, two)
        writer.start_run(RUN, NOW, run_type="t", detector_mask=1)
        writer.derived(RUN, "x")
        writer.strategy(NOW - 1, "y")
    assert found(control, trigger) == []
    assert len(found(control)) == len([each for each in TRIGGER_FOLDERS if each in (DERIVED_RUN_PARS, STRATEGY)]) + 1


@pytest.mark.parametrize("database", ["CONDBR2", "COMP200"])
def test_replicas_that_the_library_wrote_are_looked_at_without_trouble(tmp_path: Path, database: str) -> None:
    """What is said of them is true: the made-up files hold what was made up."""
    files = sorted(map(str, SYNTHETIC.glob(f"COOLONL_*_{database}.db")))
    into = str(tmp_path / "snapshot.db")
    read_runs(files, database, 0, {}, into)
    told = traps(files, database, {}, into, 5.0)
    assert not any(trap.grave for trap in told)
    assert not any(trap.text.startswith("no replica") for trap in told)
