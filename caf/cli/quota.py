"""`caf quota`: how full the account of the working areas is, when it will be full, and what would be removed."""

import sqlite3
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caf import fullness
from caf.cli.options import Config, Json, Place, StateDir
from caf.cli.progress import followed
from caf.cli.text import Table, ago, counted, harmless, iso, print_json, print_pairs, say, span
from caf.domain.accounts import Account, Counts, Use, Weight, credited
from caf.domain.cleaning import Area, Planner, Rules, candidates, reads_as
from caf.store import pins, quota, removals
from caf.store.quota import Standing

if TYPE_CHECKING:
    from caf.config import Configuration

FEW = 20  # of what would go first, as many are named


def show(
    context: typer.Context,
    with_plan: Annotated[
        bool, typer.Option("--plan", help="Also what would be removed, in order, and why the rest stays.")
    ] = False,
    as_json: Json = False,
    config: Config = None,
    state: StateDir = None,
) -> None:
    """How full the account of the working areas is: as measured last, what is written a day, when it will be full.

    With --plan also what would be removed now, in order, and why everything else stays. Nothing is changed. The exit
    status is 1 if a person is needed.

    Example: caf quota --plan
    """
    if context.invoked_subcommand is not None:
        return
    place, now = Place.of(config, state), time.time()
    with place.database() as conn:
        found = None if conn is None else quota.standing(conn)
        pinned = [] if conn is None else pins.pins(conn, now)
        freed = _freed(conn, found)
        planned = _planned(conn, place, found, now) if conn is not None and with_plan else None
    if as_json:
        facts = {**fullness.as_object(found)} if found is not None else dict.fromkeys(fullness.as_object(_NOTHING))
        listed = [{**_pin(one), "since": iso(one.since), "until": iso(one.until)} for one in pinned]
        print_json({"on": found is not None, **facts, "pins": listed, "plan": planned and planned.as_object(now)})
    else:
        _print(found, freed, pinned, now)
        if planned is not None:
            planned.show(now)
    if fullness.trouble(found, now) or (found is not None and found.error is not None):
        raise typer.Exit(1)


_NOTHING = Standing(0.0, "", "", 0.0, 0.0, 0.0)


def _pin(one: pins.Pin) -> dict[str, Any]:
    return {"run": one.run, "job": one.job, "who": one.who, "reason": one.reason}


def _print(found: Standing | None, freed: Weight, pinned: list[pins.Pin], now: float) -> None:
    if found is None:
        say("Nothing is measured or removed: there is no [quota] in listeners.toml, or no round was done since")
    else:
        _print_account(found, freed, now)
    if pinned:
        print()
        table = Table(("RUN", "JOB", "PINNED UNTIL", "BY", "WHY"), soft=("WHY",))
        table.show((one.run, one.job, str(iso(one.until))[:16], one.who, one.reason) for one in pinned)


def _print_account(found: Standing, freed: Weight, now: float) -> None:
    account = found.account
    measured = "never yet" if found.measured is None else ago(found.measured, now)
    pairs: list[tuple[str, Any]] = [("account", f"{found.path}, by {found.provider}, measured {measured}")]
    pairs += [("counts", account.chosen)] if account is not None and account.chosen else []
    pairs += [("also", account.remark)] if account is not None and account.remark else []
    pairs += [("not known", found.error)] if found.error is not None else []
    pairs += [("cleaning", f"above {found.high:g} %, down to {found.low:g} %{', under way' * found.going_on}")]
    if freed != Weight():
        pairs += [("since then", f"removed {fullness.removed(account, freed)}")]
    if found.a_day is not None:
        jobs = ", ".join(f"{name} {reads_as(Counts.SIZES, most)}" for name, most in list(found.by_job.items())[:5])
        pairs += [("written", f"{reads_as(Counts.SIZES, found.a_day)} a day{f' ({jobs})' if jobs else ''}")]
    pairs += [("forecast", _forecast(found, now))]
    print_pairs([(name, harmless(text)) for name, text in pairs])
    if account is not None and account.uses:
        print()
        Table(("FULL", "USED", "OF", "WHOSE"), soft=("WHOSE",)).show(map(_limit, account.uses))
    for _, text, _ in fullness.trouble(found, now):
        print()
        say(text)


def _limit(use: Use) -> tuple[object, ...]:
    share = "no limit" if use.percent is None else f"{use.percent:.1f} %"
    amounts = [None if one is None else reads_as(use.counts, one) for one in (use.used, use.limit)]
    return share, *amounts, use.of


def _forecast(found: Standing, now: float) -> str:
    left = fullness.full_in(found, now)
    if left is not None:
        return f"full in {span(left)}: {found.full_of}" if left > 0 else f"full, whatever is removed: {found.full_of}"
    return "too early to tell" if found.a_day is None else "not full as things go"


@dataclass(slots=True)
class Planned:
    """What the next round would do, by what was measured last; and of all other areas why they stay."""

    needed: bool
    goes: list[Area] = field(default_factory=list)
    could: list[Area] = field(default_factory=list)
    kept: list[tuple[Area, str]] = field(default_factory=list)
    short: bool = False
    counts: Counts = Counts.DISK

    def as_object(self, now: float) -> dict[str, Any]:
        """Give it for JSON."""
        return {
            "needed": self.needed,
            "enough": not self.short,
            "removals": [_area(area, now) for area in self.goes],
            "removable": [_area(area, now) for area in self.could],
            "kept": [{**_area(area, now), "why": why} for area, why in self.kept],
        }

    def show(self, now: float) -> None:
        """Print it: areas that go one by one, those that stay by their reasons."""
        print()
        if self.needed:
            size = sum((area.weight or Weight()).by(self.counts) for area in self.goes)
            say(f"The next round removes {counted(len(self.goes), 'working area')}, {reads_as(self.counts, size)}:")
            _list(self.goes, self.counts, now)
            if self.short:
                say("That is not enough to reach the low mark, and nothing else may go.")
        else:
            could = f"{counted(len(self.could), 'working area')} could, these first:" if self.could else "None may"
            say(f"Nothing has to go now. {could}")
            _list(self.could[:FEW], self.counts, now)
        if self.kept:
            print()
            counts = Counter(why for _, why in self.kept)
            such_as = {why: area for area, why in reversed(self.kept)}
            table = Table(("STAY", "BECAUSE", "SUCH AS"), soft=("BECAUSE",))
            table.show((many, why, f"{such_as[why].run} {such_as[why].job}") for why, many in counts.most_common())


def _list(areas: list[Area], counts: Counts, now: float) -> None:
    table = Table(("RUN", "JOB", "ATTEMPT", "ENDED", "SIZE", "FILES"))
    table.show((one.run, one.job, one.attempt, ago(one.over, now), *_weight(one.weight, counts)) for one in areas)


def _weight(weight: Weight | None, counts: Counts) -> tuple[str | None, int | None]:
    return (None, None) if weight is None else (reads_as(counts, weight.by(counts)), weight.files)


def _area(area: Area, now: float) -> dict[str, Any]:
    weight = area.weight
    return {
        "run": area.run,
        "job": area.job,
        "attempt": area.attempt,
        "ended": iso(area.over),
        "sizes": None if weight is None else weight.sizes,
        "disk": None if weight is None else weight.disk,
        "files": None if weight is None else weight.files,
    }


def _planned(conn: sqlite3.Connection, place: Place, found: Standing | None, now: float) -> Planned:
    """Do what the clean duty does, but for removing anything."""
    from caf.cli.inforce import in_force  # reads the whole configuration

    configuration = in_force(conn, place)
    if configuration.quota is None:
        return Planned(needed=False)
    rules, removable = _rules(configuration)
    kept: list[tuple[Area, str]] = []
    left = Counter(removals.there_by_job(conn))
    areas = followed(removals.there(conn, removable, now), "weighing", "working areas", left.total())
    could = list(candidates(areas, rules, now, left, lambda area, why: kept.append((area, why))))
    planner = Planner(_account(conn, found), rules, going_on=removals.intended(conn))
    planner.offer(could)
    plan = planner.plan()
    counts = fullness.bytes_of(None if found is None else found.account)
    return Planned(plan.needed, list(plan.removals), could, kept, bool(plan.short), counts)


def _account(conn: sqlite3.Connection, found: Standing | None) -> Account | None:
    """Give the account as it was measured, less what was removed since."""
    if found is None or found.error is not None or found.account is None:
        return None
    return credited(found.account, found.account, _freed(conn, found))


def _freed(conn: sqlite3.Connection | None, found: Standing | None) -> Weight:
    """Give what was removed since the account was measured."""
    if conn is None or found is None or found.measured is None:
        return Weight()
    return removals.freed_since(conn, found.measured)


def _rules(configuration: "Configuration") -> tuple[Rules, frozenset[str]]:
    from caf.tasks.clean.outlook import removable_jobs, rules_of

    assert configuration.quota is not None
    return rules_of(configuration, configuration.quota), removable_jobs(configuration)
