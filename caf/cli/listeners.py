"""`caf listeners list`: which runs are wanted, and whether two listeners could want the same."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from caf.cli.options import Config, Json, Place, StateDir
from caf.cli.text import harmless, print_array, shown
from caf.domain.discovery import Rules
from caf.domain.errors import CafError
from caf.domain.explaining import described as condition_json
from caf.domain.overlap import Overlap, can_match, overlaps
from caf.domain.runs import SECOND, to_json

if TYPE_CHECKING:
    from caf.config import Configuration

Pair = tuple[str, str]


def list_listeners(as_json: Json = False, config: Config = None, state: StateDir = None) -> None:
    """List the listeners.

    Their conditions, their jobs, and which of them overlap.

    Example: caf listeners list
    """
    from caf.config import load

    place = Place.of(config, state)
    configuration = load(place.config)
    found = overlaps(configuration.listeners_in_force(), configuration.kinds())
    rows = described(configuration, found, real_runs(place, configuration, found))
    if as_json:
        print_array(rows)
        return
    for row in rows:
        print(row["name"] + ("" if row["enabled"] else "  (not enabled: takes no run)"))
        for condition in row["conditions"]:
            print(f"  {harmless(condition['text'])}")
        if row["min_events"] is not None:
            print(f"  with fewer than {row['min_events']} events a person must validate it")
        print(f"  jobs: {', '.join(row['jobs']) or 'none'}")
        if not row["can_match"]:
            print("  CAN NEVER MATCH: no run satisfies all of its conditions")
        for overlap in row["overlaps"]:
            words = "overlaps" if overlap["certain"] else "may overlap"
            real = f"; run {overlap['real_run']} is one" if overlap["real_run"] is not None else ""
            print(f"  {words.upper()} {overlap['with']}: both would take {_witness(overlap['witness'])}{real}")


def _witness(witness: dict[str, Any]) -> str:
    return "a run with " + (", ".join(f"{name} {shown(value)}" for name, value in witness.items()) or "anything")


def real_runs(place: Place, configuration: "Configuration", found: Sequence[Overlap]) -> dict[Pair, int]:
    """Find for pairs of listeners that overlap a known run that both would take; none where nothing is known yet."""
    if not found:
        return {}
    from caf.store.queries import source_times
    from caf.store.replay import taken_by_both

    pairs = [(overlap.first, overlap.second) for overlap in found]
    named = {name for pair in pairs for name in pair}
    listeners = [listener for listener in configuration.listeners_in_force() if listener.name in named]
    rules = Rules(0, listeners, configuration.corrections_in_force(), int(configuration.caf.settle * SECOND))
    now = time.time()
    try:
        with place.database() as conn:
            if conn is None:
                return {}
            source = source_times(conn)
            written = source["replica_time"] if source is not None else int(now * SECOND)
            return taken_by_both(conn, rules, pairs, now, written)
    except CafError:
        return {}  # the listeners can be shown without; `caf status` tells what is wrong with the database


def described(configuration: "Configuration", found: Sequence[Overlap], real: dict[Pair, int]) -> list[dict[str, Any]]:
    """Give each listener as `caf listeners list --json` shows it; docs/reference.md promises these keys."""
    kinds = configuration.kinds()
    rows = []
    for name, table in configuration.listeners.items():
        listener = table.as_listener(name)
        rows.append(
            {
                "name": name,
                "enabled": table.enabled,
                "min_events": listener.min_events,
                "conditions": [condition_json(condition) for condition in listener.conditions],
                "jobs": configuration.jobs_for(name),
                "can_match": can_match(listener, kinds),
                "overlaps": [
                    {
                        "with": overlap.second if overlap.first == name else overlap.first,
                        "witness": {key: to_json(key, value) for key, value in overlap.witness.items()},
                        "real_run": real.get((overlap.first, overlap.second)),
                        "certain": overlap.certain,
                    }
                    for overlap in found
                    if name in (overlap.first, overlap.second)
                ],
            }
        )
    return rows
