"""`caf jobs start`, `reject`, `reset`, `hold`, `kill`: what a person says of a job, or of many."""

import os
import sqlite3
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from caf.cli.options import By, Config, JobName, Listener, Place, Reason, Runs, SinceChange, States, as_text
from caf.cli.text import harmless
from caf.domain.errors import Refused
from caf.domain.jobs import State, Word, target_of
from caf.store.jobs import act

SHOWN = 10
_HELP = {
    Word.START: ("Let a WAITING job run: a person has validated it.", "caf jobs start 490001 L1CaloCalibD3PD"),
    Word.REJECT: ("Say that a WAITING job is never to run.", "caf jobs reject 490001 L1CaloCalibD3PD --reason noise"),
    Word.RESET: ("Run a job again from the beginning.", "caf jobs reset --state FAILED --runs 490001-490100 --yes"),
    Word.HOLD: ("Keep a job from running until somebody starts it.", "caf jobs hold 490001 LArL1CaloRampMaker"),
    Word.KILL: ("End a job for good.", "caf jobs kill 490001 LArL1CaloRampMaker --reason 'wrong release'"),
}
OptionalRun = Annotated[
    int | None, typer.Argument(metavar="[RUN", min=0, max=2**63 - 1, show_default=False, help="A run's number...")
]
OptionalJob = Annotated[
    str | None,
    typer.Argument(
        metavar="JOB]", parser=as_text, show_default=False, help="... and a job's name; or options that filter."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do it to all that the filter finds, instead of saying what it is.")]


def person(by: str | None) -> str:
    """Give who is asking: as named, else the login behind sudo, else that of the process."""
    import pwd

    if by is not None:
        if not by.strip():
            raise typer.BadParameter("must not be empty", param_hint="--by")
        return _one_line(by)
    if name := os.environ.get("SUDO_USER", "").strip():
        return _one_line(name)
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def _one_line(text: str) -> str:
    return harmless(" ".join(text.split()))


def _command(word: Word) -> Callable[..., None]:
    def command(
        run: OptionalRun = None,
        job: OptionalJob = None,
        reason: Reason = None,
        by: By = None,
        state: States = None,
        of_job: JobName = None,
        listener: Listener = None,
        runs: Runs = None,
        since: SinceChange = None,
        yes: Yes = False,
        config: Config = None,
    ) -> None:
        place, states = Place.and_states(config, state)
        order = Order(word, person(by), _one_line(reason) if reason else None)
        filtered = bool(states) or any(given is not None for given in (of_job, listener, runs, since))
        if run is not None and job is not None and not filtered:
            _one(place, order, run, job)
        elif run is None and filtered:
            earliest = None if since is None else time.time() - since
            _many(place, order, yes, states=states, job=of_job, listener=listener, runs=runs or (), since=earliest)
        else:
            raise typer.BadParameter(
                f"give either RUN and JOB, such as `caf jobs {word} 490001 LArL1CaloRampMaker`, or options that say "
                "which jobs are meant: --state, --job, --listener, --runs, --since",
                param_hint="RUN JOB",
            )

    meaning, example = _HELP[word]
    command.__doc__ = f"{meaning}\n\nOne job by RUN and JOB; or many by options, with --yes.\n\nExample: {example}"
    return command


start, reject, reset, hold, kill = map(_command, (Word.START, Word.REJECT, Word.RESET, Word.HOLD, Word.KILL))


@dataclass(frozen=True, slots=True)
class Order:
    """What a person wants, and who it is."""

    word: Word
    who: str
    why: str | None


def _one(place: Place, order: Order, run: int, job: str) -> None:
    with place.existing(f"job {job} of run {run}") as conn:
        row = act(conn, run, job, order.word, time.time(), order.who, order.why)
    print(_now(row))


def _now(row: sqlite3.Row) -> str:
    """Say in one line what a job is now."""
    words = f"job {row['job']} of run {row['run']} is {row['state']}"
    if row["state"] == State.CANCELLING:
        return f"{words}: it becomes {row['next_state']} as soon as its end is proved"
    return f"{words}{', attempt ' + str(row['attempt']) if row['attempt'] > 1 else ''}"


def _many(place: Place, order: Order, yes: bool, **wanted: Any) -> None:
    """Do it to all jobs that the filter finds, each in its own transaction; or say what it would do."""
    from caf.store.queries import JobFilter, jobs  # a change of one job does without it

    with place.database() as conn:
        rows = [row for page in jobs(conn, JobFilter(**wanted)) for row in page] if conn is not None else []
        if not yes:
            _preview(order.word, rows)
            raise typer.Exit(1)
        refused = []
        for row in rows:
            assert conn is not None
            try:
                now, seen = time.time(), State(row["state"])
                print(_now(act(conn, row["run"], row["job"], order.word, now, order.who, order.why, seen=seen)))
            except Refused as error:
                refused.append(error)
    for refusal in refused:
        print(f"caf: {harmless(refusal)}", file=sys.stderr)
    print(f"{order.word}: {len(rows) - len(refused)} done, {len(refused)} refused")
    if refused:
        raise typer.Exit(1)


def _preview(word: Word, rows: list[sqlite3.Row]) -> None:
    """Say what would be done, and what would not."""
    possible = [row for row in rows if target_of(State(row["state"]), word) is not None]
    jobs = "1 job" if len(possible) == 1 else f"{len(possible)} jobs"
    print(f"would {word} {jobs}" + (":" if possible else "; nothing to do"))
    for row in possible[:SHOWN]:
        print(f"  {row['run']} {row['job']} ({row['state']})")
    if len(possible) > SHOWN:
        print(f"  ... and {len(possible) - SHOWN} more")
    if others := len(rows) - len(possible):
        print(f"{others} more would be refused, for in their state {word} is not possible")
    if possible:
        print("To do it, type the same with --yes")
