"""What `caf jobs show` and `why` tell of a job's after-scripts."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from caf.cli.text import ago, iso
from caf.store.afterwards import named, state_of, told


def as_objects(rows: Sequence[sqlite3.Row]) -> list[dict[str, Any]]:
    """Give them for JSON; docs/reference.md promises these keys."""
    return [
        {
            "attempt": row["attempt"],
            "step": row["step"],
            "command": json.loads(row["command"]),
            "outcome": row["outcome"],
            "state": state_of(row),
            "begun": iso(row["begun"]),
            "ended": iso(row["ended"]),
            "error": row["error"],
        }
        for row in rows
    ]


def line(row: sqlite3.Row, now: float) -> str:
    """Say of one where it stands."""
    state, since = state_of(row), row["begun"] if row["ended"] is None else row["ended"]
    when = "" if since is None else f", {ago(since, now)}"
    return f"After-script {told(row)} of attempt {row['attempt']}: {state}{when}{_error(row)}"


def of_note(rows: Sequence[sqlite3.Row], attempt: int) -> str:
    """Say which of an attempt's scripts are not over, or failed; nothing if all went well."""
    asked = [row for row in rows if row["attempt"] == attempt and state_of(row) != "done"]
    return "".join(f"; after-script {named(row)} {_verb(row)}{_error(row)}" for row in asked)


def _verb(row: sqlite3.Row) -> str:
    return {"due": "is due", "running": "runs", "failed": "failed"}[state_of(row)]


def _error(row: sqlite3.Row) -> str:
    return "" if row["error"] is None else f": {row['error']}"
