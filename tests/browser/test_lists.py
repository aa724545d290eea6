"""Lists of a hundred thousand jobs: only the files that can hold what is asked for are fetched."""

from pathlib import Path

import pytest

from tests.browser.chromium import Tab
from tests.browser.conftest import JOBS
from tests.report.press import D3PD, RAMP

pytestmark = pytest.mark.timeout(400)  # the first one fills a database with all these jobs
ROWS = "[...document.querySelectorAll('#jobs tbody tr')].map((row) => [...row.cells].map((cell) => cell.innerText))"
TOLD = "document.querySelector('.told').innerText"
FETCHED = "performance.getEntriesByType('resource').filter((one) => /data.(jobs|runs)-/.test(one.name)).length"


def opened(tab: Tab, address: str, way: str = "") -> list[list[str]]:
    tab.open("about:blank")
    tab.open(f"{address}#/{way}")
    tab.wait(f"{TOLD.replace('.inner', '?.inner')}?.includes('of ')")
    found: list[list[str]] = tab.value(ROWS)
    return found


def test_the_newest_come_first_and_little_is_fetched_for_them(tab: Tab, crowded: str, album: Path) -> None:
    rows = opened(tab, crowded)
    assert [row[0] for row in rows[:3]] == ["349999", "349999", "349998"]
    assert tab.value(TOLD) == f"1 to 20 of {JOBS:,} jobs, the newest first"
    assert tab.value(FETCHED) <= 6
    tab.picture(album / "crowd.png")
    tab.value("[...document.querySelectorAll('.pages button')].at(-1).click()")
    tab.wait(f"{TOLD}.startsWith('21 to 40')")
    assert tab.complaints == []


def test_a_run_is_found_in_the_one_file_that_can_hold_it(tab: Tab, crowded: str) -> None:
    rows = opened(tab, crowded, "?q=312345")
    assert [row[:2] for row in rows] == [["312345", D3PD], ["312345", RAMP]]
    assert tab.value(FETCHED) == 1


def test_a_state_and_a_job_are_filtered_with_their_number_known(tab: Tab, crowded: str) -> None:
    rows = opened(tab, crowded, f"?state=FAILED&job={D3PD}")
    assert {(row[1], row[2]) for row in rows} == {(D3PD, "FAILED")}
    assert tab.value(TOLD) == "1 to 20 of 50 jobs, the newest first"


def test_all_jobs_are_sorted_and_searched_within_seconds(tab: Tab, crowded: str, album: Path) -> None:
    rows = opened(tab, crowded, "?sort=run")
    assert [row[0] for row in rows[:3]] == ["300000", "300000", "300001"]
    assert tab.value(TOLD) == f"1 to 20 of {JOBS:,} jobs"
    assert tab.value("document.querySelector('#jobs th[aria-sort]').innerText.trim()") == "Run"
    rows = opened(tab, crowded, "?q=lacks")
    assert {row[2] for row in rows} == {"FAILED"}
    tab.picture(album / "crowd-searched.png")
    heap = tab.value("performance.memory.usedJSHeapSize")
    assert heap < 300_000_000
    assert tab.complaints == []


def test_runs_are_listed_with_the_states_of_their_jobs(tab: Tab, crowded: str) -> None:
    rows = opened(tab, crowded, "?list=runs&sort=run")
    assert rows[0][:3] == ["300000", "ACCEPTED", "LArEnergyScan"]
    assert rows[0][-1].split("\n") == [f"FAILED {RAMP}", f"DONE {D3PD}"]
    assert tab.value(TOLD) == f"1 to 20 of {JOBS // 2:,} runs"


def test_filters_are_worked_by_hand_and_kept_in_the_address(tab: Tab, crowded: str) -> None:
    opened(tab, crowded)
    select = "document.querySelector('select[name=state]')"
    tab.value(f"{select}.value = 'FAILED', {select}.dispatchEvent(new Event('change'))")
    tab.wait(f"{TOLD}.includes('of 101 jobs')")
    assert tab.value("location.hash") == "#/?state=FAILED"
    tab.value("document.querySelector('#jobs thead button').click()")
    tab.wait("location.hash.includes('sort=-run')")
    tab.wait("document.querySelector('#jobs th[aria-sort=descending]')")
