"""What HTCondor is given: the submit description of an attempt, as arguments of condor_submit, and its answer read.

Facts are from condor_submit(1) of HTCondor 23 and from a real one. The description is given as arguments, one command
each, so that there is no file to be written, and no line of `options` can swallow the next.
"""

import math
import re
from collections.abc import Sequence
from pathlib import PurePath

from caf.batch.interface import BatchFull, BatchRefused, Submission
from caf.batch.running import Said
from caf.domain.errors import BatchError

LOG = "log/htcondor.log"
"""The user log of an attempt, in its area: written by HTCondor itself, and read when a job is not in the queue."""
NO_LOGS = "/eos/"
"""Where no user log is written: HTCondor locks and appends to it, which EOS does not bear."""
ID_VARIABLE = "CAF_HTCONDOR_ID"
MEBIBYTE = 1 << 20
VACATE = 1  # s between TERM and KILL: TERM comes to the wrapper alone, which outlives it, and never to the payload
KEPT_HELD = 3600  # s for which a held job is left to be looked at, by caf too, before it removes itself
WALLTIME, PUT_BACK = 1, 2  # our subcodes of hold code 3, the job's own policy
BY_HAND = (1, 15, 16)  # hold codes: by a person, at submission, while its files are spooled; it may be released

# Nothing was accepted, but not because of the job: the schedd or its security did not answer, or it takes no more now.
_NOT_ITS_FAULT = re.compile(
    r"SECMAN|AUTHENTICAT|\bcredential|\bticket|\btoken|unknown host|failed to connect|can't (find|connect)|"
    r"unable to (find|contact|locate)|timed? ?out|communicat|network|disconnect|cannot allocate|too many|no space|"
    r"not responding",
    re.IGNORECASE,
)
_FULL = re.compile(r"exceed MAX_JOBS|MAX_JOBS_\w+ exceeded")
_ACCEPTED = re.compile(r"^(\d+)\.(\d+) - (\d+)\.(\d+)$", re.MULTILINE)


def submit_arguments(submission: Submission) -> list[str]:
    """Give the whole command line. BatchRefused for what cannot be told to HTCondor."""
    requirements, appended = _options(submission.options)
    commands = description(submission)
    commands["requirements"] = " && ".join(f"({one})" for one in (commands["requirements"], *requirements))
    given = [f"{name}={value}" for name, value in commands.items()]
    return [
        "condor_submit",
        "-terse",
        *given,
        *(part for line in appended for part in ("-append", line)),
        "-queue",
        "1",
    ]


def description(submission: Submission) -> dict[str, str]:
    """Give the commands of the submit description, `options` left out.

    A job that has begun is never begun again: what HTCondor puts back into its queue matches nothing, and is held. It
    is held too when its walltime is over. So the reason of a bad end stands in the queue for an hour.
    """
    area = PurePath(submission.script).parent
    commands = {
        "universe": "vanilla",
        "executable": "/bin/sh",
        "transfer_executable": "False",
        "should_transfer_files": "NO",
        "arguments": f'"{_quoted(submission.script)}"',
        "environment": f'"{ID_VARIABLE}=$(ClusterId).$(ProcId)"',
        "initialdir": _plain(str(area)),
        "output": _plain(f"{area}/log/batch.out"),
        "error": _plain(f"{area}/log/batch.out"),
        "My.CafToken": as_string(submission.token),
        "batch_name": submission.token,
        "submit_event_notes": submission.token,
        "notification": "never",
        "max_retries": "0",
        "job_max_vacate_time": str(VACATE),
        "requirements": "NumJobStarts == 0",
        "periodic_remove": f"JobStatus == 5 && {_not_by_hand()} && time() - EnteredCurrentStatus > {KEPT_HELD}",
        "request_cpus": str(submission.cpus),
    }
    commands |= _policy(submission.walltime)
    if not str(area).startswith(NO_LOGS):
        commands["log"] = _plain(f"{area}/{LOG}")
    if submission.memory is not None:
        commands["request_memory"] = str(math.ceil(submission.memory / MEBIBYTE))
    if submission.group is not None:
        commands["accounting_group"] = _plain(submission.group)
    if submission.queue is not None:
        commands["My.JobFlavour"] = as_string(_plain(submission.queue))
    elif submission.walltime is not None:
        commands["My.MaxRuntime"] = str(math.ceil(submission.walltime))
    return commands


def _policy(walltime: float | None) -> dict[str, str]:
    """Give what a job is held for. Not allowed_job_duration: versions before 9 do not know it."""
    back = "JobStatus == 1 && NumJobStarts > 0"
    put_back = '"caf: it was started and then put back into the queue"'
    if walltime is None:
        return {
            "periodic_hold": back,
            "periodic_hold_reason": put_back,
            "periodic_hold_subcode": str(PUT_BACK),
        }
    seconds = math.ceil(walltime)
    over = f'"caf: it ran longer than its walltime of {seconds} s"'
    return {
        "periodic_hold": f"({back}) || (JobStatus == 2 && time() - JobCurrentStartDate > {seconds})",
        "periodic_hold_reason": f"ifThenElse(JobStatus == 1, {put_back}, {over})",
        "periodic_hold_subcode": f"ifThenElse(JobStatus == 1, {PUT_BACK}, {WALLTIME})",
    }


def _not_by_hand() -> str:
    return " && ".join(f"HoldReasonCode =!= {code}" for code in BY_HAND)


def _options(options: Sequence[str]) -> tuple[list[str], list[str]]:
    """Give the requirements among the administrator's lines, which come to ours, and the other lines."""
    requirements, appended = [], []
    for line in options:
        name, equals, value = line.partition("=")
        key = name.strip().lower()
        if not line.isprintable() or re.match(r"queue\b", key):
            raise BatchRefused(
                f"options: {line!r} is not one command of a submit description: correct `options` in listeners.toml"
            )
        if equals and key == "requirements":
            requirements.append(value.strip())
        elif key:
            appended.append(line)
    return requirements, appended


def _plain(text: str) -> str:
    """Give a text that condor_submit takes as it is: a dollar sign would begin a macro."""
    if not text.isprintable() or "$$(" in text or text != text.strip():
        raise BatchRefused(f"{text!r} cannot be told to HTCondor: rename it")
    return text.replace("$", "$(DOLLAR)")


def _quoted(text: str) -> str:
    """Give one argument in the new syntax of condor_submit, to stand between double quotes."""
    return "'" + _plain(text).replace("'", "''").replace('"', '""') + "'"


def as_string(text: str) -> str:
    """Give a text as a string of a ClassAd."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def accepted_as(said: Said) -> str:
    """Read what condor_submit said, and give the job's id. BatchRefused, or BatchError where it may be in."""
    if said.code != 0:
        words = said.words()
        if said.code > 0 and _FULL.search(words):
            raise BatchFull(f"condor_submit: {words}: it is tried again; fewer `slots` keep caf below that limit")
        if said.code < 0 or _NOT_ITS_FAULT.search(words):
            raise BatchError(f"condor_submit: {words}: try `condor_q` by hand")
        raise BatchRefused(f"condor_submit: {words}: correct the job's `options`, `group` or sizes in listeners.toml")
    found = _ACCEPTED.search(said.out)
    if found is None:
        raise ValueError(said.out)
    return f"{found[1]}.{found[2]}"
