"""What Slurm's clients say, understood: pure functions on texts, as seen from Slurm 22.05 and 24.11.

Fields are separated by the character US (0x1f), which reasons, names and comments do not hold, unlike blanks, commas
and bars. States and reasons are those of squeue(1); a state that is not listed here is unknown.
"""

import re
from typing import NamedTuple

from caf.domain.following import Sight, Sighting
from caf.domain.jobs import Result

US = "\x1f"
QUEUE_FORMAT = US.join(("%A", "%j", "%T", "%k", "%r"))  # id, name, state, comment, reason
ACCOUNT_FIELDS = "JobID,JobName,State,ExitCode"
USE_FORMAT = US.join(("%A", "%j", "%C"))
PARTITION_FORMAT = US.join(("%P", "%a", "%l"))

_LIVING = {
    Sight.PENDING: "PENDING CONFIGURING REQUEUED REQUEUE_HOLD REQUEUE_FED SPECIAL_EXIT RESV_DEL_HOLD POWER_UP_NODE",
    Sight.RUNNING: "RUNNING COMPLETING SUSPENDED STOPPED SIGNALING RESIZING STAGE_OUT UPDATE_DB EXPEDITING",
}
SIGHTS = {state: sight for sight, states in _LIVING.items() for state in states.split()}
ENDS: dict[str, Result | None] = {
    "COMPLETED": None,
    "FAILED": None,
    "CANCELLED": None,
    "DEADLINE": None,
    "TIMEOUT": Result.WALLTIME,
    "OUT_OF_MEMORY": Result.MEMORY,
    "NODE_FAIL": Result.NODE,
    "PREEMPTED": Result.NODE,
    "BOOT_FAIL": Result.NODE,
    "LAUNCH_FAILED": Result.NODE,
    "RECONFIG_FAIL": Result.NODE,
}
HOPELESS = {
    "PartitionConfig": "no node of its partition has what it asks for: correct `cpus`, `memory` or `queue`",
    "PartitionNodeLimit": "it asks for more nodes than the partition gives: correct `options` or `queue`",
    "PartitionTimeLimit": "it asks for more time than the partition gives: correct `walltime` or `queue`",
    "PartitionDown": "an administrator has set the partition down: ask there, or correct `queue`",
    "PartitionInactive": "an administrator has set the partition inactive: ask there, or correct `queue`",
    "BadConstraints": "no node has what `options` ask for: correct them",
    "DependencyNeverSatisfied": "what `options` have it wait for has failed: correct them",
    "JobHeldUser": "somebody holds it: `scontrol release` lets it go",
    "JobHeldAdmin": "an administrator holds it: ask there",
    "AccountNotAllowed": "its account may not use the partition: correct `group` or `queue`",
    "QOSNotAllowed": "its QOS may not be used there: correct `options` or `group`",
    "QOSTimeLimit": "it asks for more time than its QOS gives: correct `walltime` or `options`",
    "AssociationTimeLimit": "it asks for more time than its account gives: correct `walltime`",
}
"""Reasons of a pending job that do not pass by themselves. So is every other one that begins with "Invalid", and those
of a limit for one job (QOSMaxWallDurationPerJobLimit, AssocMaxCpuPerJobLimit and so on)."""
_OF_ONE_JOB = re.compile(r"(?:QOSMax|AssocMax)\w*PerJob(?:Limit)?")


class Row(NamedTuple):
    """One batch job of squeue's answer."""

    batch_id: str
    name: str
    state: str
    comment: str
    reason: str


def parse_queue(text: str) -> tuple[list[Row], list[str]]:
    """Give the rows of a squeue with QUEUE_FORMAT, and the lines that are none."""
    rows, unreadable = [], []
    for line in text.split("\n"):
        fields = line.split(US, 4)
        if len(fields) == 5 and fields[0].isdecimal() and US not in fields[4]:
            rows.append(Row(*fields))
        elif line.strip():
            unreadable.append(line)
    return rows, unreadable


def sighting(row: Row) -> Sighting:
    """Give what a row of squeue says of its job."""
    state, reason = row.state, row.reason.strip()
    sight = SIGHTS.get(state)
    if sight is Sight.RUNNING:
        return Sighting(sight, row.batch_id, None if state == "RUNNING" else state)
    if sight is Sight.PENDING:
        told = reason if reason not in {"", "None"} else ""
        why = ", ".join(part for part in (state if state != "PENDING" else "", told) if part) or "pending"
        way_out = hopeless(told)
        return Sighting(sight, row.batch_id, f"{why}: {way_out}" if way_out else why, stuck=way_out is not None)
    if state in ENDS:
        told = "" if reason in {"", "None", "NonZeroExitCode", "TimeLimit"} else f" ({reason})"
        code = 0 if state == "COMPLETED" else None
        return Sighting(Sight.ENDED, row.batch_id, f"Slurm says {state}{told}", ENDS[state], exit_code=code)
    return Sighting(Sight.UNKNOWN, row.batch_id, f"Slurm says {state}, which caf does not know")


def hopeless(reason: str) -> str | None:
    """Give what to do about the reason of a pending job that does not pass by itself; None for one that does."""
    word = re.match(r"\w*", reason)
    name = word[0] if word else ""
    if name in HOPELESS:
        return HOPELESS[name]
    if name.startswith("Invalid"):
        return "correct `queue`, `group` or `options`"
    return (
        "it asks for more than one job may have: correct `cpus`, `memory` or `walltime`"
        if _OF_ONE_JOB.fullmatch(name)
        else None
    )


def parse_accounts(text: str) -> tuple[dict[str, list[Sighting]], list[str]]:
    """Give what the rows of a sacct with ACCOUNT_FIELDS say, by the job's name, and the lines that are none."""
    found: dict[str, list[Sighting]] = {}
    unreadable = []
    for line in text.split("\n"):
        fields = line.split(US)
        if len(fields) == 4 and fields[0][:1].isdecimal():
            batch_id, name, state, code = fields
            found.setdefault(name, []).append(_accounted(batch_id, state, code))
        elif line.strip():
            unreadable.append(line)
    return found, unreadable


def _accounted(batch_id: str, state: str, code: str) -> Sighting:
    word = (state.split() or [""])[0]
    if word not in ENDS:
        why = f"squeue does not show it, though the accounting says {state or 'nothing'}"
        return Sighting(Sight.UNKNOWN, batch_id, why)
    known = re.fullmatch(r"([0-9]+):([0-9]+)", code)
    status, number = (int(known[1]), int(known[2])) if known else (0, 0)
    how = f", signal {number}" if number else f", exit code {status}" if status else ""
    if (status, number) == (0, 53):
        how = ", 0:53: its working area or its log could not be opened on the node: does the node see `work`?"
    exit_code = status if known and not number and word in {"COMPLETED", "FAILED"} else None
    return Sighting(Sight.ENDED, batch_id, f"the accounting says {state}{how}", ENDS[word], exit_code=exit_code)
