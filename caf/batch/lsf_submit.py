"""How an attempt is handed over by bsub: its arguments, and what it says to them.

LSF has one word for yes, `Job <123> is submitted to ... queue`, whatever else sites have it print; its exit status
tells nothing. Its relatives (OpenLava, Volclava) have fewer options, and take the beginning of an option for the whole:
`-cwd FOLDER` would be a limit `wd` and a command FOLDER there. So nothing is given that they read in another way.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from os.path import dirname

from caf.batch.interface import BatchRefused, Submission
from caf.batch.running import Said

ID_VARIABLE = "LSB_JOBID"
_UNITS = {name: 1024**power for power, name in enumerate(("KB", "MB", "GB", "TB", "PB", "EB"), 1)}
_PLAIN = re.compile(r"[\w./+:@=,-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What is known of the site's bsub. `reruns`: it can be told not to run a job again; `groups`: it knows -G.

    `unit` is what sizes are counted in, LSF_UNIT_FOR_LIMITS of lsf.conf; None where that is not set.
    """

    reruns: bool = True
    groups: bool = True
    unit: str | None = None


PLAIN = Dialect(reruns=False, groups=False)


def unit_of(conf: str) -> str | None:
    """Give the unit for sizes that a text of lsf.conf sets; None if it sets none."""
    found = re.findall(r"^\s*LSF_UNIT_FOR_LIMITS\s*=\s*\"?([A-Za-z]+)", conf, re.MULTILINE)
    unit = found[-1].upper() if found else ""
    unit = unit if unit.endswith("B") else f"{unit}B"
    return unit if unit in _UNITS else None


def arguments(submission: Submission, dialect: Dialect) -> list[str]:
    """Give the argument list of bsub. BatchRefused if the job's `options` make it do something else.

    What `options` ask for is not asked for a second time. The job begins in "/", where this client is run, which every
    node has; its script enters the working area. LSF counts time in whole minutes.
    """
    check_options(submission.options)
    area = dirname(submission.script)
    asked = ["-rn"] if dialect.reruns else []  # first, as a bsub that does not know it gives up there
    asked += ["-J", submission.token]
    wanted = {
        "q": submission.queue,
        "G": submission.group if dialect.groups else None,
        "n": str(submission.cpus) if submission.cpus > 1 else None,
        "M": None if submission.memory is None else _size(submission.memory, dialect.unit or "KB"),
        "W": None if submission.walltime is None else str(max(1, ceil(submission.walltime / 60))),
        "R": _resources(submission, dialect.unit or "MB"),
    }
    for name, text in wanted.items():
        if text is not None and not _gives(submission.options, name):
            asked += [f"-{name}", text]
    # %J and %I are filled in by LSF, in folders too.
    out = f"{area}/log/batch.out" if _PLAIN.fullmatch(area) else "/dev/null"
    return ["bsub", *asked, *submission.options, "-o", out, *_command(submission.script)]


def _size(size: int, unit: str) -> str:
    return str(max(1, ceil(size / _UNITS[unit])))


def _resources(submission: Submission, unit: str) -> str | None:
    """Give what is asked of hosts, in one text: relatives take one -R only."""
    memory = [] if submission.memory is None else [f"rusage[mem={_size(submission.memory, unit)}]"]
    return " ".join(memory + (["span[hosts=1]"] if submission.cpus > 1 else [])) or None


def _gives(options: Sequence[str], name: str) -> bool:
    return any(re.match(rf"-{name}(?:[^A-Za-z]|$)", word) for word in options)


def _command(script: str) -> list[str]:
    """Give the job's command. LSF makes one text of all words and has a shell on the node read it.

    It quotes by rules of its own, and the first word not at all, so what is not plain is quoted here, as one word.
    """
    return ["/bin/sh", script] if _PLAIN.fullmatch(script) else [f"/bin/sh {shlex.quote(script)}"]


FORBIDDEN = {
    "J": "it is the token, by which the job is found again",
    "I": "nobody sits at a terminal",
    "K": "caf does not wait for a job's end",
    "Z": "the script is read in its working area",
    "i": "a job reads nothing",
    "o": "it goes to log/batch.out",
    "e": "it goes to log/batch.out",
    "pack": "one job is handed over at a time",
    "json": "one job is handed over at a time",
    "jsdl": "one job is handed over at a time",
    "yaml": "one job is handed over at a time",
    "h": "it submits nothing",
    "V": "it submits nothing",
    "r": "a job runs once: caf makes another attempt",
}
_ALLOWED_ALL_THE_SAME = re.compile(r"-(?:env|eptl|outdir|hl|hostfile|rn|rcacct)")
_OPTIONS = (
    "a app b c C clusters csm cwd D data datagrp E Ep env eptl ext extsched f F freq g G gpu hostfile k L Lp m M mig n "
    "outdir P p ptl q Q R rcacct S s sla sp stage t T u U v w W wa We wt X"
)
_WITH_A_VALUE = frozenset(_OPTIONS.split())


def check_options(options: Sequence[str]) -> None:
    """Refuse options that would have bsub do something else than submit this one job. BatchRefused says which.

    A word that is neither an option nor an option's value would be taken for the command.
    """
    takes_value = False
    for word in options:
        if takes_value:
            takes_value = False
            continue
        if not word.startswith("-") or word in {"-", "--"}:
            raise BatchRefused(f"options: '{word}' is no option of bsub, nor the value of one; correct `options`")
        takes_value = word[1:] in _WITH_A_VALUE
        if takes_value or _ALLOWED_ALL_THE_SAME.match(word):
            continue
        for name, why in FORBIDDEN.items():
            if word[1:].startswith(name):
                raise BatchRefused(f"options: '{word}' cannot be used: {why}; correct `options`")
    if takes_value:
        raise BatchRefused(f"options: '{options[-1]}' lacks its value; correct `options`")


_ACCEPTED = re.compile(r"Job <([0-9]+)> is submitted to .*queue")
NO = "Job not submitted"
NOT_UNDERSTOOD = re.compile(
    r"^\s*usage\b|(?:illegal|invalid|unrecognized|unknown) option|cannot have an argument|requires an argument|"
    r"bad option|not a valid (?:field|option)|invalid (?:field|format|syntax)|bad field",
    re.IGNORECASE | re.MULTILINE,
)
"""What clients of LSF and its relatives say of options and fields that they do not know."""
AWAY = re.compile(
    r"LSF is down|LSF daemons?|please wait|not responding|cannot connect|communication time|connection refused|"
    r"timeout on connect|time.?out|LSF library call|system call failed|internal error|server (?:is not|connection)|"
    r"protocol error|(?-i:XDR)|unable to contact|not registered|LIM (?:is )?down|cannot (?:fork|allocate|get master)|"
    r"operation is in progress|bind to an appropriate port|lsb_init|lsf_?initialize|spool|mbatchd|still trying|"
    r"authentication",
    re.IGNORECASE,
)
"""How it says that it cannot answer now: nothing is known then."""
_QUEUE = "correct `queue`; `bqueues -u $USER` lists those that take jobs"
_SIZE = "correct `cpus`, `memory`, `walltime` or `queue`; `bqueues -l QUEUE` shows its limits"
_HOSTS = "correct `options`; `bhosts` and `lshosts` list what there is"
_GROUP = "correct `group`; `bugroup` lists the groups"
_FEWER = "it is tried again; fewer `slots` keep caf below that limit"
_FULL = re.compile(r"[Pp]ending job|job limit")
_ASK = "ask the site's administrators"
_REFUSALS = {
    "No such queue": _QUEUE,
    "Queue has been closed": "an administrator has closed it: ask there, or correct `queue`",
    "User cannot use the queue": _QUEUE,
    "Queue name must be specified": _QUEUE,
    "Queue does not accept": _QUEUE,
    "Queue only accepts": _QUEUE,
    "Cannot exceed queue's": _SIZE,
    "processors requested": _SIZE,
    "job slots": "ask for less, or for fewer jobs at once (`slots`)",
    "ending job": _FEWER,
    "job limit": _FEWER,
    "resource requirement": _HOSTS,
    "Bad resource name": _HOSTS,
    "Bad host": _HOSTS,
    "user group": _GROUP,
    "No such user/host group": _GROUP,
    "Root job submission is disabled": "run the supervisor as another user, or set LSF_ROOT_REX: " + _ASK,
    "aborted by esub": "the lines before it are the site's own; correct `options`, or " + _ASK,
    "LIMIT": "correct `memory`, `walltime` or `options`",
    "rlimit specification": "correct `memory`; LSF_UNIT_FOR_LIMITS in lsf.conf says what sizes are counted in",
    "application profile": "correct `options`",
    "project": "correct `options`",
    "permission denied": _ASK,
}
"""Words of what LSF says before "Job not submitted", and what to do. These refusals are sure."""


def batch_id_of(said: Said) -> str | None:
    """Give the id of the job that bsub submitted, among whatever a site's own words add; None if not exactly one."""
    found = set(_ACCEPTED.findall(said.out) or _ACCEPTED.findall(said.err))
    return found.pop() if len(found) == 1 else None


def not_understood(said: Said) -> bool:
    """Tell whether a client gave up at its own arguments, before it asked anybody."""
    return NOT_UNDERSTOOD.search(said.err) is not None or NOT_UNDERSTOOD.search(said.out) is not None


def takes_no_more(said: Said) -> bool:
    """Tell whether it was refused for now: too many jobs are pending, or out, already."""
    return _FULL.search(f"{said.err}\n{said.out}") is not None


def refusal(said: Said) -> str | None:
    """Give what to do about a submission of which it is sure that nothing was accepted; None: that is not sure."""
    text = f"{said.err}\n{said.out}"
    if NO in text and AWAY.search(text) is None:
        way_out = next((advice for words, advice in _REFUSALS.items() if words in text), None)
        return way_out or ("correct `options`" if not_understood(said) else "see `bsub -h`, or " + _ASK)
    if not_understood(said) and AWAY.search(text) is None:
        return "correct `options`"
    return None
