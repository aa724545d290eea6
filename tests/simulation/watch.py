"""What must hold in every round: written into the database's own connection, so that no change goes unseen."""

import json
import sqlite3
from collections.abc import Sequence

from caf.domain.matching import Listener
from caf.store.rows import SEEN_COLUMNS

_NULLED = " OR ".join(
    f'(OLD."{name}" IS NOT NULL AND NEW."{name}" IS NULL)' for name in SEEN_COLUMNS if name != "notes"
)
_SAME = " AND ".join(f'OLD."{name}" IS NEW."{name}"' for name in SEEN_COLUMNS)
_SHOWN = (
    'status, listener, settled, run_type, start, "end", tier0_tag, recorded_events, stored_events, last_lb_end, notes'
)
_NEW = ", ".join(f"NEW.{name.strip()}" for name in _SHOWN.split(","))
_TIMES = 'max(coalesce("start", 0), coalesce("end", 0), coalesce(last_lb_end, 0), coalesce(last_change, 0))'
_DIFFERS = " OR ".join(f's."{name}" IS NOT r."{name}"' for name in SEEN_COLUMNS)

WATCH = f"""
CREATE TEMP TABLE past (round INTEGER, run INTEGER, {_SHOWN});
CREATE TEMP TABLE now (round INTEGER);
CREATE TEMP TABLE broken (round INTEGER, run INTEGER, what TEXT);
CREATE TEMP TRIGGER new AFTER INSERT ON main.run BEGIN
    INSERT INTO past SELECT now.round, NEW.run, {_NEW} FROM now;
END;
CREATE TEMP TRIGGER changed AFTER UPDATE OF status ON main.run BEGIN
    INSERT INTO past SELECT now.round, NEW.run, {_NEW} FROM now;
END;
CREATE TEMP TRIGGER nulled AFTER UPDATE OF status ON main.run WHEN {_NULLED} BEGIN
    INSERT INTO broken SELECT round, NEW.run, 'a known value became null' FROM now;
END;
CREATE TEMP TRIGGER reopened AFTER UPDATE OF status ON main.run
    WHEN OLD.status <> 'OPEN' AND NEW.status = 'OPEN' AND {_SAME} BEGIN
    INSERT INTO broken SELECT round, NEW.run, 'a decided run was opened without a change of its record' FROM now;
END;
CREATE TEMP TRIGGER unmarked AFTER UPDATE OF status ON main.run
    WHEN NOT ({_SAME}) AND NEW.last_change IS OLD.last_change BEGIN
    INSERT INTO broken SELECT round, NEW.run, 'its record changed, and that is not marked' FROM now;
END;
CREATE TEMP TRIGGER lost AFTER DELETE ON main.run BEGIN
    INSERT INTO broken SELECT round, OLD.run, 'it was deleted' FROM now;
END;
"""


def watch(conn: sqlite3.Connection) -> None:
    """See all that happens to runs from now on."""
    for statement in WATCH.split(";\nCREATE"):
        text = statement if statement.lstrip().startswith("CREATE") else "CREATE" + statement
        conn.execute(text)


def begin_round(conn: sqlite3.Connection, number: int) -> None:
    conn.execute("DELETE FROM temp.now")
    conn.execute("INSERT INTO temp.now VALUES (?)", (number,))


class Provisional:
    """Tells whether an answer that is no answer yet was given for each provisional value."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._attributes = [
            [condition.attribute for condition in listener.conditions] + ["events"] * (listener.min_events is not None)
            for listener in listeners
        ]
        self._seen: dict[tuple[str, frozenset[str]], bool] = {}

    def decided_on(self, answers: str, notes: str, *, endless: bool) -> bool:
        """Tell whether a verdict rests on a value that the notes call provisional, or on an end not recorded."""
        loose = frozenset(name for name, note in json.loads(notes).items() if not note["final"])
        loose |= {"end", "error_bits"} if endless else set()
        key = (answers, loose)
        if key not in self._seen:
            groups = zip(answers.split(" "), self._attributes, strict=True)
            pairs = [pair for letters, names in groups for pair in zip(letters, names, strict=True)]
            self._seen[key] = any(name in loose and letter != "u" for letter, name in pairs)
        return self._seen[key]


def differing(conn: sqlite3.Connection, snapshot: str) -> list[int]:
    """Give the runs that are not known just as the snapshot has them."""
    conn.execute("ATTACH ? AS said", (snapshot,))
    rows = conn.execute(f"SELECT r.run FROM said.run s JOIN main.run r ON r.run = s.run WHERE {_DIFFERS}").fetchall()
    conn.execute("DETACH said")
    return [row[0] for row in rows]


def faults(
    conn: sqlite3.Connection, provisional: Provisional, snapshot: str | None, latest: int, due: int | None
) -> list[tuple[int | None, str]]:
    """Give what does not hold after a round: (run, what).

    `snapshot` names what was absorbed as a whole, if anything; runs whose last time is not before `latest` (ns) cannot
    have settled; those whose last time is before `due` must have, where open runs have just been looked at.
    """
    found: list[tuple[int | None, str]] = [
        (row[0], row[1]) for row in conn.execute("SELECT run, what FROM temp.broken")
    ]
    counted = dict(tuple(row) for row in conn.execute("SELECT status, runs FROM run_count WHERE runs > 0"))
    actual = dict(tuple(row) for row in conn.execute("SELECT status, count(*) FROM run GROUP BY status"))
    if counted != actual:
        found.append((None, f"the counts say {counted}, and there are {actual}"))
    rows = conn.execute(
        'SELECT r.run, v.answers, r.notes, r."end" IS NULL FROM run r JOIN verdict v ON v.id = r.verdict_id '
        'WHERE (r.notes LIKE \'%"final":false%\' OR r."end" IS NULL) AND r.settled = 0'
    )
    found += [
        (row[0], "decided on a provisional value")
        for row in rows
        if provisional.decided_on(row[1], row[2] or "{}", endless=bool(row[3]))
    ]
    early = conn.execute(f"SELECT run FROM run WHERE settled = 1 AND {_TIMES} >= ?", (latest,))
    found += [(row[0], "has settled before it could") for row in early]
    if due is not None:
        late = conn.execute(f"SELECT run FROM run WHERE status = 'OPEN' AND {_TIMES} BETWEEN 1 AND ?", (due - 1,))
        found += [(row[0], "has settled and is open") for row in late]
    if snapshot is not None:
        conn.execute("ATTACH ? AS said", (snapshot,))
        lost = conn.execute("SELECT run FROM said.run WHERE run NOT IN (SELECT run FROM main.run)").fetchall()
        conn.execute("DETACH said")
        found += [(row[0], "was read and is not known") for row in lost]
    return found
