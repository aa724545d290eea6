"""The queue for slots: which PREPARED jobs are handed over next, and how many go before one. See domain/turns.py."""

import sqlite3
from collections.abc import Collection, Container, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from caf.domain.jobs import State
from caf.domain.slots import free_slots, held
from caf.domain.turns import ahead, in_turn, is_live, take_turns
from caf.store.database import recall
from caf.store.pauses import ALL
from caf.store.queries import job_counts

TURN = "turn"  # in meta: the name whose job was handed over last
GROUP_USE = "group_use"  # in meta, JSON: of each group how many slots others hold, or null, and since when that is so
_DUE = "state = 'PREPARED' AND (not_before IS NULL OR not_before <= ?)"


@dataclass(frozen=True, slots=True)
class Line:
    """The jobs of one name and rank that could be handed over, and how many they are."""

    live: int
    priority: int
    job: str
    jobs: int


def for_slots(conn: sqlite3.Connection, now: float, slots: int) -> tuple[int, list[sqlite3.Row]]:
    """Give how many of caf's own slots are free, and the jobs next in line for them."""
    counts = job_counts(conn)
    free = free_slots(slots, counts) if counts.get(State.PREPARED) else 0
    return free, in_line(conn, now, free) if free else []


def beyond(conn: sqlite3.Connection, now: float, taken: Collection[int], out: int) -> tuple[int, list[sqlite3.Row]]:
    """Give how many slots are held, and the jobs next in line after those that are `taken`.

    As many as make `out` of all together.
    """
    holds = held(job_counts(conn))
    more = out - holds - len(taken)
    rows = in_line(conn, now, len(taken) + more) if more > 0 else []
    return holds, [row for row in rows if row["id"] not in taken]


def in_line(conn: sqlite3.Connection, now: float, limit: int, barred: Collection[str] = ()) -> list[sqlite3.Row]:
    """Give the next `limit` jobs in the order of their turns; paused names and `barred` ones are passed over."""
    ids: list[int] = []
    last = recall(conn, TURN)
    for lines in _classes(conn, now, barred):
        left = limit - len(ids)
        if left <= 0:
            break
        named = {line.job: line for line in lines}
        heads = [_head(conn, named[name], now, left) for name in in_turn(list(named), last)]
        ids += take_turns(heads, left)
    return [conn.execute("SELECT * FROM job WHERE id = ?", (one,)).fetchone() for one in ids]


def before(conn: sqlite3.Connection, row: sqlite3.Row, now: float) -> int | None:
    """Count the jobs that are handed over before this one; None if it is not in the queue now.

    It is what would happen if nothing changed: a live job that comes later goes before one that is not.
    """
    mine = (row["live"], row["priority"])
    count = 0
    for lines in _classes(conn, now):
        rank = (lines[0].live, lines[0].priority)
        if rank > mine:
            count += sum(line.jobs for line in lines)
        elif rank == mine:
            jobs = {line.job: line.jobs for line in lines}
            place = _place(conn, row, now)
            if place is None or row["job"] not in jobs:
                return None
            names = in_turn(list(jobs), recall(conn, TURN))
            turn = names.index(row["job"])
            others = [jobs[name] for name in names]
            return count + ahead(place, others[:turn], others[turn + 1 :])
    return None


def take_turn(conn: sqlite3.Connection, names: Iterable[str]) -> None:
    """Remember whose turn it was, inside the caller's transaction; `names` in the order in which they were served."""
    for last in list(names)[-1:]:
        conn.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (TURN, last)
        )


class _Every:
    """A set of names that holds every one."""

    def __contains__(self, name: object) -> bool:
        return True


def paused_names(conn: sqlite3.Connection) -> Container[str]:
    """Give the names whose jobs are not to be submitted now."""
    paused = {row[0] for row in conn.execute("SELECT job FROM pause")}
    return _Every() if ALL in paused else paused


def live_now(conn: sqlite3.Connection, run: int, now: float) -> bool:
    """Tell whether a run is fresh: by its end, its last lumi block, its start, or else by caf's first look at it."""
    ended = 'SELECT coalesce("end", last_lb_end, "start") / 1e9, first_seen FROM run WHERE run = ?'
    known, first_seen = conn.execute(ended, (run,)).fetchone()
    return is_live(first_seen if known is None else known, now)


def _classes(conn: sqlite3.Connection, now: float, barred: Collection[str] = ()) -> Iterator[list[Line]]:
    """Give the lines of each rank, the highest first; those that are paused or barred are left out."""
    rows = conn.execute(
        f"SELECT live, priority, job, count(*) FROM job WHERE {_DUE} "
        "GROUP BY live, priority, job ORDER BY live DESC, priority DESC, job",
        (now,),
    ).fetchall()
    paused = paused_names(conn)
    lines = [Line(*row) for row in rows if row[2] not in paused and row[2] not in barred]
    for _, same in groupby(lines, key=lambda line: (line.live, line.priority)):
        yield list(same)


def _head(conn: sqlite3.Connection, line: Line, now: float, limit: int) -> list[int]:
    rows = conn.execute(
        f"SELECT id FROM job WHERE {_DUE} AND live = ? AND priority = ? AND job = ? ORDER BY run LIMIT ?",
        (now, line.live, line.priority, line.job, limit),
    )
    return [row[0] for row in rows.fetchall()]


def _place(conn: sqlite3.Connection, row: sqlite3.Row, now: float) -> int | None:
    """Count those of its own name and rank that go before it; None if it is not ready itself."""
    if row["state"] != State.PREPARED or (row["not_before"] is not None and row["not_before"] > now):
        return None
    earlier = f"SELECT count(*) FROM job WHERE {_DUE} AND live = ? AND priority = ? AND job = ? AND run < ?"
    return int(conn.execute(earlier, (now, row["live"], row["priority"], row["job"], row["run"])).fetchone()[0])
