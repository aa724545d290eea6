"""`caf jobs why`: in one or two lines what a job waits for, or why it ended as it did, and the command to type."""

import os
import sqlite3
import time
from dataclasses import dataclass

from caf import paths
from caf.cli.jobs import area_of
from caf.cli.options import Config, Job, Json, Place, Run, StateDir
from caf.cli.text import ago, harmless, print_json, say, span, unbroken
from caf.domain.errors import ConfigError
from caf.domain.jobs import FINAL, Result, State
from caf.store import duties, queries
from caf.store.jobs import find


@dataclass(frozen=True, slots=True)
class Around:
    """What else there is to know for an answer: all of it as it is now."""

    now: float
    supervised: bool
    in_use: int
    slots: int | None
    next_round: float | None
    attempt: sqlite3.Row | None
    log: str


def why(run: Run, job: Job, as_json: Json = False, config: Config = None, state: StateDir = None) -> None:
    """Say why a job is where it is.

    What it waits for, or why it ended as it did, and what you can type.

    Example: caf jobs why 490001 LArL1CaloRampMaker
    """
    place = Place.of(config, state)
    with place.existing(f"job {job} of run {run}") as conn:
        row = find(conn, run, job)
        attempts = queries.attempts_of(conn, row["id"])
        rounds = {duty["name"]: duty["next"] for duty in duties.all_duties(conn)}
        in_use = queries.in_slots(conn)
    current = attempts[-1] if attempts and attempts[-1]["attempt"] == row["attempt"] else None
    folder = area_of(place, row, row["attempt"])
    log = f"files: {folder}" if folder is not None else "its configuration cannot be read"
    around = Around(
        time.time(), place.supervisor() is not None, in_use, _slots(place), rounds.get("organise"), current, log
    )
    text, commands = because(row, around)
    if not around.supervised and State(row["state"]) not in FINAL | {State.WAITING}:
        text, commands = f"{text}; the supervisor does not run", ["caf run", *commands]
    if as_json:
        print_json({"run": run, "job": job, "state": row["state"], "why": text, "commands": commands})
        return
    say(f"{row['state']}: {harmless(text)}")
    if commands:
        say(" or ".join(unbroken(command) for command in commands))


def _slots(place: Place) -> int | None:
    try:
        return paths.slots(place.config) or os.cpu_count() or 1
    except ConfigError:
        return None


def because(row: sqlite3.Row, around: Around) -> tuple[str, list[str]]:
    """Give the answer, and the commands to type."""
    which = f"{row['run']} {row['job']}"
    state = State(row["state"])
    reason = row["reason"]
    since = ago(row["updated"], around.now)
    match state:
        case State.WAITING:
            text = f"for a person for {span(around.now - row['updated'])}: {reason}"
            return text, [f"caf jobs start {which}", f"caf jobs reject {which}"]
        case State.NEW | State.STAGING:
            return f"{_early(row, around)}: {reason}", [f"caf jobs hold {which}"]
        case State.PREPARED:
            return _slot(row, around), [f"caf jobs hold {which}"]
        case State.SUBMITTING | State.PENDING | State.RUNNING | State.FINISHED:
            return _outside(row, around), [
                f"caf jobs log {which}" if state is not State.SUBMITTING else f"caf jobs show {which}"
            ]
        case State.CANCELLING:
            there = f" (batch id {row['batch_id']})" if row["batch_id"] else ""
            text = f"becomes {row['next_state']} when the end of attempt {row['attempt']}{there} is proved; {reason}"
            return text + _unknown(row, around), [f"caf jobs show {which}"]
        case State.FAILED:
            return _failed(row, around, f"{row['result']}, {since}: {reason}")
        case State.DONE:
            return f"good, {since}; {around.log}", []
        case _:
            return f"{since}: {reason}", [f"caf jobs reset {which}"]


def _failed(row: sqlite3.Row, around: Around, text: str) -> tuple[str, list[str]]:
    """Say where to look: one that was never prepared has neither area nor log, one that was refused has no log."""
    which = f"{row['run']} {row['job']}"
    reset = f"caf jobs reset {which}"
    match Result(row["result"]):
        case Result.PREPARATION:
            return text, ["caf check", reset]
        case Result.STAGING:
            return text, [reset]
        case Result.REFUSED:
            return f"{text}; {around.log}", [f"caf jobs history {which}", reset]
        case _:
            return f"{text}; {around.log}", [f"caf jobs log {which}", reset]


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


def _slot(row: sqlite3.Row, around: Around) -> str:
    due = row["not_before"]
    if due is not None and due > around.now:
        return f"is submitted {ago(due, around.now)}: {row['reason']}"
    total = "?" if around.slots is None else around.slots
    if around.slots is not None and around.in_use >= around.slots:
        return f"waits for a slot: {around.in_use} of {total} are in use"
    return f"is submitted {_round(around)}: {around.in_use} of {total} slots are in use"


def _outside(row: sqlite3.Row, around: Around) -> str:
    """Say what is known of an attempt that the batch system has, or may have."""
    meaning = {
        State.SUBMITTING: "the batch system was asked to take it, and has not answered yet",
        State.PENDING: "the batch system has it, and it waits there",
        State.RUNNING: "its payload runs",
        State.FINISHED: "its payload is over, and is being checked",
    }[State(row["state"])]
    parts = [f"{meaning} (for {span(around.now - row['updated'])})"]
    if row["batch_id"]:
        parts.append(f"batch id {row['batch_id']}")
    attempt = around.attempt
    if attempt is not None and attempt["node"]:
        parts.append(f"on {attempt['node']}")
    if attempt is not None and attempt["started"] is not None:
        parts.append(f"started {ago(attempt['started'], around.now)}")
    return "; ".join(parts) + _unknown(row, around)


def _unknown(row: sqlite3.Row, around: Around) -> str:
    since = row["unknown_since"]
    if since is None:
        return ""
    doubt = f"; in doubt for {span(around.now - since)}: {row['reason']}"
    return f"{doubt}; that proves nothing: caf keeps asking"
