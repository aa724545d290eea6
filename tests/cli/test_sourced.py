"""What commands read of the run database themselves: `check`, and `explain` of a run that caf does not know yet."""

import time
from pathlib import Path

import pytest

from caf.cli.origins import FOLDERS
from caf.demo.replica import OPEN_ENDED, Replica
from caf.demo.run_writer import STRATEGY, RunWriter
from caf.domain.runs import RECORDED_ATTRIBUTES
from tests.cli.pretend import NOW, Site, a_run, absorb

START = time.time_ns() - 3600 * 10**9
TWIN = '\n[listeners.Twin]\nmatch = { run_type = "LarCalibL1Calo", tier0_tag = "L1CaloEnergyScan" }\n'
REGIME = """
[source.attributes.regime]
folder = "/TRIGGER/L1Calo/V1/Conditions/DerivedRunPars"
column = "timingRegime"
channel = 1
per_run = true
"""


@pytest.fixture
def cool(site: Site) -> Site:
    """The site with a replica: a run that Scan takes, and one that goes on; caf knows neither."""
    (site.folder / "cool").mkdir()
    with Replica.create(str(site.folder / "cool" / "a.db"), "CONDBR2", START) as replica:
        writer = RunWriter(replica)
        writer.strategy(START - 10**9, "CalibGainsEt")
        for run in (490020, 490021):
            writer.start_run(run, START + run, run_type="LarCalibL1Calo", detector_mask=1)
        writer.derived(490020, "L1CaloEnergyScan")
        writer.end_run(490020, START + 600 * 10**9, 3)
        writer.counters(490020, "L1CaloCombined", l1_events=2000, ef_events=2000, recorded_events=2000)
    return site


def test_a_run_that_is_only_in_the_source_is_judged_by_the_file_as_if_seen_now(cool: Site) -> None:
    explained = cool.caf("listeners", "explain", "490020", "--json").json()
    assert (explained["known"], explained["status"], explained["listener"]) == (False, "ACCEPTED", "Scan")
    assert (explained["configuration"], explained["settled"]) == (None, False)
    gain = explained["listeners"][0]["conditions"][2]
    assert (gain["seen"], gain["answer"]) == ("CalibGainsEt", "holds")
    out = cool.caf("listeners", "explain", "490020").out
    assert out.startswith("run 490020 is in the run database, and caf has not taken it over yet.\n")
    assert "By the configuration file as it is, seen now, it would be ACCEPTED, taken by Scan." in out
    assert {path.name for path in cool.state.iterdir()} == {"caf.db", "caf.db-journal"}
    assert cool.caf("runs", "list", "--runs", "490020", "--json").json() == []


def test_what_is_inherited_corrected_or_still_open_is_marked(cool: Site) -> None:
    text = cool.config.read_text()
    explained = cool.caf("listeners", "explain", "490021", "--json").json()
    assert (explained["status"], explained["again_until"] is not None) == ("OPEN", True)
    out = cool.caf("listeners", "explain", "490021").out
    assert "it would be OPEN." in out
    assert "??  end is known; seen: not known" in out
    assert "L1CaloEnergyScan (inherited from run 490020, may still change)" in " ".join(out.split())
    cool.config.write_text(text.replace('runs = "490002"', 'runs = "490021"'))
    assert "CalibGainsEt (corrected: it was not written that day)" in " ".join(
        cool.caf("listeners", "explain", "490021").out.split()
    )


def test_a_known_run_is_explained_without_the_source(cool: Site) -> None:
    (cool.folder / "cool" / "a.db").write_text("rubbish")
    assert cool.caf("listeners", "explain", "490005", "--json").json()["known"] is True


def test_before_the_first_round_a_run_can_be_explained(cool: Site) -> None:
    for path in cool.state.iterdir():
        path.unlink()
    assert cool.caf("listeners", "explain", "490020", "--json").json()["status"] == "ACCEPTED"
    assert list(cool.state.iterdir()) == []


def test_a_run_that_is_nowhere_or_left_out_is_said_to_be(cool: Site) -> None:
    answer = cool.caf("listeners", "explain", "490030")
    assert (answer.status, answer.out) == (1, "")
    assert "no run 490030 (known: 490001 to 490010); the run database, last written" in answer.err
    assert "does not have it either" in answer.err
    cool.config.write_text(cool.config.read_text().replace("[source]", "[source]\nfirst_run = 490021"))
    assert "[source] first_run = 490021 leaves it out" in cool.caf("listeners", "explain", "490020").err


def test_a_run_of_a_table_is_explained_too(site: Site) -> None:
    table = '[source]\nkind = "table"\npath = "runs.csv"\n'
    site.config.write_text(site.config.read_text().replace('[source]\nreplicas = ["cool/*.db"]\n', table))
    Path("runs.csv").write_text("run,run_type,end\n490040,LarCalibL1Calo,2015-06-03T10:00:00Z\n49004x,bad,\n")
    assert site.caf("listeners", "explain", "490040", "--json").json()["listeners"][0]["name"] == "Scan"
    out = site.caf("check").out
    assert "ok    source: 1 run, 490040 to 490040" in out
    assert "warn  source: " in out
    assert "runs.csv:3" in out


def test_check_says_what_is_read_from_where(cool: Site) -> None:
    cool.config.write_text(cool.config.read_text() + REGIME)
    out = " ".join(cool.caf("check").out.split())
    file = cool.folder / "cool" / "a.db"
    assert f"end, duration, clean_stop, lumi_blocks, daq_configuration: /TDAQ/RunCtrl/EOR in {file}" in out
    assert (
        "tier0_tag: column tierZeroTag of /TRIGGER/L1Calo/V1/Conditions/DerivedRunPars, the lowest channel that has a "
        f"record, tag HEAD, a record for each run, in {file}"
    ) in out
    assert "regime: column timingRegime of /TRIGGER/L1Calo/V1/Conditions/DerivedRunPars, channel 1, tag HEAD" in out
    assert "warn source: last written" not in out
    assert "BAD" not in out


@pytest.mark.parametrize("database", FOLDERS)
def test_every_attribute_has_an_origin(database: str) -> None:
    """Counted over both databases: what only one of them has is named there."""
    words = {word.strip(",;") for _, names in FOLDERS[database] for word in names.split()}
    elsewhere = {"tier0_tag", "gain_strategy"} | ({"data_source", "stored_events"} if database == "CONDBR2" else set())
    assert RECORDED_ATTRIBUTES.keys() - elsewhere <= words


def test_check_tells_of_traps_and_goes_on(cool: Site) -> None:
    file = cool.folder / "cool" / "a.db"
    file.unlink()
    with Replica.create(str(file), "CONDBR2", START) as replica:
        writer = RunWriter(replica)
        writer.start_run(1, START, run_type="x", detector_mask=1)
        replica.store(STRATEGY.path, START + 10**9, OPEN_ENDED, {"name": "x"})
    answer = cool.caf("check")
    out = " ".join(answer.out.split())
    assert "warn 1 run of CONDBR2 (1 to 1) should be in COMP200" in out
    assert "warn gain_strategy: " in out
    assert "ok batch" in out
    assert answer.status == 0


def test_a_real_run_of_the_history_shows_an_overlap(site: Site) -> None:
    site.config.write_text(site.config.read_text() + TWIN)
    rows = {row["name"]: row for row in site.caf("listeners", "list", "--json").json()}
    assert rows["Scan"]["overlaps"][0]["real_run"] == 490010
    assert rows["Twin"]["overlaps"][0]["real_run"] == 490010
    assert rows["Standalone"]["overlaps"] == []
    assert "; run 490010 is one" in site.caf("listeners", "list").out
    answer = site.caf("check")
    assert answer.status == 2
    assert "run 490010 is one that both Scan and Twin would take: `caf runs show 490010`" in answer.err


def test_an_overlap_that_no_run_fell_into_has_none(site: Site) -> None:
    site.config.write_text(site.config.read_text() + TWIN.replace('"L1CaloEnergyScan"', '"never"'))
    assert site.caf("listeners", "list", "--json").json()[0]["overlaps"][0]["real_run"] is None
    assert "; run " not in site.caf("listeners", "list").out
    (site.state / "caf.db").write_bytes(b"rubbish" * 1000)
    answer = site.caf("listeners", "list", "--json")
    assert (answer.status, answer.json()[0]["overlaps"][0]["real_run"]) == (0, None)


def test_a_run_of_the_history_is_found_quickly_among_many(site: Site) -> None:
    """One pass, however many listeners: a fraction of a second for tens of thousands."""
    conn = site.open()
    absorb(conn, site.folder, tuple(a_run(500000 + n, run_type="other") for n in range(30_000)), NOW)
    conn.close()
    site.config.write_text(site.config.read_text() + TWIN)
    began = time.process_time()
    assert site.caf("listeners", "list", "--json").json()[0]["overlaps"][0]["real_run"] == 490010
    assert time.process_time() - began < 5
