"""The status page as people see it: light and dark, on a phone, without script, from disk, and when things go wrong."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import Tab
from tests.browser.conftest import HERE, served
from tests.browser.site import FIRST, RUNS
from tests.report.press import D3PD, HOSTILE, RAMP

LOOKS = (HERE / "looks.js").read_text()
TODAY = FIRST + RUNS
LISTED = "document.querySelectorAll('#jobs tbody tr').length"
SHOWN_TEXT = HOSTILE.replace("\u202e", "\ufffd").replace("\x1b", "\ufffd")


def overview(tab: Tab, address: str, way: str = "") -> Tab:
    tab.open(address + way)
    tab.wait(LISTED)
    return tab


def of_run(tab: Tab, address: str, run: int) -> Tab:
    tab.open(f"{address}#/run/{run}")
    tab.wait(f"document.querySelector('h1')?.innerText === 'Run {run}'")
    return tab


def looks(tab: Tab) -> dict[str, Any]:
    found: dict[str, Any] = tab.value(LOOKS)
    return found


def nothing_was_run(tab: Tab) -> None:
    assert tab.complaints == []
    assert "taken" not in tab.value("document.title")
    assert tab.value("[...document.images].filter((one) => !one.src.includes('shown/')).length") == 0


def test_what_needs_a_person_comes_first_with_what_can_be_typed(tab: Tab, address: str, album: Path) -> None:
    overview(tab, address)
    heads = tab.value("[...document.querySelectorAll('main h2')].map((one) => one.innerText)")
    assert heads == [
        *("Needs a person", "Jobs and runs", "Duties", "Disk", "Throughput and latency"),
        *("Last good calibrations", "Newest changes"),
    ]
    needs = tab.text("#needs")
    for text in (
        *("640 of 1700 events: a person must validate it", f"caf jobs start {TODAY} {RAMP}"),
        *(f"caf jobs ack {TODAY + 4} {RAMP}", f"caf jobs lost {TODAY + 5} {D3PD} --reason TEXT"),
        *("caf runs assign", "archive fails", "caf check"),
    ):
        assert text in needs
    assert "exit code 65, not 0" in needs
    assert "exit_code" not in needs, "the reason begins with it"
    assert tab.value("document.querySelector('.need').classList.contains('critical')")
    assert tab.complaints == []
    tab.picture(album / "needs.png", whole=False)
    tab.picture(album / "light.png")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390], ids=["desk", "phone"])
def test_it_can_be_read_by_everybody(tab: Tab, address: str, album: Path, width: int, *, dark: bool) -> None:
    """Contrast of AA, names for whoever listens to it, and nothing beyond the edge of the screen."""
    tab.screen(width, 844, dark=dark)
    name = f"{'phone' if width < 600 else 'desk'}-{'dark' if dark else 'light'}"
    overview(tab, address)
    assert looks(tab) == {"faint": [], "missed": [], "wide": 0}
    tab.picture(album / f"{name}.png", whole=width > 600)
    of_run(tab, address, TODAY + 3)
    assert looks(tab) == {"faint": [], "missed": [], "wide": 0}
    tab.picture(album / f"run-{name}.png", whole=width > 600)


def test_a_run_has_its_verdict_its_jobs_its_files_and_its_history(tab: Tab, address: str) -> None:
    of_run(tab, address, TODAY + 3)
    text = tab.text("main")
    for wanted in (
        *("takes it", "gain_strategy is one of CalibGainsEt, GainOneOvEmbFcalHighEta", "does not take it"),
        *("root/bad_gains.txt", "0x1130a02  gain 1.62", "root/lost.png: is not there", "log/stdout"),
        *("FINISHED → DONE", "node7", f"caf jobs mark {TODAY + 3} {RAMP} good --reason TEXT"),
    ):
        assert wanted in text
    verdict = "document.querySelector('#run-verdict details[open] .table')"
    assert tab.value(f"{verdict}.scrollHeight <= {verdict}.clientHeight")  # every condition is seen, the last one too
    tab.value("document.querySelector('.plots img').scrollIntoView()")
    tab.wait("document.querySelector('.plots img').naturalWidth === 520")
    nothing_was_run(tab)


def test_a_run_that_nobody_takes_says_why(tab: Tab, address: str) -> None:
    run = FIRST + 7 + 11  # a cismono
    of_run(tab, address, run)
    assert "does not take it: 1 condition fails" in tab.text("#run-verdict")
    assert "✗ fails" in tab.text("#run-verdict")
    assert "It has none." in tab.text("#run-jobs")


def test_a_run_that_is_not_there_leads_back(tab: Tab, address: str) -> None:
    of_run(tab, address, 123)
    assert "It cannot be shown" in tab.text("main")
    tab.value("document.querySelector('.crumb a').click()")
    tab.wait(LISTED)


@pytest.mark.parametrize("run", [None, TODAY + 2, TODAY + 4])
def test_hostile_text_is_text(tab: Tab, address: str, run: int | None) -> None:
    if run is None:
        overview(tab, address)
    else:
        of_run(tab, address, run)
    assert SHOWN_TEXT in tab.text("main").replace("\n", "")
    nothing_was_run(tab)


def test_a_plot_that_is_gone_is_a_grey_line(tab: Tab, busy: Path, tmp_path: Path, album: Path) -> None:
    shutil.copytree(busy, tmp_path / "www")
    for path in (tmp_path / "www" / "shown").rglob("*.png"):
        path.unlink()
    with served(tmp_path / "www") as address:
        of_run(tab, address, TODAY + 3)
        tab.value("document.querySelector('.files').scrollIntoView()")
        tab.wait("document.querySelector('#run-jobs').innerText.includes('could not be loaded')")
        assert tab.value("document.images.length") == 0
        tab.picture(album / "lost-plot.png")


def test_it_works_from_disk(tab: Tab, busy: Path, album: Path) -> None:
    overview(tab, (busy / "index.html").as_uri())
    assert "Waiting for validation" in tab.text("#needs")
    of_run(tab, (busy / "index.html").as_uri(), TODAY + 3)
    tab.value("document.querySelector('.plots img').scrollIntoView()")
    tab.wait("document.querySelector('.plots img').naturalWidth === 520")
    nothing_was_run(tab)
    tab.picture(album / "from-disk.png")


def test_without_script_there_are_plain_tables(tab: Tab, address: str, album: Path) -> None:
    tab.without_script()
    tab.ask("Page.navigate", url=address)
    tab.ask("Page.getLayoutMetrics")
    page = tab.document()
    while "The newest 100 jobs" not in page:
        page = tab.document()
    assert "4 jobs waiting for validation" in page
    assert "&lt;script&gt;" in page
    tab.picture(album / "no-script.png", whole=False)


def test_a_script_that_is_not_there_leaves_the_plain_tables(tab: Tab, busy: Path, tmp_path: Path) -> None:
    shutil.copytree(busy, tmp_path / "www", ignore=shutil.ignore_patterns("page.js", "shown"))
    with served(tmp_path / "www") as address:
        tab.open(address)
        assert "The newest 100 jobs" in tab.text()


def altered(busy: Path, folder: Path, **changes: Any) -> Path:
    """Copy the page with a status that says something else."""
    www = folder / "www"
    shutil.copytree(busy, www, ignore=shutil.ignore_patterns("shown"))
    put(www, json.loads((www / "status.json").read_text()) | changes)
    return www


def put(www: Path, status: dict[str, Any]) -> None:
    (www / "status.js").write_text(f'caf("status",{json.dumps(status)});\n')


def test_data_of_another_version_are_said_to_be(tab: Tab, busy: Path, tmp_path: Path, album: Path) -> None:
    with served(altered(busy, tmp_path, version=2)) as address:
        tab.open(address)
        tab.wait("document.querySelector('.alarm')")
        assert "of another version than this page" in tab.text("#alarm")
        tab.picture(album / "version.png", whole=False)


def test_data_that_are_old_are_said_to_be_loudly(tab: Tab, busy: Path, tmp_path: Path, album: Path) -> None:
    with served(altered(busy, tmp_path, written="2026-01-01T00:00:00.000000Z")) as address:
        overview(tab, address)
        assert "These data are" in tab.text("#alarm strong")
        assert "the supervisor on" in tab.text("#alarm")
        assert looks(tab)["faint"] == []
        tab.picture(album / "old.png", whole=False)


def test_a_status_that_leads_nowhere_is_told_and_tried_again(tab: Tab, busy: Path, tmp_path: Path) -> None:
    www = altered(busy, tmp_path, index="index-0123456789abcdef")
    with served(www) as address:
        tab.open(address)
        tab.wait("document.querySelector('.alarm')")
        assert "could not be loaded" in tab.text("#alarm")
        assert "The newest 100 jobs" in tab.text(), "until then the plain tables stand there"
        put(www, json.loads((busy / "status.json").read_text()))
        tab.value("document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))")
        tab.wait(LISTED)
        assert not tab.value("document.querySelector('.alarm')")


def test_new_data_come_without_a_reload_and_what_was_typed_stays(tab: Tab, busy: Path, tmp_path: Path) -> None:
    www = altered(busy, tmp_path)
    with served(www) as address:
        overview(tab, address)
        tab.value("document.querySelector('#search').focus()")
        for letter in "good":
            tab.ask("Input.insertText", text=letter)
        tab.wait("location.hash.includes('q=good')")
        status = json.loads((busy / "status.json").read_text())
        put(www, status | {"needs": [], "jobs": {"DONE": 1}})
        tab.value("document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))")
        tab.wait("document.querySelector('#needs').innerText.includes('Nothing needs a person')")
        assert tab.value("document.activeElement.id + document.activeElement.value") == "searchgood"


def test_it_can_be_used_with_the_keyboard_alone(tab: Tab, address: str) -> None:
    overview(tab, address)
    for key in ("Tab", "/"):
        tab.ask("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, text="/" if key == "/" else "")
        tab.ask("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)
        if key == "Tab":
            assert tab.value("document.activeElement.className") == "skip"
    assert tab.value("document.activeElement.id") == "search"
