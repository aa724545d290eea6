"""What a person answers where the fate of an attempt is not known: it is there, or it is lost.

Neither changes the state by itself. `adopt` ends the doubt; `lost` is kept beside the job, and the organise duty acts
on it: it tries to win the claim, and only where that was made already does the person's word count as the proof.
"""

import sqlite3
from collections.abc import Iterable

from caf.domain.errors import Refused
from caf.domain.jobs import BUSY, FOLLOWED, SPOILING, Answer, State, allowed_answers, allowed_words
from caf.store.audit import note
from caf.store.database import transaction
from caf.store.jobs import ORGANISE, find, move


def words_for(row: sqlite3.Row) -> list[str]:
    """Give the commands that may be typed about a job as it is, those that change its state last.

    Of one that is DONE, hold and kill are allowed but not offered: they are not what anybody means who copies a line
    from the page, and a good calibration would be none.
    """
    state = State(row["state"])
    doubtful = row["unknown_since"] is not None
    which = f"{row['run']} {row['job']}"
    more = {Answer.LOST: " --reason TEXT", Answer.MARK: " good --reason TEXT"}
    answers = allowed_answers(state, doubtful=doubtful, acknowledged=bool(row["acknowledged"]))
    commands = [f"caf jobs {answer} {which}{more.get(answer, '')}" for answer in answers]
    words = [word for word in allowed_words(state) if state is not State.DONE or word not in SPOILING]
    return commands + [f"caf jobs {word} {which}" for word in words]


def refuse(row: sqlite3.Row, what: str) -> Refused:
    """Give the refusal of something in the state that a job is in, with what would be allowed."""
    allowed = ", ".join(f"`{command}`" for command in words_for(row))
    return Refused(f"job {row['job']} of run {row['run']} is {row['state']}: {what}; allowed: {allowed}")


def adopt(
    conn: sqlite3.Connection,
    run: int,
    job: str,
    batch_id: str | None,
    now: float,
    who: str,
    reason: str | None = None,
    *,
    token: str | None = None,
) -> sqlite3.Row:
    """Say that an attempt is there, and by which of the batch system's ids; it is followed on, its doubt begins anew.

    One that was being submitted counts as submitted once its id is known. Refused where nothing is in doubt and no id
    is given, where the id is another job's, and where the attempt with `token` is not the current one any more.
    """
    with transaction(conn):
        row = find(conn, run, job)
        if token is not None and row["token"] != token:
            raise refuse(row, f"the attempt with token {token} is over")
        state = State(row["state"])
        if state not in FOLLOWED:
            raise refuse(row, "there is no attempt out that could be adopted")
        if batch_id is None and row["unknown_since"] is None and row["lost"] is None:
            raise refuse(row, "nothing about it is in doubt")
        if batch_id is not None:
            _not_of_another(conn, row, batch_id)
        why = f"adopt by {who}" + (f" as {batch_id}" if batch_id else "") + (f": {reason}" if reason else "")
        sets = {"batch_id": batch_id or row["batch_id"], "adopted": batch_id or row["adopted"], "lost": None}
        target = State.PENDING if state is State.SUBMITTING and batch_id is not None else state
        if state is State.CANCELLING:
            sets["next_state"] = row["next_state"]
            why = f"{row['reason'].partition(';')[0]}; {why}"
        move(conn, row, target, now, who, why, sets=sets)
        return find(conn, run, job)


def _not_of_another(conn: sqlite3.Connection, row: sqlite3.Row, batch_id: str) -> None:
    states = sorted(BUSY | FOLLOWED)
    other = conn.execute(
        "SELECT run, job FROM job WHERE state NOT IN ('DONE', 'FAILED', 'REJECTED', 'CANCELLED') "
        f"AND state IN ({', '.join('?' * len(states))}) AND batch_id = ? AND id <> ?",
        (*states, batch_id, row["id"]),
    ).fetchone()
    if other is not None:
        raise Refused(
            f"batch id {batch_id} is that of job {other['job']} of run {other['run']}: "
            f"`caf jobs show {other['run']} {other['job']}` tells"
        )


def lost(conn: sqlite3.Connection, run: int, job: str, now: float, who: str, reason: str) -> sqlite3.Row:
    """Say that an attempt is gone. Refused where nothing is in doubt: then the batch system or its records show it."""
    with transaction(conn):
        row = find(conn, run, job)
        if row["state"] not in FOLLOWED:
            raise refuse(row, "there is no attempt out that could be lost")
        if row["unknown_since"] is None:
            raise refuse(row, "nothing about it is in doubt, so it is not taken for lost")
        sets = {name: row[name] for name in ("unknown_since", "next_state", "not_before")}
        sets["lost"] = f"{who}: {reason}"
        move(conn, row, State(row["state"]), now, who, row["reason"], sets=sets, told=f"lost by {who}: {reason}")
        return find(conn, run, job)


def contradict(conn: sqlite3.Connection, job_ids: Iterable[int], now: float) -> None:
    """Drop the word that these are lost, since the batch system shows them alive."""
    with transaction(conn):
        for job_id in job_ids:
            row = conn.execute("SELECT * FROM job WHERE id = ? AND lost IS NOT NULL", (job_id,)).fetchone()
            if row is None:
                continue
            conn.execute("UPDATE job SET lost = NULL WHERE id = ?", (job_id,))
            why = f"lost was said ({row['lost']}), but the batch system shows it alive: it is followed on"
            where = {"run": row["run"], "job": row["job"], "attempt": row["attempt"]}
            note(conn, now, ORGANISE, **where, was=row["state"], became=row["state"], why=why)
