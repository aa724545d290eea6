"""The metrics are what Prometheus' own parser reads, by clean names; every alert speaks of metrics that there are."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from caf.domain.jobs import Result
from caf.report.metrics import Metric, text
from tests.docs.pages import TOP, Page
from tests.report.press import CONFIGURATION, DONE, FAILED, HOSTILE, NOW, RAMP, Press, a_run, at_press
from tests.report.whole import everything

ALERTS = (TOP / "deploy" / "alerts.yml").read_text()
REFERENCE = Page(TOP / "docs" / "reference.md")
UNITS = ("_seconds", "_bytes", "_total", "_info", "_files")


def read(written: str) -> dict[str, list[tuple[str, dict[str, str], float]]]:
    """Give the samples of each family, as Prometheus' own parser reads them."""
    return {
        family.name: [(sample.name, sample.labels, sample.value) for sample in family.samples]
        for family in text_string_to_metric_families(written)
    }


def test_the_file_is_read_as_it_was_meant(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100), a_run(490101), a_run(490102))
        await press.lead(490100, RAMP, *DONE)
        await press.lead(490101, RAMP, *FAILED, result=Result.LOG, why="x")
        await press.report()
        written = (press.www / "caf.prom").read_text()
        found = read(written)
        assert ("caf_jobs", {"job_name": RAMP, "state": "DONE"}, 1.0) in found["caf_jobs"]
        assert ("caf_runs", {"status": "ACCEPTED"}, 3.0) in found["caf_runs"]
        assert ("caf_jobs_failed_total", {"job_name": RAMP}, 1.0) in found["caf_jobs_failed"]
        assert ("caf_needs", {"what": "failed"}, 1.0) in found["caf_needs"]
        assert ("caf_listener_last_good_run_timestamp_seconds", {"listener": "LArEnergyScan"}, NOW - 86_400) in found[
            "caf_listener_last_good_run_timestamp_seconds"
        ]
        assert len(re.findall(r"^# HELP", written, re.MULTILINE)) == len(found)

    at_press(tmp_path, scene)


def test_histograms_grow_up_to_their_count(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100), a_run(490101))
        await press.lead(490100, RAMP, *DONE)
        press.clock[0] += 86_400
        await press.lead(490101, RAMP, *DONE)
        await press.report()
        samples = read((press.www / "caf.prom").read_text())["caf_run_end_to_done_seconds"]
        buckets = [(labels["le"], value) for name, labels, value in samples if name.endswith("_bucket")]
        assert buckets[-1] == ("+Inf", 2.0)
        assert [value for _, value in buckets] == sorted(value for _, value in buckets)
        ends = {name: value for name, labels, value in samples if "le" not in labels}
        assert ends["caf_run_end_to_done_seconds_count"] == 2
        assert ends["caf_run_end_to_done_seconds_sum"] == 2 * (86_400 - 600) + 86_400

    at_press(tmp_path, scene)


def test_any_text_can_be_a_label() -> None:
    hostile = f'{HOSTILE}"\\\n}}'
    written = text([Metric("caf_x", "gauge", "x.", [((("job", hostile),), 1.5)])])
    assert read(written)["caf_x"] == [("caf_x", {"job": hostile}, 1.5)]


def test_the_file_can_stand_where_the_node_exporter_looks(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.report()
        path = tmp_path / "textfiles" / "caf.prom"
        assert read(path.read_text())["caf_report_timestamp_seconds"][0][2] == NOW
        assert path.stat().st_mode & 0o777 == 0o644
        assert not (press.www / "caf.prom").exists()
        assert [one.name for one in path.parent.iterdir()] == ["caf.prom"], "no half file may be read for a whole one"

    (tmp_path / "textfiles").mkdir()
    at_press(tmp_path, scene, CONFIGURATION + 'metrics = "textfiles/caf.prom"\n')


def test_every_metric_has_a_clean_name_and_is_in_the_reference(tmp_path: Path) -> None:
    """Both ways: of a house in which everything happens."""
    written = everything(tmp_path)
    found = set(re.findall(r"^# TYPE (\S+)", written, re.MULTILINE))
    assert found == set(REFERENCE.keys("Metrics"))
    counts = {"caf_runs", "caf_jobs", "caf_needs", "caf_needs_critical", "caf_duty_failures", "caf_slots_in_use"}
    counts |= {"caf_jobs_backing_off", "caf_jobs_in_doubt"}
    assert all(re.fullmatch(r"caf_[a-z0-9_]+", name) for name in found)
    assert {name for name in found if not name.endswith(UNITS)} == counts
    labels = set(re.findall(r'(\w+)="', written))
    assert not labels & {"job", "instance"}, "Prometheus gives these itself"


def test_every_alert_speaks_of_metrics_that_there_are(tmp_path: Path) -> None:
    written = everything(tmp_path)
    known = set(re.findall(r"^(caf_\w+)", written, re.MULTILINE))
    expressions = re.findall(r"^ +expr: (?:\|\n +)?(.*)$", ALERTS, re.MULTILINE)
    assert len(expressions) == len(re.findall(r"^ +- alert: ", ALERTS, re.MULTILINE)) >= 10
    named = {name for expression in expressions for name in re.findall(r"caf_\w+", expression)}
    assert named <= known
