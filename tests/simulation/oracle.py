"""The verdict that a run must have once everything is over: from its true records, in plain Python."""

from typing import Any

from caf.domain.matching import Condition, Listener, Operator

O = Operator  # noqa: E741
LATE_RUN = 490_500

LISTENERS = (
    Listener(
        "Scan",
        (
            Condition("run_type", O.EQUAL, "scan"),
            Condition("recorded", O.EQUAL, True),
            Condition("tier0_tag", O.ONE_OF, ("Energy", "Gain")),
        ),
        min_events=100,
    ),
    Listener("Odd", (Condition("run_type", O.EQUAL, "scan"), Condition("regime", O.EQUAL, "Odd"))),
    Listener(
        "Ramp",
        (
            Condition("run_type", O.CONTAINS, "ramp"),
            Condition("clean_stop", O.EQUAL, True),
            Condition("end", O.KNOWN, True),
        ),
    ),
    Listener("Crash", (Condition("run_type", O.ONE_OF, ("crash", "")), Condition("error_bits", O.BITS, 16))),
    Listener(
        "Cosmic",
        (
            Condition("run_type", O.EQUAL, "cosmic"),
            Condition("tier0_tag", O.NOT_IN, ("Energy", "Bad")),
            Condition("partition", O.EQUAL, "L1CaloCombined"),
            Condition("lumi_blocks", O.AT_LEAST, 2),
        ),
    ),
    Listener(
        "Pedestal",
        (
            Condition("run", O.AT_LEAST, LATE_RUN),
            Condition("run_type", O.EQUAL, "pedestal"),
            Condition("duration", O.AT_LEAST, 300),
            Condition("duration", O.AT_MOST, 5000),
            Condition("has_events", O.EQUAL, True),
        ),
    ),
    Listener(
        "Lost",
        (
            Condition("run_type", O.EQUAL, "mono"),
            Condition("end", O.KNOWN, False),
            Condition("detector_mask", O.BITS, 2),
        ),
    ),
    Listener(
        "Gain",
        (
            Condition("run_type", O.EQUAL, "mono"),
            Condition("gain_strategy", O.EQUAL, "G1"),
            Condition("end", O.KNOWN, True),
            Condition("events", O.AT_LEAST, 50),
        ),
        min_events=500,
    ),
)


def _events(values: dict[str, Any]) -> int:
    """Give what was stored, or recorded where nothing is known to be stored; 0 where nothing was ever counted."""
    return values.get("stored_events") or values.get("recorded_events") or 0


def _mono(values: dict[str, Any], end: int | None) -> tuple[str, bool] | None:
    if end is None:
        return ("Lost", False) if int(values["detector_mask"], 16) & 2 else None
    enough = values["gain_strategy"] == "G1" and _events(values) >= 50
    return ("Gain", _events(values) < 500) if enough else None


def takers(run: int, records: dict[str, dict[str, Any]], trigger: dict[str, Any] | None) -> list[tuple[str, bool]]:
    """Give the listeners that take a settled run, and whether a person must validate it.

    `trigger` is the record in force: the run's own, or that of the run before it which has one.
    """
    ended, lumi = records.get("end"), records.get("lumi")
    values = {**records["start"], **(ended or {}), **records.get("counters", {}), **records.get("stored", {})}
    kind = values["run_type"]
    tag = None if trigger is None else trigger["tag"]
    end, patched = values.get("end"), False
    if end is None and lumi is not None:
        end, patched = lumi["end"], True
    duration = values.get("duration")
    if duration is None and patched and values["start"] is not None:
        duration = round((end - values["start"]) / 10**9)
    found: list[tuple[str, bool] | None] = []
    if kind == "scan":
        wanted = values["recorded"] == 1 and tag in ("Energy", "Gain")
        found.append(("Scan", _events(values) < 100) if wanted else None)
        found.append(("Odd", False) if trigger is not None and trigger["regime"] == "Odd" else None)
    elif "ramp" in kind.lower():
        found.append(("Ramp", False) if values.get("clean_stop") == 1 and end is not None else None)
    elif kind in ("crash", ""):
        found.append(("Crash", False) if patched else None)
    elif kind == "cosmic":
        blocks = values.get("lumi_blocks") or (lumi or {}).get("block") or 0
        good = tag not in ("Energy", "Bad") and values.get("partition") == "L1CaloCombined" and blocks >= 2
        found.append(("Cosmic", False) if good else None)
    elif kind == "pedestal":
        counted = (values.get("l1_events") or 0) > 0 or _events(values) > 0
        good = run >= LATE_RUN and duration is not None and 300 <= duration <= 5000 and counted
        found.append(("Pedestal", False) if good else None)
    elif kind == "mono":
        found.append(_mono(values, end))
    return [each for each in found if each is not None]


Verdict = tuple[str, str | None, int | None]


def verdicts(records: dict[int, dict[str, dict[str, Any]]]) -> dict[int, Verdict]:
    """Give status, listener and needs_validation of all runs that have started, from all records there are."""
    expected: dict[int, Verdict] = {}
    trigger = None
    for run in sorted(records):
        trigger = records[run].get("trigger", trigger)
        if "start" not in records[run]:
            continue
        found = takers(run, records[run], trigger)
        if len(found) == 1:
            expected[run] = ("ACCEPTED", found[0][0], int(found[0][1]))
        else:
            expected[run] = ("CONFLICT" if found else "UNCLAIMED", None, None)
    return expected
