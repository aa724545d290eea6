"""`caf jobs why`: in one or two lines what a job waits for, or why it ended as it did, and the command to type."""

import sqlite3
import time
from dataclasses import dataclass
from typing import Annotated

import typer

from caf.cli import areas
from caf.cli.colours import of_job
from caf.cli.jobs import area_of
from caf.cli.options import Config, Json, Place, Run, StateDir, as_text
from caf.cli.scripts import of_note
from caf.cli.text import Table, Tinted, ago, harmless, print_json, say, span, unbroken
from caf.cli.waiting import Waiting, paused, slot, waiting
from caf.domain.errors import NotFound
from caf.domain.jobs import FINAL, FOLLOWED, Result, State
from caf.store import afterwards, duties, queries, removals
from caf.store.jobs import find
from caf.store.meant import no_run


@dataclass(frozen=True, slots=True)
class Around:
    """What else there is to know for an answer: all of it as it is now."""

    now: float
    supervised: bool
    waiting: Waiting
    next_round: float | None
    attempt: sqlite3.Row | None
    log: str


PerhapsJob = Annotated[
    str | None,
    typer.Argument(metavar="[JOB]", parser=as_text, show_default=False, help="A job's name; may be left out."),
]


def why(run: Run, job: PerhapsJob = None, as_json: Json = False, config: Config = None, state: StateDir = None) -> None:
    """Say why a job is where it is.

    What it waits for, or why it ended as it did, and what you can type. Without JOB: which jobs the run has, and where
    they are; if there is but one, that one.

    Example: caf jobs why 490001 LArL1CaloRampMaker
    """
    place, now = Place.of(config, state), time.time()
    if job is None and (job := _only_job(place, run, as_json=as_json)) is None:
        return
    with place.existing(f"job {job} of run {run}") as conn:
        row = find(conn, run, job)
        attempts = queries.attempts_of(conn, row["id"])
        after = afterwards.of_job(conn, row["id"])
        kept = removals.of_job(conn, row["id"])
        rounds = {duty["name"]: duty["next"] for duty in duties.all_duties(conn)}
        stand = waiting(conn, place, row, now)
    current = attempts[-1] if attempts and attempts[-1]["attempt"] == row["attempt"] else None
    folder = area_of(place, row, row["attempt"])
    log = f"files: {folder}" if folder is not None else "its configuration cannot be read"
    log = areas.where(kept, row["attempt"], log, now)
    around = Around(now, place.supervisor() is not None, stand, rounds.get("organise"), current, log)
    text, commands = because(row, around)
    text += of_note(after, row["attempt"])
    if not around.supervised and State(row["state"]) not in FINAL | {State.WAITING}:
        text, commands = f"{text}; the supervisor does not run", ["caf run", *commands]
    if as_json:
        facts = {"run": run, "job": job, "state": row["state"], "why": text, **stand.facts()}
        print_json({**facts, "commands": commands})
        return
    say(f"{row['state']}: {harmless(text)}")
    if commands:
        say(" or ".join(unbroken(command) for command in commands))


def _only_job(place: Place, run: int, *, as_json: bool) -> str | None:
    """Give the name of the run's job if it has one only; of several say where they are, and what to type."""
    with place.existing(f"run {run}") as conn:
        rows = queries.jobs_of(conn, run)
        if not rows and queries.run(conn, run) is None:
            raise NotFound(no_run(conn, run))
    if not rows:
        raise NotFound(f"run {run} has no jobs: `caf runs show {run}` tells who took it, if anybody did")
    if len(rows) == 1:
        return str(rows[0]["job"])
    if as_json:
        names = ", ".join(harmless(row["job"]) for row in rows)
        raise typer.BadParameter(f"is needed with --json, for run {run} has {names}", param_hint="JOB")
    say(f"run {run} has {len(rows)} jobs; name the one that you mean:")
    now, table = time.time(), Table(("STATE", "SINCE", "TYPE"))
    which = [(Tinted(row["state"], of_job(row)), span(now - row["updated"]), row["job"]) for row in rows]
    table.show((state, since, f"caf jobs why {run} {job}") for state, since, job in which)
    return None


def because(row: sqlite3.Row, around: Around) -> tuple[str, list[str]]:
    """Give the answer, and the commands to type."""
    which = f"{row['run']} {row['job']}"
    state = State(row["state"])
    reason = row["reason"]
    since = ago(row["updated"], around.now)
    pause = around.waiting.pause
    resume = [] if pause is None else [pause.way_out]
    match state:
        case State.WAITING:
            text = f"for a person for {span(around.now - row['since'])}: {reason}"
            return text, [f"caf jobs start {which}", f"caf jobs reject {which}"]
        case State.NEW | State.STAGING:
            then = f"; then it waits: {paused(pause, around.now)}" if pause is not None else ""
            more = "".join(f"; {one}" for one in _requests(row))
            return f"{_early(row, around)}: {reason}{more}{then}", [*resume, f"caf jobs hold {which}"]
        case State.PREPARED:
            text = slot(row, around.waiting, around.now, _round(around))
            text += "".join(f"; {one}" for one in _requests(row))
            return text, [*resume, f"caf jobs hold {which}"]
        case State.SUBMITTING | State.PENDING | State.RUNNING | State.FINISHED:
            look = f"caf jobs log {which}" if state is not State.SUBMITTING else f"caf jobs show {which}"
            return _outside(row, around) + _twins(row), [*_keep(row), *_answers(row), look]
        case State.CANCELLING:
            there = f" (batch id {row['batch_id']})" if row["batch_id"] else ""
            text = f"becomes {row['next_state']} when the end of attempt {row['attempt']}{there} is proved; {reason}"
            return text + _unknown(row, around) + _twins(row), [*_answers(row), f"caf jobs show {which}"]
        case State.FAILED:
            return _failed(row, around, f"{row['result']}, {since}: {reason}")
        case State.DONE:
            marked = "" if row["mark"] is None else f"; marked {row['mark']} by {row['marked']}"
            return f"{reason}, {since}{marked}; {around.log}", []
        case _:
            return f"{since}: {reason}", [f"caf jobs reset {which}"]


def _failed(row: sqlite3.Row, around: Around, text: str) -> tuple[str, list[str]]:
    """Say where to look: one that was never prepared has neither area nor log, one that was refused has no log."""
    which = f"{row['run']} {row['job']}"
    reset, seen = f"caf jobs reset {which}", [f"caf jobs ack {which}"]
    if row["acknowledged"]:
        text, seen = f"{text}; acknowledged: it asks for nobody until it fails again", []
    match Result(row["result"]):
        case Result.PREPARATION:
            return text, ["caf check", reset, *seen]
        case Result.STAGING:
            return text, [reset, *seen]
        case Result.REFUSED:
            return f"{text}; {around.log}", [f"caf jobs history {which}", reset, *seen]
        case _:
            return f"{text}; {around.log}", [f"caf jobs log {which}", reset, *seen]


def _early(row: sqlite3.Row, around: Around) -> str:
    what = "its raw files were asked for from tape" if row["state"] == State.STAGING else "its raw files are looked for"
    due = row["not_before"]
    if due is not None and due > around.now:
        return f"{what}, again {ago(due, around.now)}"
    return f"{what} {_round(around)}"


def _round(around: Around) -> str:
    """Say when something is done; without a supervisor no round is promised."""
    if not around.supervised:
        return "once the supervisor runs"
    due = around.next_round
    return "in the next round" + (f", {ago(due, around.now)}" if due is not None and due > around.now else "")


def _outside(row: sqlite3.Row, around: Around) -> str:
    """Say what is known of an attempt that the batch system has, or may have."""
    meaning = {
        State.SUBMITTING: "the batch system was asked to take it, and has not answered yet",
        State.PENDING: "the batch system has it, and it waits there",
        State.RUNNING: "its payload runs",
        State.FINISHED: "its payload is over, and is being checked",
    }[State(row["state"])]
    parts = [f"{meaning} (for {span(around.now - row['since'])})"]
    if row["batch_id"]:
        parts.append(f"batch id {row['batch_id']}")
    checking = row["state"] == State.FINISHED and row["not_before"] is None
    if (checking or row["state"] == State.PENDING) and row["unknown_since"] is None:  # it says more than the state does
        parts.append(row["reason"])
    parts += _requests(row)
    due = row["not_before"] if row["state"] == State.FINISHED and row["unknown_since"] is None else None
    if due is not None and due > around.now:
        parts.append(f"again {ago(due, around.now)}: {row['reason']}")
    attempt = around.attempt
    if attempt is not None and attempt["node"]:
        parts.append(f"on {attempt['node']}")
    if attempt is not None and attempt["started"] is not None:
        parts.append(f"started {ago(attempt['started'], around.now)}")
    return "; ".join(parts) + _unknown(row, around)


def _requests(row: sqlite3.Row) -> list[str]:
    """Say what it asks for, where that has grown."""
    more = [] if row["memory"] is None else [f"{row['memory'] / 1e9:.3g} GB of memory"]
    more += [] if row["walltime"] is None else [f"a walltime of {row['walltime'] / 3600:.3g} h"]
    return [f"it asks for {' and '.join(more)}, since it had too little"] if more else []


def _unknown(row: sqlite3.Row, around: Around) -> str:
    since = row["unknown_since"]
    if since is None:
        return ""
    why = "" if row["state"] == State.CANCELLING else f": {row['reason']}"  # that has been told
    doubt = f"; in doubt for {span(around.now - since)}{why}"
    if row["lost"] is not None:
        return f"{doubt}; {row['lost']} (lost): acted on {_round(around)}"
    answers = "; if it is there, adopt it; if you know it gone, lost" if _answers(row) else ""
    return f"{doubt}; that proves nothing: caf keeps asking{answers}"


def _twins(row: sqlite3.Row) -> str:
    """Say that the batch system has further jobs with its token."""
    if row["twins"] is None:
        return ""
    text = f"; the batch system has it as {row['twins']} too, and only one of them can start the payload"
    if row["state"] == State.CANCELLING:
        return f"{text}: all are asked to end"
    return f"{text}: adopted as {row['adopted']}, others end" if row["adopted"] else f"{text}: adopt one, others end"


def _keep(row: sqlite3.Row) -> list[str]:
    """Give the commands that leave one batch job, or none, where there are several."""
    if row["twins"] is None or row["adopted"] is not None:
        return []
    which = f"{row['run']} {row['job']}"
    return [f"caf jobs adopt {which} {row['batch_id']}", f"caf jobs kill {which}"]


def _answers(row: sqlite3.Row) -> list[str]:
    """Give the answers to a doubt, as long as nobody has given one."""
    if row["unknown_since"] is None or row["lost"] is not None or row["state"] not in FOLLOWED:
        return []
    which = f"{row['run']} {row['job']}"
    return [f"caf jobs adopt {which}", f"caf jobs lost {which} --reason TEXT"]
