"""Templates: tags are replaced strictly, everything else is left alone."""

import ast
import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf.domain.errors import PreparationError
from caf.storage.templates import TAG, render, tags_of


def make_tags(**changes: Any) -> dict[str, str]:
    request: dict[str, Any] = {
        "work": "/w",
        "area": "/w/490001_Ramp/2",
        "templates": "/t",
        "files": ["launcher.sh", "options.py", "sub/Ramp.py"],
        "job": "Ramp",
        "attempt": 2,
        "listener": "LArEnergyScan",
        "attributes": {"run": 490001, "run_type": "LarCalibL1Calo", "start": 1_700_000_000_000_000_000, "end": None},
        "raw": ["/raw/490001/a.RAW", "/raw/490001/b's.RAW"],
        "log": "log/athena.log",
        "own": {"ATLAS_RELEASE": "20.1.7.2"},
    }
    return tags_of(**request | changes)


def test_tags_are_replaced_and_all_else_is_left_alone() -> None:
    text = "## A ##\n#1# #a# #A-B# # A # $RUN `x` 100% {x} \\1 #A\n#_A# #####\n#A#"
    assert render(text, {"A": "value"}, "t") == text.removesuffix("#A#") + "value"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("#A##B#", "12"),
        ("##A##", "#1#"),
        ("#A#B#", "1B#"),
        ("x#A#y", "x1y"),
        ("#1#A#", "#11"),
        ("#A##A##A#", "111"),
        ("#A_2#", "\\g<0>"),
    ],
)
def test_tags_beside_each_other(text: str, wanted: str) -> None:
    assert render(text, {"A": "1", "B": "2", "A_2": "\\g<0>"}, "t") == wanted


def test_a_value_that_looks_like_a_tag_is_not_replaced_again() -> None:
    assert render("#A#", {"A": "#B#", "B": "wrong"}, "t") == "#B#"


def test_all_unknown_tags_of_a_file_are_named_at_once() -> None:
    with pytest.raises(PreparationError) as caught:
        render("#ATLAS_RELEASE#\n\n#ATLAS_RELEAS# #Q#\n#XYZZY#\n", {"ATLAS_RELEASE": "20"}, "launcher.sh")
    assert str(caught.value).splitlines() == [
        "launcher.sh:3: unknown tag #ATLAS_RELEAS# (did you mean #ATLAS_RELEASE#?)",
        "launcher.sh:3: unknown tag #Q#",
        "launcher.sh:4: unknown tag #XYZZY#",
    ]


@given(st.text(alphabet="#AB1_ \n"))
def test_a_text_is_rendered_or_refused_and_never_half(text: str) -> None:
    tags = {"A": "", "B": "", "AB": ""}
    known = all(match["name"] in tags for match in TAG.finditer(text))
    if known:
        assert len(render(text, tags, "t")) == len(text) - sum(len(m[0]) for m in TAG.finditer(text))
    else:
        with pytest.raises(PreparationError):
            render(text, tags, "t")


def test_every_tag_that_jobs_have_used_exists() -> None:
    """The list stands in facts/legacy.md."""
    old = """RUN_NUMBER RUN_NUMBER_PADDED RUN_NUMBER_PADDED_8 JOB_CONFIGURATION JOB_CONFIGURATION_LOCAL
        DAEMON_JO_TEMPLATE_DIR DAEMON_SCRIPTS_DIR DAEMON_BACKENDS_DIR JOBS_WORKING_DIR JOB_WORKING_DIR JOB_LOG_DIR
        JOB_ROOT_DIR JOB_POOL_DIR JOB_CONFIG_DIR JOB_POST_DIR CASTOR_DATA_DIR ATLAS_RELEASE ATLAS_RELEASE_NOCACHE
        INPUT_STAGE_SVC_CLASS OUTPUT_STAGE_SVC_CLASS JOB_OPTIONS_NAME JOB_LOG_NAME RAW_DATA_SETS"""
    assert set(old.split()) <= set(make_tags())


def test_tags_have_the_values_of_the_attempt() -> None:
    tags = make_tags()
    wanted = {
        "RUN_NUMBER": "490001",
        "RUN_NUMBER_PADDED": "0490001",
        "RUN_NUMBER_PADDED_8": "00490001",
        "JOB_CONFIGURATION": "Ramp",
        "JOB_CONFIGURATION_LOCAL": "/w/490001_Ramp/2/config/sub/Ramp.py",
        "JOB_OPTIONS_NAME": "options.py",
        "JOB_LOG_NAME": "athena.log",
        "JOBS_WORKING_DIR": "/w",
        "JOB_WORKING_DIR": "/w/490001_Ramp/2",
        "JOB_ROOT_DIR": "/w/490001_Ramp/2/root",
        "DAEMON_SCRIPTS_DIR": "/t",
        "CASTOR_DATA_DIR": "/raw/490001",
        "INPUT_STAGE_SVC_CLASS": "",
        "ATLAS_RELEASE": "20.1.7.2",
        "ATLAS_RELEASE_NOCACHE": "20.1.7",
        "ATTEMPT": "2",
        "LISTENER": "LArEnergyScan",
    }
    assert {name: tags[name] for name in wanted} == wanted
    assert "TOKEN" not in tags


def test_every_attribute_of_the_run_is_a_tag_and_unknown_ones_are_empty() -> None:
    tags = make_tags(
        attributes={"run": 490001, "run_type": "Physics", "recorded": True, "timing_regime": "x", "end": None}
    )
    assert (tags["RUN"], tags["RUN_TYPE"], tags["RUN_RECORDED"]) == ("490001", "Physics", "true")
    assert (tags["RUN_TIMING_REGIME"], tags["RUN_END"], tags["RUN_PARTITION"]) == ("x", "", "")
    assert not [name for name in tags if name.startswith("RUN_RUN")]


def test_times_are_shown_as_everywhere_whether_stored_or_shown() -> None:
    stored = make_tags()["RUN_START"]
    assert stored == "2023-11-14T22:13:20.000000Z"
    assert make_tags(attributes={"run": 1, "start": stored})["RUN_START"] == stored


def test_the_jobs_own_tags_win() -> None:
    tags = make_tags(own={"INPUT_STAGE_SVC_CLASS": "pool", "LISTENER": "mine", "ATLAS_RELEASE_NOCACHE": "x"})
    assert (tags["INPUT_STAGE_SVC_CLASS"], tags["LISTENER"], tags["ATLAS_RELEASE_NOCACHE"]) == ("pool", "mine", "x")
    assert "ATLAS_RELEASE" not in tags


def test_raw_files_arrive_in_python_and_in_sh_whatever_their_names() -> None:
    raw = ["/raw/a b.RAW", '/raw/it\'s "x".RAW', "/raw/$x\\n.RAW"]
    tags = make_tags(raw=raw)
    assert shlex.split(tags["RAW_FILES_SH"]) == raw
    assert ast.literal_eval(tags["RAW_FILES_PY"]) == raw
    head, *paths, foot = tags["RAW_DATA_SETS"].split("\n")
    assert (head, foot) == ("athenaCommonFlags.BSRDOInput = [", "]")
    assert [ast.literal_eval(path.removesuffix(",")) for path in paths] == raw


def test_a_job_without_raw_files_or_scripts_has_empty_tags() -> None:
    tags = make_tags(raw=[], files=["launcher.sh"], log=None, listener=None)
    names = (
        "RAW_FILES_SH",
        "CASTOR_DATA_DIR",
        "JOB_OPTIONS_NAME",
        "JOB_CONFIGURATION_LOCAL",
        "JOB_LOG_NAME",
        "LISTENER",
    )
    assert [tags[name] for name in names] == [""] * 6
    assert tags["RAW_FILES_PY"] == "[]"
    assert tags["RAW_DATA_SETS"] == "athenaCommonFlags.BSRDOInput = [\n]"
