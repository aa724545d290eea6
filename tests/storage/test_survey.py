"""Looking through all working areas: what is there is told, what cannot be understood is never taken for something."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from caf.domain.errors import StorageError
from caf.storage.survey import attempts_in, survey

TOKEN = "caf-aaaa0000-17-2-0123abcd"
FACTS = {"run": 490001, "job": "Fit", "attempt": 2, "job_id": 17, "database_id": "aaaa0000"}
NOTHING = {"script": False, "facts": None, "token": None, "claim": False, "revoked": False, "ended": False}


@pytest.fixture
def area(tmp_path: Path) -> Path:
    area = tmp_path / "490001_Fit" / "2"
    area.mkdir(parents=True)
    (area / "job.json").write_text(json.dumps({**FACTS, "inputs": []}))
    (area / "caf.sh").write_text(f"#!/bin/sh\nCAF_ATTEMPT=2\nCAF_TOKEN={TOKEN}\nset -- true\n")
    return area


def look(area: Path) -> dict[str, Any]:
    (seen,) = survey([str(area)])
    return seen


def test_the_attempts_of_every_job_are_listed(tmp_path: Path) -> None:
    for name in ("490002_Fit/1", "490001_Fit/2", "490001_Fit/10", "490001_Fit/.3.ab", "490001_Fit/old", "7_A_b/1"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("notes", "490001", "490001_", "490001_9x/1", "x_Fit/1", "490003_Empty", "490004_Fit/0"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "490009_File").touch()
    assert attempts_in(str(tmp_path)) == [(7, "A_b", [1]), (490001, "Fit", [2, 10]), (490002, "Fit", [1])]


def test_a_folder_that_is_not_there_is_an_error_and_not_empty(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot read"):
        attempts_in(str(tmp_path / "gone"))


def test_an_area_says_whose_it_is_and_how_far_it_came(area: Path) -> None:
    common = {"exists": True, "script": True, "facts": FACTS, "token": TOKEN, "error": None, "foreign": False}
    assert look(area) == {**common, "claim": False, "revoked": False, "ended": False}
    (area / "claim").mkdir()
    (area / "start").write_text(f"token={TOKEN}\nhost=n\nboot=b\npid=1\nticks=\nuptime=1\nend\n")
    assert look(area) == {**common, "claim": True, "revoked": False, "ended": False}
    (area / "exit").write_text(f"token={TOKEN}\ncode=0\nhost=n\nboot=b\nuptime=2\nend\n")
    assert look(area)["ended"] is True
    (area / "claim" / "revoked").touch()
    assert look(area)["revoked"] is True


def test_a_record_of_another_token_is_foreign(area: Path) -> None:
    (area / "exit").write_text("token=caf-bbbb0000-1-1-00000000\ncode=0\nhost=n\nboot=b\nuptime=2\nend\n")
    assert look(area)["foreign"] is True


@pytest.mark.parametrize("text", ["", "[]", "{", "7", "[" * 100_000])
def test_what_is_no_job_json_says_nothing(area: Path, text: str) -> None:
    (area / "job.json").write_text(text)
    assert look(area)["facts"] is None


@pytest.mark.parametrize("line", ["", "CAF_TOKEN=x", f"CAF_TOKEN={TOKEN};rm", f" CAF_TOKEN={TOKEN}", "CAF_TOKEN="])
def test_a_script_without_its_token_is_told(area: Path, line: str) -> None:
    (area / "caf.sh").write_text(f"#!/bin/sh\n{line}\n")
    assert (look(area)["script"], look(area)["token"]) == (True, None)


def test_an_area_that_is_gone_or_empty(tmp_path: Path) -> None:
    assert look(tmp_path / "gone") == {**NOTHING, "exists": False, "foreign": False, "error": None}
    assert look(tmp_path) == {**NOTHING, "exists": True, "foreign": False, "error": None}


def test_pipes_and_links_to_themselves_hold_nobody_up(area: Path) -> None:
    for name in ("job.json", "caf.sh"):
        (area / name).unlink()
    os.mkfifo(area / "job.json")
    (area / "caf.sh").symlink_to("caf.sh")
    seen = look(area)
    assert (seen["facts"], seen["token"], seen["script"]) == (None, None, True)


def test_an_area_that_cannot_be_read_is_said_to_be(area: Path) -> None:
    area.rename(area.with_name("away"))
    area.symlink_to(area)
    seen = look(area)
    assert "Too many levels of symbolic links" in seen["error"]
    assert (seen["exists"], seen["token"]) == (True, None)
