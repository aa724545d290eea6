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

WATCH = f"""
CREATE TEMP TABLE past (round INTEGER, run INTEGER, {_SHOWN.replace('"end"', '"end"')});
CREATE TEMP TABLE now (round INTEGER);
CREATE TEMP TABLE broken (round INTEGER, run INTEGER, what TEXT);
CREATE TEMP TRIGGER new AFTER INSERT ON main.run BEGIN
    INSERT INTO past SELECT now.round, NEW.run, {", ".join(f"NEW.{name.strip()}" for name in _SHOWN.split(","))} FROM now;
END;
CREATE TEMP TRIGGER changed AFTER UPDATE OF status ON main.run BEGIN
    INSERT INTO past SELECT now.round, NEW.run, {", ".join(f"NEW.{name.strip()}" for name in _SHOWN.split(","))} FROM now;
END;
CREATE TEMP TRIGGER nulled AFTER UPDATE OF status ON main.run WHEN {_NULLED} BEGIN
    INSERT INTO broken SELECT round, NEW.run, 'a known value became null' FROM now;
END;
CREATE TEMP TRIGGER reopened AFTER UPDATE OF status ON main.run
    WHEN OLD.status <> 'OPEN' AND NEW.status = 'OPEN' AND {_SAME} BEGIN
    INSERT INTO broken SELECT round, NEW.run, 'a decided run was opened without a change of its record' FROM now;
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

    def decided_on(self, answers: str, notes: str) -> bool:
        """Tell whether a verdict rests on a value that the notes call provisional."""
        loose = frozenset(name for name, note in json.loads(notes).items() if not note["final"])
        key = (answers, loose)
        if key not in self._seen:
            groups = zip(answers.split(" "), self._attributes, strict=True)
            pairs = [pair for letters, names in groups for pair in zip(letters, names, strict=True)]
            self._seen[key] = any(name in loose and letter != "u" for letter, name in pairs)
        return self._seen[key]


def faults(conn: sqlite3.Connection, provisional: Provisional, snapshot: str | None) -> list[tuple[int | None, str]]:
    """Give what does not hold after a round: (run, what). `snapshot` names what was absorbed as a whole, if anything."""
    found: list[tuple[int | None, str]] = [
        (row[0], row[1]) for row in conn.execute("SELECT run, what FROM temp.broken")
    ]
    counted = dict(tuple(row) for row in conn.execute("SELECT status, runs FROM run_count WHERE runs > 0"))
    actual = dict(tuple(row) for row in conn.execute("SELECT status, count(*) FROM run GROUP BY status"))
    if counted != actual:
        found.append((None, f"the counts say {counted}, and there are {actual}"))
    rows = conn.execute(
        "SELECT r.run, v.answers, r.notes FROM run r JOIN verdict v ON v.id = r.verdict_id "
        "WHERE r.notes LIKE '%\"final\":false%' AND r.settled = 0"
    )
    found += [(row[0], "decided on a provisional value") for row in rows if provisional.decided_on(row[1], row[2])]
    if snapshot is not None:
        conn.execute("ATTACH ? AS said", (snapshot,))
        lost = conn.execute("SELECT run FROM said.run WHERE run NOT IN (SELECT run FROM main.run)").fetchall()
        conn.execute("DETACH said")
        found += [(row[0], "was read and is not known") for row in lost]
    return found
