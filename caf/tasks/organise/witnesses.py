"""The two witnesses of an attempt, heard: the records in its area, and what the batch system says."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from caf.batch.interface import Watched
from caf.batch.processes import process_of
from caf.domain.errors import BatchError, StorageError
from caf.domain.following import Records, Sight, Sighting
from caf.domain.jobs import State
from caf.tasks.house import QUICK, House


@dataclass(slots=True)
class Heard:
    """What the witnesses say, by the job's id."""

    raw: dict[int, dict[str, Any]] = field(default_factory=dict)
    records: dict[int, Records] = field(default_factory=dict)
    sightings: dict[int, Sighting] = field(default_factory=dict)
    watched: dict[int, Watched] = field(default_factory=dict)


async def read_records(house: House, rows: Sequence[sqlite3.Row], heard: Heard) -> None:
    """Read what stands in the area of each attempt."""
    if not rows:
        return
    areas = [house.area(row) for row in rows]
    found = await house.files.call("read_records", areas, timeout=QUICK)
    for row, raw in zip(rows, found, strict=True):
        heard.raw[row["id"]] = raw
        heard.records[row["id"]] = _records(raw, row["token"])
        heard.watched.pop(row["id"], None)


def _records(raw: dict[str, Any], token: str) -> Records:
    if raw.get("error"):
        return Records(readable=False)
    start, end = raw.get("start") or {}, raw.get("exit") or {}
    foreign = any(record and record.get("token") != token for record in (start, end))
    return Records(
        claim=bool(raw["claim"]),
        revoked=bool(raw["revoked"]),
        foreign=foreign,
        started=start.get("at"),
        node=start.get("host") or None,
        batch_id=start.get("batch_id"),
        process=process_of(start),
        torn=bool(raw.get("torn")),
        exit_code=end.get("code"),
        ended=end.get("at"),
        why=end.get("why"),
    )


async def look(
    house: House, rows: Sequence[sqlite3.Row], heard: Heard, troubles: list[BatchError | StorageError]
) -> None:
    """Ask the batch system about attempts that may be alive; of those that it saw end, read the records again."""
    asked = [row for row in rows if row["state"] == State.CANCELLING or _asks(house, heard.records[row["id"]])]
    answers: dict[str, Sighting] = {}
    answered = True
    if asked:
        try:
            answers = await house.batch.look([watched(house, row, heard) for row in asked])
        except BatchError as error:
            answered = False
            troubles.append(error)
            house.log.warning("poll.failed", error=str(error))
    nothing = Sighting(
        Sight.UNKNOWN, reason=None if answered else "the batch system does not answer", answered=answered
    )
    for row in rows:
        heard.sightings[row["id"]] = answers.get(row["token"], nothing)
    ended = [row for row in asked if heard.sightings[row["id"]].sight is Sight.ENDED]
    if ended:
        await read_records(house, ended, heard)


def watched(house: House, row: sqlite3.Row, heard: Heard) -> Watched:
    """Give an attempt as a batch system is asked about it."""
    known = heard.watched.get(row["id"])
    if known is None:
        start, area = heard.raw[row["id"]].get("start"), house.area(row)
        known = Watched(row["token"], row["batch_id"], start, asked=row["asked"], area=area)
        heard.watched[row["id"]] = known
    return known


def _asks(house: House, records: Records) -> bool:
    """Tell whether the batch system may add to the records: one that ends jobs itself knows why a payload failed."""
    return records.exit_code is None or (house.batch.keeps_walltime and records.exit_code != 0)
