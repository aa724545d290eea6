"""What the stand-in's clients say: words and shapes that were seen of LSF's relatives, or are documented of IBM's."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

FIELDS = {
    "ibm": {"jobid", "stat", "job_name", "exit_code", "exit_reason", "pend_reason", "exec_host", "queue", "user"},
    "lsf9": {"jobid", "stat", "job_name", "exit_code", "exit_reason", "pend_reason", "exec_host", "queue", "user"},
    "volclava": {"jobid", "stat", "job_name", "exec_host", "queue", "user", "from_host", "submit_time"},
    "openlava": set(),
}
VERSION = {
    "ibm": "IBM Spectrum LSF Standard 10.1.0.14, Jul 12 2024",
    "lsf9": "Platform LSF 9.1.3.0, Jul 04 2014",
    "volclava": "volclava project 2.2, Jul 1 2026",
    "openlava": "openlava project 4.0, Nov 1 2016",
}
HEADER = "JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME"


@dataclass
class Job:
    """One job of the queue."""

    number: int
    name: str
    queue: str
    command: str
    env: dict[str, str]
    options: dict[str, str]
    user: str = "calib"
    group: str = ""
    slots: int = 1
    stat: str = "PEND"
    code: int | None = None
    term: str = ""
    why: str = "New job is waiting for scheduling"
    pid: int | None = None
    submitted: float = field(default_factory=time.time)
    visible_at: float = 0.0
    forgotten_at: float = float("inf")
    unknown_until: float = 0.0
    lives: int = 0
    events: list[tuple[float, str]] = field(default_factory=list)

    @property
    def over(self) -> bool:
        return self.stat in {"DONE", "EXIT"}

    @property
    def shown(self) -> str:
        return "UNKWN" if time.time() < self.unknown_until and not self.over else self.stat

    @property
    def hosts(self) -> str:
        if self.stat in {"PEND", "PSUSP"}:
            return "-"
        return f"{self.slots}*node1" if self.slots > 1 else "node1"

    def told(self, name: str, flavour: str) -> str:
        reason = f"{self.term}: job killed" if self.term else ""
        return {
            "jobid": str(self.number),
            "stat": self.shown,
            "job_name": self.name,
            "exit_code": str(self.code) if self.code else "-" if flavour == "lsf9" else "",
            "exit_reason": reason or ("-" if flavour == "lsf9" else ""),
            "pend_reason": f"{self.why};" if self.stat in {"PEND", "PSUSP"} else "-",
            "exec_host": self.hosts,
            "queue": self.queue,
            "user": self.user,
        }.get(name, "-")


def as_json(jobs: Sequence[Job], fields: Sequence[str], flavour: str) -> str:
    records = [{name.upper(): job.told(name, flavour) for name in fields} for job in jobs]
    return json.dumps({"COMMAND": "bjobs", "JOBS": len(records), "RECORDS": records}, indent=2) + "\n"


def as_fields(jobs: Sequence[Job], fields: Sequence[str], delimiter: str, flavour: str) -> str:
    return "".join(delimiter.join(job.told(name, flavour) for name in fields) + "\n" for job in jobs)


def as_table(jobs: Sequence[Job]) -> str:
    lines = [HEADER]
    for job in jobs:
        when = time.strftime("%b %d %H:%M", time.localtime(job.submitted))
        hosts = "   -    " if job.hosts == "-" else job.hosts
        lines.append(
            f"{job.number:<7d} {job.user:<7s} {job.shown:<5.5s} {job.queue:<10s} {'front':<11s} {hosts:<11s} "
            f"{job.name:<10s} {when}"
        )
    return "\n".join(lines) + "\n"


def with_reasons(jobs: Sequence[Job]) -> str:
    """As `bjobs -p`."""
    text = "JOBID   USER    STAT  QUEUE       FROM_HOST      JOB_NAME           SUBMIT_TIME\n"
    for job in jobs:
        row = f"{job.number:<7d} {job.user:<7.7s} {job.stat:<5.5s} {job.queue:<11.11s} {'front':<14.14s} "
        text += f"{row}{'*' + job.name[-17:]:<18.18s} Nov 22 12:00\n {job.why}: 1 host;\n"
    return text


def at_length(jobs: Sequence[Job], *, status: bool) -> str:
    """As `bjobs -l` (with `status`) and `bhist -l`: broken after 80 columns, within words too."""
    told = []
    for job in jobs:
        header = f"Job <{job.number}>, Job Name <{job.name}>, User <{job.user}>, Project <default>, "
        header += f"Status <{job.shown}>, Queue <{job.queue}>, " if status else ""
        lines = [f"{header}Command <{job.command}>"]
        lines += [f"{time.strftime('%a %b %e %H:%M:%S', time.localtime(at))}: {event}" for at, event in job.events]
        told.append("\n".join(broken(line) for line in lines))
    return (
        "\n" + "\n------------------------------------------------------------------------------\n\n".join(told) + "\n"
    )


def broken(line: str) -> str:
    pieces = [line[:79]]
    pieces += [line[at : at + 58] for at in range(79, len(line), 58)]
    return f"\n{' ' * 21}".join(pieces)
