"""Which configuration is in force: that of the running supervisor, or else the one that the next start would take."""

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from caf.cli.options import Place
from caf.domain.errors import ConfigError
from caf.store.configurations import last_good

if TYPE_CHECKING:
    from caf.config import Configuration


def in_force(conn: sqlite3.Connection, place: Place) -> "Configuration":
    """Give the configuration that the next round goes by. ConfigError where there is none."""
    from caf.config import load
    from caf.force import checked

    last = kept_last(conn)
    if last is not None and place.supervisor() is not None:
        return last
    try:
        return checked(load(place.config))
    except ConfigError:
        if last is None:
            raise
        return last


def kept_last(conn: sqlite3.Connection) -> "Configuration | None":
    """Give the configuration that was in force last; None before the first start."""
    from caf.config import parse

    last = last_good(conn)
    return None if last is None else parse(last[0], Path(last[1]))
