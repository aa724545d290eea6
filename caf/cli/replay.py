"""`caf listeners replay`: what a changed configuration makes of the known runs, as a difference or for good."""

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caf.cli.inforce import kept_last
from caf.cli.options import By, Config, Json, Place, Reason, Runs, StateDir, because
from caf.cli.orders import person
from caf.cli.progress import Progress
from caf.cli.text import counted, print_json, say, warn
from caf.domain.discovery import Rules
from caf.domain.errors import ConfigError, Refused
from caf.domain.runs import SECOND
from caf.store import configurations, queries
from caf.store import replay as store
from caf.store.replay import Difference, Kind, Ranges, Standing

if TYPE_CHECKING:
    from caf.config import Configuration

SHOWN = 20  # of each kind, to people
Against = Annotated[
    Path | None, typer.Option("--against", metavar="FILE", readable=False, help="Another file than --config's.")
]
Apply = Annotated[bool, typer.Option("--apply", help="Judge the runs of --runs by the file for good.")]
AtMost = Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Name at most N of each kind.")]
_WORDS = {
    Kind.GAINED: "gained (would be taken)",
    Kind.LOST: "lost (would no longer be taken)",
    Kind.MOVED: "moved (another listener would take them)",
    Kind.VALIDATION: "validation (the same listener, but a person must validate them now, or need not any more)",
    Kind.OTHER: "other (taken neither way)",
}


@dataclass(slots=True)
class Found:
    """What was found: how many runs were judged, and what differs. Only `limit` of each kind are kept by name.

    Left to people are the runs that one `decided` on, and the jobs that differing runs have.
    """

    jobs_for: Callable[[str], Sequence[str]]
    limit: int | None
    judged: int = 0
    totals: Counter[Kind] = field(default_factory=Counter)
    named: dict[Kind, list[Difference]] = field(default_factory=lambda: {kind: [] for kind in Kind})
    jobs: int = 0
    jobs_named: list[tuple[int, str]] = field(default_factory=list)
    decided: int = 0
    jobs_kept: int = 0

    def add(self, differences: Sequence[Difference]) -> None:
        """Take in a page."""
        self.totals.update(difference.kind for difference in differences)
        self.jobs_kept += sum(len(difference.jobs) for difference in differences)
        for difference in differences:
            if self.limit is None or len(self.named[difference.kind]) < self.limit:
                self.named[difference.kind].append(difference)
        takers = {difference.becomes.listener for difference in differences} - {None}
        made = store.jobs_to_make(differences, {str(name): self.jobs_for(str(name)) for name in takers})
        self.jobs += len(made)
        room = None if self.limit is None else max(0, self.limit - len(self.jobs_named))
        self.jobs_named += made[:room]


def replay(
    against: Against = None,
    runs: Runs = None,
    apply: Apply = False,
    reason: Reason = None,
    by: By = None,
    limit: AtMost = None,
    as_json: Json = False,
    config: Config = None,
    state: StateDir = None,
) -> None:
    """Show what the file makes of all known runs.

    As a difference from where they stand; nothing is changed. The exit status is 1 if anything differs, 0 if nothing,
    2 if the file is wrong. With --apply the runs of --runs are judged by it for good, and jobs are made of what is
    newly taken.

    Example: caf listeners replay --against new.toml --runs 490001-490100
    """
    place, who, why = Place.of(config, state), person(by), None
    if apply:
        why = _asked_for_good(against, runs, reason)
    elif reason is not None:
        raise typer.BadParameter("goes with --apply: without it nothing is changed", param_hint="--reason")
    configuration = _exclusive(against if against is not None else place.config)
    found = Found(configuration.jobs_for, limit if limit is not None or as_json else SHOWN)
    strange: list[str] = []
    with place.database() as conn:
        if conn is not None:
            strange, found.decided = _not_known(conn, configuration), store.decided(conn, runs)
            if why is not None:
                _apply(conn, place, configuration, runs or (), who, why, found)
            else:
                now, written, rules = _moment(conn, configuration)
                _follow(store.differences(conn, rules, now, written, runs), store.count(conn, runs), found)
    if strange:
        warn(
            f"{configuration.path.name} reads {', '.join(strange)} from elsewhere than known runs were read: "
            "what those have is taken as it is, and what they lack as never recorded"
        )
    limit_of_jobs = configuration.caf.max_new_jobs
    if as_json:
        print_json(_for_json(found, limit_of_jobs, applied=apply))
    else:
        _print(found, limit_of_jobs, applied=apply)
    if found.totals and not apply:
        raise typer.Exit(1)


def _asked_for_good(against: Path | None, runs: Ranges | None, reason: str | None) -> str:
    """Give the reason for --apply; wrong usage if something that it needs is missing."""
    if against is not None:
        raise typer.BadParameter("is for looking only: what is applied is the file in force", param_hint="--against")
    if runs is None:
        raise typer.BadParameter("must be given with --apply: history is judged anew only by name", param_hint="--runs")
    if reason is None:
        raise typer.BadParameter("must be given with --apply", param_hint="--reason")
    return because(reason)


def _exclusive(path: Path) -> "Configuration":
    from caf.config import check_exclusive, load

    configuration = load(path)
    errors, _ = check_exclusive(configuration)
    if errors:
        raise ConfigError("\n".join(errors))
    return configuration


def _not_known(conn: sqlite3.Connection, configuration: "Configuration") -> list[str]:
    """Give the added attributes that known runs were not read with."""
    try:
        last = kept_last(conn)
    except ConfigError:
        return []
    had = getattr(last.source, "attributes", {}) if last is not None else {}
    wants = getattr(configuration.source, "attributes", {})
    return sorted(name for name, table in wants.items() if had.get(name) != table)


def _moment(conn: sqlite3.Connection, configuration: "Configuration", number: int = 0) -> tuple[float, int, Rules]:
    """Give now, when the source was last written (ns), and what runs are judged by."""
    now, source = time.time(), queries.source_times(conn)
    settle = int(configuration.caf.settle * SECOND)
    rules = Rules(number, configuration.listeners_in_force(), configuration.corrections_in_force(), settle)
    return now, source["replica_time"] if source is not None else int(now * SECOND), rules


def _follow(pages: Iterator[tuple[int, list[Difference]]], total: int, found: Found) -> None:
    """Take in all pages; where it takes long and a person watches, say how far it is."""
    with Progress("replay", "runs") as progress:
        for judged, differences in pages:
            found.judged += judged
            found.add(differences)
            progress(found.judged, total)


def _apply(
    conn: sqlite3.Connection,
    place: Place,
    configuration: "Configuration",
    ranges: Ranges,
    who: str,
    why: str,
    found: Found,
) -> None:
    """Judge the runs by the configuration for good, a page at a time."""
    number = _put_down(conn, place, configuration)

    def pages() -> Iterator[tuple[int, list[Difference]]]:
        now, written, rules = _moment(conn, configuration, number)
        after: int | None = -1
        while after is not None:
            after, judged, changed = store.apply(conn, rules, now, written, ranges, who, f"replayed: {why}", after)
            yield judged, changed

    _follow(pages(), store.count(conn, ranges), found)


def _put_down(conn: sqlite3.Connection, place: Place, configuration: "Configuration") -> int:
    """Give the number of the configuration, which must be the one in force.

    What is kept last is what a supervisor goes on with should the file be broken. So under a running supervisor only
    what it has put into force itself will do; without one, what the next start would put into force.
    """
    from caf.force import checked

    last, path = configurations.last_good(conn), str(configuration.path)
    if last is not None and last[0] == configuration.text:
        path = last[1]  # the same text may stand elsewhere too, and paths in it are relative
    else:
        if place.supervisor() is not None:
            raise Refused(
                f"{path} is not what the running supervisor goes by: a changed file comes into force by itself within "
                "seconds, if it has no errors: `caf status` and `caf check` tell; then try again"
            )
        checked(configuration)
    return configurations.keep(conn, configuration.text, configuration.sha256, path, time.time())


def _for_json(found: Found, limit_of_jobs: int, *, applied: bool) -> dict[str, Any]:
    kinds = {kind.value: [_difference(one) for one in found.named[kind]] for kind in Kind}
    return {
        "judged": found.judged,
        "differ": found.totals.total(),
        "applied": applied,
        "totals": {**{kind.value: found.totals[kind] for kind in Kind}, "jobs": found.jobs},
        **kinds,
        "jobs_to_make": [{"run": run, "job": job} for run, job in found.jobs_named],
        "all_waiting": found.jobs > limit_of_jobs,
        "left": {"runs": found.decided, "jobs": found.jobs_kept},
    }


def _difference(one: Difference) -> dict[str, Any]:
    return {"run": one.run, "from": _standing(one.was), "to": _standing(one.becomes), "jobs": list(one.jobs)}


def _standing(one: Standing) -> dict[str, Any]:
    return {"status": one.status.value, "listener": one.listener, "needs_validation": one.needs_validation}


def _print(found: Found, limit_of_jobs: int, *, applied: bool) -> None:
    for kind in Kind:
        if total := found.totals[kind]:
            say(f"{counted(total, 'run')} {_WORDS[kind].replace('would be', 'are') if applied else _WORDS[kind]}:")
            _some([_line(one) for one in found.named[kind]], total)
    if found.jobs:
        waits = f": more than max_new_jobs = {limit_of_jobs}, so all of them wait for a person"
        when = "are made in the next round" if applied else "would be made"
        say(f"{counted(found.jobs, 'job')} {when}{waits if found.jobs > limit_of_jobs else ''}:")
        _some([f"{run}  {job}" for run, job in found.jobs_named], found.jobs)
    changed = "changed" if applied else "would change"
    say(f"{counted(found.judged, 'run')} judged, {found.totals.total()} {changed}")
    if left := _left(found):
        say(f"left to people: {' and '.join(left)}")
    if found.totals and not applied:
        say(
            "Nothing is changed. Once the file is in force: "
            "`caf listeners replay --runs A-B --apply --reason TEXT` judges those runs by it for good"
        )


def _left(found: Found) -> list[str]:
    """Say what no replay touches."""
    runs = f"{counted(found.decided, 'run')} that somebody assigned or ignored"
    jobs = (
        f"{counted(found.jobs_kept, 'job')} that runs above have, which {'stays' if found.jobs_kept == 1 else 'stay'}"
    )
    return [text for text, count in ((runs, found.decided), (jobs, found.jobs_kept)) if count]


def _some(lines: Sequence[str], total: int) -> None:
    for line in lines:
        print(f"  {line}")
    if total > len(lines):
        print(f"  ... and {total - len(lines)} more: --limit N, or --json")


def _line(one: Difference) -> str:
    jobs = f"  (has {', '.join(one.jobs)}, left as they are)" if one.jobs else ""
    return f"{one.run}  {_words(one.was)} -> {_words(one.becomes)}{jobs}"


def _words(one: Standing) -> str:
    text = one.status.value if one.listener is None else f"{one.status.value} by {one.listener}"
    return f"{text}, a person must validate it" if one.needs_validation else text
