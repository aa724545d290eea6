"""Write runs to the folders of CONDBR2, as ATLAS's run control and trigger would."""

import itertools
from collections.abc import Sequence

from caf.demo.replica import ATTRIBUTE_LIST, MULTI, OPEN_ENDED, FolderSpec, Payload, Replica
from caf.domain.errors import CafError

SECOND = 1_000_000_000
L1CALO_CHANNEL = 1
RECEIVER_CHANNELS = (0, 1)

_RUN = "RunNumber:UInt32,SORTime:UInt63"
_HOW = (
    "RunType:String255,DAQConfiguration:String255,DetectorMask:String255,T0ProjectTag:String255,RecordingEnabled:Bool"
)
SOR = FolderSpec("/TDAQ/RunCtrl/SOR", f"{_RUN},{_HOW}")
EOR = FolderSpec("/TDAQ/RunCtrl/EOR", f"{_RUN},EORTime:UInt63,TotalTime:UInt32,CleanStop:Bool,{_HOW}")
EVENT_COUNTERS = FolderSpec(
    "/TDAQ/RunCtrl/EventCounters",
    "PartitionName:String255,L1Events:UInt32,L2Events:UInt32,EFEvents:UInt32,RecordedEvents:UInt32",
)
DATA_TAKING_MODE = FolderSpec(
    "/TDAQ/RunCtrl/DataTakingMode", "ReadyForPhysics:UInt32", description_extra=ATTRIBUTE_LIST
)
LBLB = FolderSpec("/TRIGGER/LUMI/LBLB", "StartTime:UInt63,EndTime:UInt63", description_extra=ATTRIBUTE_LIST)
LBTIME = FolderSpec(
    "/TRIGGER/LUMI/LBTIME", "Run:UInt32,LumiBlock:UInt32", timestamp="time", description_extra=ATTRIBUTE_LIST
)
DERIVED_RUN_PARS = FolderSpec(
    "/TRIGGER/L1Calo/V1/Conditions/DerivedRunPars", "timingRegime:String255,tierZeroTag:String255", MULTI
)
RUN_PARAMETERS = FolderSpec(
    "/TRIGGER/L1Calo/V1/Conditions/RunParameters",
    "runType:String255,runActionName:String255,runActionVersion:UInt32,readoutConfig:String255,readoutConfigID:UInt32,"
    "ttcConfiguration:String255,ttcConfigurationID:UInt32,triggerMenu:String255,calibration:String255,conditions:String255",
)
STRATEGY = FolderSpec("/TRIGGER/Receivers/Conditions/Strategy", "name:String255", timestamp="time")
TDAQ_FOLDERS = (SOR, EOR, EVENT_COUNTERS, DATA_TAKING_MODE)
TRIGGER_FOLDERS = (LBLB, LBTIME, DERIVED_RUN_PARS, RUN_PARAMETERS, STRATEGY)


class RunWriter:
    """Add what becomes known of runs, in any order that the real systems may have; times are ns since 1970 UTC.

    The trigger's folders may live in a replica of their own.
    """

    def __init__(self, run_control: Replica, trigger: Replica | None = None) -> None:
        self._control, self._trigger = run_control, trigger or run_control
        self._control.create_folders(TDAQ_FOLDERS)
        self._trigger.create_folders(TRIGGER_FOLDERS)

    def start_run(
        self,
        run: int,
        start: int,
        *,
        run_type: str,
        detector_mask: int,
        project_tag: str = "data24_calib",
        recorded: bool = True,
        daq_configuration: str = "Schema=1:Data=1",
    ) -> None:
        """Write the start-of-run record."""
        record: Payload = {
            "RunNumber": run,
            "SORTime": start,
            "RunType": run_type,
            "DAQConfiguration": daq_configuration,
            "DetectorMask": f"{detector_mask:032x}",
            "T0ProjectTag": project_tag,
            "RecordingEnabled": recorded,
        }
        self._control.store(SOR.path, run << 32, (run + 1) << 32, record)

    def lumi_blocks(self, run: int, bounds: Sequence[int], first: int = 1) -> None:
        """Write lumi blocks from number `first` on; n + 1 `bounds` are the ends of n blocks."""
        for number, (begin, end) in enumerate(itertools.pairwise(bounds), first):
            key = run << 32 | number
            self._trigger.store(LBLB.path, key, key + 1, {"StartTime": begin, "EndTime": end})
            self._trigger.store(LBTIME.path, begin, end, {"Run": run, "LumiBlock": number})

    def end_run(
        self, run: int, end: int, lumi_blocks: int, *, clean_stop: bool = True, daq_configuration: str | None = None
    ) -> None:
        """Write the end-of-run record, which repeats what the start-of-run record says; that one must be there."""
        sor = self._control.read(SOR.path, run << 32)
        if sor is None:
            raise CafError(f"run {run} has no start-of-run record: it cannot end")
        record = {
            "RunNumber": run,
            "SORTime": sor["SORTime"],
            "EORTime": end,
            "TotalTime": (end - sor["SORTime"]) // SECOND,
            "CleanStop": clean_stop,
            "RunType": sor["RunType"],
            "DAQConfiguration": daq_configuration or sor["DAQConfiguration"],
            "DetectorMask": sor["DetectorMask"],
            "T0ProjectTag": sor["T0ProjectTag"],
            "RecordingEnabled": sor["RecordingEnabled"],
        }
        self._control.store(EOR.path, run << 32, (run << 32) + lumi_blocks + 1, record)

    def counters(
        self, run: int, partition: str, *, l1_events: int, ef_events: int, recorded_events: int, l2_events: int = 0
    ) -> None:
        """Write the event counters, with the end-of-run record's interval where that is there already."""
        eor = self._control.read(EOR.path, run << 32)
        record = {
            "PartitionName": partition,
            "L1Events": l1_events,
            "L2Events": l2_events,
            "EFEvents": ef_events,
            "RecordedEvents": recorded_events,
        }
        self._control.store(EVENT_COUNTERS.path, run << 32, eor["IOV_UNTIL"] if eor else (run + 1) << 32, record)

    def derived(self, run: int, tier0_tag: str, timing_regime: str = "Calib1") -> None:
        """Write L1Calo's record of a run, which later runs inherit until the next."""
        record = {"timingRegime": timing_regime, "tierZeroTag": tier0_tag}
        self._trigger.store(DERIVED_RUN_PARS.path, run << 32, OPEN_ENDED, record, L1CALO_CHANNEL)

    def strategy(self, since: int, name: str) -> None:
        """Write the receivers' gain strategy from a time on."""
        for channel in RECEIVER_CHANNELS:
            self._trigger.store(STRATEGY.path, since, OPEN_ENDED, {"name": name}, channel)
