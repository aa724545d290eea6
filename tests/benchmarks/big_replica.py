"""A replica with very many invented runs, written straight into COOL's own schema: quick to make, slow to read."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from caf.demo.replica import OPEN_ENDED, Replica
from caf.demo.run_writer import TDAQ_FOLDERS, TRIGGER_FOLDERS
from caf.domain.runs import SECOND

FIRST = 400_001
KINDS = (
    ("LarCalibL1Calo", "LArgL1CaloCombined", "L1CaloEnergyScan", 0x1C0000104000FF000),
    ("cismono", "TileL1CaloCombined", "L1CaloEnergyScan", 0x280400F00000),
    ("LarCalibL1Calo", "L1CaloCombined", "L1CaloPprPhos4ScanPars", 0x7C000FF000),
    ("Physics", "ATLAS", "Physics", 0xC10069FFFFFFFFF7),
    ("Pedestal", "LArgEmb", "", 0x3000),
    ("Physics", "L1CaloStandalone", "L1CaloPedestalRun", 0x7C00000000),
)
STRATEGIES = ("GainOne", "GainOneOvEmecFcalLowEta", "GainOneOvEmbFcalHighEta", "CalibGainsEt")
LUMI_BLOCKS = 3
HOUR = 3600 * SECOND
STAMP = "2024-01-01_00:00:00.000000000 GMT"


def make(path: Path, runs: int, *, seed: int = 1) -> None:
    """Write `runs` complete runs of long ago, one an hour."""
    with Replica.create(str(path), "CONDBR2", 1_700_000_000 * SECOND) as replica:
        replica.create_folders([*TDAQ_FOLDERS, *TRIGGER_FOLDERS])
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute("PRAGMA synchronous = OFF")
        tables = dict(conn.execute("SELECT NODE_FULLPATH, FOLDER_IOVTABLENAME FROM CONDBR2_NODES WHERE NODE_ISLEAF"))
        conn.execute("BEGIN")
        for table in tables.values():
            channels = table.removesuffix("IOVS") + "CHANNELS"
            conn.executemany(f"INSERT INTO {channels} VALUES (?, 0, 0, NULL, '')", [(0,), (1,)])
        for rows in _batches(runs, seed):
            for folder, values in rows.items():
                marks = ", ".join("?" * len(values[0]))
                conn.executemany(f"INSERT INTO {tables[folder]} VALUES ({marks})", values)
        conn.execute("COMMIT")


def _head(number: int, since: int, until: int, channel: int = 0, new_head: int = 0) -> tuple[Any, ...]:
    return (number, channel, since, until, 0, STAMP, STAMP, 0, new_head)


def _batches(runs: int, seed: int) -> Iterator[dict[str, list[tuple[Any, ...]]]]:
    dice = random.Random(seed)
    begin = 1_300_000_000 * SECOND
    for low in range(0, runs, 10_000):
        rows: dict[str, list[tuple[Any, ...]]] = {}
        for n in range(low, min(low + 10_000, runs)):
            for folder, row in _of_run(n, begin + n * HOUR, dice):
                rows.setdefault(folder, []).append(row)
        yield rows


def _of_run(n: int, start: int, dice: random.Random) -> Iterator[tuple[str, tuple[Any, ...]]]:
    run, key, end = FIRST + n, (FIRST + n) << 32, start + 2000 * SECOND
    run_type, partition, tag, mask = KINDS[dice.randrange(len(KINDS))]
    common = (run_type, f"Schema={n % 97}:Data={n % 89}", f"{mask:032x}", "data24_calib", int(dice.random() < 0.95))
    events = dice.randrange(5000)
    yield "/TDAQ/RunCtrl/SOR", (*_head(n + 1, key, key + (1 << 32)), run, start, *common)
    yield (
        "/TDAQ/RunCtrl/EOR",
        (*_head(n + 1, key, key + LUMI_BLOCKS + 1), run, start, end, 2000, int(dice.random() < 0.95), *common),
    )
    yield (
        "/TDAQ/RunCtrl/EventCounters",
        (*_head(n + 1, key, key + LUMI_BLOCKS + 1), partition, events, 0, events, events),
    )
    for block in range(1, LUMI_BLOCKS + 1):
        row = (*_head(n * LUMI_BLOCKS + block, key + block, key + block + 1), start, start + 600 * SECOND * block)
        yield "/TRIGGER/LUMI/LBLB", row
    folder, number = "/TRIGGER/L1Calo/V1/Conditions/DerivedRunPars", 12 * n + 1
    yield folder, (*_head(number, key, OPEN_ENDED, 1, number + 12), "Calib1", tag)  # as HEAD had it before the next
    yield folder, (*_head(number + 1, key, key + (1 << 32), 1), "Calib1", tag)
    if n % 1000 == 0:
        name = STRATEGIES[n // 1000 % len(STRATEGIES)]
        yield (
            "/TRIGGER/Receivers/Conditions/Strategy",
            (*_head(n // 1000 + 1, start - 1, start + 1000 * HOUR - 1), name),
        )
