"""`caf jobs adopt`, `lost` and `mark`: what a person knows of an attempt or a result that caf cannot know."""

import sqlite3
import time
from typing import Annotated

import typer

from caf.cli.options import By, Config, Job, Place, Reason, Run, StateDir, Why, as_text, because
from caf.cli.orders import person
from caf.cli.text import harmless, say, unbroken
from caf.domain.errors import BatchError, Refused
from caf.domain.jobs import FOLLOWED, State
from caf.store import answers, remarks
from caf.store.database import recall
from caf.store.jobs import find

_LONGEST_ID = 100
_PATIENCE = 60.0  # s


def _batch_id(text: str) -> str:
    given = as_text(text)
    if not given.isprintable() or not given.strip() or len(given.split()) != 1 or len(given) > _LONGEST_ID:
        raise typer.BadParameter(f"{harmless(given)!r} is no id of a batch system: one word, such as 4711")
    return given.strip()


BatchId = Annotated[
    str | None,
    typer.Argument(
        metavar="[BATCH_ID]", parser=_batch_id, show_default=False, help="What the batch system calls it, if known."
    ),
]
How = Annotated[str, typer.Argument(metavar="HOW", parser=as_text, show_default=False, help="good or bad.")]


def adopt(
    run: Run,
    job: Job,
    batch_id: BatchId = None,
    reason: Reason = None,
    by: By = None,
    config: Config = None,
    state: StateDir = None,
) -> None:
    """Say that an attempt in doubt is there.

    It is followed on. With BATCH_ID also which one it is, if caf did not learn that or there are several. The batch
    system is asked whose that is: another's is refused.

    Example: caf jobs adopt 490001 LArL1CaloRampMaker 4711
    """
    why = because(reason) if reason is not None else None
    who = person(by)
    with Place.of(config, state).existing(f"job {job} of run {run}") as conn:
        row = find(conn, run, job)
        if batch_id is not None and row["state"] in FOLLOWED:
            batch_id = _compared(conn, row, batch_id)
        row = answers.adopt(conn, run, job, batch_id, time.time(), who, why, token=row["token"])
    name = f" as {row['batch_id']}" if row["batch_id"] else ""
    say(f"job {job} of run {run} is {row['state']}{name}, and followed on; {_why(row)} tells how it goes")


def _compared(conn: sqlite3.Connection, row: sqlite3.Row, batch_id: str) -> str:
    """Give the id as the batch system writes it, if what has it is the attempt's. Refused if not, or if nobody knows.

    On this machine alone, with kind = "local", ids are of no account.
    """
    kind = recall(conn, "batch_kind")
    if kind is None or kind == "local":
        return batch_id
    from caf.cli.inforce import kept_last
    from caf.cli.site import named

    last, token = kept_last(conn), row["token"]
    unchanged, look = f"so nothing was changed; its token is {token}", f"`caf jobs why {row['run']} {row['job']}`"
    try:
        found = named(kind, last.batch.client_timeout if last is not None else _PATIENCE, batch_id)
    except BatchError as error:
        again = f"`caf jobs adopt {row['run']} {row['job']} {batch_id}`"
        raise Refused(f"whose {batch_id} is cannot be told, {unchanged}: {error}; once it answers: {again}") from None
    if found is None:
        raise Refused(f"{kind} knows of no job {harmless(batch_id)}, or no more, {unchanged}: {look}")
    if token not in found.names:
        raise Refused(f"{found.batch_id} is not this attempt's but {harmless(found.what)}, {unchanged}: {look}")
    return found.batch_id


def lost(run: Run, job: Job, reason: Why, by: By = None, config: Config = None, state: StateDir = None) -> None:
    """Say that an attempt in doubt is gone.

    Only where nobody else can know: the machine burnt down, the batch system forgot it. If it has not begun it is
    made sure that it never will; if it has, your word is the proof that it is over. If it still ran, a second one
    would run beside it: look first. Another attempt follows, as after any failure of the infrastructure.

    Example: caf jobs lost 490001 LArL1CaloRampMaker --reason "node7 is gone"
    """
    why, who = because(reason), person(by)
    with Place.of(config, state).existing(f"job {job} of run {run}") as conn:
        row = answers.lost(conn, run, job, time.time(), who, why)
    then = f"becomes {row['next_state']}" if row["state"] == State.CANCELLING else "ends, and is judged"
    say(f"attempt {row['attempt']} of job {job} of run {run} {then} in the next round; {_why(row)} tells how it goes")


def mark(
    run: Run, job: Job, how: How, reason: Why, by: By = None, config: Config = None, state: StateDir = None
) -> None:
    """Say that a DONE result is good or bad.

    It is kept and shown; the job stays DONE. To have it run again: caf jobs reset.

    Example: caf jobs mark 490004 LArL1CaloRampMaker bad --reason "no towers"
    """
    if how not in remarks.MARKS:
        raise typer.BadParameter(f"{harmless(how)!r} is neither good nor bad", param_hint="HOW")
    why, who = because(reason), person(by)
    with Place.of(config, state).existing(f"job {job} of run {run}") as conn:
        row = remarks.mark(conn, run, job, how, time.time(), who, why)
    again = f"; to run it again: {unbroken(f'caf jobs reset {run} {job}')}" if how == "bad" else ""
    say(f"job {job} of run {run} is {row['state']}, and marked {how}{again}")


def _why(row: sqlite3.Row) -> str:
    return unbroken(f"caf jobs why {row['run']} {row['job']}")
