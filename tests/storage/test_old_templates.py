"""The templates of 2014, and those that the group starts from: tags are replaced, all else stays as it is."""

import subprocess
from pathlib import Path

import pytest

from caf.storage.templates import TAG, names_in, render, tags_of

TOP = Path(__file__).resolve().parents[2]
OLD = sorted((TOP / "tests" / "legacy" / "data" / "templates2014").rglob("*Tpl*"))
NEW = sorted((TOP / "deploy" / "templates").iterdir())
RAW = ["/eos/atlas/data15_calib.00490001.RAW/a._0001.data", "/eos/atlas/data15_calib.00490001.RAW/a._0002.data"]
TAGS = tags_of(
    work="/w",
    area="/w/490001_LArL1CaloRampMaker/1",
    templates="/t",
    files=["launcherTpl.sh", "joTpl_LArL1CaloRampMaker.py"],
    job="LArL1CaloRampMaker",
    attempt=1,
    listener="LArEnergyScan",
    attributes={"run": 490001, "run_type": "LarCalibL1Calo", "daq_configuration": "Schema=1:Data=1"},
    raw=RAW,
    log="log/athena.log",
    own={"ATLAS_RELEASE": "17.2.7.5.9", "PLOTS_WEB_DIR": "/www"},
)

LAUNCHER = """#!/bin/bash
##################################################################
## launcher of #JOB_CONFIGURATION#, run #RUN_NUMBER_PADDED_8# ####
##################################################################
#####RUN_NUMBER####
if [ $# -gt 0 ]; then echo "$0: ${1##*/} ${2%%#*} $$ $? $! ${#@}"; fi   # $#, # 1#2
source asetup.sh #ATLAS_RELEASE_NOCACHE#,here   #a lower case# and #A-B# are no tags
n=`ls #JOB_ROOT_DIR#/*.root | wc -l`; m=$((16#ff)) && arr=(1 2); echo ${#arr[@]} "$n" $m
sed -e 's#OLD#new#g' -e "s#x#$HOME#" <<EOF > #JOB_POOL_DIR#/PoolFileCatalog.xml
<!-- #RUN_NUMBER# $USER -->
EOF
python #JOB_CONFIGURATION_LOCAL# && athena.py #JOB_CONFIG_DIR#/#JOB_OPTIONS_NAME# > #JOB_LOG_DIR#/#JOB_LOG_NAME# 2>&1
"""


def rendered(text: str, name: str) -> str:
    return render(text, {**TAGS, "OLD": "#OLD#"}, name, raw=RAW, own=["ATLAS_RELEASE", "PLOTS_WEB_DIR", "OLD"])


def test_there_are_some() -> None:
    assert len(OLD) >= 8
    assert len(NEW) >= 6


@pytest.mark.parametrize("path", [*OLD, *NEW], ids=lambda path: path.name)
def test_they_render_into_programs(path: Path) -> None:
    text = path.read_text()
    name = path.name.removesuffix(".txt")
    program = rendered(text, name)
    # All but the tags is left alone: what stands between them is there still, in this order.
    place = 0
    for piece in TAG.sub("\0", text).split("\0"):
        place = program.index(piece, place) + len(piece)
    if name.endswith(".py"):
        compile(program, name, "exec")
    else:
        subprocess.run(["bash", "-n"], input=program, text=True, check=True, timeout=20)


def test_a_launcher_full_of_hashes_and_dollars() -> None:
    program = rendered(LAUNCHER, "launcher")
    subprocess.run(["bash", "-n"], input=program, text=True, check=True, timeout=20)
    lines = program.splitlines()
    assert lines[2] == "## launcher of LArL1CaloRampMaker, run 00490001 ####"
    assert lines[4] == "####490001###"
    same = [number for number, line in enumerate(LAUNCHER.splitlines()) if not names_in(line)]
    assert [lines[number] for number in same] == [LAUNCHER.splitlines()[number] for number in same]
    assert "source asetup.sh 17.2.7,here   #a lower case# and #A-B# are no tags" in lines
    assert "athena.py /w/490001_LArL1CaloRampMaker/1/config/joTpl_LArL1CaloRampMaker.py > " in lines[-1]


def test_the_raw_files_become_a_python_statement() -> None:
    class Flags:
        BSRDOInput: tuple[str, ...] = ()

    exec(compile(rendered("## x ##\n#RAW_DATA_SETS#\n", "jo.py"), "jo.py", "exec"), {"athenaCommonFlags": Flags})
    assert list(Flags.BSRDOInput) == RAW
