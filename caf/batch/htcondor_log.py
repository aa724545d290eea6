"""HTCondor's user log of an attempt: events that it writes as they happen, for those who do not ask.

An event begins with its number and the job's id and ends with a line `...`; the numbers are in HTCondor's manual, "Job
Event Log Codes". Only what has ended is taken from here: for all else the queue is asked.
"""

import re
from dataclasses import dataclass

from caf.batch.htcondor_ads import completed, removed
from caf.domain.following import Sighting

_EVENT = re.compile(r"^(\d{3}) \((\d+)\.(\d+)\.\d+\) ")
_NORMAL = re.compile(r"^\s*\(1\) Normal termination \(return value (\d+)\)", re.MULTILINE)
_ABNORMAL = re.compile(r"^\s*\(0\) Abnormal termination \(signal (\d+)\)", re.MULTILINE)
_CODE = re.compile(r"^\s*Code (\d+) Subcode (\d+)", re.MULTILINE)
SUBMIT, EXECUTE, TERMINATED, ABORTED, HELD, RELEASED = "000", "001", "005", "009", "012", "013"


@dataclass(slots=True)
class _Told:
    """What the log tells of one job so far."""

    ours: bool = False
    starts: int = 0
    held: tuple[object, object, str] | None = None
    end: Sighting | None = None


def ends_in(text: str, token: str) -> list[Sighting] | None:
    """Give the ends of the jobs that carry the token; None unless there are some and all of them have ended.

    A last event that is not whole yet is not read.
    """
    told: dict[str, _Told] = {}
    for event in text.split("\n...\n")[:-1]:
        if head := _EVENT.match(event):
            batch_id = f"{int(head[2])}.{int(head[3])}"
            _hear(told.setdefault(batch_id, _Told()), head[1], event, batch_id, token)
    ours = [one.end for one in told.values() if one.ours]
    ends = [end for end in ours if end is not None]
    return ends if ends and len(ends) == len(ours) else None


def _hear(job: _Told, number: str, event: str, batch_id: str, token: str) -> None:
    lines = [line.strip() for line in event.splitlines()]
    if number == SUBMIT:
        job.ours = token in lines
    elif number == EXECUTE:
        job.starts += 1
    elif number == HELD:
        code = _CODE.search(event)
        said = lines[1] if len(lines) > 1 else ""
        job.held = (int(code[1]), int(code[2]), said) if code else (None, None, said)
    elif number == RELEASED:
        job.held = None
    elif number == ABORTED:
        job.end = removed(batch_id, lines[1] if len(lines) > 1 else "it does not say why", job.held)
    elif number == TERMINATED and (normal := _NORMAL.search(event)):
        job.end = completed(batch_id, int(normal[1]), by_signal=False, starts=job.starts)
    elif number == TERMINATED and (abnormal := _ABNORMAL.search(event)):
        job.end = completed(batch_id, int(abnormal[1]), by_signal=True, starts=job.starts)
