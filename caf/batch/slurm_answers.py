"""What Slurm's clients say, understood: pure functions on texts, as seen from Slurm 22.05 and 24.11.

Fields are separated by the character US (0x1f), which reasons, names and comments do not hold, unlike blanks, commas
and bars. States and reasons are those of squeue(1); a state that is not listed here is unknown.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from caf.batch.interface import BatchRefused
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

_PARTITION = "correct `queue`; `sinfo` lists the partitions"
_SIZE = "correct `cpus`, `memory` or `options`; `sinfo -o '%P %c %m %l'` lists what there is"
_ACCOUNT = "correct `group`; `sacctmgr show assoc where user=$USER` lists the accounts"
_TIME = "correct `walltime`"
_OPTIONS = "correct `options`"
_ASK = "ask the site's administrators"
REFUSALS = {
    "Invalid partition name specified": _PARTITION,
    "No partition specified or system default partition": _PARTITION,
    "User's group not permitted to use this partition": _PARTITION,
    "Required partition not available": _PARTITION,
    "Requested nodes not in this partition": _OPTIONS,
    "Invalid account": _ACCOUNT,
    "Invalid qos": _OPTIONS,
    "Invalid wckey": _OPTIONS,
    "Job violates accounting/QOS policy": "ask for less, or for fewer jobs at once (`slots`)",
    "Requested account has breached requested QOS usage threshold": _ASK,
    "Requested node configuration is not available": _SIZE,
    "More processors requested than permitted": _SIZE,
    "Requested more tasks than available processors": _SIZE,
    "Node count specification invalid": _OPTIONS,
    "CPU count": _SIZE,
    "Memory required by task is not available": _SIZE,
    "Task count specification invalid": _OPTIONS,
    "Requested time limit is invalid": _TIME,
    "Time limit specification required": _TIME,
    "Invalid time-min specification": _OPTIONS,
    "Invalid feature specification": _OPTIONS,
    "Invalid generic resource": _OPTIONS,
    "Invalid GRES specification": _OPTIONS,
    "Invalid Trackable RESource": _OPTIONS,
    "Invalid license specification": _OPTIONS,
    "Invalid job array specification": _OPTIONS,
    "Invalid hold": _OPTIONS,
    "Job dependency problem": _OPTIONS,
    "Requested reservation is invalid": _OPTIONS,
    "Access denied to requested reservation": _OPTIONS,
    "Access/permission denied": _ASK,
    "Invalid user id": _ASK,
    "Invalid group id": _ASK,
    "Requested operation not supported": _OPTIONS,
    "Pathname of a file, directory or other parameter too long": "choose a shorter `work`",
    "Unspecified error": "the lines before it are the site's own; " + _ASK,
}
"""How the words after "submission failed: " begin where nothing was accepted, and what to do. All else is in doubt."""
_FAILED = re.compile(r"(?:Batch job submission failed|allocation failure): (.*)")
_NOT_SENT = re.compile(
    r"unrecognized option|invalid option|requires an argument|is ambiguous|Try \"sbatch --help\"|"
    r"[Ii]nvalid (?:--|\S+ specification|numeric|time limit|count)|Unable to open file|does not look like a batch "
    r"script|script contains DOS line breaks|Batch script is empty|Script arguments not permitted|mutually exclusive"
)
"""What sbatch says of its own arguments, before it asks anybody."""
_BATCH_ID = re.compile(r"([1-9][0-9]*)(?:;[^\s;]+)?")


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


def batch_id_of(out: str) -> str | None:
    """Give the id that `sbatch --parsable` printed, among whatever a site's own words add; None if not exactly one."""
    found = [match[1] for line in out.split("\n") if (match := _BATCH_ID.fullmatch(line.strip()))]
    return found[0] if len(found) == 1 else None


def refusal(err: str) -> str | None:
    """Give what to do about a submission of which it is sure that nothing was accepted; None: that is not sure."""
    for words in _FAILED.findall(err):
        for known, way_out in REFUSALS.items():
            if words.startswith(known):
                return way_out
        return None
    return _OPTIONS if _NOT_SENT.search(err) else None


FORBIDDEN = {
    "array": "one job is handed over at a time",
    "clusters": "name another cluster by SLURM_CONF",
    "help": "it submits nothing",
    "test-only": "it submits nothing",
    "usage": "it submits nothing",
    "version": "it submits nothing",
    "wait": "caf does not wait for a job's end",
    "wrap": "the command of a job is `command`",
}
_SHORT = {"a": "array", "M": "clusters", "h": "help", "V": "version", "W": "wait"}
_WITHOUT_A_VALUE = re.compile(
    r"--(?:contiguous|exclusive|get-user-env|hold|ignore-pbs|no-kill|(?:no-)?requeue|overcommit|oversubscribe|parsable|"
    r"quiet|reboot|spread-job|use-min-nodes|verbose)|-[HOQksv]"
)


def check_options(options: Sequence[str]) -> None:
    """Refuse options that would have sbatch do something else than submit this one job. BatchRefused says which.

    A word that is neither an option nor an option's value would be taken for the script.
    """
    takes_value = False
    for word in options:
        if not word.startswith("-"):
            if not takes_value:
                raise BatchRefused(f"options: '{word}' is no option of sbatch: write --name=value; correct `options`")
            takes_value = False
            continue
        name = word[2:].partition("=")[0] if word.startswith("--") else _SHORT.get(word[1:2], "")
        if word in {"-", "--"}:
            raise BatchRefused(f"options: '{word}' ends the options of sbatch: correct `options`")
        # sbatch takes the beginning of an option's name for the whole.
        meant = next((full for full in FORBIDDEN if name and full.startswith(name) and len(name) > 2), None)
        if meant is not None:
            raise BatchRefused(f"options: '{word}' cannot be used: {FORBIDDEN[meant]}; correct `options`")
        attached = "=" in word or (not word.startswith("--") and len(word) > 2)
        takes_value = not attached and _WITHOUT_A_VALUE.fullmatch(word) is None
