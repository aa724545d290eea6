"""Jobs: the one way in which their state changes.

Every change goes through `move`: the transition table, the attempt's number, what must be forgotten on the way, the
attempt's own row and the audit row are all seen to in one place and in one transaction.
"""

import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from caf.domain.errors import NotFound, Refused
from caf.domain.jobs import (
    BUSY,
    FINAL,
    FOLLOWED,
    GOAL,
    IDLE,
    LEGAL,
    Result,
    State,
    Word,
    allowed_words,
    attempt_after,
    target_of,
)
from caf.domain.spelling import near
from caf.store.afterwards import Script, plan
from caf.store.audit import note
from caf.store.database import database_id, transaction
from caf.store.meant import no_run
from caf.store.queue import live_now, paused_names, take_turn

ORGANISE = "organise"


@dataclass(frozen=True, slots=True)
class Change:
    """A change that the organise duty decided on, given the state and attempt that it saw.

    `result` is how the attempt ended: the job itself has one only in DONE and FAILED. `sets` are further columns of the
    job (batch_id, not_before, unknown_since, looks, tries); `attempt_sets` those of the attempt's own row (started,
    ended, node, exit_code). `scripts` are what is to be run after it.
    """

    job_id: int
    seen: State
    attempt: int
    target: State
    why: str
    result: Result | None = None
    sets: Mapping[str, Any] = field(default_factory=dict)
    attempt_sets: Mapping[str, Any] = field(default_factory=dict)
    scripts: Sequence[Script] = ()


def find(conn: sqlite3.Connection, run: int, job: str) -> sqlite3.Row:
    """Give one job's row; NotFound says what there is instead."""
    row: sqlite3.Row | None = conn.execute("SELECT * FROM job WHERE run = ? AND job = ?", (run, job)).fetchone()
    if row is not None:
        return row
    others = [r[0] for r in conn.execute("SELECT job FROM job WHERE run = ? ORDER BY id", (run,))]
    if others:
        meant = f"; did you mean {found[0]}?" if (found := near(job, others)) else ""
        raise NotFound(f"no job {job} of run {run} (it has: {', '.join(others)}){meant}")
    if conn.execute("SELECT 1 FROM run WHERE run = ?", (run,)).fetchone():
        raise NotFound(f"run {run} has no jobs: `caf runs show {run}` tells why")
    raise NotFound(no_run(conn, run))


def act(
    conn: sqlite3.Connection,
    run: int,
    job: str,
    word: Word,
    now: float,
    who: str,
    reason: str | None = None,
    *,
    seen: State | None = None,
    tags: Mapping[str, str] | None = None,
) -> sqlite3.Row:
    """Do what a person says of a job, at once or by way of CANCELLING; Refused says what would be allowed.

    With `seen`, the state in which the person saw it, a job that has moved on since is left alone. `tags` go with a
    reset, and hold until the job has ended.
    """
    with transaction(conn):
        row = find(conn, run, job)
        state = State(row["state"])
        target = target_of(state, word)
        if seen is not None and state is not seen:
            raise Refused(f"job {job} of run {run} was {seen} and is {state} now: look again")
        if target is None:
            raise Refused(_refusal(row, state, word))
        goal = GOAL[word]
        given = f" ({', '.join(f'{name}={value}' for name, value in tags.items())})" if tags else ""
        why = f"{word} by {who}{given}" + (f": {reason}" if reason else "")
        sets: dict[str, Any] = {"tries": 0, "looks": 0, "renew": word in {Word.RESET, Word.START}}
        sets |= {"memory": None, "walltime": None}
        if word is Word.RESET:  # history that is run again goes behind today's runs
            sets |= {"live": live_now(conn, run, now), "tags": json.dumps(tags) if tags else None}
        if target is State.CANCELLING:
            why += f"; becomes {goal} when its end is proved"
            sets["next_state"] = goal
        move(conn, row, target, now, who, why, sets=sets)
        return find(conn, run, job)


def _refusal(row: sqlite3.Row, state: State, word: Word) -> str:
    words = allowed_words(state)
    if state is State.WAITING and word is Word.RESET:
        words = (Word.START, *(other for other in words if other is not Word.START))
    commands = ", ".join(f"`caf jobs {other} {row['run']} {row['job']}`" for other in words)
    return f"job {row['job']} of run {row['run']} is {state}: {word} is not possible; allowed: {commands}"


def apply(
    conn: sqlite3.Connection, changes: Sequence[Change], now: float, since: Sequence[float] | None = None
) -> list[bool]:
    """Carry out what the organise duty decided, in one transaction.

    A job that is no longer as the duty saw it (a person was quicker) is left alone: False at its place. `since` are the
    jobs' own columns as the duty saw them, which also change when a person says something that keeps the state. So is
    one whose change holds what cannot be stored: one poisonous record must not hold up all other jobs.
    """
    done = []
    with transaction(conn):
        for number, change in enumerate(changes):
            row = conn.execute("SELECT * FROM job WHERE id = ?", (change.job_id,)).fetchone()
            current = row is not None and row["state"] == change.seen and row["attempt"] == change.attempt
            if current and since is not None and row["since"] != since[number]:
                current = False
            done.append(current and _move_alone(conn, row, change, now))
    return done


def _move_alone(conn: sqlite3.Connection, row: sqlite3.Row, change: Change, now: float) -> bool:
    conn.execute("SAVEPOINT one")
    try:
        sets, facts = dict(change.sets), change.attempt_sets
        move(conn, row, change.target, now, ORGANISE, change.why, result=change.result, sets=sets, attempt_sets=facts)
        if change.scripts:
            plan(conn, change.job_id, change.attempt, change.target, change.scripts, now)
    except (OverflowError, UnicodeError):
        conn.execute("ROLLBACK TO one")
        return False
    finally:
        if conn.in_transaction:
            conn.execute("RELEASE one")
    return True


def claim_tokens(conn: sqlite3.Connection, job_ids: Sequence[int], now: float) -> dict[int, str]:
    """Move PREPARED jobs to SUBMITTING, each with a token stored before the batch system hears of it."""
    tokens: dict[int, str] = {}
    with transaction(conn):
        database = database_id(conn)
        # Looked at in this very transaction: once `caf pause` has answered, nothing more is taken.
        paused, names = paused_names(conn), []
        for job_id in job_ids:
            row = conn.execute("SELECT * FROM job WHERE id = ?", (job_id,)).fetchone()
            if row["state"] != State.PREPARED or row["job"] in paused:
                continue
            token = f"caf-{database}-{job_id}-{row['attempt']}-{os.urandom(4).hex()}"
            move(conn, row, State.SUBMITTING, now, ORGANISE, "a slot is free", sets={"token": token})
            conn.execute(
                "INSERT INTO attempt (job_id, attempt, token, asked) VALUES (?, ?, ?, ?)",
                (job_id, row["attempt"], token, now),
            )
            tokens[job_id] = token
            names.append(row["job"])
        take_turn(conn, names)
    return tokens


def move(
    conn: sqlite3.Connection,
    row: sqlite3.Row,
    target: State,
    now: float,
    who: str,
    why: str,
    *,
    result: Result | None = None,
    sets: Mapping[str, Any] | None = None,
    attempt_sets: Mapping[str, Any] | None = None,
    told: str | None = None,
) -> None:
    """Change a job's state (or only its columns, where the state stays) inside the caller's transaction.

    `why` becomes its reason and, unless the audit trail is `told` something else, stands there too.
    """
    source = State(row["state"])
    if source is not target and (source, target) not in LEGAL:
        raise Refused(f"job {row['job']} of run {row['run']} cannot go from {source} to {target}")
    columns: dict[str, Any] = {"not_before": None, "unknown_since": None, **(sets or {})}
    ends = target in {State.DONE, State.FAILED}
    columns |= {"state": target, "result": result if ends else None, "reason": why, "updated": now}
    columns["attempt"] = attempt_after(source, target, row["attempt"])
    columns.setdefault("next_state", None)
    if source is not target or who != ORGANISE:
        columns["since"] = now
    if target in IDLE:
        columns |= {"token": None, "batch_id": None}
    if target in FINAL or source in FINAL:
        columns["acknowledged"] = 0
    if target in FINAL:
        columns["tags"] = None
    if source in FINAL:
        columns |= {"mark": None, "marked": None}
    if target not in FOLLOWED:
        columns |= {"lost": None, "twins": None, "adopted": None}
    # What stays as it is is not named: each column that is costs its indices, checks and triggers.
    changed = {name: value for name, value in columns.items() if name == "updated" or row[name] != value}
    assignments = ", ".join(f"{name} = ?" for name in changed)
    conn.execute(f"UPDATE job SET {assignments} WHERE id = ?", (*changed.values(), row["id"]))
    _note_attempt(conn, row, columns, attempt_sets or {}, result, why)
    if source is not target or who != ORGANISE:
        which = {"run": row["run"], "job": row["job"], "attempt": columns["attempt"]}
        note(conn, now, who, **which, was=source, became=target, why=told or why)


def _note_attempt(
    conn: sqlite3.Connection,
    row: sqlite3.Row,
    columns: Mapping[str, Any],
    attempt_sets: Mapping[str, Any],
    result: Result | None,
    why: str,
) -> None:
    """Keep the attempt's own row in step; an attempt that is left keeps what is known of its end."""
    updates = dict(attempt_sets)
    if columns.get("batch_id"):
        updates["batch_id"] = columns["batch_id"]
    busy = BUSY | {State.CANCELLING}
    if row["state"] in busy and columns["state"] not in busy:
        updates["reason"] = why
        updates["archive_due"] = columns["updated"]
        if result is not None:
            updates["result"] = result
    if updates:
        assignments = ", ".join(f"{name} = ?" for name in updates)
        conn.execute(
            f"UPDATE attempt SET {assignments} WHERE job_id = ? AND attempt = ?",
            (*updates.values(), row["id"], row["attempt"]),
        )


def in_states(
    conn: sqlite3.Connection,
    states: Iterable[State],
    *,
    due: float | None = None,
    limit: int = -1,
    tokens: Collection[str] | None = None,
) -> list[sqlite3.Row]:
    """Give jobs in these (not final) states, first those of the highest priority, then the oldest.

    With `due`, only those whose back-off has run out by then; with `tokens`, only those attempts. Each row also has of
    its attempt `asked`, `started`, `exit_code`, and in `hint` and `hint_reason` what is known of a bad end beforehand.
    """
    names = tuple(states)
    marks = ", ".join("?" * len(names))
    when = "" if due is None else "AND (job.not_before IS NULL OR job.not_before <= ?)"
    arguments: tuple[Any, ...] = names if due is None else (*names, due)
    if tokens is not None:
        when += f" AND job.token IN ({', '.join('?' * len(tokens))})"
        arguments += tuple(tokens)
    return conn.execute(
        "SELECT job.*, attempt.asked, attempt.started, attempt.exit_code, attempt.result AS hint, "
        "attempt.reason AS hint_reason FROM job LEFT JOIN attempt "
        "ON attempt.job_id = job.id AND attempt.attempt = job.attempt "
        "WHERE job.state NOT IN ('DONE', 'FAILED', 'REJECTED', 'CANCELLED') "
        f"AND job.state IN ({marks}) {when} ORDER BY job.priority DESC, job.run, job.id LIMIT ?",
        (*arguments, limit),
    ).fetchall()


def renew(conn: sqlite3.Connection, job_ids: Sequence[int], configuration_id: int) -> None:
    """Have jobs that a person asked for again follow the configuration in force; the others keep theirs."""
    with transaction(conn):
        conn.executemany(
            "UPDATE job SET configuration_id = ?, renew = 0 WHERE id = ? AND state = 'NEW'",
            [(configuration_id, job_id) for job_id in job_ids],
        )
