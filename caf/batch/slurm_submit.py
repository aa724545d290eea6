"""How an attempt is handed over by sbatch: its arguments, and what it says to them."""

import os
import re
from collections.abc import Sequence
from math import ceil

from caf.batch.interface import BatchRefused, Submission

MEBIBYTE = 1024 * 1024


def arguments(submission: Submission) -> list[str]:
    """Give the argument list of sbatch. BatchRefused if the job's `options` make it do something else.

    `options` win over what comes before them, and over nothing that makes it the attempt's one job. Slurm counts time
    in whole minutes, and memory here in whole MiB.
    """
    check_options(submission.options)
    area = os.path.dirname(submission.script)
    asked = ["--ntasks=1", f"--cpus-per-task={submission.cpus}"]
    asked += [f"--partition={submission.queue}"] if submission.queue is not None else []
    asked += [f"--account={submission.group}"] if submission.group is not None else []
    asked += [f"--mem={max(1, ceil(submission.memory / MEBIBYTE))}M"] if submission.memory is not None else []
    asked += [f"--time={max(1, ceil(submission.walltime / 60))}"] if submission.walltime is not None else []
    own = ["--parsable", f"--job-name={submission.token}", f"--comment={submission.token}", "--no-requeue"]
    own += [f"--chdir={area}", f"--output={_literal(area)}/log/batch.out", f"--error={_literal(area)}/log/batch.out"]
    return ["sbatch", *asked, *submission.options, *own, submission.script]


def _literal(path: str) -> str:
    """Write a path so that Slurm replaces nothing in it: where it holds a backslash, none of Slurm's %-signs counts."""
    return path.replace("\\", "\\\\") if "\\" in path else path.replace("%", "%%")


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
    "Requested account has breached requested QOS usage threshold": "it is tried again, as use is forgotten with time",
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


def batch_id_of(out: str) -> str | None:
    """Give the id that `sbatch --parsable` printed, among whatever a site's own words add; None if not exactly one."""
    found = [match[1] for line in out.split("\n") if (match := _BATCH_ID.fullmatch(line.strip()))]
    return found[0] if len(found) == 1 else None


_LIMIT = re.compile(r"^(?:sbatch: (?:error: )?)?((?:QOS|Assoc|Max)[A-Za-z]+)\s*$", re.MULTILINE)
"""The limit that a job violates, on a line of its own before the words for all of them."""
_SIZE_OF_ONE = "it asks for more than one job may have: correct `cpus`, `memory` or `options`"


def takes_no_more(err: str) -> bool:
    """Tell whether it was refused for now: too many jobs are out already, or too much was used of late.

    All other limits at which sbatch refuses are about the size of this one job, also those named for a user or a group.
    """
    limit = _LIMIT.search(err)
    return "usage threshold" in err or (limit is not None and "Submit" in limit[1])


def refusal(err: str) -> str | None:
    """Give what to do about a submission of which it is sure that nothing was accepted; None: that is not sure."""
    if (limit := _LIMIT.search(err)) is not None and _FAILED.search(err):
        if "Submit" in limit[1]:
            return "it is tried again; fewer `slots` keep caf below that limit"
        return "correct `walltime` or `options`" if "Wall" in limit[1] else _SIZE_OF_ONE
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
