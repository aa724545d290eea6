"""A house in which everything happens that the page and the metrics tell of."""

import sqlite3
from pathlib import Path

from caf.domain.accounts import Account, Counts, Use
from caf.domain.jobs import Result
from caf.store import backups, credentials, duties, pauses, quota
from caf.store.quota import Standing
from tests.report.press import DONE, FAILED, NOW, RAMP, Press, a_run, at_press


def everything(folder: Path) -> str:
    """Let it happen, and give the metrics."""
    written = []

    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100), a_run(490101), a_run(490102))
        await press.lead(490100, RAMP, *DONE)
        await press.lead(490101, RAMP, *FAILED, result=Result.LOG, why="x")
        await press.database.call(around)
        await press.report()
        written.append((press.www / "caf.prom").read_text())

    at_press(folder, scene)
    return written[0]


def around(conn: sqlite3.Connection, now: float = NOW) -> None:
    """What other duties leave behind: a full account, credentials, a backup, a duty that fails, a pause."""
    uses = (
        Use("user caf in /eos/user/", Counts.SIZES, 880_000_000_000, 1_000_000_000_000),
        Use("user caf in /eos/user/", Counts.FILES, 20_000, 1_000_000),
    )
    day = 86_400.0
    for ago in range(20, 0, -1):
        used = 600_000_000_000 + (20 - ago) * 14_000_000_000
        measured = Account((Use("user caf in /eos/user/", Counts.SIZES, used, 1_000_000_000_000),))
        quota.keep_measured(conn, measured, now - ago * day)
    standing = Standing(now - 60, "eos", "/eos/user/c/caf", 85, 75, 7 * day, Account(uses), now - 60, a_day=14e9)
    full = {"full_in": 8.5 * day, "full_of": "user caf in /eos/user/ (bytes)"}
    quota.keep_standing(conn, Standing(**{**{name: getattr(standing, name) for name in standing.__slots__}, **full}))
    credentials.keep(conn, credentials.Standing(now - 100, now - 100, now + 80_000))
    backups.keep_record(
        conn, {"every": 3600, "made": {"at": now - 50, "path": "/b", "bytes": 12_000_000, "runs": 3, "jobs": 6}}
    )
    for _ in range(3):
        duties.begun(conn, "archive", now - 40)
        duties.ended(conn, "archive", now - 39, now + 20, summary=None, error="the archive is away")
    duties.ended(conn, "archive", now - 38, now + 20, summary="1 attempt archived", error=None)
    duties.ended(conn, "archive", now - 39, now + 20, summary=None, error="the archive is away")
    for _ in range(3):
        duties.ended(conn, "archive", now - 39, now + 20, summary=None, error="the archive is away")
    conn.execute("UPDATE job SET not_before = ? WHERE state = 'NEW'", (now + 600,))
    pauses.pause(conn, None, now - 3600, "anna", "power cut")
