"""Every answer of the COOL library in the golden files is reproduced: rows, order and payloads."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from caf.domain.errors import SourceError
from caf.sources.cool.folders import OPEN_ENDED, Folder
from caf.sources.cool.reading import Conditions, Payload, databases_of
from tests.sources.library import library

COOL = library()
GOLDEN = sorted(path for path in (COOL / "golden").glob("*__*.json"))


@cache
def golden(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def as_stored(payload: Payload | list[Payload]) -> Any:
    """Blobs stand in the golden files as {"blob": hex}."""
    if isinstance(payload, list):
        return [as_stored(item) for item in payload]
    return {k: {"blob": v.hex()} if isinstance(v, bytes) else v for k, v in payload.items()}


def check(conditions: Conditions, folder: Folder, expected: dict[str, Any], query: dict[str, Any]) -> None:
    arguments = (query["since"], query["until"], query["channels"])
    if query["call"] == "findObjects":
        assert query["since"] == query["until"]
        records = conditions.find(folder, query["since"], query["channels"], query["tag"])
    else:
        records = list(conditions.browse(folder, *arguments, query["order"], query["tag"]))
    assert [[r.object_id, r.channel, r.since, r.until] for r in records] == query["result"], (folder.path, query)
    for record in records:
        assert as_stored(record.payload) == expected["payloads"][str(record.object_id)], (folder.path, query)
        for value in record.payload.values() if isinstance(record.payload, dict) else ():
            assert not isinstance(value, str) or value.encode("utf-8") is not None


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_answer_of_the_library_is_reproduced(path: Path) -> None:
    wanted = golden(path)
    asked = 0
    with Conditions(str(COOL / wanted["file"]), wanted["database"]) as conditions:
        assert {n.path: n.is_folder for n in conditions.nodes()} == {n["path"]: n["folder"] for n in wanted["nodes"]}
        for expected in wanted["folders"]:
            folder = conditions.folder(expected["path"])
            assert [[c.name, c.type] for c in folder.payload] == expected["payload"]
            assert folder.description == expected["description"]
            assert folder.multi_version == (expected["versioning"] == "MULTI_VERSION")
            channels = conditions.catalogue.channels(folder)
            assert {str(number): name for number, name in channels.items()} == expected["channels"]
            assert sorted(conditions.catalogue.tags(folder)) == expected["tags"]
            for query in expected["queries"]:
                check(conditions, folder, expected, query)
                asked += 1
    assert asked == sum(len(folder["queries"]) for folder in wanted["folders"])


def test_the_golden_files_hold_all_2412_queries() -> None:
    assert sum(len(folder["queries"]) for path in GOLDEN for folder in golden(path)["folders"]) == 2412


def test_bools_are_bools_and_floats_are_single_precision() -> None:
    with Conditions(str(COOL / "synthetic" / "COOLTEST.db"), "COOLTEST") as conditions:
        folder = conditions.folder("/TYPES/ALL")
        payload = next(iter(conditions.browse(folder))).payload
    assert isinstance(payload, dict)
    assert payload["f_Bool"] is True
    assert payload["f_UChar"] == 255
    assert isinstance(payload["f_Blob64k"], bytes)


def test_a_file_with_two_databases_names_both() -> None:
    assert databases_of(str(COOL / "synthetic" / "ALL_IN_ONE.db")) == ["COMP200", "CONDBR2"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda c: c.folder("/SV/CHANNEL"), r"no folder /SV/CHANNEL; did you mean .*/SV/CHANNELS"),
        (lambda c: list(c.browse(c.folder("/MV/STACK"), tag="STACK-1")), r"no tag STACK-1; did you mean STACK-01"),
        (lambda c: list(c.browse(c.folder("/SV/CHANNELS"), tag="x")), "single-version"),
        (lambda c: list(c.browse(c.folder("/SV/CHANNELS"), 0, OPEN_ENDED + 1)), "validity key"),
        (lambda c: list(c.browse(c.folder("/SV/CHANNELS"), channels="x")), "channels must be"),
        (lambda c: list(c.browse(c.folder("/SV/CHANNELS"), order=4)), "order 4"),
        (lambda c: c.channel(c.folder("/SV/CHANNELS"), "nobody"), "no channel nobody"),
    ],
)
def test_what_is_unknown_is_said_with_what_is_near(call: Callable[[Conditions], object], said: str) -> None:
    with (
        Conditions(str(COOL / "synthetic" / "COOLTEST.db"), "COOLTEST") as conditions,
        pytest.raises(SourceError, match=said),
    ):
        call(conditions)
