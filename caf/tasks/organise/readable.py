"""Jobs whose stored configuration this caf cannot read, after an upgrade or a step back: they wait, no others do."""

import sqlite3
from collections.abc import Sequence

from caf import __version__
from caf.domain.errors import ConfigError
from caf.domain.jobs import State
from caf.store.jobs import Change
from caf.tasks.house import House
from caf.tasks.organise.moves import carry_out

LATER = 600.0  # s before it is tried again; only another version of caf will read it
KEPT = ("batch_id", "next_state", "tries", "looks")


async def readable(house: House, rows: Sequence[sqlite3.Row]) -> list[sqlite3.Row]:
    """Leave out the jobs whose configuration cannot be read, and say so on them: in doubt, with its age."""
    good: list[sqlite3.Row] = []
    changes: list[tuple[Change, object]] = []
    for row in rows:
        try:
            await house.tables_of(row)
        except (ConfigError, KeyError) as error:
            changes.append((_later(house, row, error), row))
            if row["unknown_since"] is None:
                house.log.warning("config.unreadable", run=row["run"], job=row["job"], error=changes[-1][0].why)
        else:
            good.append(row)
    await carry_out(house, changes)
    return good


async def can_be_read(house: House, row: sqlite3.Row) -> bool:
    """Tell whether a job's configuration can be read."""
    try:
        await house.tables_of(row)
    except (ConfigError, KeyError):
        return False
    return True


async def may_go_on(house: House, rows: Sequence[sqlite3.Row]) -> set[int]:
    """Give those whose attempt was revoked and of which it can be told what follows; the others stay as they are."""
    going = [row for row in rows if row["state"] == State.CANCELLING]  # a person said where to
    staying = await readable(house, [row for row in rows if row["state"] != State.CANCELLING])
    return {row["id"] for row in (*going, *staying)}


def _later(house: House, row: sqlite3.Row, error: ConfigError | KeyError) -> Change:
    what = f"it has no {error}" if isinstance(error, KeyError) else str(error).partition("\n")[0]
    why = (
        f"its configuration, number {row['configuration_id']}, cannot be read by caf {__version__}: {what}; "
        f"`caf jobs reset {row['run']} {row['job']}` gives it today's"
    )
    since = house.clock() if row["unknown_since"] is None else row["unknown_since"]
    sets = {name: row[name] for name in KEPT} | {"unknown_since": since, "not_before": house.clock() + LATER}
    state = State(row["state"])
    return Change(row["id"], state, row["attempt"], state, why, sets=sets)
