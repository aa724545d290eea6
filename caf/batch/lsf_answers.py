"""What bjobs says of jobs, in each of the forms that it has, read into sightings.

States are those of bjobs(1), reasons for an end those of "Termination reasons" in IBM's "Administering LSF". A state
that is not listed here is unknown. UNKWN is a host that is not heard of, and ZOMBI one whose job was killed meanwhile:
such jobs have come back, so neither is an end.
"""

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from caf.domain.following import Sight, Sighting
from caf.domain.jobs import Result

UNLIKELY = "^"  # separates fields; LSF takes one character for that, and a token holds none
RICH = ("jobid", "stat", "job_name", "exit_code", "exit_reason", "pend_reason")
LEAN = ("jobid", "stat", "job_name")
HOLDING = ("jobid", "stat", "job_name", "exec_host")


class Row(NamedTuple):
    """One batch job of an answer of bjobs; texts that were not told are empty."""

    batch_id: str
    state: str
    name: str
    exit_code: str = ""
    exit_reason: str = ""
    pend_reason: str = ""
    hosts: str = ""


class Form(NamedTuple):
    """A way to ask bjobs: for an object of JSON, for fields with a character between them, or as people do."""

    name: str
    fields: tuple[str, ...]
    json: bool = False

    def options(self, fields: tuple[str, ...]) -> list[str]:
        if self.json:
            return ["-o", " ".join(fields), "-json"]
        return ["-noheader", "-o", f"{' '.join(fields)} delimiter='{UNLIKELY}'"] if self.fields else ["-w"]

    @property
    def tells_ends(self) -> bool:
        """Whether its rows tell how a job ended, and why one is pending."""
        return self.fields == RICH


WIDE = Form("text", ())
FORMS = (
    Form("JSON", RICH, json=True),
    Form("JSON with few fields", LEAN, json=True),
    Form("delimited fields", RICH),
    WIDE,
)
"""The richest first. IBM's LSF has the first since 10.1 Fix Pack 2, Volclava the second, LSF 9 the third."""

EMPTY = re.compile(r"\bNo\b[^.\n]*\bjobs?\b[^.\n]*\bfound\b|Job <[^>\n]*> is not found", re.IGNORECASE)
"""How bjobs says that it has no such job. Nothing at all is no answer: a hiccup looks like that."""


def read_rows(form: Form, fields: tuple[str, ...], text: str, pattern: re.Pattern[str]) -> list[Row] | None:
    """Read the rows of an answer; None if there is not one, nor a table without rows.

    `pattern` finds the names that count in a table for people, whose columns cannot be told apart.
    """
    if form.json:
        return _of_json(text)
    if form.fields:
        return _of_fields(fields, text)
    return _of_table(text, pattern)


def _of_json(text: str) -> list[Row] | None:
    """Read one object, among whatever warnings are round it. Records that have an ERROR are ids that are not known."""
    begin, end = text.find("{"), text.rfind("}")
    try:
        answer = json.loads(text[begin : end + 1], strict=False) if begin >= 0 else None
    except ValueError:
        return None
    records = answer.get("RECORDS") if isinstance(answer, dict) else None
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        return None
    return [_row(tuple(record), tuple(map(str, record.values()))) for record in records if "ERROR" not in record]


@lru_cache(maxsize=64)
def _places(fields: tuple[str, ...]) -> tuple[int, ...]:
    """Give where each text of a Row stands among these fields; where it does not, behind them all."""
    known = [name.lower() for name in fields]
    names = ("jobid", "stat", "job_name", "exit_code", "exit_reason", "pend_reason", "exec_host")
    return tuple(known.index(name) if name in known else len(known) for name in names)


def _row(fields: tuple[str, ...], told: Sequence[str]) -> Row:
    texts = [text if text != "-" else "" for text in map(str.strip, (*told, ""))]
    return Row(*[texts[place] for place in _places(fields)])


def _of_fields(fields: tuple[str, ...], text: str) -> list[Row] | None:
    rows = []
    for line in text.splitlines():
        told = line.split(UNLIKELY, len(fields) - 1)
        if len(told) == len(fields) and re.match(r"[0-9]", told[0].strip()):
            rows.append(_row(fields, told))
    return rows or None


def _of_table(text: str, pattern: re.Pattern[str]) -> list[Row] | None:
    """Read a table: id, user and state come first and hold no blanks; the name is found, wherever it is."""
    rows = []
    for line in text.splitlines():
        told = line.split()
        if len(told) >= 6 and told[0].isdecimal() and not line[0].isspace():
            name = pattern.search(line)
            rows.append(Row(told[0], told[2], name[0] if name else "", hosts=told[5]))
    return rows or ([] if text.lstrip().startswith("JOBID") else None)


_LIVING = {
    Sight.PENDING: "PEND PSUSP PROV WAIT FWD_PEND",
    Sight.RUNNING: "RUN USUSP SSUSP",
    Sight.ENDED: "DONE EXIT POST_DONE POST_ERR PDONE PERR",
}
SIGHTS = {state: sight for sight, states in _LIVING.items() for state in states.split()}
LOST = {
    "UNKWN": "LSF has lost its host (UNKWN): it may still run there, and come back",
    "ZOMBI": "LSF has lost its host and is to end it once that is back (ZOMBI): it may still run there",
}
_SUSPENDED = {
    "USUSP": "suspended by somebody (USUSP): `bresume {id}` lets it go on",
    "SSUSP": "suspended by LSF (SSUSP)",
}
_OF_THE_SITE = (
    "PREEMPT WINDOW WINDOWS LOAD OTHER ZOMBIE RMS SLURM CWD_NOTEXIST REQUEUE_OWNER REQUEUE_ADMIN REQUEUE_RC MC_RECALL "
    "RC_RECLAIM CSM_ALLOC KUBE DATA CHKPNT ORPHAN_SYSTEM"
)
TERMS = {
    **dict.fromkeys(("MEMLIMIT", "SWAP", "SWAPLIMIT"), Result.MEMORY),
    **dict.fromkeys(("RUNLIMIT", "DEADLINE", "CPULIMIT"), Result.WALLTIME),
    **dict.fromkeys(_OF_THE_SITE.split(), Result.NODE),
}
"""Reasons for an end, without TERM_, that tell a result. Those of people, and a payload's own, tell none."""
REMOVED = ("FORCE_OWNER", "FORCE_ADMIN", "REMOVE_HUNG_JOB")
"""Reasons of jobs that LSF has struck off without a word of their hosts (`bkill -r`): no end of anything."""
RUN_LIMIT = 140  # 128 + SIGUSR2, which LSF sends at the run limit; relatives tell no reason


def sighting(row: Row) -> Sighting:
    """Give what a row of bjobs says of its job."""
    sight = SIGHTS.get(row.state)
    if sight is Sight.RUNNING:
        told = _SUSPENDED.get(row.state)
        return Sighting(sight, row.batch_id, told.format(id=row.batch_id) if told else None)
    if sight is Sight.PENDING:
        return pending(row)
    if sight is Sight.ENDED:
        code = int(row.exit_code) if row.exit_code.isdecimal() else 0 if row.state == "DONE" else None
        return ended(row.batch_id, row.state, code, row.exit_reason)
    told = LOST.get(row.state) or f"LSF says {row.state}, which caf does not know"
    return Sighting(Sight.UNKNOWN, row.batch_id, told)


_HOPELESS = {
    "suspended by the user while pending": "somebody holds it: `bresume {id}` lets it go",
    "suspended by an administrator": "an administrator holds it: ask there",
    "never satisfied": "what `options` have it wait for has failed: correct them",
    "no suitable hosts": "no host has what it asks for: correct `cpus`, `memory`, `queue` or `options`",
    "queue is inactivated by the administrator": "an administrator has set the queue inactive: ask there, or correct "
    "`queue`",
    "queue has been inactivated by the administrator": "ask there, or correct `queue`",
    "lost_and_found": "its queue or host was removed: ask the site's administrators",
}
"""Words of reasons of pending jobs that do not pass by themselves."""


def pending(row: Row) -> Sighting:
    """Give what a row says of a job that waits."""
    why, way_out = _why_pending(row.state, row.pend_reason)
    told = f"{why}: {way_out.format(id=row.batch_id)}" if way_out else why
    return Sighting(Sight.PENDING, row.batch_id, told, stuck=way_out is not None)


@lru_cache(maxsize=1024)
def _why_pending(state: str, told: str) -> tuple[str, str | None]:
    """Give why a job waits, and the way out if that does not pass by itself. Thousands wait for the same."""
    reason = re.sub(r"\s*[;.]?\s*$", "", " ".join(told.split()))
    way_out = next((advice for words, advice in _HOPELESS.items() if words in reason), None)
    if state == "PSUSP":
        way_out = way_out or _HOPELESS["suspended by the user while pending"]
    return ", ".join(part for part in (state if state != "PEND" else "", reason) if part) or "pending", way_out


def ended(batch_id: str, state: str, code: int | None, reason: str) -> Sighting:
    """Give what is known of an end. DONE proves nothing: relatives say so of a payload that died by a signal."""
    found = re.search(r"TERM_(\w+)", reason)
    term = found[1] if found else ""
    if term in REMOVED:
        why = f"LSF has struck it off without a word of its host (TERM_{term}): it may still run there"
        return Sighting(Sight.UNKNOWN, batch_id, why)
    result = TERMS.get(term)
    if not term and code == RUN_LIMIT and state == "EXIT":
        result = Result.WALLTIME
    details = [f"exit code {code}"] if code else []
    details += [f"TERM_{term}"] if term else []
    how = f" ({', '.join(details)})" if details else ""
    return Sighting(Sight.ENDED, batch_id, f"LSF says {state}{how}", result, exit_code=code)


def read_reasons(text: str) -> dict[str, str]:
    """Read `bjobs -p`: rows, and below each, indented, why it waits. Give the reasons by id."""
    found: dict[str, list[str]] = {}
    batch_id = ""
    for line in text.splitlines():
        if line[:1].isdecimal():
            batch_id = line.split()[0]
        elif line[:1].isspace() and line.strip() and batch_id:
            found.setdefault(batch_id, []).append(line.strip())
    return {batch_id: " ".join(lines) for batch_id, lines in found.items()}


def slots(row: Row) -> int:
    """Count the slots that a job holds: hosts are told as `hostA:hostA` or `2*hostA:hostB`."""
    parts = [part for part in row.hosts.split(":") if part]
    counts = [re.match(r"([0-9]+)\*", part) for part in parts]
    return sum(int(count[1]) if count else 1 for count in counts) or 1
