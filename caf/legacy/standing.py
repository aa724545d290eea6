"""What the old system's rows mean in caf's words: attributes of runs, verdicts, states of jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo

from caf.domain.discovery import Seen
from caf.domain.jobs import Result, State
from caf.domain.runs import END_PATCHED, Value
from caf.legacy.geneva import seconds
from caf.legacy.names import usable
from caf.legacy.rundb import OldDatabase, Row, flag, number
from caf.store.imported import OldJob, OldRun

LISTENER = "imported_listener"
"""The attribute that imported runs have besides: who took them. Their verdicts rest on it."""

UNKNOWN = "unknown"
"""Stands for the listener where none is known."""

_TEXTS = {
    "runtype": "run_type",
    "daqconfig": "daq_configuration",
    "filetag": "project_tag",
    "datasource": "data_source",
    "partname": "partition",
    "tierzerotag": "tier0_tag",
    "gainstrategy": "gain_strategy",
}
_NUMBERS = {
    "start": "start",
    "stop": "end",
    "totaltime": "duration",
    "maxlb": "lumi_blocks",
    "recevents": "recorded_events",
    "storedevents": "stored_events",
    "l1events": "l1_events",
    "l2events": "l2_events",
    "efevents": "ef_events",
    "errcode": "error_bits",
}
LIVE = {"SUBMITTED", "PEND", "RUN"}
_NOT_SUBMITTED = {"NEW", "NOTSTAGED", "STAGEIN", "STAGED", "PREPARED"}


@dataclass(slots=True)
class Reader:
    """Reads run after run; what a person may want to know is gathered in `notes`.

    `serves` are the listeners of each job of the present configuration: of a run that two listeners took it tells
    which one a job was made for.
    """

    old: OldDatabase
    origin: str
    serves: Mapping[str, Sequence[str]]
    known_zone: tzinfo | None
    notes: list[str] = field(default_factory=list)
    without_jobs: list[int] = field(default_factory=list)

    def run(self, run: int) -> OldRun:
        """Read one run with its jobs."""
        status = self.old.status.get(run, [])
        names = list(dict.fromkeys(self._name(row["listener"]) for row in status if row["listener"]))
        kept = max(status, key=_worth, default=None)
        listener = self._name(kept["listener"]) if kept is not None and kept["listener"] else None
        if len(status) > 1:
            who = f"taken by {' and '.join(names)}; kept as {listener}'s" if len(names) > 1 else "kept once"
            self.notes.append(f"run {run} stands {len(status)} times in RUNSTATUS: {who}")
        needs = any(flag(row["validated"]) for row in status if self._name(row["listener"] or "") == listener)
        jobs = self._jobs(run, listener, names)
        if listener is None or kept is None:
            self.notes.append(f"run {run} has jobs but no verdict: it is IGNORED, its jobs are kept")
        elif not jobs and (kept["status"] or "").upper() == "NEW":
            self.without_jobs.append(run)
        return OldRun(self._seen(run, listener), listener, needs, jobs)

    def _name(self, given: str | None) -> str:
        return usable(given or UNKNOWN)[0]

    def _seen(self, run: int, listener: str | None) -> Seen:
        values: dict[str, Value] = {"run": run}
        rows = self.old.parameters.get(run, [])
        row = max(rows, key=lambda row: sum(value is not None for value in row.values()), default=None)
        last_lb_end = None
        if row is not None:
            values.update({attribute: row[name] for name, attribute in _TEXTS.items()})
            for name, attribute in _NUMBERS.items():
                values[attribute] = self._number(run, name, row[name])
            values["detector_mask"] = self._mask(run, row["detmask"])
            negated = flag(row["rec"])
            values["recorded"] = None if negated is None else not negated
            values["clean_stop"] = flag(row["cleanstop"])
            bits = values["error_bits"]
            if isinstance(bits, int) and bits & END_PATCHED and isinstance(values["end"], int):
                # As caf has it: such an end is the trigger's, and is put in when a run has settled.
                last_lb_end = values["end"]
                values |= {"end": None, "duration": None, "error_bits": bits & ~END_PATCHED}
        if listener is not None:
            values[LISTENER] = listener
        return Seen(values, {}, last_lb_end)

    def _number(self, run: int, name: str, said: str | None) -> int | None:
        value = number(said)
        if said is not None and (value is None or not -(2**63) <= value < 2**63):
            self.notes.append(f"run {run}: RUNPARAMS.{name} is {said!r}, which is no number: not known")
            return None
        return value

    def _mask(self, run: int, said: str | None) -> int | None:
        value = number(said)
        if value is None or not -(2**63) <= value < 2**128:
            return self._number(run, "detmask", said)
        return value + 2**64 if value < 0 else value  # SQLite's integers have a sign

    def _jobs(self, run: int, listener: str | None, names: Sequence[str]) -> tuple[OldJob, ...]:
        grouped: dict[str, list[Row]] = {}
        for row in self.old.jobs.get(run, []):
            if row["jobconfiguration"] is None:
                self.old.problems.append(f"JOBSTATUS row {row['id'] or '?'} of run {run} names no job: left out")
            else:
                grouped.setdefault(self._name(row["jobconfiguration"]), []).append(row)
        jobs = []
        for name, rows in grouped.items():
            found = [self._job(name, row, listener, names) for row in rows]
            best = max(found, key=_best)
            if len(found) > 1:
                told = ", ".join(f"{row['status'] or '?'} {row['result'] or ''}".rstrip() for row in rows)
                self.notes.append(f"job {name} of run {run} stands {len(found)} times ({told}): kept as {best.state}")
            jobs.append(best)
        return tuple(jobs)

    def _job(self, name: str, row: Row, listener: str | None, names: Sequence[str]) -> OldJob:
        state, result, reason = meaning(row, self.origin)
        served = [one for one in names if one in self.serves.get(name, ())]
        of = served[0] if served and listener not in served else listener
        times = [seconds(row[when] or "", self.known_zone) for when in ("jobstart", "jobend")]
        live = (row["status"] or "").upper() in LIVE
        return OldJob(name, of or UNKNOWN, state, result, reason, row["batchid"], times[0], times[1], live)


def meaning(row: Row, origin: str) -> tuple[State, Result | None, str]:
    """Give state, result and reason of a job. Nothing that might run again does so before a person says so."""
    status, result, validation = ((row[name] or "").upper() for name in ("status", "result", "validation"))
    was = f"imported from {origin}; was {' '.join(one for one in (status or 'without a status', result) if one)}"
    if status in LIVE:
        batch = f" as batch job {row['batchid']}" if row["batchid"] else ""
        return State.WAITING, None, f"{was}{batch}: what became of it is not known; look, then start it or reject it"
    if validation == "BAD":
        return State.REJECTED, None, f"{was}; its validation was BAD"
    if status == "DONE" and result == "OK":
        return State.DONE, Result.OK, was
    if status == "DONE" and result == "FAILED":
        return State.FAILED, Result.LOG, f"{was}: by its log, which was all that counted"
    if status == "ABORTED":
        return State.FAILED, Result.PREPARATION, f"{was}: its working area could not be set up"
    if status in _NOT_SUBMITTED and validation == "WAITING":
        return State.WAITING, None, f"{was}, waiting for validation: start it or reject it"
    if status in _NOT_SUBMITTED:
        return State.WAITING, None, f"{was}: start it or reject it"
    return State.WAITING, None, f"{was}: what that means is not known; look, then start it or reject it"


def _worth(row: Row) -> tuple[bool, bool, int]:
    return row["listener"] is not None, (row["status"] or "").upper() == "OK", -(number(row["id"]) or 0)


def _best(job: OldJob) -> tuple[int, float]:
    """Of two rows of one job that which ended well is worth most, then one that may still run."""
    if job.state is State.DONE:
        rank = 5
    elif job.in_doubt:
        rank = 4
    else:
        rank = {State.REJECTED: 3, State.FAILED: 2}.get(job.state, 1)
    return rank, job.ended or job.began or 0.0
