"""Old configurations become a listeners.toml that caf reads, without running anything of them."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from caf.config import Configuration, parse
from caf.domain.errors import ConfigError
from caf.domain.matching import Condition, Operator
from caf.legacy.translation import Translated, translate
from tests.legacy.old_files import LAUNCHER, lay_out, translated

SEVEN = [
    "LArEnergyScan",
    "LArEnergyScanHV",
    "TileEnergyScan",
    "L1CaloPhos4Scan",
    "LArCalibL1Calo",
    "TileCalibL1Calo",
    "L1CaloStandalone",
]


@pytest.fixture
def of_2014(tmp_path: Path) -> Translated:
    files = lay_out(tmp_path / "old")
    return translate(
        files / "RunsProviderConfig2014.py", files / "JobOrganizerConfig2014.py", files / "templates2014", LAUNCHER
    )


def read(given: Translated) -> Configuration:
    return parse(given.text, Path("listeners.toml"))


def match(given: Translated, name: str) -> dict[str, Any]:
    found = tomllib.loads(given.text)["listeners"][name].get("match", {})
    assert isinstance(found, dict)
    return found


def told(given: Translated) -> str:
    return "\n".join(str(problem) for problem in given.problems)


def test_the_seven_listeners_of_2014(of_2014: Translated) -> None:
    tables = tomllib.loads(of_2014.text)["listeners"]
    assert list(tables) == SEVEN
    assert all(table["first_run"] == 210001 for table in tables.values())
    assert [name for name in SEVEN if "min_events" in tables[name]] == SEVEN[:3]
    assert match(of_2014, "LArEnergyScanHV") == {
        "run_type": {"contains": "LarCalibL1Calo"},
        "partition": ["L1CaloCombined", "LArgL1CaloCombined"],
        "tier0_tag": "L1CaloEnergyScan",
        "gain_strategy": "CalibGainsEt",
        "recorded": True,
        "clean_stop": True,
        "end": {"known": True},
    }
    assert match(of_2014, "TileCalibL1Calo")["tier0_tag"] == {"not_in": ["L1CaloEnergyScan", "L1CaloPprPhos4ScanPars"]}
    assert match(of_2014, "TileCalibL1Calo")["has_events"] == {"not_in": [False]}
    assert "has_events" not in match(of_2014, "LArCalibL1Calo")
    assert "run_type" not in match(of_2014, "L1CaloPhos4Scan")
    assert match(of_2014, "L1CaloStandalone")["detector_mask"] == {"bits": "0x7c00000000"}
    assert match(of_2014, "L1CaloStandalone")["project_tag"] == {"contains": "data14_calib"}


def test_what_was_translated_how_is_said_beside_it(of_2014: Translated) -> None:
    for said in (
        "first_run = 210001   # initialrun 210000 was itself left out",
        "case counted in the old one, and does not here",
        "# detstatus = '2': one word required nothing of the detector status",
        "never counted passed too",
    ):
        assert said in of_2014.text
    assert all(str(problem).split(":")[0] in of_2014.text for problem in of_2014.problems)


def test_the_seven_of_2014_overlap_only_if_one_run_type_held_two_words(of_2014: Translated) -> None:
    assert of_2014.overlaps == []
    assert all("if one text can hold two words" in warning for warning in of_2014.warnings)


def test_the_environment_becomes_a_placeholder_to_fill_in(of_2014: Translated) -> None:
    listeners = tomllib.loads(of_2014.text)["listeners"]
    assert listeners["LArEnergyScan"]["raw"] == [
        "/castor/cern.ch/grid/atlas/DAQ/l1calo/{run:07d}/*{run}*",
        "FILL_IN_DAEMON_DATA/L1Calo/{run:08d}/*{run}*",
    ]
    assert listeners["L1CaloPhos4Scan"]["raw"] == ["FILL_IN_DAEMON_DATA/L1Calo/phos4/{run}/*{run}*"]
    assert "FILL_IN_DAEMON_DATA stands for what the old machine's environment had" in told(of_2014)
    assert "CASTOR is gone" in told(of_2014)


def test_the_five_jobs_of_2014(of_2014: Translated) -> None:
    jobs = read(of_2014).jobs
    assert {name: job.needs_validation for name, job in jobs.items()} == {
        "LArL1CaloRampMaker": False,
        "TileL1CaloRampMaker": False,
        "LArL1CaloHV": False,
        "Phos4ShapeMaker": False,
        "L1CaloCalibD3PD": True,
    }
    ramp = jobs["LArL1CaloRampMaker"]
    assert ramp.listeners == ("LArEnergyScan", "LArEnergyScanHV")
    assert ramp.templates == ("launcherTpl.sh", "joTpl_LArL1CaloRampMaker.py", "LArL1CaloRampMaker.py")
    assert ramp.command == ("config/launcherTpl.sh",)
    assert ramp.tags == {"ATLAS_RELEASE": "17.2.7.5.9"}
    assert (ramp.queue, ramp.group, ramp.log) == ("atlasb1", "u_ATLASLARCAL", "log/rampMaker_{run}.log")
    assert ramp.copy_back == {
        "Gains.ps": "root/Gains_{run}.ps",
        "L1CaloRampData.pool.root": "pool/L1CaloRampData.pool.root",
        "bad_gains.txt": "root/bad_gains.txt",
    }
    assert ramp.success.outputs == tuple(ramp.copy_back.values())
    assert ramp.success.log_has == ('leaving with code 0: "successful run"',)
    assert ramp.mail == ("l1calo-calib@example.org", "lar@example.org")
    assert jobs["TileL1CaloRampMaker"].mail == ("l1calo-calib@example.org", "tile@example.org")
    assert jobs["LArL1CaloHV"].copy_back == {"HV.root": "root/hv/HV_{run:07d}.root"}
    assert jobs["L1CaloCalibD3PD"].templates == ("launcher.sh",)
    assert len(jobs["L1CaloCalibD3PD"].listeners) == 6


def test_slots_are_the_old_limits(of_2014: Translated) -> None:
    batch = read(of_2014).batch
    assert (batch.slots, batch.group_slots) == (15, 44)


def test_templates_that_jobs_name_are_copied_as_they_are(of_2014: Translated, tmp_path: Path) -> None:
    for name, data in of_2014.templates.items():
        sources = list((tmp_path / "old" / "templates2014").rglob(name))
        sources += list((tmp_path / "old" / "templates2014").rglob(f"jcTpl_{name}"))
        assert data == (sources[0].read_bytes() if sources else LAUNCHER)
    assert of_2014.templates["launcher.sh"] == LAUNCHER
    assert "LArL1CaloRampMaker.py" in of_2014.templates


def test_what_could_not_be_translated_is_listed_with_its_place(of_2014: Translated) -> None:
    problems = told(of_2014)
    for line in (
        "launcherTpl.sh:5: the tag #PLOTS_WEB_DIR# has no value: give it one in tags of jobs.LArL1CaloRampMaker",
        "jcTpl_LArL1CaloHV.py:7: a comprehension is not plain data",
        "jcTpl_LArL1CaloRampMaker.py:16: job LArL1CaloRampMaker: destination '/afs/cern.ch/atlas/www/l1calo'",
        "jcTpl_LArL1CaloRampMaker.py:21: job LArL1CaloRampMaker: post-treatment",
        "job Phos4ShapeMaker: its template joTpl_missing.py was not found: put it into templates/",
        "job L1CaloCalibD3PD: jcTpl_L1CaloCalibD3PD.py is not below",
        "RunsProviderConfig2014.py:77: is not understood and left out: print",
    ):
        assert line in problems
    assert "Post-treatment: #DAEMON_SCRIPTS_DIR#/doPlots.sh {run}" in of_2014.text


def test_the_overlaps_of_2015_are_found_with_witnesses(tmp_path: Path) -> None:
    files = lay_out(tmp_path)
    given = translate(files / "RunsProviderConfig2015.py", None, None, LAUNCHER)
    assert list(read(given).listeners) == [
        "LArEnergyScan",
        "LArEnergyScanHV",
        "TileEnergyScan",
        "LArCalibL1Calo",
        "TileCalibL1Calo",
    ]
    first, second = given.overlaps
    assert "listeners.LArEnergyScanHV and listeners.LArCalibL1Calo overlap" in first
    assert 'run_type="LarCalibL1Calo"' in first
    assert "listeners.TileEnergyScan and listeners.TileCalibL1Calo overlap" in second
    assert 'tier0_tag="L1CaloEnergyScan"' in second


def test_the_settings_of_2016(tmp_path: Path) -> None:
    given = translate(lay_out(tmp_path) / "settings2016.py", None, None, LAUNCHER)
    assert match(given, "LArEnergyScan") == {
        "run_type": "LarCalibL1Calo",
        "partition": ["L1CaloCombined", "LArgL1CaloCombined"],
        "tier0_tag": "L1CaloEnergyScan",
        "gain_strategy": "GainOneOvEmbFcalHighEta",
        "events": {"at_least": 1700},
    }
    assert match(given, "L1CaloStandalone")["events"] == {"at_least": 0, "at_most": 5000}
    assert match(given, "L1CaloStandalone")["tier0_tag"] == {"not_in": ["L1CaloEnergyScan"]}
    scan = tomllib.loads(given.text)["listeners"]["LArEnergyScan"]
    folder = "/eos/atlas/atlastier0/rucio/data16_calib/calibration_L1CaloEnergyScan"
    assert scan["raw"] == [f"{folder}/{{run:08d}}/*RAW*/*{{run}}*"]
    assert "listener LArEnergyScan: lumiblocks__range = (1, 5) is not known" in told(given)
    jobs = read(given).jobs
    assert jobs["LArRamps"].listeners == ("LArEnergyScan",)
    assert jobs["LArRamps"].tags == {"ATLAS_RELEASE": "20.7.6.7"}
    assert jobs["Pedestals"].needs_validation


def test_a_listener_that_lost_a_condition_takes_nothing(tmp_path: Path) -> None:
    """Without it more runs would be taken than anybody wants."""
    given = translate(lay_out(tmp_path) / "settings2016.py", None, None, LAUNCHER)
    assert not read(given).listeners["LArEnergyScan"].enabled
    assert read(given).listeners["L1CaloStandalone"].enabled


def test_nothing_is_run(tmp_path: Path) -> None:
    harm = tmp_path / "harm"
    given = translate(lay_out(tmp_path / "old", HARM=str(harm)) / "hostile.py", None, None, LAUNCHER)
    assert not harm.exists()
    configuration = read(given)
    assert configuration.listeners["Good"].enabled
    assert [name for name, table in configuration.listeners.items() if table.enabled] == ["Good"]
    assert configuration.caf.state == Path.cwd() / "state"
    assert given.text.isprintable() or all(c.isprintable() or c == "\n" for c in given.text)
    assert "hostile.py:22: a loop is not plain data: left out" in told(given)
    assert "hostile.py:5: a function call (__import__) is not plain data" in told(given)


COMMON = "'reconly': 1, 'cleanstop': 1"


@pytest.mark.parametrize(
    ("key", "attribute", "operator", "wanted"),
    [
        ("'runtype': 'a' + 'b'", "run_type", Operator.CONTAINS, "ab"),
        ("'runtype': ('%s_%d' % ('a', 3)).strip('_')", "run_type", Operator.CONTAINS, "a_3"),
        ("'runtype': '{0}-{x}'.format('a', x='b')", "run_type", Operator.CONTAINS, "a-b"),
        ("'runtype': f'{\"a\"}b'", "run_type", Operator.CONTAINS, "ab"),
        ("'detmask': 0x7cL << 4 | 1", "detector_mask", Operator.BITS, 0x7C1),
        ("'detmask': '0x7c'", "detector_mask", Operator.BITS, 0x7C),
        ("'detmask': 0010", "detector_mask", Operator.BITS, 8),
        ("'daqpartition': ('A', 'B')", "partition", Operator.ONE_OF, ("A", "B")),
        ("'daqpartition': 'A'", "partition", Operator.ONE_OF, ("A",)),
        ("'daqpartition': 'A B'.split()", "partition", Operator.ONE_OF, ("A", "B")),
        ("'tierzerotag': 'A'", "tier0_tag", Operator.EQUAL, "A"),
        ("'tierzerotag': ['A', 'B'], 'NOTtierzerotag': ['B']", "tier0_tag", Operator.EQUAL, "A"),
        ("'NOTtierzerotag': 'A'", "tier0_tag", Operator.NOT_IN, ("A",)),
        ("'gainstrategy': ['A', 'B']", "gain_strategy", Operator.ONE_OF, ("A", "B")),
        ("'stoptimestamp': 'True'", "end", Operator.KNOWN, True),
    ],
)
def test_a_condition_is_translated(tmp_path: Path, key: str, attribute: str, operator: Operator, wanted: Any) -> None:
    given = translated(tmp_path, f"X = {{{COMMON}, {key}}}")
    listener = read(given).listeners["X"]
    found = [condition for condition in listener.match if condition.attribute == attribute]
    assert found == [Condition(attribute, operator, wanted)]
    assert listener.enabled


@pytest.mark.parametrize(
    "key",
    [
        "'runtype': ['a', 'b']",
        "'runtype': g()",
        "'daqpartition': [g()]",
        "'detstatus': 'TTC G LAR Y'",
        "'detmask': 'all'",
        "'initialrun': 'new'",
        "'initialrun': 10**70",
        "'minevents': [x for x in y]",
        "'tierzerotag': ['A'], 'NOTtierzerotag': ['A']",
        "'cleanstop': 'perhaps'",
        "'tag': 7",
        "'unheard': 'of'",
    ],
)
def test_a_condition_that_cannot_be_translated_is_told_and_disables(tmp_path: Path, key: str) -> None:
    given = translated(tmp_path, f"A = {{{COMMON}}}\nX = {{'reconly': 1, 'stoptimestamp': 1,\n {key}}}")
    assert read(given).listeners["A"].enabled
    assert not read(given).listeners["X"].enabled
    assert given.problems


@pytest.mark.parametrize(
    "text",
    [
        "listeners = {'X': {%s}}",
        "listeners = [{'name': 'X', %s}]",
        "config = {}\nconfig['listeners'] = {}\nconfig['listeners']['X'] = {%s}",
        "config = dict(sleep=600)\nconfig.update({'X': {%s}})",
        "L = []\nX = {%s}\nL.append(X)",
        "base = {%s}\nlisteners = {'X': base.copy()}",
        "base = {%s}\nlisteners = {'X': dict(base, minevents=0)}",
        "class C:\n  def __init__(self):\n    self.listeners = {'X': {%s}}",
        "import Other\nOther.listeners['X'] = {%s}",
        "#!/usr/bin/env python\n# -*- coding: latin-1 -*-\nX = {%s}\nif __name__ == '__main__':\n    print X\n",
        "try:\n  import Y\nexcept ImportError, e:\n  pass\nX = {%s}",
    ],
)
def test_listeners_are_found_wherever_they_stand(tmp_path: Path, text: str) -> None:
    given = translated(tmp_path, text.replace("%s", COMMON))
    assert list(read(given).listeners) == ["X"]


def test_class_attributes_are_a_listener(tmp_path: Path) -> None:
    given = translated(tmp_path, "class Base:\n  reconly = True\nclass X(Base):\n  runtype = 'a'\n  initialrun = 5\n")
    assert match(given, "X") == {"run_type": {"contains": "a"}, "recorded": True}


def test_two_of_one_name_are_told_apart(tmp_path: Path) -> None:
    given = translated(tmp_path, f"L = [{{'name': 'X', {COMMON}}}, {{'name': 'X', {COMMON}}}]")
    assert list(read(given).listeners) == ["X", "X_2"]
    assert "X is there twice: this one is X_2 now" in told(given)


@pytest.mark.parametrize("text", ["", "x = 1", "print 'a'", "def f(:\n", "\x00\xff", "x = " + "[" * 500])
def test_a_file_without_listeners_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="no listeners were found"):
        translated(tmp_path, text)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        translate(tmp_path / "nix.py", None, None, LAUNCHER)
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        translate(tmp_path, None, None, LAUNCHER)
    (tmp_path / "a.py").write_text(f"X = {{{COMMON}}}")
    with pytest.raises(ConfigError, match="is no folder: name that of the old templates"):
        translate(tmp_path / "a.py", None, tmp_path / "nix", LAUNCHER)


def test_tags_are_those_that_templates_have(tmp_path: Path) -> None:
    from caf.legacy.names import TAGS_TODAY
    from caf.storage.templates import tags_of

    today = tags_of(
        work="/w",
        area="/w/1",
        templates="/t",
        files=["a.py"],
        job="J",
        attempt=1,
        listener="L",
        attributes={"run": 1},
        raw=[],
        log=None,
        own={},
    )
    assert today.keys() == TAGS_TODAY


@pytest.mark.parametrize(
    "text",
    [
        "X = {%s, **g()}",
        "X = {%s, g(): 1}",
        "X = {%s}\nX.update(g())",
        "X = {%s}\nif g():\n    X['tierzerotag'] = 'A'",
        "X = {%s}\nfor k in g():\n    X.update(k)",
        "t = 'A'\nif g():\n    t = 'B'\nX = {%s, 'tierzerotag': t}",
        "X = {%s,\n 'tierzerotag' 'A': [ : ],\n 'stoptimestamp': 1}",
        "p = ['A']\nif g():\n    p.append('B')\nX = {%s, 'daqpartition': p}",
        "X = {%s}\ntry:\n    X['tag'] = g()\nexcept KeyError:\n    pass",
    ],
)
def test_a_listener_that_may_have_lost_a_condition_takes_nothing(tmp_path: Path, text: str) -> None:
    """What is left out elsewhere in the file may have been about it."""
    given = translated(tmp_path, text.replace("%s", COMMON))
    assert not read(given).listeners["X"].enabled
