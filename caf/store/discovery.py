"""Absorbing a source's snapshot into the run table, a page at a time, each page one transaction.

The snapshot is a SQLite file that the source wrote (caf/sources/snapshot.py); it is compared as a whole, in SQL, and
only runs that differ are looked at one by one. A crash between two pages costs nothing: the next round compares again.
"""

import json
import sqlite3
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from caf.domain.discovery import Moments, Rules, Seen, merge, reconsider
from caf.domain.matching import Status
from caf.domain.runs import SECOND, Correction, Record
from caf.store import newcomers
from caf.store.database import transaction
from caf.store.keys import Decide
from caf.store.rows import SEEN_COLUMNS, columns_of, quoted, record_from, seen_from
from caf.store.verdicts import Page, intern, settle_on

_COLUMNS = (
    "SELECT s.run AS run, r.run AS known, r.status, r.listener, r.needs_validation, r.verdict_id, r.settled, "
    "r.first_seen, r.judged, r.last_change, r.decided_by, "
    + ", ".join(f's."{c}" AS "read_{c}", r."{c}" AS "{c}"' for c in SEEN_COLUMNS)
    + " FROM snapshot.run s "
)
_UNLIKE = " OR ".join(f's."{c}" IS NOT r."{c}"' for c in SEEN_COLUMNS)
_DIFFERING = (
    f"{_COLUMNS} JOIN main.run r ON r.run = s.run WHERE s.run > ? AND s.run <= ? AND ({_UNLIKE}) ORDER BY s.run"
)
_NEW = (
    f"{_COLUMNS} LEFT JOIN main.run r ON r.run = s.run WHERE s.run > ? AND s.run <= ? AND r.run IS NULL ORDER BY s.run"
)
_COUNTS = (
    "SELECT (SELECT count(*) FROM snapshot.run WHERE run > :after AND run <= :end), (SELECT count(*) "
    "FROM snapshot.run s JOIN main.run r ON r.run = s.run WHERE s.run > :after AND s.run <= :end)"
)
_PAGE_END = "SELECT run FROM snapshot.run WHERE run > ? ORDER BY run LIMIT 1 OFFSET ?"
LAST_RUN = 2**63 - 1
_OPEN = (
    "SELECT run, run AS known, status, listener, needs_validation, verdict_id, settled, first_seen, judged, "
    "last_change, decided_by, "
    + quoted(SEEN_COLUMNS)
    + " FROM run WHERE status = 'OPEN' AND run > ? ORDER BY run LIMIT ?"
)


def attach(conn: sqlite3.Connection, snapshot: str) -> int:
    """Lay a snapshot beside the database for the pages to come, and give the number of its runs."""
    detach(conn)
    conn.execute("ATTACH ? AS snapshot", (snapshot,))
    return int(conn.execute("SELECT count(*) FROM snapshot.run").fetchone()[0])


def detach(conn: sqlite3.Connection) -> None:
    """Take the snapshot away again, if there is one."""
    with suppress(sqlite3.OperationalError):
        conn.execute("DETACH snapshot")


def absorb(
    conn: sqlite3.Connection,
    rules: Rules,
    after: int,
    limit: int,
    now: float,
    replica_time: int,
    bulk: newcomers.Bulk | None = None,
    renewed: AbstractSet[str] = frozenset(),
) -> Page:
    """Take over what differs in the snapshot's next `limit` runs beyond run `after`, and judge it.

    `bulk` carries what the pages of one round learn about newcomers from one to the next. `renewed` are attributes that
    the configuration did not have, or had otherwise, when the source was last absorbed as a whole.
    """
    page = Page()
    bulk = newcomers.Bulk() if bulk is None else bulk
    try:
        with transaction(conn):
            end = conn.execute(_PAGE_END, (after, limit - 1)).fetchone()
            bounds = (after, end[0] if end else LAST_RUN)
            newcomers.forget(conn)
            read, known = conn.execute(_COUNTS, {"after": bounds[0], "end": bounds[1]}).fetchone()
            rows = conn.execute(_DIFFERING, bounds).fetchall() if known else []
            if read > known:
                decide = _decider(conn, rules, now, replica_time)
                horizon = min(int(now * SECOND), replica_time) - rules.settle
                taken = newcomers.take_over(conn, bulk, rules, bounds, now, horizon, decide)
                page.new, page.became, page.notable = taken.new, taken.became, taken.notable
                if taken.new < read - known:
                    rows += conn.execute(_NEW, bounds).fetchall()
            for row in rows:
                _look_at(conn, row, rules, now, replica_time, page, renewed)
            page.last = end[0] if end else None
    except BaseException:
        bulk.memo.clear()  # it names verdicts that were never kept
        raise
    return page


def _look_at(
    conn: sqlite3.Connection,
    row: sqlite3.Row,
    rules: Rules,
    now: float,
    replica_time: int,
    page: Page,
    renewed: AbstractSet[str],
) -> None:
    """Judge one run that is new or differs, by its own record."""
    seen, changed = seen_from(row, "read_"), False
    if row["known"] is not None:
        known = seen_from(row)
        seen = merge(known, seen)
        if columns_of(seen) == columns_of(known):
            return
        changed = columns_of(_without(seen, renewed)) != columns_of(_without(known, renewed))
        if not changed or (row["settled"] and _only_surer(seen, known)):
            # That more is asked about runs is no change of theirs: history is judged anew by a person's replay only,
            # and runs that are open are looked at again in each round. Nor is it one of a run that has settled that a
            # later record makes final what it inherits.
            extra, notes = columns_of(seen)[-2:]
            conn.execute("UPDATE run SET extra = ?, notes = ? WHERE run = ?", (extra, notes, row["run"]))
            return
    settle_on(conn, row, seen, rules, now, replica_time, page, changed=changed)


def _only_surer(seen: Seen, known: Seen) -> bool:
    """Tell whether nothing changed but that values which might still have been replaced no longer are."""
    same = (seen.values, seen.last_lb_end) == (known.values, known.last_lb_end)
    return same and all(
        replace(note, final=True) == replace(seen.notes.get(name, note), final=True)
        for name, note in known.notes.items()
    )


def _without(seen: Seen, attributes: AbstractSet[str]) -> Seen:
    if not attributes:
        return seen
    values = {name: value for name, value in seen.values.items() if name not in attributes}
    notes = {name: note for name, note in seen.notes.items() if name not in attributes}
    return Seen(values, notes, seen.last_lb_end)


def _decider(conn: sqlite3.Connection, rules: Rules, now: float, replica_time: int) -> Decide:
    """Judge a newcomer of the snapshot by the domain's rules, on behalf of all that are like it."""
    moments = Moments(int(now * SECOND), replica_time, int(now * SECOND), None)

    def decide(run: int) -> tuple[int, Status, str | None]:
        row = conn.execute("SELECT * FROM snapshot.run WHERE run = ?", (run,)).fetchone()
        _, verdict = reconsider(seen_from(row), rules, moments)
        return intern(conn, rules.configuration_id, verdict), verdict.status, verdict.listener

    return decide


def look_again(conn: sqlite3.Connection, rules: Rules, after: int, limit: int, now: float, replica_time: int) -> Page:
    """Judge OPEN runs again, whose record is as it was: they may have settled, or the rules may have changed."""
    page = Page()
    with transaction(conn):
        rows = conn.execute(_OPEN, (after, limit)).fetchall()
        for row in rows:
            settle_on(conn, row, seen_from(row), rules, now, replica_time, page, changed=False)
        page.last = rows[-1]["run"] if len(rows) == limit else None
    return page


def source_row(conn: sqlite3.Connection) -> dict[str, Any] | None:
    """Give what the source looked like when it was last absorbed as a whole."""
    row = conn.execute("SELECT * FROM source WHERE id = 1").fetchone()
    if row is None:
        return None
    return {**dict(row), **{name: json.loads(row[name]) for name in ("identity", "marks", "folders")}}


@dataclass(frozen=True, slots=True)
class Absorbed:
    """What the source looked like when it was absorbed as a whole; `token` is what its last snapshot is known by."""

    identity: Any
    marks: Any
    folders: Sequence[str]
    replica_time: int
    stale: float
    token: str | None = None


def keep_source(conn: sqlite3.Connection, source: Absorbed, now: float) -> None:
    """Remember that the source has been absorbed as a whole, and what it looked like."""
    texts = (json.dumps(source.identity), json.dumps(source.marks), json.dumps(source.folders))
    with transaction(conn):
        conn.execute(
            "INSERT INTO source (id, identity, marks, folders, replica_time, looked, stale, absorbed) "
            "VALUES (1, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET identity = excluded.identity, "
            "marks = excluded.marks, folders = excluded.folders, replica_time = excluded.replica_time, "
            "looked = excluded.looked, stale = excluded.stale, absorbed = excluded.absorbed",
            (*texts, source.replica_time, now, source.stale, source.token),
        )


def record_of_run(conn: sqlite3.Connection, run: int, corrections: Sequence[Correction] = ()) -> Record:
    """Give a known run as it is judged and shown."""
    return record_from(conn.execute("SELECT * FROM run WHERE run = ?", (run,)).fetchone(), corrections)
