"""What each attribute of runs is read from: for `caf check`, so that nobody must look it up in the code."""

from collections.abc import Iterator, Mapping
from typing import Any

from caf.sources.cool.attributes import GAIN_STRATEGY, TIER0_TAG, Wanted, wanted

_RUN_CONTROL = "/TDAQ/RunCtrl/"
_SOR = "run, run_type, detector_mask, project_tag, recorded, start"
_EOR = "end, duration, clean_stop, lumi_blocks, daq_configuration"
_COUNTED = "partition, l1_events, l2_events, ef_events, recorded_events"
_LBLB = ("/TRIGGER/LUMI/LBLB", "lumi_blocks and end where there is no end record, error_bits")
FOLDERS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "CONDBR2": (
        (f"{_RUN_CONTROL}SOR", _SOR),
        (f"{_RUN_CONTROL}EOR", _EOR),
        (f"{_RUN_CONTROL}EventCounters", _COUNTED),
        _LBLB,
    ),
    "COMP200": (
        (f"{_RUN_CONTROL}SOR_Params", f"{_SOR}, data_source"),
        (f"{_RUN_CONTROL}EOR_Params", _EOR),
        (f"{_RUN_CONTROL}EventCounters", _COUNTED),
        (f"{_RUN_CONTROL}FinalSFOStat", "stored_events; partition where there is no counter"),
        (f"{_RUN_CONTROL}LB_Params", "as the next one, where that has nothing"),
        _LBLB,
    ),
}
"""The folders of a run's own records, which are read in all channels and as HEAD, and what comes from them."""


def origins(database: str, attributes: Mapping[str, Mapping[str, Any]], folders: Mapping[str, str]) -> Iterator[str]:
    """Give a line for each folder or attribute; `folders` are those that were read, with their files."""
    for path, names in FOLDERS[database]:
        if path in folders:
            yield f"{names}: {path} in {folders[path]}"
    for asked in (TIER0_TAG, GAIN_STRATEGY, *wanted(attributes)):
        if asked.folder in folders:
            yield f"{asked.name}: {_where(asked)} in {folders[asked.folder]}"


def _where(asked: Wanted) -> str:
    channel = "the lowest channel that has a record" if asked.channel is None else f"channel {asked.channel}"
    per_run = ", a record for each run" if asked.per_run else ""
    return f"column {asked.column} of {asked.folder}, {channel}, tag {asked.tag}{per_run},"
