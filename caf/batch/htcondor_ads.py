"""What HTCondor's ads say: rows of condor_q and condor_history, read into sightings.

Held is where HTCondor puts every job that it cannot go on with, and leaves it. So a held job is over, with the reason
that its ad gives, unless a person holds it that has not begun: then it waits to be released. Codes of holds are those
of HTCondor's manual, "Job ClassAd Attributes", HoldReasonCode.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from caf.batch.htcondor_submit import BY_HAND, WALLTIME
from caf.batch.interface import Named
from caf.domain.following import Sight, Sighting
from caf.domain.jobs import Result

Ad = Mapping[str, Any]

_ENDS = "ClusterId,ProcId,JobStatus,CafToken,NumShadowStarts,ExitCode,ExitBySignal,ExitSignal,RemoveReason"
IN_QUEUE = f"{_ENDS},HoldReason,HoldReasonCode,HoldReasonSubCode,NumJobStarts,AutoClusterId,LastRejMatchReason"
IN_HISTORY = f"{_ENDS},LastHoldReason,LastHoldReasonCode,LastHoldReasonSubCode"
WHOSE = "JobStatus,CafToken,JobBatchName,Owner,Cmd"
IDLE, RUNNING, REMOVED, COMPLETED, HELD, TRANSFERRING, SUSPENDED = range(1, 8)
STATUSES = ("idle", "running", "removed", "completed", "held", "transferring its output", "suspended")
OWN_POLICY, SYSTEM_POLICY, SPOOLING = 3, 26, 16
RESULTS = {34: Result.MEMORY, 46: Result.WALLTIME, 47: Result.WALLTIME}
ADVICE = {
    4: "renew its credentials",
    6: "can nodes execute /bin/sh and see `work`?",
    7: "do nodes see `work`, and may the account write there?",
    14: "do nodes see `work`?",
    22: "may HTCondor write the log in the area? see docs/batch-systems.md",
    23: "does the node know the account?",
    34: "see memory in [jobs]",
}
"""What a person can do about a hold, by its code."""
XCPU = 24


def read_ads(text: str) -> list[dict[str, Any]]:
    """Read the answer of a client with -json: an array for each schedd, or nothing at all. ValueError for all else."""
    decoder, ads, at = json.JSONDecoder(), [], 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        part, at = decoder.raw_decode(text, at)
        if not isinstance(part, list) or not all(isinstance(ad, dict) for ad in part):
            raise ValueError("not an array of ads")
        ads += part
    return ads


def id_of(ad: Ad) -> str | None:
    """Give the id of a job, such as 4711.0."""
    cluster, process = ad.get("ClusterId"), ad.get("ProcId")
    return f"{cluster}.{process}" if isinstance(cluster, int) and isinstance(process, int) else None


def named(ad: Ad, batch_id: str) -> Named:
    """Give whose a job is, be it one of caf's or not."""
    names = [name for name in (ad.get("CafToken"), ad.get("JobBatchName")) if isinstance(name, str)]
    status, name = ad.get("JobStatus"), names[0] if names else f"a job without a name ({_text(ad, 'Cmd')})"
    state = STATUSES[status - 1] if isinstance(status, int) and 0 < status <= len(STATUSES) else f"in state {status!r}"
    return Named(batch_id, frozenset(names), f"{name} of {_text(ad, 'Owner')}, {state}")


def of_queue(ad: Ad, gist: tuple[str, bool] | None = None, owner: object = None) -> Sighting:
    """Give what the queue says of a job. `gist` is what gist_of made of its analysis, if there was one.

    `owner` is the job that has begun the payload, as its start record tells: HTCondor itself may not know it yet.
    """
    status, batch_id = ad.get("JobStatus"), id_of(ad)
    begun = _number(ad, "NumJobStarts") > 0 or (batch_id is not None and batch_id == owner)
    if status == IDLE and begun:  # for a minute at most: it is held then, or begun again and finds the claim made
        return Sighting(Sight.RUNNING, batch_id, "HTCondor has put it back into its queue, and is about to end it")
    if status == IDLE:
        rejected = ad.get("LastRejMatchReason")
        why, stuck = gist or (f"not matched yet: {rejected.strip()}" if isinstance(rejected, str) else None, False)
        return Sighting(Sight.PENDING, batch_id, why, stuck=stuck)
    if status in {RUNNING, TRANSFERRING}:
        return Sighting(Sight.RUNNING, batch_id)
    if status == SUSPENDED:
        return Sighting(Sight.RUNNING, batch_id, "HTCondor has suspended it")
    if status == REMOVED:  # it stays until its node has let go of it
        return Sighting(Sight.RUNNING if begun else Sight.PENDING, batch_id, "HTCondor is removing it")
    if status == COMPLETED:
        return of_history(ad)
    if status == HELD:
        return _held(ad, batch_id, begun)
    return Sighting(Sight.UNKNOWN, batch_id, f"HTCondor shows it in state {status!r}, which caf does not know")


def _held(ad: Ad, batch_id: str | None, begun: bool) -> Sighting:
    code, said = ad.get("HoldReasonCode"), _text(ad, "HoldReason")
    if code in BY_HAND and not begun:
        spooling = code == SPOOLING
        why = f"held: {said}" + ("" if spooling else f": `condor_release {batch_id}` lets it go")
        return Sighting(Sight.PENDING, batch_id, why, stuck=not spooling)
    result, why = hold(code, ad.get("HoldReasonSubCode"), said)
    return Sighting(Sight.ENDED, batch_id, why, result)


def hold(code: object, subcode: object, said: str) -> tuple[Result, str]:
    """Give what a hold means for the job that was held, and a line that says so."""
    if code == OWN_POLICY and said.startswith("caf: "):
        return (Result.WALLTIME if subcode == WALLTIME else Result.NODE), said.removeprefix("caf: ")
    why = f"HTCondor held it: {said} (code {code})"
    if isinstance(code, int) and (advice := ADVICE.get(code)):
        why += f": {advice}"
    if code in {OWN_POLICY, SYSTEM_POLICY}:
        return by_words(said), why
    result = RESULTS.get(code, Result.NODE) if isinstance(code, int) else Result.NODE
    return (Result.NODE if result is Result.MEMORY and re.search("disk", said, re.IGNORECASE) else result), why


def by_words(said: str) -> Result:
    """Guess what a site's own rule was about."""
    if re.search(r"memory|\brss\b", said, re.IGNORECASE):
        return Result.MEMORY
    if re.search(r"run ?time|wall|duration|too long", said, re.IGNORECASE):
        return Result.WALLTIME
    return Result.NODE


def of_history(ad: Ad) -> Sighting:
    """Give how a job ended that has left the queue."""
    batch_id, status = id_of(ad), ad.get("JobStatus")
    if status == COMPLETED:
        by_signal = ad.get("ExitBySignal") is True
        number = _number(ad, "ExitSignal" if by_signal else "ExitCode")
        starts = _number(ad, "NumShadowStarts")
        return completed(batch_id, number, by_signal=by_signal, starts=starts)
    if status == REMOVED:
        code = ad.get("LastHoldReasonCode")
        held = (code, ad.get("LastHoldReasonSubCode"), _text(ad, "LastHoldReason")) if code is not None else None
        return removed(batch_id, _text(ad, "RemoveReason"), held)
    return Sighting(Sight.UNKNOWN, batch_id, f"HTCondor's history has it in state {status!r}, which caf does not know")


def completed(batch_id: str | None, number: int, *, by_signal: bool, starts: int = 1) -> Sighting:
    """Give the end of a wrapper that ended by itself."""
    how = f"signal {number}" if by_signal else f"exit code {number}"
    again = f", after HTCondor had started it {starts} times" if starts > 1 else ""
    unusable = " (the wrapper could not use its area; see log/batch.out)" if (number, by_signal) == (75, False) else ""
    exit_code = None if by_signal or starts > 1 else number
    result = Result.WALLTIME if by_signal and number == XCPU else None
    if starts > 1 and number == 0:  # the last one found the claim made; what became of the first is the node's doing
        result = Result.NODE
    why = f"HTCondor saw it end with {how}{again}{unusable}"
    return Sighting(Sight.ENDED, batch_id, why, result, exit_code=exit_code)


def removed(batch_id: str | None, said: str, held: tuple[object, object, str] | None) -> Sighting:
    """Give the end of a job that was removed; if it was held before, that is why."""
    if held is not None:
        result, why = hold(*held)
        return Sighting(Sight.ENDED, batch_id, why, result)
    return Sighting(Sight.ENDED, batch_id, f"it was removed from HTCondor: {said}", by_words(said))


def _number(ad: Ad, name: str) -> int:
    value = ad.get(name)
    return value if isinstance(value, int) else 0


def _text(ad: Ad, name: str) -> str:
    value = ad.get(name)
    return " ".join(value.split()) if isinstance(value, str) and value.strip() else "it does not say why"


_STEP = re.compile(r"^\[\d+\]\s+(\d+)\s+(.*\S)\s*$", re.MULTILINE)
_MACHINES = re.compile(r"Of (\d+) machines")
_FITTING = re.compile(r"^\s*(\d+) (match and are already running|match but are serving|are able to run)", re.MULTILINE)
SHOWN = 160  # characters of the conditions that nothing meets


def gist_of(analysis: str) -> tuple[str, bool] | None:
    """Give what `condor_q -better-analyze` says in one line, and whether no machine fits; None if it does not say."""
    machines, fitting = _MACHINES.search(analysis), _FITTING.findall(analysis)
    if machines is None or len(fitting) != 3:
        return None
    counts: Sequence[int] = [int(number) for number, _ in fitting]
    if sum(counts) > 0:
        return f"{sum(counts)} of {machines[1]} machines fit it, {counts[2]} of them free", False
    unmet = "; ".join(condition for number, condition in _STEP.findall(analysis) if number == "0")
    why = f": none meets {unmet[:SHOWN]}" if unmet else ""
    return f"no machine fits it, of {machines[1]}{why}: correct `cpus`, `memory` or `options`", True
