"""Sums of what happened: each change counts once, however often the duty dies; fresh runs alone are measured."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from caf.domain.jobs import State
from caf.domain.spans import BOUNDS, bucket_of, quantile
from caf.report.trends import DAYS, trends
from caf.store import audit, tally
from tests.report.press import D3PD, DONE, NOW, ON_ITS_WAY, RAMP, Press, a_run, at_press


def sums(conn: sqlite3.Connection) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in tally.totals(conn):
        found[row["measure"]] = found.get(row["measure"], 0) + row["count"]
    return found


def test_each_change_is_counted_once_in_steps_of_any_size(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100), a_run(490101))
        await press.lead(490100, RAMP, *DONE)
        await press.lead(490101, RAMP, *ON_ITS_WAY)
        while (await press.database.call(tally.advance, 3, 0.0)).more:
            pass
        for _ in range(2):
            assert await press.database.call(sums) == {
                "made": 4,
                "submitted": 2,
                "done": 1,
                "to_submission": 2,
                "to_done": 1,
                "duration": 1,
            }
            assert not (await press.database.call(tally.advance, 3, 0.0)).rows

    at_press(tmp_path, scene)


def test_a_death_in_the_middle_of_a_step_counts_nothing_twice(tmp_path: Path) -> None:
    def dying(conn: sqlite3.Connection) -> None:
        conn.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_INSERT and _[0] == "meta" else 0
        )
        with pytest.raises(sqlite3.DatabaseError):
            tally.advance(conn, 1000, 0.0)
        conn.set_authorizer(None)

    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100))
        await press.database.call(dying)
        assert await press.database.call(sums) == {}
        await press.database.call(tally.advance, 1000, 0.0)
        assert await press.database.call(sums) == {"made": 2}

    at_press(tmp_path, scene)


def test_history_that_is_run_again_is_not_measured_against_its_runs_end(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100, NOW - 400 * 86_400))
        await press.lead(490100, RAMP, *DONE)
        await press.database.call(tally.advance, 1000, 0.0)
        assert await press.database.call(sums) == {"made": 2, "submitted": 1, "done": 1, "duration": 1}

    at_press(tmp_path, scene)


def test_marks_and_acknowledgements_are_no_ends(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100))
        await press.lead(490100, RAMP, *DONE)
        which: dict[str, Any] = {"run": 490100, "job": RAMP, "was": "DONE", "became": "DONE"}
        await press.database.call(audit.note, 1.0, "anna", why="marked", **which)
        await press.database.call(tally.advance, 1000, 0.0)
        assert (await press.database.call(sums))["done"] == 1

    at_press(tmp_path, scene)


def test_what_a_day_came_to_is_drawn_with_its_latencies(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        press.clock[0] = NOW - 86_400 + 600 + 1800  # half an hour after the run's end
        await press.absorb(a_run(490100))
        await press.lead(490100, RAMP, *ON_ITS_WAY)
        press.clock[0] += 3600
        await press.lead(490100, RAMP, State.FINISHED, State.DONE)
        await press.lead(490100, D3PD, State.PREPARED)
        press.clock[0] = NOW
        await press.report()
        days = press.data(press.index()["others"]["trends"])["days"]
        assert len(days) == DAYS
        assert (days[-2]["made"], days[-2]["submitted"], days[-2]["done"], days[-2]["failed"]) == (2, 1, 1, 0)
        assert 1200 < days[-2]["to_submission"]["median"] <= 1800
        assert 3600 < days[-2]["to_done"]["median"] <= 7200
        assert days[-1]["to_done"] == {"count": 0, "median": None, "most": None}

    at_press(tmp_path, scene)


def test_days_without_anything_stand_between_the_others() -> None:
    found = trends([], NOW)["days"]
    assert [one["done"] for one in found] == [0] * DAYS
    assert found[-1]["day"] == "2027-01-15"


@pytest.mark.parametrize(("span", "bucket"), [(0.0, 0), (30.0, 0), (30.1, 1), (2_592_000.0, 17), (1e9, 18)])
def test_a_span_is_at_most_the_bound_of_its_bucket(span: float, bucket: int) -> None:
    """As Prometheus has it."""
    assert bucket_of(span) == bucket


def test_a_share_lies_within_its_bucket() -> None:
    counts = {3: 10, 6: 10}
    assert BOUNDS[2] < (quantile(counts, 0.5) or 0) <= BOUNDS[3]
    assert BOUNDS[5] < (quantile(counts, 0.9) or 0) <= BOUNDS[6]
    assert quantile({}, 0.5) is None
    assert quantile({18: 1}, 0.5) == BOUNDS[-1]
