"""index.html shows what matters without any script, and nothing from outside is markup in it."""

import re
from html.parser import HTMLParser
from pathlib import Path

from caf.domain.jobs import Result
from caf.report.lists import VERSION
from caf.report.plain import PAGE
from tests.report.press import FAILED, HOSTILE, RAMP, Press, a_run, at_press


class Reader(HTMLParser):
    """Keeps which elements there are, with their attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_what_needs_a_person_and_the_newest_jobs_stand_there_as_text(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100), a_run(490101))
        await press.lead(490100, RAMP, *FAILED, result=Result.LOG, why=f"the log says {HOSTILE}")
        await press.report()
        read = Reader((press.www / "index.html").read_text())
        assert f"1 job failed: 490100 {RAMP}" in read.text
        assert f"caf jobs why 490100 {RAMP}" in read.text
        assert "the log says <script>document.title='taken'</script>" in read.text
        assert "\u202e" not in read.text
        assert "Runs: 2 ACCEPTED. Jobs: " in read.text
        assert re.search(r"Written \d{4}-\d\d-\d\d \d\d:\d\d UTC on ", read.text)  # else who would know that it is old?
        tags = [tag for tag, _ in read.elements]
        assert tags.count("script") == 1
        assert "img" not in tags
        assert tags.count("table") == 2

    at_press(tmp_path, scene)


def test_the_page_fetches_nothing_from_elsewhere_and_runs_nothing_inline() -> None:
    read = Reader((PAGE / "index.html").read_text())
    named = [value for _, found in read.elements for name, value in found.items() if name in {"src", "href"}]
    assert {value for value in named if value and not value.startswith("#")} == {"page.js", "page.css", "data:,"}
    assert not [name for _, found in read.elements for name in found if name.startswith("on")]
    policy = next(
        found["content"] for _, found in read.elements if found.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert "unsafe" not in policy
    for name in ("page.js", "page.css"):
        text = (PAGE / name).read_text()
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
            assert word not in text


def test_page_and_data_are_of_one_version() -> None:
    assert f"const VERSION = {VERSION}," in (PAGE / "page.js").read_text()
