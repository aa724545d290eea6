"""Working areas: made whole or not at all, and never used twice."""

import errno
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from caf.domain.errors import PreparationError, StorageError
from caf.storage import area as area_module
from caf.storage.area import prepare, write_script


@pytest.fixture
def request_(tmp_path: Path) -> dict[str, Any]:
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "launcher.sh").write_text("#!/bin/sh\n# run #RUN_NUMBER# ##\nexec athena #JOB_CONFIGURATION_LOCAL#\n")
    (templates / "launcher.sh").chmod(0o755)
    (templates / "Ramp.py").write_text("#RAW_DATA_SETS#\n")
    (templates / "Ramp.py").chmod(0o644)
    (tmp_path / "work").mkdir()
    return {
        "work": str(tmp_path / "work"),
        "templates": str(templates),
        "run": 490001,
        "job": "Ramp",
        "attempt": 1,
        "database_id": "0123abcd",
        "job_id": 7,
        "files": ["launcher.sh", "Ramp.py"],
        "command": ["config/launcher.sh"],
        "listener": "LArEnergyScan",
        "attributes": {"run": 490001, "run_type": "LarCalibL1Calo"},
        "tags": {},
        "inputs": [{"path": "/raw/a.RAW", "size": 5}],
        "log": "log/athena.log",
        "facts": {"configuration": 3},
    }


@pytest.fixture
def area(request_: dict[str, Any], tmp_path: Path) -> Path:
    return tmp_path / "work" / "490001_Ramp" / "1"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_area_is_made_with_folders_templates_and_facts(request_: dict[str, Any], area: Path, tmp_path: Path) -> None:
    answer = prepare(request_)
    launcher = tmp_path / "templates" / "launcher.sh"
    assert answer["area"] == str(area)
    assert answer["replaced"] is False
    assert answer["templates"]["launcher.sh"] == hashlib.sha256(launcher.read_bytes()).hexdigest()
    assert names(area) == ["config", "job.json", "log", "pool", "post", "root"]
    assert names(area.parent) == ["1"]
    text = (area / "config" / "launcher.sh").read_text()
    assert text == f"#!/bin/sh\n# run 490001 ##\nexec athena {area}/config/Ramp.py\n"
    facts = json.loads((area / "job.json").read_text())
    assert facts["configuration"] == 3
    assert facts["inputs"] == [{"path": "/raw/a.RAW", "size": 5}]
    assert facts["templates"] == answer["templates"]
    assert facts["tags"]["RUN_NUMBER"] == "490001"
    assert (facts["database_id"], facts["job_id"], facts["attempt"]) == ("0123abcd", 7, 1)


def test_the_group_may_use_it_and_others_may_not(request_: dict[str, Any], area: Path) -> None:
    before = os.umask(0o022)
    try:
        prepare(request_)
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    assert {mode(area), mode(area / "log"), mode(area.parent)} == {0o770}
    assert mode(area / "config" / "launcher.sh") == 0o750
    assert mode(area / "config" / "Ramp.py") == 0o640
    assert mode(area / "job.json") == 0o660


def test_a_set_group_id_is_inherited(request_: dict[str, Any], area: Path, tmp_path: Path) -> None:
    (tmp_path / "work").chmod(0o2770)
    prepare(request_)
    assert mode(area / "root") == 0o2770


def test_an_attempt_that_was_never_submitted_is_made_anew(request_: dict[str, Any], area: Path, tmp_path: Path) -> None:
    prepare(request_)
    (area / "left").touch()
    (tmp_path / "templates" / "Ramp.py").write_text("new\n")
    assert prepare(request_)["replaced"] is True
    assert (area / "config" / "Ramp.py").read_text() == "new\n"
    assert not (area / "left").exists()
    assert names(area.parent) == ["1"]


def test_what_a_crash_left_beside_it_is_removed_but_nothing_else(request_: dict[str, Any], area: Path) -> None:
    for name in (".1.0000", ".1.0000.old", ".10.0000", "10"):
        (area.parent / name / "config").mkdir(parents=True)
    prepare(request_)
    assert names(area.parent) == [".10.0000", "1", "10"]


@pytest.mark.parametrize("used", ["claim", "caf.sh"])
def test_a_used_attempt_is_never_used_again(request_: dict[str, Any], area: Path, used: str) -> None:
    prepare(request_)
    (area / used).mkdir()
    with pytest.raises(PreparationError, match=r"never used again.*caf jobs reset 490001 Ramp$"):
        prepare(request_)
    assert (area / used).exists()


@pytest.mark.parametrize(("key", "value"), [("database_id", "ffff"), ("job_id", 8)])
def test_anothers_area_is_shown_and_left_alone(
    request_: dict[str, Any], area: Path, key: str, value: str | int
) -> None:
    prepare(request_)
    before = (area / "job.json").read_bytes()
    with pytest.raises(PreparationError, match="belongs to job 7, attempt 1, of database 0123abcd"):
        prepare(request_ | {key: value})
    assert (area / "job.json").read_bytes() == before


@pytest.mark.parametrize("facts", [None, "", "[]", "{", '{"a": 1}'])
def test_a_folder_that_says_not_whose_it_is_is_left_alone(
    request_: dict[str, Any], area: Path, facts: str | None
) -> None:
    area.mkdir(parents=True)
    if facts is not None:
        (area / "job.json").write_text(facts)
    with pytest.raises(PreparationError, match=r"holds no job\.json"):
        prepare(request_)
    assert names(area.parent) == ["1"]


def test_everything_wrong_with_the_templates_is_said_at_once_and_nothing_is_left(
    request_: dict[str, Any], area: Path, tmp_path: Path
) -> None:
    (tmp_path / "templates" / "launcher.sh").write_text("#RUN_NUMBR#\n")
    (tmp_path / "templates" / "Ramp.py").write_bytes(b"ok\nLatin-1: \xe4\n")
    with pytest.raises(PreparationError) as caught:
        prepare(request_ | {"files": ["launcher.sh", "Ramp.py", "none.py", "../up.py", "/etc/passwd"]})
    lines = str(caught.value).splitlines()
    assert lines[0] == "launcher.sh:1: unknown tag #RUN_NUMBR# (did you mean #RUN_NUMBER#?)"
    assert lines[1].startswith("Ramp.py:2: not UTF-8")
    assert lines[2].endswith("templates/none.py: No such file or directory")
    assert "'../up.py' leads out of" in lines[3]
    assert "'/etc/passwd' leads out of" in lines[4]
    assert names(area.parent) == []


def test_a_template_in_a_folder_keeps_its_folder(request_: dict[str, Any], area: Path, tmp_path: Path) -> None:
    (tmp_path / "templates" / "sub").mkdir()
    (tmp_path / "templates" / "sub" / "x.py").write_text("#RUN_TYPE#")
    prepare(request_ | {"files": ["launcher.sh", "sub/x.py"]})
    assert (area / "config" / "sub" / "x.py").read_text() == "LarCalibL1Calo"


def test_a_command_that_may_not_be_executed_names_the_template(
    request_: dict[str, Any], area: Path, tmp_path: Path
) -> None:
    (tmp_path / "templates" / "launcher.sh").chmod(0o644)
    with pytest.raises(PreparationError, match=f"chmod \\+x {tmp_path}/templates/launcher.sh$"):
        prepare(request_)
    assert not area.exists()


@pytest.mark.parametrize("program", ["config/none.sh", "../1/config/launcher.sh", "config/../../x"])
def test_a_command_that_the_area_does_not_hold_is_refused(request_: dict[str, Any], program: str) -> None:
    with pytest.raises(PreparationError, match="not in the working area"):
        prepare(request_ | {"command": [program]})


@pytest.mark.parametrize("program", ["./config/launcher.sh", "athena", "/opt/bin/athena"])
def test_other_commands_are_looked_for_on_the_node_only(request_: dict[str, Any], area: Path, program: str) -> None:
    prepare(request_ | {"command": [program]})
    assert area.exists()


def test_raw_files_with_odd_bytes_in_their_names_arrive(request_: dict[str, Any], area: Path) -> None:
    path = os.fsdecode(b"/raw/\xff.RAW")
    request = request_ | {"files": ["launcher.sh", "raw.txt"], "inputs": [{"path": path, "size": 1}]}
    with open(os.path.join(request["templates"], "raw.txt"), "w") as file:
        file.write("#RAW_FILES_SH#")
    prepare(request)
    assert (area / "config" / "raw.txt").read_bytes() == b"'/raw/\xff.RAW'"


def test_a_missing_work_folder_is_not_made(request_: dict[str, Any], tmp_path: Path) -> None:
    """It may be a file system that is not mounted."""
    (tmp_path / "work").rmdir()
    with pytest.raises(StorageError, match=r"cannot prepare .*: No such file or directory"):
        prepare(request_)


def test_a_full_disk_leaves_nothing_and_is_worth_another_try(
    request_: dict[str, Any], area: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third write fails, as the kernel would do it; /dev/full does not let folders be made in it."""
    written = []

    def write(path: str, data: bytes, mode: int) -> None:
        written.append(path)
        if len(written) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        original(path, data, mode)

    original = area_module._write
    monkeypatch.setattr(area_module, "_write", write)
    with pytest.raises(StorageError, match=r"job\.json: No space left on device") as caught:
        prepare(request_)
    assert caught.value.transient
    assert names(area.parent) == []


def test_a_script_is_put_in_place_whole_and_executable(request_: dict[str, Any], area: Path) -> None:
    prepare(request_)
    write_script(str(area), "#!/bin/sh\nexit 0\n")
    write_script(str(area), "#!/bin/sh\nexit 1\n")
    assert (area / "caf.sh").read_text() == "#!/bin/sh\nexit 1\n"
    assert mode(area / "caf.sh") == 0o770
    assert [name for name in names(area) if name.startswith(".")] == []


def test_a_script_for_an_area_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot write .*/none/caf.sh: No such file"):
        write_script(str(tmp_path / "none"), "")


def test_a_template_that_is_a_link_out_of_the_folder_is_refused(request_: dict[str, Any], area: Path) -> None:
    templates = Path(request_["templates"])
    (templates.parent / "secret.py").write_text("secret")
    (templates / "Ramp.py").unlink()
    (templates / "Ramp.py").symlink_to("../secret.py")
    with pytest.raises(PreparationError, match=r"'Ramp\.py' is a link that leads out"):
        prepare(request_)
    (templates / "Ramp.py").unlink()
    (templates / "sub").symlink_to(templates.parent)
    with pytest.raises(PreparationError, match=r"'sub/secret\.py' is a link that leads out"):
        prepare(request_ | {"files": ["launcher.sh", "sub/secret.py"]})
    assert not area.exists()


def test_links_within_the_folder_and_a_folder_that_is_one_are_followed(request_: dict[str, Any], area: Path) -> None:
    templates = Path(request_["templates"])
    (templates / "Other.py").symlink_to("Ramp.py")
    (templates.parent / "link").symlink_to(templates)
    prepare(request_ | {"files": ["launcher.sh", "Other.py"], "templates": str(templates.parent / "link")})
    assert "BSRDOInput" in (area / "config" / "Other.py").read_text()
    assert not (area / "config" / "Other.py").is_symlink()


def test_a_pipe_in_place_of_a_template_keeps_nobody_waiting(request_: dict[str, Any]) -> None:
    path = Path(request_["templates"]) / "Ramp.py"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(PreparationError, match=r"Ramp\.py: it is not a regular file"):
        prepare(request_)


def test_two_names_of_one_template_are_one(request_: dict[str, Any], area: Path) -> None:
    answer = prepare(request_ | {"files": ["launcher.sh", "./Ramp.py", "Ramp.py"]})
    assert list(answer["templates"]) == ["launcher.sh", "Ramp.py"]
    assert names(area / "config") == ["Ramp.py", "launcher.sh"]


def test_tags_that_a_person_set_win_and_must_be_used(request_: dict[str, Any], area: Path) -> None:
    with pytest.raises(PreparationError, match=r"--set RELEASE: no template of Ramp uses this tag: they use "):
        prepare(request_ | {"set": {"RELEASE": "2"}})
    (Path(request_["templates"]) / "Ramp.py").write_text("x = '#RELEASE#'")
    prepare(request_ | {"tags": {"RELEASE": "1"}, "set": {"RELEASE": "2"}})
    assert (area / "config" / "Ramp.py").read_text() == "x = '2'"
    assert json.loads((area / "job.json").read_text())["set"] == {"RELEASE": "2"}


def test_an_attribute_that_is_a_command_fails_the_preparation_and_runs_nowhere(
    request_: dict[str, Any], area: Path
) -> None:
    launcher = Path(request_["templates"]) / "launcher.sh"
    launcher.write_text('#!/bin/sh\nx="#RUN_TYPE#"\ny=#SH:RUN_TYPE#\n')
    with pytest.raises(PreparationError, match=r"launcher\.sh:2: #RUN_TYPE# is '\$\(rm -rf\)'"):
        prepare(request_ | {"attributes": {"run": 490001, "run_type": "$(rm -rf)"}})
    launcher.write_text("#!/bin/sh\ny=#SH:RUN_TYPE#\n")
    prepare(request_ | {"attributes": {"run": 490001, "run_type": "$(rm -rf)"}})
    assert "y='$(rm -rf)'" in (area / "config" / "launcher.sh").read_text()


def test_a_folder_that_cleaning_removes_meanwhile_is_made_again(
    request_: dict[str, Any], area: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was empty: the last area of an earlier attempt had just gone."""
    fill = area_module._fill
    calls: list[object] = []

    def removed_first(*given: Any) -> dict[str, str]:
        if not calls:
            area.parent.rmdir()
        calls.append(given)
        return fill(*given)

    monkeypatch.setattr(area_module, "_fill", removed_first)
    prepare(request_)
    assert (area / "job.json").exists()
    assert len(calls) == 2
