"""Sites to look at: one of a busy season with a bit of everything, one with a hundred thousand jobs."""

import math
import random
import sqlite3
import struct
import zlib
from pathlib import Path
from typing import Any

from caf.domain.jobs import Result, State
from caf.store import duties, pauses
from caf.store.database import transaction
from tests.report.press import D3PD, DONE, FAILED, HOSTILE, ON_ITS_WAY, RAMP, TO_ITS_END, Press, a_run

DAY = 86_400.0
FIRST = 490_100
RUNS = 120
HAND_MADE = 12  # the newest runs are told one by one


def png(width: int, height: int, seed: int) -> bytes:
    """Draw something like a plot: a rising curve with dots beside it, on white."""
    dots = random.Random(seed)
    rows = [bytearray(b"\xff" * width) for _ in range(height)]
    for column in range(24, width - 10):
        share = (column - 24) / (width - 34)
        curve = int((height - 26) * (1 - share**0.7)) + 6
        for shift in (0, 1):
            rows[min(height - 21, curve + shift)][column] = 60
        if column % 6 == 0:
            rows[max(2, min(height - 22, curve + dots.randint(-9, 9)))][column : column + 2] = b"\xa0\xa0"
        rows[height - 20][column] = 0
    for row in range(6, height - 20):
        rows[row][24] = 0
    data = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def fill_area(press: Press, run: int, job: str = RAMP) -> Path:
    """Leave in an area what a good payload leaves there, a page of HTML among it."""
    area = press.area(run, job)
    (area / "root" / f"Gains_{run}.png").write_bytes(png(520, 340, run))
    (area / "root" / "bad_gains.txt").write_text("0x1130a02  gain 1.62  (0.8 to 1.4)\n0x1141b03  gain 0.31\n" + HOSTILE)
    (area / "root" / "note.html.txt").write_text("<script>document.title='taken'</script>")
    return area


async def season(press: Press) -> None:
    """Two months of runs, most of them good; today has everything that asks for a person."""
    now = press.clock[0]
    await press.database.call(lambda conn: conn.execute("PRAGMA synchronous = OFF").close())  # nobody relies on it
    for number in range(RUNS):
        run, began = FIRST + number, now - 60 * DAY + number * 60 * DAY / RUNS
        press.clock[0] = began + 1200 + 900 * (1 + math.sin(number)) + (20_000 if number % 17 == 5 else 0)
        more: dict[str, Any] = {"recorded_events": 2000 + 37 * number}
        if number % 5 == 3:
            more = {"run_type": "Physics", "tier0_tag": "", "gain_strategy": None, "partition": "L1CaloStandalone"}
        if number % 11 == 7:
            more = {"run_type": "cismono", "partition": "TileL1CaloCombined"}
        await press.absorb(a_run(run, began, **more))
        if number < RUNS - HAND_MADE and number % 11 != 7:
            await _live(press, run, number, physics=number % 5 == 3)
    press.clock[0] = now - 900
    await _today(press, now)
    press.clock[0] = now
    await press.database.call(_duties, now)


async def _live(press: Press, run: int, number: int, *, physics: bool) -> None:
    """Let a run's jobs be done, or fail now and then."""
    for job in (D3PD,) if physics else (RAMP, D3PD):
        await press.lead(run, job, *ON_ITS_WAY)
        press.clock[0] += 1500 + 120 * (number % 9)
        if number % 13 == 4 and job == RAMP:
            await press.lead(run, job, State.FINISHED, State.FAILED, result=Result.EXIT_CODE, why="exit code 1, not 0")
            await press.database.call(
                lambda conn: conn.execute("UPDATE job SET acknowledged = 1 WHERE state = 'FAILED'")
            )
        else:
            await press.lead(run, job, State.FINISHED, State.DONE)


async def _today(press: Press, now: float) -> None:
    last = FIRST + RUNS
    press.waits |= {last: "640 of 1700 events: a person must validate it", last + 1: "the job asks for validation"}
    hostile = {"run_type": f"Phys {HOSTILE}", "partition": HOSTILE, "tier0_tag": HOSTILE}
    await press.absorb(
        a_run(last, now - 5000, recorded_events=640),
        a_run(last + 1, now - 4000),
        a_run(last + 2, now - 3500, **hostile),
        *(a_run(last + number, now - 3000 + number) for number in range(3, 8)),
        a_run(last + 8, now - 2000, end=None, clean_stop=None, recorded_events=None),
        a_run(last + 9, now - 1500, run_type="LarCalibL1Calo_Phys", tier0_tag=""),
    )
    why = f"exit code 65, not 0; the log says: ERROR ByteStreamInputSvc cannot open {HOSTILE}"
    fill_area(press, last + 3)
    await press.lead(last + 3, RAMP, *DONE)
    fill_area(press, last + 4)
    await press.lead(last + 4, RAMP, *FAILED, result=Result.EXIT_CODE, why=why)
    await press.lead(last + 4, D3PD, *ON_ITS_WAY)
    await press.lead(last + 2, D3PD, *FAILED, result=Result.LOG, why='log/stdout lacks "leaving with code 0"')
    await press.lead(last + 5, RAMP, *ON_ITS_WAY[:-1])
    await press.lead(last + 5, D3PD, *ON_ITS_WAY)
    await press.lead(last + 6, RAMP, *TO_ITS_END)
    await press.lead(last + 6, D3PD, State.PREPARED)
    await press.database.call(_trouble, last, now)


def _trouble(conn: sqlite3.Connection, last: int, now: float) -> None:
    doubt = "its node does not answer, and its start record says that it began"
    conn.execute(
        "UPDATE job SET unknown_since = ?, reason = ? WHERE run = ? AND job = ?",
        (now - 5 * 3600, doubt, last + 5, D3PD),
    )
    conn.execute(
        "UPDATE run SET status = 'CONFLICT', listener = NULL, needs_validation = NULL WHERE run = ?", (FIRST + 7,)
    )
    conn.execute(
        "UPDATE job SET mark = 'bad', marked = 'anna: half of the towers are missing' WHERE run = ? AND job = ?",
        (FIRST + 20, RAMP),
    )
    pauses.pause(conn, D3PD, now - 3600, "anna", f"new release is being installed {HOSTILE}")


def _duties(conn: sqlite3.Connection, now: float) -> None:
    for name, ago, summary in (
        ("discover", 320.0, "2 new runs, 1 changed"),
        ("organise", 45.0, "3 jobs submitted, 2 ended"),
        ("afterwards", 45.0, None),
        ("archive", 45.0, "1 attempt archived"),
        ("mail", 20.0, "1 mail sent"),
    ):
        duties.begun(conn, name, now - ago - 1)
        duties.ended(conn, name, now - ago, now + 120, summary=summary, error=None)
    for _ in range(3):
        duties.begun(conn, "archive", now - 40)
        error = f"attempt 1 of {RAMP} of run 490210 could not be archived, and will be tried again: /eos is away"
        duties.ended(conn, "archive", now - 39, now + 20, summary=None, error=error)


WAY = (None, "NEW", "PREPARED", "SUBMITTING", "PENDING", "RUNNING", "FINISHED")


def many(conn: sqlite3.Connection, configuration: int, jobs: int, now: float, *, trail: bool) -> None:
    """Put so many ended jobs in, two a run over two years, each with its attempt and, if asked for, its audit rows."""
    began, step = now - 700 * DAY, 699 * DAY / (jobs // 2)
    with transaction(conn):
        conn.execute(
            "INSERT INTO verdict (configuration_id, status, listener, needs_validation, answers) "
            "VALUES (?, 'ACCEPTED', 'LArEnergyScan', 0, 'hhhhh ff')",
            (configuration,),
        )
        (verdict,) = conn.execute("SELECT max(id) FROM verdict").fetchone()
        _many_runs(conn, [(300_000 + n, began + n * step) for n in range(jobs // 2)], verdict)
        told = [
            (n + 1, 300_000 + n // 2, (RAMP, D3PD)[n % 2], n % 997 == 0, began + n // 2 * step + 3000)
            for n in range(jobs)
        ]
        columns = "id, run, job, listener, configuration_id, live, state, result, reason, created, since, updated"
        conn.executemany(
            f"INSERT INTO job ({columns}, acknowledged, token) "
            "VALUES (?, ?, ?, 'LArEnergyScan', ?, 1, ?, ?, ?, ?, ?, ?, 1, ?)",
            (
                (number, run, job, configuration, *_ended(bad), at, at, at, f"t{number}")
                for number, run, job, bad, at in told
            ),
        )
        columns = "job_id, attempt, token, batch_id, asked, started, ended, node, exit_code, result, reason"
        conn.executemany(
            f"INSERT INTO attempt ({columns}) VALUES (?, 1, ?, ?, ?, ?, ?, 'node7', 0, ?, 'good')",
            (
                (number, f"t{number}", str(number), at - 1800, at - 1700, at - 60, _ended(bad)[1])
                for number, _, _, bad, at in told
            ),
        )
        conn.executemany(
            "INSERT INTO audit (at, who, run, job, attempt, was, became, why) "
            "VALUES (?, 'organise', ?, ?, 1, ?, ?, 'so')",
            (
                (at, run, job, was, became)
                for _, run, job, bad, at in (told if trail else ())
                for was, became in zip(WAY, (*WAY[1:], _ended(bad)[0]), strict=True)
            ),
        )


def _ended(bad: bool) -> tuple[str, str, str]:
    return ("FAILED", "log", 'log/stdout lacks "leaving with code 0"') if bad else ("DONE", "ok", "good")


def _many_runs(conn: sqlite3.Connection, runs: list[tuple[int, float]], verdict: int) -> None:
    columns = 'run, run_type, partition, recorded, clean_stop, "start", "end", recorded_events, gain_strategy, status, '
    columns += "listener, needs_validation, verdict_id, settled, first_seen, judged"
    conn.executemany(
        f"INSERT INTO run ({columns}) VALUES (?, 'LarCalibL1Calo', 'L1CaloCombined', 1, 1, ?, ?, 2000, 'CalibGainsEt', "
        "'ACCEPTED', 'LArEnergyScan', 0, ?, 1, ?, ?)",
        ((run, int(at) * 10**9, int(at + 600) * 10**9, verdict, at + 900, at + 900) for run, at in runs),
    )
