"""What the rehearsal plays: the runs, what each should come to, and the files that they are made of."""

import os
import random
import re
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from caf.demo.replica import Replica
from caf.demo.run_writer import RunWriter
from caf.domain.runs import SECOND
from caf.shipped import shipped

MINUTE = 60 * SECOND
FIRST = 490001
LAR, TILE, L1CALO = 0x1C0000104000FF000, 0x280400F00000, 0x7C00000000
RAMP, PHOS4 = "L1CaloEnergyScan", "L1CaloPprPhos4ScanPars"
EMEC, HV = "GainOneOvEmecFcalLowEta", "CalibGainsEt"
D3PD = "L1CaloCalibD3PD"
TOWERS = 32


@dataclass(frozen=True, slots=True)
class PlayedRun:
    """One run: how it was taken, and what caf should make of it."""

    run: int
    what: str
    run_type: str
    partition: str
    tier0_tag: str
    strategy: str
    mask: int
    events: int
    listener: str | None
    jobs: tuple[tuple[str, str, str | None], ...] = ()  # job, state, result
    late: bool = False
    broken: bool = False


def _done(*names: str) -> tuple[tuple[str, str, str | None], ...]:
    return tuple((name, "DONE", "ok") for name in names)


_WAITING = ((D3PD, "WAITING", None),)
_LAR, _TILE = ("LarCalibL1Calo", "LArgL1CaloCombined"), ("cismono", "TileL1CaloCombined")
_LAR_RAMP = "LArL1CaloRampMaker"

RUNS = tuple(
    PlayedRun(FIRST + number, *facts, **more)  # type: ignore[arg-type]  # a table reads better than ten calls
    for number, (facts, more) in enumerate(
        [
            (
                ("an energy scan of LAr", *_LAR, RAMP, EMEC, LAR, 1920, "LArEnergyScan"),
                {"jobs": _done(_LAR_RAMP) + _WAITING},
            ),
            (
                ("one with too few events", *_LAR, RAMP, EMEC, LAR, 640, "LArEnergyScan"),
                {"jobs": ((_LAR_RAMP, "WAITING", None), *_WAITING)},
            ),
            (
                ("one whose raw file is damaged", *_LAR, RAMP, EMEC, LAR, 1920, "LArEnergyScan"),
                {"jobs": ((_LAR_RAMP, "FAILED", "exit_code"), *_WAITING), "broken": True},
            ),
            (
                ("one that ends late", *_LAR, RAMP, EMEC, LAR, 1920, "LArEnergyScan"),
                {"jobs": _done(_LAR_RAMP) + _WAITING, "late": True},
            ),
            (("physics: nobody's", "Physics", "ATLAS", "Physics", EMEC, L1CALO, 5000, None), {}),
            (
                ("an energy scan of Tile", *_TILE, RAMP, EMEC, TILE, 1920, "TileEnergyScan"),
                {"jobs": _done("TileL1CaloRampMaker") + _WAITING},
            ),
            (
                ("a timing scan", "LarCalibL1Calo", "L1CaloCombined", PHOS4, EMEC, LAR, 960, "L1CaloPhos4Scan"),
                {"jobs": _done("Phos4ShapeMaker") + _WAITING},
            ),
            (("LAr pulses", *_LAR, "L1CaloPedestalRun", EMEC, LAR, 320, "LArCalibL1Calo"), {"jobs": _done(D3PD)}),
            (("Tile pulses", *_TILE, "L1CaloPedestalRun", EMEC, TILE, 320, "TileCalibL1Calo"), {"jobs": _WAITING}),
            (
                (
                    "L1Calo on its own",
                    "Physics",
                    "L1CaloStandalone",
                    "L1CaloPedestalRun",
                    EMEC,
                    L1CALO,
                    320,
                    "L1CaloStandalone",
                ),
                {"jobs": _WAITING},
            ),
            (
                ("a scan with calibration gains", *_LAR, RAMP, HV, LAR, 1920, "LArEnergyScanHV"),
                {"jobs": _done(_LAR_RAMP, "LArL1CaloHV")},
            ),
        ]
    )
)
VALIDATED = (FIRST + 7, D3PD)
"""The waiting job that an operator starts during the rehearsal."""


class Scene:
    """The folder of one rehearsal. `now` is ns since 1970 UTC; the runs were taken in the hours before it."""

    def __init__(self, folder: Path, now: int) -> None:
        self.folder = folder
        self._now = now
        self._replica = folder / "cool" / "replica.db"

    def start_of(self, played: PlayedRun) -> int:
        """Give when a run began: one every half hour, the last one an hour ago."""
        return self._now - (RUNS[-1].run - played.run + 2) * 30 * MINUTE

    def build(self) -> None:
        """Write configuration, templates, raw files, and a replica in which one run has not ended yet."""
        for name in ("cool", "raw", "templates"):
            (self.folder / name).mkdir()
        (self.folder / "listeners.toml").write_text(configuration(), encoding="utf-8")
        for template in files("caf.demo").joinpath("templates").iterdir():
            target = self.folder / "templates" / template.name
            target.write_bytes(template.read_bytes())
            target.chmod(0o755 if template.name.endswith(".sh") else 0o644)
        for played in RUNS:
            self._write_raw(played)
        with Replica.create(str(self._replica), "CONDBR2", self._now) as replica:
            writer = RunWriter(replica)
            for played in RUNS:
                writer.strategy(self.start_of(played) - MINUTE, played.strategy)
                self._begin(writer, played)
                if not played.late:
                    self._end(writer, played)

    def end_late_runs(self, now: int) -> None:
        """Write the end of the run that was still going."""
        with Replica.open(str(self._replica), "CONDBR2", now) as replica:
            writer = RunWriter(replica)
            for played in RUNS:
                if played.late:
                    self._end(writer, played)

    def _begin(self, writer: RunWriter, played: PlayedRun) -> None:
        start = self.start_of(played)
        writer.start_run(played.run, start, run_type=played.run_type, detector_mask=played.mask)
        writer.lumi_blocks(played.run, [start + n * MINUTE for n in range(6)])
        writer.derived(played.run, played.tier0_tag)

    def _end(self, writer: RunWriter, played: PlayedRun) -> None:
        writer.end_run(played.run, self.start_of(played) + 5 * MINUTE + 17 * SECOND, lumi_blocks=5)
        counts = {"l1_events": played.events, "ef_events": played.events, "recorded_events": played.events}
        writer.counters(played.run, played.partition, **counts)

    def _write_raw(self, played: PlayedRun) -> None:
        """Invent events: tower, calorimeter's energy, L1Calo's energy (GeV), with gains near one and some noise."""
        dice = random.Random(played.run)
        folder = self.folder / "raw" / f"{played.run:08d}"
        folder.mkdir()
        gains = [dice.gauss(1.0, 0.05) for _ in range(TOWERS)]
        lines = []
        for event in range(played.events):
            tower, energy = event % TOWERS, 5.0 + 2.5 * (event // TOWERS % 20)
            lines.append(f"{tower} {energy:.3f} {gains[tower] * energy + dice.gauss(0.0, 0.3):.3f}\n")
        if played.broken:
            lines[100] = "\x7fELF not an event\n"
        name = f"data24_calib.{played.run:08d}.calibration_{played.tier0_tag}.daq.RAW._lb0001._0001.data"
        (folder / name).write_text("".join(lines), encoding="utf-8")
        written = self.start_of(played) + 5 * MINUTE
        os.utime(folder / name, ns=(written, written))


def configuration() -> str:
    """Give the rehearsal's listeners.toml: the shipped listeners as they are, with files and jobs of the rehearsal."""
    text = shipped("listeners.toml").read_text(encoding="utf-8")
    begin, end = text.index("[listeners."), text.index("[jobs.")
    listeners = re.sub(r"(?m)^raw = .*$", 'raw = ["raw/{run:08d}/*"]', text[begin:end])
    frame = files("caf.demo").joinpath("frame.toml").read_text(encoding="utf-8")
    return frame.replace("# LISTENERS\n", listeners.rpartition("\n\n")[0] + "\n").replace("PYTHON_PATH", sys.executable)
