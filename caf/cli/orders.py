"""`caf jobs start`, `reject`, `hold`, `kill`, `ack`, and what `reset` shares with them: of one job, or of many."""

import inspect
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any

import typer

from caf.cli.options import By, Config, JobName, Listener, Place, Reason, Runs, SinceChange, States, as_text
from caf.cli.text import harmless, warn
from caf.domain.jobs import SPOILING, Answer, State, Word, target_of
from caf.store.jobs import act, find
from caf.store.remarks import acknowledge

_HELP = {
    Word.START: ("Let a WAITING job run: a person has validated it.", "caf jobs start 490001 L1CaloCalibD3PD"),
    Word.REJECT: ("Say that a WAITING job is never to run.", "caf jobs reject 490004 L1CaloCalibD3PD --reason noise"),
    Word.HOLD: ("Keep a job from running until somebody starts it.", "caf jobs hold 490001 LArL1CaloRampMaker"),
    Word.KILL: ("End a job for good.", 'caf jobs kill 490001 LArL1CaloRampMaker --reason "wrong release"'),
    Answer.ACK: (
        "Say that a failure was seen, so that it asks for nobody.",
        "caf jobs ack 490003 LArL1CaloRampMaker",
    ),
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
        return one_line(by)
    if name := os.environ.get("SUDO_USER", "").strip():
        return one_line(name)
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def one_line(text: str) -> str:
    """Give what somebody typed as one harmless line."""
    return harmless(" ".join(text.split()))


@dataclass(frozen=True, slots=True)
class Meant:
    """Which jobs are meant: one by its run and name, or those that the options leave, and whether it is to be done.

    And where they are, who wants it, and why.
    """

    place: Place
    who: str
    why: str | None
    run: int | None
    job: str | None
    states: list[State]
    of_job: str | None
    listener: str | None
    runs: Any | None
    since: float | None
    yes: bool


def _meant(
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
) -> Meant:
    """Take together what all commands about one job or many are told: their arguments and options are these."""
    place, states = Place.and_states(config, state)
    why = one_line(reason) if reason else None
    return Meant(place, person(by), why, run, job, states, of_job, listener, runs, since, yes)


def about_jobs(function: Callable[..., None]) -> Callable[..., None]:
    """Make a command of a function of what is meant: its further parameters are options of this command alone."""
    own = list(inspect.signature(function).parameters.values())[1:]

    @wraps(function)
    def command(**given: Any) -> None:
        mine = {one.name: given.pop(one.name) for one in own}
        function(_meant(**given), **mine)

    vars(command)["__signature__"] = inspect.Signature([*inspect.signature(_meant).parameters.values(), *own])
    return command


def _command(word: Word | Answer, example: str | None = None) -> Callable[..., None]:
    def command(meant: Meant) -> None:
        carry_out(Order(word, meant.who, meant.why), meant)

    meaning, usual = _HELP[word]
    one_or_many = "One job by RUN and JOB; or many by options, with --yes."
    command.__doc__ = f"{meaning}\n\n{one_or_many}\n\nExample: {example or usual}"
    return about_jobs(command)


def carry_out(order: "Order", meant: Meant) -> None:
    """Do what is ordered to the one job that is named, or to all that the options mean."""
    options = (meant.of_job, meant.listener, meant.runs, meant.since)
    filtered = bool(meant.states) or any(given is not None for given in options)
    if meant.run is not None and meant.job is not None and not filtered:
        _one(meant.place, order, meant.run, meant.job)
    elif meant.run is None and filtered:
        earliest = None if meant.since is None else time.time() - meant.since
        wanted = {"job": meant.of_job, "listener": meant.listener, "runs": meant.runs or (), "since": earliest}
        _many(meant.place, order, meant.yes, states=meant.states, **wanted)
    else:
        raise typer.BadParameter(
            f"give either RUN and JOB, such as `caf jobs {order.word} 490001 LArL1CaloRampMaker`, or options that say "
            "which jobs are meant: --state, --job, --listener, --runs, --since",
            param_hint="RUN JOB",
        )


start, reject, hold, kill = map(_command, (Word.START, Word.REJECT, Word.HOLD, Word.KILL))
ack = _command(Answer.ACK)
ack_at_once = _command(Answer.ACK, 'caf ack --state FAILED --since 7d --yes --reason "known trouble"')


@dataclass(frozen=True, slots=True)
class Order:
    """What a person wants, and who it is."""

    word: Word | Answer
    who: str
    why: str | None
    tags: Mapping[str, str] | None = None

    def do(self, conn: sqlite3.Connection, run: int, job: str, seen: State | None = None) -> sqlite3.Row:
        """Do it to one job."""
        if isinstance(self.word, Answer):
            return acknowledge(conn, run, job, time.time(), self.who, self.why, seen=seen)
        return act(conn, run, job, self.word, time.time(), self.who, self.why, seen=seen, tags=self.tags)

    def possible(self, state: State) -> bool:
        """Tell whether it can be done in a state."""
        return state is State.FAILED if isinstance(self.word, Answer) else target_of(state, self.word) is not None


def _one(place: Place, order: Order, run: int, job: str) -> None:
    with place.existing(f"job {job} of run {run}") as conn:
        was = find(conn, run, job)["state"]
        row = order.do(conn, run, job)
    print(_now(row))
    if was == State.DONE and order.word in SPOILING:
        again = f"`caf jobs reset {row['run']} {harmless(row['job'])}`"
        warn(f"it was DONE: its result counts as good no more; {again} makes another")


def _now(row: sqlite3.Row) -> str:
    """Say in one line what a job is now."""
    words = f"job {row['job']} of run {row['run']} is {row['state']}"
    if row["acknowledged"]:
        return f"{words}, and acknowledged: it asks for nobody until it fails again"
    if row["state"] == State.CANCELLING:
        return f"{words}: it becomes {row['next_state']} as soon as its end is proved"
    return f"{words}{', attempt ' + str(row['attempt']) if row['attempt'] > 1 else ''}"


def _many(place: Place, order: Order, yes: bool, **wanted: Any) -> None:
    """Do it to all jobs that the filter finds; or say what it would do."""
    from caf.cli.bulk import many  # a change of one job does without it
    from caf.store.bulk import Meant
    from caf.store.queries import JobFilter

    def do(conn: sqlite3.Connection, one: Meant) -> sqlite3.Row:
        return order.do(conn, one.run, one.job, one.state)

    many(place, order.word, JobFilter(**wanted), do, yes=yes, possible=order.possible, line=_now)
