"""What a job that is ready waits for: the end of a pause, a slot, its turn."""

import json
import os
import sqlite3
import tomllib
from dataclasses import dataclass
from typing import Any

from caf import paths
from caf.cli.options import Place
from caf.cli.text import ago, counted, iso, span
from caf.domain.errors import ConfigError
from caf.domain.jobs import State
from caf.store import configurations, pauses, queries, queue
from caf.store.database import recall


@dataclass(frozen=True, slots=True)
class Waiting:
    """How things stand for a job: its pause, slots in use and in all, how many jobs go before it, its group's use."""

    pause: pauses.Pause | None
    in_use: int
    slots: int | None
    before: int | None
    share: str

    def facts(self) -> dict[str, Any]:
        """Give it for JSON."""
        one = self.pause
        known = {"job": one.job, "since": iso(one.since), "who": one.who, "reason": one.reason} if one else None
        return {"pause": known, "before": self.before}


def waiting(conn: sqlite3.Connection, place: Place, row: sqlite3.Row, now: float) -> Waiting:
    """Ask the database, and the file for the number of slots, how things stand for a job."""
    pause = pauses.pause_of(conn, row["job"]) if _goes_out(row) else None
    before = queue.before(conn, row, now) if row["state"] == State.PREPARED and pause is None else None
    return Waiting(pause, queries.in_slots(conn), _slots(place), before, _share(conn, row, now))


def _goes_out(row: sqlite3.Row) -> bool:
    """Tell whether it is yet to be submitted."""
    return row["state"] in (State.NEW, State.STAGING, State.PREPARED)


def _slots(place: Place) -> int | None:
    try:
        return paths.slots(place.config) or os.cpu_count() or 1
    except ConfigError:
        return None


def _share(conn: sqlite3.Connection, row: sqlite3.Row, now: float) -> str:
    """Say what the batch system last told of the job's group, if it was asked."""
    told = recall(conn, queue.GROUP_USE)
    if told is None or row["state"] != State.PREPARED:
        return ""
    text, _ = configurations.text_of(conn, row["configuration_id"])
    last = configurations.last_good(conn)
    try:
        group = tomllib.loads(text)["jobs"][row["job"]].get("group")
        share = tomllib.loads(text if last is None else last[0])["batch"]["group_slots"]
    except (ValueError, KeyError, AttributeError, TypeError):
        return ""
    use = json.loads(told).get(group)
    if use is None:
        return ""
    if use["others"] is None:
        return f"; how many slots others of group {group} use has not been known for {span(now - use['since'])}"
    return f"; others of group {group} use {use['others']} of its {share}"


def paused(one: pauses.Pause, now: float) -> str:
    """Say that submitting is paused, and since when, by whom and why."""
    return f"{one.what} has been paused for {span(now - one.since)} by {one.who}: {one.reason}"


def slot(row: sqlite3.Row, stand: Waiting, now: float, when: str) -> str:
    """Say what a PREPARED job waits for; `when` is what is known of the next round."""
    if stand.pause is not None:
        return paused(stand.pause, now)
    due = row["not_before"]
    if due is not None and due > now:
        return f"is submitted {ago(due, now)}: {row['reason']}"
    total = "?" if stand.slots is None else stand.slots
    turn = f"; {counted(stand.before, 'job')} before it" if stand.before else ""
    turn += stand.share
    if stand.slots is not None and stand.in_use >= stand.slots:
        return f"waits for a slot: {stand.in_use} of {total} are in use{turn}"
    return f"is submitted {when}: {stand.in_use} of {total} slots are in use{turn}"
