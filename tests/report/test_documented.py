"""The keys of the page's data are those of docs/reference.md, both ways, in a house in which everything happens."""

from pathlib import Path
from typing import Any

import pytest

from caf.domain.jobs import Result
from caf.report.lists import JOB_COLUMNS, RUN_COLUMNS, TRAIL_COLUMNS
from tests.docs.pages import TOP, Page
from tests.docs.test_json import _ways
from tests.report.press import DONE, FAILED, RAMP, Press, a_run, at_press
from tests.report.whole import around

REFERENCE = Page(TOP / "docs" / "reference.md")


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Give one document of each kind, by its heading in the reference."""
    found: dict[str, dict[str, Any]] = {}

    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100), a_run(490101, recorded_events=1))
        press.area(490100)
        await press.lead(490100, RAMP, *DONE)
        await press.lead(490100, "L1CaloCalibD3PD", *FAILED, result=Result.LOG, why="x")
        await press.database.call(around)
        await press.report()
        index = press.index()
        found["status.json"] = press.status()
        found["The index"] = index
        for kind, heading in (("details", "Details of runs"), ("configurations", "Configurations of the page")):
            ((number, total),) = index[kind].items()
            found[heading] = press.data(f"{kind}-{number}-{total}")
        found["Trends"] = press.data(index["others"]["trends"])
        found["lists"] = {
            kind: press.data(name)["columns"]
            for kind, name in (
                ("jobs", index["jobs"][0]["name"]),
                ("runs", index["runs"][0]["name"]),
                ("trail", index["others"]["trail"]),
            )
        }

    at_press(tmp_path_factory.mktemp("all"), scene)
    return found


@pytest.mark.parametrize(
    "heading", ["status.json", "The index", "Details of runs", "Configurations of the page", "Trends"]
)
def test_the_keys_are_those_that_are_written(documents: dict[str, dict[str, Any]], heading: str) -> None:
    documented = set(REFERENCE.keys(heading))
    assert set(_ways(documents[heading], documented)) == documented


def test_the_columns_are_those_of_the_reference(documents: dict[str, dict[str, Any]]) -> None:
    assert documents["lists"] == {"jobs": list(JOB_COLUMNS), "runs": list(RUN_COLUMNS), "trail": list(TRAIL_COLUMNS)}
    text = " ".join(line for under, line in REFERENCE.text if under == "The index")
    for columns in (JOB_COLUMNS, RUN_COLUMNS, TRAIL_COLUMNS):
        assert all(f"`{name}`" in text for name in columns)


def test_the_page_reads_no_key_that_is_not_written(documents: dict[str, dict[str, Any]]) -> None:
    """A slip in the script would show as an empty cell."""
    script = (Path(TOP) / "caf" / "report" / "page" / "page.js").read_text()
    status = documents["status.json"]
    for name in status:
        if name not in {"jobs", "runs", "needs", "caf"}:
            assert f"status.{name}" in script or name in {"version"}, name
